use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// 2026-08-06: the sample keys below are of that day.
const NOW: i64 = 1_786_000_100;

fn new(messages_expire: bool) -> Suspicions {
    Suspicions::new(AsOf { now: Timestamp::from_second(NOW).unwrap(), messages_expire })
}

fn id(from: &str, to: &str, key: &str) -> MessageId {
    MessageId { from_account: from.to_owned(), to_account: to.to_owned(), msg_key: key.to_owned() }
}

/// The warnings about these messages, the first of which is on line 2: `line (rows): what`.
fn told<'a>(messages: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<String> {
    let mut suspicions = new(true);
    for ((from, to, key), line) in messages.into_iter().zip(2..) {
        suspicions.see(&id(from, to, key), &line.into());
    }
    suspicions.warnings().map(|Warning { what, line, rows }| format!("{} ({rows}): {what}", line.number)).collect()
}

fn of_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    told(keys.into_iter().map(|key| ("a", "b", key)))
}

#[test]
fn odd_keys_are_told_by_kind() {
    let keys = [
        "1_2_1786000001",
        "1_2_1786000001234",
        "1_3_4102444800",
        "1_4_1262304000",
        "1_5_178",
        "-294967296_-1474836480_1786000001",
        "4294967296_5_1786000001",
        "1-6-1786000001",
        "1_7",
        "1_8_1777000000",
        "4294967295_4294967295_1786000001",
        "5_4294967296_1786000001",
    ];
    insta::assert_snapshot!(of_keys(keys).join("\n"), @r#"
    9 (2): MsgKey is not of the form number_number_time, as others in this list are: "1-6-1786000001"
    7 (1): MsgKey holds a number below zero, as programs write numbers past 2147483647; the service's are from 0 to 4294967295: "-294967296_-1474836480_1786000001"
    8 (2): MsgKey holds a number past 4294967295, the largest that the service issues: "4294967296_5_1786000001"
    6 (1): MsgKey ends in a number that is too short for the second of a message: "1_5_178"
    3 (1): MsgKey ends in a time of milliseconds or less; the service's keys have seconds: "1_2_1786000001234"
    4 (1): MsgKey ends in a time in the future: "1_3_4102444800"
    11 (1): MsgKey ends in a time more than 90 days ago; the service keeps messages for 7 to 90 days, by plan: "1_8_1777000000"
    5 (1): MsgKey ends in a time before 2015, when there were hardly any such messages: "1_4_1262304000"
    "#);
}

#[test]
fn what_the_list_does_not_speak_against_is_not_told() {
    assert_eq!(of_keys(["abc", "1-6-1786000001", "1_7", "1_2_3_4", "1__2", "_", "1_2_x"]), Vec::<String>::new());
    assert_eq!(of_keys(["abc", "1_2_1786000001"]).len(), 1);
    let msg_ids = of_keys(["144115233406643804-1786000000-4026038300", "144115233406643804-1786000001-1"]);
    assert!(matches!(&msg_ids[..], [told] if told.starts_with("2 (2): MsgKey looks like the MsgId")), "{msg_ids:?}");
}

#[test]
fn a_stand_in_keeps_messages_but_not_since_before_the_service() {
    for (messages_expire, kinds) in [(true, 2), (false, 1)] {
        let mut suspicions = new(messages_expire);
        for key in ["1_2_1773188576", "1_2_1420070399"] {
            suspicions.see(&id("a", "b", key), &2.into());
        }
        assert_eq!(suspicions.warnings().count(), kinds);
    }
    // The limits themselves: 90 days, and a day ahead.
    let [now, day] = [NOW, 24 * 60 * 60];
    for (time, is_odd) in
        [(now - 90 * day, false), (now - 90 * day - 1, true), (now + day, false), (now + day + 1, true)]
    {
        assert_eq!(of_keys([format!("1_2_{time}").as_str()]).len(), usize::from(is_odd), "{time}");
    }
}

#[test]
fn accounts_of_an_odd_form_are_told() {
    let (long, longest) = ("x".repeat(33), "中".repeat(11));
    let key = "1_2_1786000001";
    insta::assert_snapshot!(told([("a", "a", key), (&long, "b", key), ("c", &longest, key), ("Mar-24", "may-24", key)]).join("\n"), @r#"
    3 (1): From_Account is longer than the 32 bytes that the service allows: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    4 (1): To_Account is longer than the 32 bytes that the service allows: "中中中中中中中中中中中"
    5 (1): From_Account looks like a month that a spreadsheet made of an id: "Mar-24"
    2 (1): From_Account and To_Account are the same: "a"
    "#);
    assert_eq!(told([("Mar-x4", "Max-24", key), ("March-24", &long[..32], key)]), Vec::<String>::new());
    let [long, longest] = [50, 51].map(|bytes| "k".repeat(bytes));
    assert_eq!([of_keys([long.as_str()]).len(), of_keys([longest.as_str()]).len()], [0, 1]);
}

#[test]
fn zeros_are_told_where_many_numbers_end_in_them() {
    let key = "1_2_1786000001";
    let told = |accounts: &[&str]| told(accounts.iter().map(|account| (*account, "b", key)));
    // 18 digits of which 15 are left, and telephone numbers that were shown as 8.61381E+12.
    for lost in [["144115233406644000", "144115233775728000"], ["8613810000000", "8613910000000"]] {
        assert!(
            matches!(&told(&lost)[..], [told] if told.starts_with("2 (2): From_Account ends in zeros")),
            "{lost:?}"
        );
        let whole = [lost[0], "144115233406643804", "144115233406643805", "8613800138001", lost[1], "u1", "u2", "7"];
        assert_eq!(told(&whole).len(), 1, "two in five are many");
        let few = [&whole[..], &["8613800138002", "8613800138003", "8613800138004", "8613800138005"]].concat();
        assert_eq!(told(&few), Vec::<String>::new(), "two in nine are not");
    }
    // One account in all rows, short numbers, and zeros as they come by chance.
    for fine in [
        &["4000000000", "4000000000"][..],
        &["100000000", "200000000"],
        &["86138000", "8613800010000"],
        &["1440000", "x0000000000000000"],
    ] {
        assert_eq!(told(fine), Vec::<String>::new(), "{fine:?}");
    }
}

proptest! {
    /// However rows are spread over threads, the same is told.
    #[test]
    fn threads_tell_together_what_one_tells(
        rows in prop::collection::vec(
            (
                "a|b|8613810000000|8613910000000|8613800138001|Mar-24|x{33}",
                "a|b|144115233406644000|144115233406643804",
                "1_2_1786000001|1_2_3|-1_2_1786000002|4294967296_3_1400000000|x|144115233406643804-1786000000-4|1_2_9999999999",
                0_usize..3,
            ),
            0..60,
        ),
    ) {
        let (mut one, mut parts) = (new(true), [new(true), new(true), new(true)]);
        for ((from, to, key, part), line) in rows.iter().zip(2..) {
            let id = id(from, to, key);
            one.see(&id, &line.into());
            parts[*part].see(&id, &line.into());
        }
        let [mut all, second, third] = parts;
        all.add(second);
        all.add(third);
        prop_assert_eq!(all.warnings().collect::<Vec<_>>(), one.warnings().collect::<Vec<_>>());
    }

    #[test]
    fn what_the_service_issues_is_never_odd(
        rows in prop::collection::vec(
            ("[a-z]{1,8}[0-9]{1,8}|[0-9]{5,9}|86138[0-9]{7}[1-9]", "z[a-z0-9_.@-]{0,31}", any::<u32>(), any::<u32>(), 0_u64..90 * 24 * 60 * 60),
            0..20,
        ),
    ) {
        let mut suspicions = new(true);
        for ((from, to, seq, random, age), line) in rows.iter().zip(2..) {
            let sent = Timestamp::from_second(NOW).unwrap() - Duration::from_secs(*age);
            suspicions.see(&id(from, to, &format!("{seq}_{random}_{}", sent.as_second())), &line.into());
        }
        prop_assume!(rows.iter().all(|(from, to, ..)| from != to));
        prop_assert_eq!(suspicions.warnings().collect::<Vec<_>>(), Vec::new());
    }

    #[test]
    fn nothing_makes_it_panic_and_examples_are_short(from in "\\PC{0,300}", key in "[-_0-9\\PC]{0,300}", line in any::<u64>()) {
        let mut suspicions = new(true);
        suspicions.see(&id(&from, &from, &key), &line.into());
        suspicions.see(&id("a", "b", "1_2_1786000001"), &line.into());
        for warning in suspicions.warnings() {
            prop_assert!(warning.what.chars().count() < 900, "{}", warning.what);
            prop_assert_eq!(crate::terminal::escape::escape_control(&warning.what), warning.what.as_str());
        }
    }
}
