use proptest::prelude::*;

use super::*;

fn rules(spec: &InputSpec) -> CellRules {
    CellRules::new(spec).unwrap()
}

/// Checks that each of these ids is refused, and that the problem says so.
fn refuses(says: &str, ids: &[&str]) {
    for id in ids {
        let problem = CellRules::default().id_problem(id).unwrap_or_else(|| panic!("{id:?} is accepted"));
        assert!(problem.contains(says), "{says:?} is not in {id:?} {problem}");
    }
}

#[test]
fn what_a_spreadsheet_makes_of_ids_is_refused() {
    refuses("an error of a spreadsheet", &ERROR_WORDS);
    refuses("an error of a spreadsheet", &["Err:502", "Err:508"]);
    refuses("too narrow", &["##", "#####", "##########"]);
    refuses("rounded", &["8.61381E+12", "1.38E+10", "1,38E+10", "1.38e10", "1.38000E+10", "-1.5E+09", "1E+18", "2e-5"]);
    refuses("begins with \"=\"", &["=\"00123\"", "=A2", "=A2&\"_\"&B2"]);
    refuses("an apostrophe", &["'00023", "'1_2_3", "'"]);
    refuses("exported as a number; ", &["13800000000.0", "8613800000000.00", "86138,0"]);
    refuses("with separators", &["13,800,000,000", "1,234", "13'800'000", "13\u{a0}800\u{a0}000", "13\u{202f}800"]);
}

#[test]
fn dates_and_times_are_refused() {
    refuses(
        "a date or a time",
        &[
            "2024/3/11",
            "2024/03/11",
            "3/11/2024",
            "11/3/24",
            "3/11",
            "5/2",
            "2026-03-11",
            "2026-3-1",
            "2026.3.11",
            "11.03.2024",
            "11.03.24",
            "11-03-2024",
            "11-Mar-24",
            "11-Mar-2024",
            "11-mar",
            "2-Sep",
            "11. Mrz. 24",
            "2024年3月11日",
            "3月11日",
            "2026-03-11 08:00:00",
            "2026-03-11T08:00:00Z",
            "2024/3/11 8:00",
            "3/11/2024 8:00 AM",
            "2024/3/11 上午 8:00",
            "12:30",
            "8:00:00",
            "100:30:00",
            "30:00.0",
            "8:00 PM",
        ],
    );
}

#[test]
fn white_space_around_an_id_is_refused_by_its_name() {
    for (id, says) in [
        (" a", "begins with a space; "),
        ("a ", "ends with a space; "),
        ("a\t", "ends with a tab; "),
        ("a\r\n", "ends with a line end; "),
        ("\u{a0}a", "begins with a no-break space (U+00A0); "),
        ("a\u{3000}", "ends with an ideographic space (U+3000); "),
        ("a\u{200b}", "ends with a zero-width character (U+200B); "),
        ("\u{feff}a", "begins with a byte-order mark (U+FEFF); "),
        ("\u{202a}a", "begins with an invisible character (U+202A); "),
        ("a\u{2009}", "ends with a space of another width (U+2009); "),
    ] {
        refuses(says, &[id]);
        refuses("trim = true", &[id]);
        let trimming = rules(&InputSpec { trim: true, ..InputSpec::default() });
        for cell in [Cow::Borrowed(id), Cow::Owned(id.to_owned())] {
            let mut cells = [Some(cell), None, None, None, Some(Cow::Borrowed(" kept "))];
            trimming.apply(&mut cells);
            assert_eq!((cells[0].as_deref(), cells[4].as_deref()), (Some("a"), Some(" kept ")));
        }
    }
}

#[test]
fn words_for_nothing_are_refused_unless_the_job_says_what_they_mean() {
    let written =
        ["NULL", "null", "Null", "None", "NONE", "nan", "NaN", r"\N", "N/A", "n/a", "undefined", "nil", "(null)"];
    let others = ["<null>", "<NA>", "NA", "NaT", "-nan", " NULL ", "null\u{3000}"];
    let of = |null: Option<&[&str]>| {
        let null = null.map(|words| words.iter().map(ToString::to_string).collect());
        rules(&InputSpec { null, ..InputSpec::default() })
    };
    let (untold, text, absent) = (of(None), of(Some(&[])), of(Some(&["NULL", "-"])));
    for word in written.iter().chain(&others) {
        let problem = untold.content_problem(word).unwrap_or_else(|| panic!("{word:?} is accepted"));
        assert!(problem.contains("null = [\"") && problem.contains("null = []"), "{problem}");
        assert!(untold.id_problem(word).is_some() && untold.is_nothing(word), "{word:?}");
        assert!(untold.template_value(Value::from(*word)).is_err(), "{word:?}");
        assert_eq!(text.content_problem(word), None);
        assert_eq!(text.template_value(Value::from(*word)).unwrap(), Some(Value::from(*word)));
        let is_absent = word.trim() == "NULL";
        assert_eq!(absent.content_problem(word).is_none(), is_absent, "{word:?}");
        assert!(absent.is_nothing(word) && !text.is_nothing(word), "{word:?}");
    }
    let mut cells = ["NULL", "-", "--", "Null", " NULL "].map(|cell| Some(Cow::Borrowed(cell)));
    absent.apply(&mut cells);
    assert_eq!(cells.each_ref().map(Option::as_deref), [None, None, Some("--"), Some("Null"), None]);
    assert_eq!(absent.template_value(Value::from("-")).unwrap(), None);
}

#[test]
fn a_word_for_nothing_that_no_cell_can_be_is_refused() {
    for word in ["", " ", "NULL "] {
        let spec = InputSpec { null: Some(vec!["NULL".to_owned(), word.to_owned()]), ..InputSpec::default() };
        let error = CellRules::new(&spec).unwrap_err();
        assert_eq!(error.key(), "input.null");
    }
}

#[test]
fn errors_as_content_are_refused_and_sentences_are_not() {
    let rules = CellRules::default();
    for word in ["#N/A", " #REF! ", "#NV", "Err:502", "#溢出!"] {
        assert!(rules.content_problem(word).is_some(), "{word:?}");
    }
    // A row of # may be how a text was made unreadable.
    for text in
        ["#####", "#N/A and more", "no", "Nancy", "nullify", "2024/3/11", "1.5E+3", "'quoted'", "=)", "#sale!", ""]
    {
        assert_eq!(rules.content_problem(text), None, "{text:?}");
    }
}

#[test]
fn ids_that_look_only_a_little_like_it_are_accepted() {
    for id in [
        "user-2024",
        "a.b@c",
        "+8613800000000",
        "8613800000000",
        "1_7_1773188576",
        "144115233406643804-1786000000-4026038300",
        "1e5",
        "12E3",
        "1.0",
        "v1.2",
        "1.2.3",
        "10.0.0.1",
        "192.168.100.200",
        "@TGS#2J4SZEAEL",
        "2024",
        "2024-1",
        "2024-13-01",
        "3-11",
        "31-32-2024",
        "12-abc-24",
        "12:345",
        "user:12:30",
        "#1",
        "#general",
        "#ADMIN!",
        "-",
        "na",
        "nancy",
        "none_1",
        "nullable",
        "o'neil",
        "1-6-1786000001",
        "-294967296_-1474836480_1786000001",
        "123e4567-e89b-12d3-a456-426614174000",
        "1,2",
        "12,34567",
        "32/13",
        "1.38E",
        "E+10",
        "1380@qq.com",
        "王",
        "三月",
        "Mar-24",
        "2026-03-11-chat",
        "",
    ] {
        assert_eq!(CellRules::default().id_problem(id), None, "{id:?}");
    }
}

proptest! {
    #[test]
    fn an_ordinary_id_is_never_refused(
        id in prop_oneof![
            // With something that no word for "nothing" has.
            "[A-Za-z]{1,12}[0-9_][A-Za-z0-9_.@:-]{0,20}",
            "[+]?[0-9]{1,20}",
            "[0-9]{1,10}_[0-9]{1,10}_[0-9]{9,13}",
            "[0-9]{15,18}-[0-9]{10}-[0-9]{1,10}",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0-9]{5,11}@[a-z]{2,8}[.]com",
            "\\p{Han}{2,6}",
        ],
    ) {
        for rules in [CellRules::default(), rules(&InputSpec { trim: true, ..InputSpec::default() })] {
            prop_assert_eq!(rules.id_problem(&id), None);
            let mut cells = [Some(Cow::Borrowed(id.as_str())), None, None, None, None];
            rules.apply(&mut cells);
            prop_assert_eq!(cells[0].as_deref(), Some(id.as_str()));
        }
    }

    #[test]
    fn a_number_that_a_spreadsheet_rounds_is_always_refused(number in 1e10_f64..1e19, places in 1_usize..7) {
        let shown = format!("{number:.places$E}");
        let (mantissa, exponent) = shown.split_once('E').unwrap();
        for shown in [format!("{mantissa}E+{exponent}"), format!("{}E+{exponent}", mantissa.replace('.', ",")), shown.clone()] {
            prop_assert!(CellRules::default().id_problem(&shown).is_some(), "{shown}");
        }
    }

    #[test]
    fn trimmed_ids_have_no_space_around_them(cell in "[ \t\u{a0}\u{3000}\u{200b}\u{feff}ab]{0,12}") {
        let mut cells = [Some(Cow::Borrowed(cell.as_str())), None, None, None, None];
        rules(&InputSpec { trim: true, ..InputSpec::default() }).apply(&mut cells);
        prop_assert_eq!(space_around(cells[0].as_deref().unwrap()), None);
    }
}
