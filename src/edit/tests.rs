use super::*;

fn id() -> MessageId {
    MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "1_2_3".into() }
}

fn edit(body: &str) -> Edit {
    Edit::new(id(), Some(MsgBody::parse(body).unwrap()), None).unwrap()
}

#[test]
fn the_callers_json_is_sent_unchanged() {
    let body =
        r#"[ {"MsgContent":{"Text":"\u4e2d\u6587 1e2"},  "MsgType":"TIMTextElem", "X":10000000000000000000001.50} ]"#;
    let request = String::from_utf8(edit(body).request_body()).unwrap();
    assert_eq!(request, format!(r#"{{"From_Account":"a","To_Account":"b","MsgKey":"1_2_3","MsgBody":{body}}}"#));
}

#[test]
fn empty_custom_data_is_a_present_value() {
    let edit = Edit::new(id(), None, Some("".into())).unwrap();
    let request = String::from_utf8(edit.request_body()).unwrap();
    assert!(request.ends_with(r#","CloudCustomData":""}"#), "{request}");
}

#[test]
fn the_digest_goes_by_value_not_by_text() {
    let one = edit(r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"中"}}]"#);
    let same = edit("[ {\"MsgContent\":{\"Text\":\"\\u4e2d\"},\n\"MsgType\":\"TIMTextElem\"} ]");
    let other = edit(r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"国"}}]"#);
    assert_eq!(one.content_digest(), same.content_digest());
    assert_ne!(one.content_digest(), other.content_digest());
    let text = Edit::new(id(), Some(MsgBody::of_text("中")), None).unwrap();
    assert_eq!(text.content_digest(), one.content_digest());
}

#[test]
fn numbers_past_64_bits_stay_apart() {
    let body = |n: &str| format!(r#"[{{"MsgType":"X","MsgContent":{{"N":{n}}}}}]"#);
    assert_ne!(
        edit(&body("18446744073709551617")).content_digest(),
        edit(&body("18446744073709551618")).content_digest()
    );
}

#[test]
fn a_number_is_the_same_content_however_it_is_written() {
    let place = |n: &str| edit(&format!(r#"[{{"MsgType":"TIMLocationElem","MsgContent":{{"Latitude":{n}}}}}]"#));
    for (a, b) in [("30", "30.0"), ("30", "3e1"), ("-0", "0"), ("0.5", "50e-2"), ("1e300", "10.00E+299")] {
        assert_eq!(place(a).content_digest(), place(b).content_digest(), "{a} and {b}");
        // What is sent is what was written.
        assert_ne!(place(a).request_body(), place(b).request_body());
    }
    for (a, b) in [("30", "31"), ("30", "-30"), ("30.5", "305"), ("1e300", "1e299")] {
        assert_ne!(place(a).content_digest(), place(b).content_digest(), "{a} and {b}");
    }
    // A ledger of version 0.1 has the digest of the number as written, which is another one only for unusual numbers.
    assert_eq!(place("30.5").wanted().content_as_written, None);
    let (round, plain) = (place("30.0").wanted(), place("30").wanted());
    let recorded = round.content_as_written.unwrap();
    assert!(round.is_content(recorded) && round.is_content(plain.content) && !plain.is_content(recorded));
}

#[test]
fn absent_custom_data_differs_from_empty() {
    let body = Some(MsgBody::of_text("x"));
    let absent = Edit::new(id(), body.clone(), None).unwrap();
    let empty = Edit::new(id(), body, Some("".into())).unwrap();
    assert_ne!(absent.content_digest(), empty.content_digest());
}

#[test]
fn an_edit_without_a_message_or_a_change_is_refused_field_by_field() {
    let nothing = MessageId { from_account: String::new(), to_account: "b\0".into(), msg_key: "k".into() };
    let fields: Vec<_> = Edit::new(nothing, None, None).unwrap_err().into_iter().map(|finding| finding.field).collect();
    assert_eq!(fields, [Field::FromAccount, Field::ToAccount, Field::MsgBody]);
}

#[test]
fn sizes_are_warned_about_and_then_refused() {
    let of = |bytes: usize| Edit::new(id(), None, Some("x".repeat(bytes).into()));
    assert!(of(CONTENT_BYTES_WARN).unwrap().warnings().is_empty());
    assert_eq!(of(CONTENT_BYTES_WARN + 1).unwrap().warnings()[0].field, Field::CloudCustomData);
    assert!(of(CONTENT_BYTES_MAX).is_ok());
    assert!(of(CONTENT_BYTES_MAX + 1).is_err());
}

#[test]
fn both_directions_are_one_conversation() {
    let forth = id();
    let back = MessageId { from_account: "b".into(), to_account: "a".into(), msg_key: "9".into() };
    assert_eq!(forth.conversation(), back.conversation());
    assert_ne!(forth.digest(), back.digest());
}

#[test]
fn a_key_of_the_usual_form_holds_the_second_of_its_message() {
    for (key, second) in [
        ("4294967295_7_1773188576", Some(1_773_188_576)),
        ("1_2_3", Some(3)),
        ("1_2", None),
        ("1_2_3_4", None),
        ("1_2_4294967296", None),
        ("a_2_3", None),
        ("", None),
    ] {
        assert_eq!(MessageId { msg_key: key.into(), ..id() }.second(), second, "{key}");
    }
}

#[test]
fn an_account_that_is_no_account_is_refused_and_an_odd_one_warned_about() {
    let long = MessageId { from_account: "x".repeat(ID_BYTES_MAX + 1), ..id() };
    let findings = Edit::new(long, None, Some("".into())).unwrap_err();
    assert_eq!((findings.len(), findings[0].field), (1, Field::FromAccount));
    for odd in ["\u{feff}b", "b\u{200b}", "b\u{202e}c", "b\u{3164}"] {
        let edit = Edit::new(MessageId { to_account: odd.into(), ..id() }, None, Some("".into())).unwrap();
        assert!(edit.warnings().iter().any(|finding| finding.what.contains("invisible")), "{odd:?}");
    }
    assert!(edit(r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"👩\u200d💻"}}]"#).warnings().is_empty());
}

#[test]
fn ambiguous_elements_are_refused() {
    let message = |body: &str| MsgBody::parse(body).unwrap_err()[0].what.clone();
    let twice = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"one","Text":"two"}}]"#;
    insta::assert_snapshot!(message(twice), @r#"has the key "Text" twice in one object, and readers differ about which of the two counts; keep one"#);
    let broken = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"\ud83d"}}]"#;
    insta::assert_snapshot!(message(broken), @r"is not JSON: a \u escape is one half of a pair (\ud800 to \udfff) without the other, which stands for no character (at line 1 column 55 of its text); it must be the JSON array of message elements");
    insta::assert_snapshot!(message(&"[".repeat(5_000)), @"is not JSON: brackets are nested more than 127 deep (at line 1 column 128 of its text); it must be the JSON array of message elements");
    insta::assert_snapshot!(message(&format!("[{}]", "1,".repeat(500_000))), @"makes 1000002 bytes of new content; the service takes 12288 at most");
    let face = |index: &str| format!(r#"[{{"MsgType":"TIMFaceElem","MsgContent":{{"Index":{index}}}}}]"#);
    insta::assert_snapshot!(message(&face("9223372036854775808")), @"element 1 (TIMFaceElem): Index must be a whole number, not one of more than 63 bits");
    assert!(MsgBody::parse(&face("9223372036854775807")).is_ok());
    let place = r#"[{"MsgType":"TIMLocationElem","MsgContent":{"Latitude":1e999}}]"#;
    insta::assert_snapshot!(message(place), @"element 1 (TIMLocationElem): Latitude must be a number, not one past the range of numbers");
}

#[test]
fn message_content_is_not_logged() {
    let edit = Edit::new(id(), Some(MsgBody::of_text("secret")), Some("secret".into())).unwrap();
    let shown = format!("{edit:?} {:?}", edit.msg_body());
    assert!(shown.contains("1_2_3") && !shown.contains("secret"), "{shown}");
}

/// Ledgers on disk hold these digests: a change would turn every finished edit into a conflict.
#[test]
fn the_digests_that_ledgers_hold_stay_as_they_are() {
    let hex = |bytes: [u8; 16]| format!("{:032x}", u128::from_be_bytes(bytes));
    let id_digest = |from: &str, to: &str, key: &str| {
        hex(MessageId { from_account: from.into(), to_account: to.into(), msg_key: key.into() }.digest().0)
    };
    let wanted = |content: &str| edit(&format!(r#"[{{"MsgContent":{content},"MsgType":"X"}}]"#)).wanted();
    let body = |content: &str| hex(wanted(content).content.0);
    let as_written = |content: &str| hex(wanted(content).content_as_written.unwrap().0);
    let unusual = r#"{"b":[1,1.0,-0,1E400,1e+5,18446744073709551617,0.10],"a":{"c":[],"B":{}}}"#;
    let data =
        |body: Option<MsgBody>, data: &str| hex(Edit::new(id(), body, Some(data.into())).unwrap().content_digest().0);
    let digests = [
        id_digest("a", "b", "1_2_3"),
        id_digest("", "王", &"k".repeat(2_000)),
        body(r#"{"Text":"\u4e2d\n\ud83d\ude00 中"}"#),
        as_written(unusual),
        body(r#"{"b":[1,1,0,1e400,100000,18446744073709551617,0.1],"a":{"c":[],"B":{}}}"#),
        body(unusual),
        body(r#"{"a":[null,true,false,"",{"\u0061\"":[[{"z":0,"y":[]}]],"é":1,"Z":2}]}"#),
        body(&format!(r#"{{"Text":"{}"}}"#, "中".repeat(3_000))),
        data(None, ""),
        data(None, r#"{"a":1}"#),
        data(Some(MsgBody::of_text("[已删除] \"x\"\\\u{1}")), "数据"),
    ];
    insta::assert_snapshot!(digests.join("\n"), @r"
    4016cbf0b943b28bda95a06a720f6bdc
    572fc69861d49adeda1d29fd0a2d3add
    4d0951ec84025b9a01a6aaf659e64c2a
    2f5ba74d292507d7786f16f2058f7190
    0e9a6c5a2e1b7d25efbdea9f962dab4e
    0e9a6c5a2e1b7d25efbdea9f962dab4e
    0470c20cbaacd515861e9149ad07de85
    402c7bf8c11808113dd13529c3cda68b
    039a861ccf6714d4b6e2dcf806cc24c2
    941c34621c834cc7f2ba852279503eda
    a4f72d25ad6f624d3ab8287c31cb9a53
    ");
}

#[test]
fn a_digest_is_compared_with_what_a_message_holds() {
    let text = r#"[{"MsgType":"X","MsgContent":{"N":30.0,"T":"a"}}]"#;
    let held: Value = serde_json::from_str(r#"[ {"MsgContent":{"T":"a","N":30},"MsgType":"X"} ]"#).unwrap();
    let other: Value = serde_json::from_str("[]").unwrap();
    let digest = |body: Option<&str>, data: Option<&str>| {
        Edit::new(id(), body.map(|body| MsgBody::parse(body).unwrap()), data.map(Into::into)).unwrap().content_digest()
    };
    for (wanted, held_body, held_data, likeness) in [
        (digest(Some(text), None), Some(&held), None, Likeness::Same),
        (digest(Some(text), None), Some(&held), Some("kept"), Likeness::Same),
        (digest(Some(text), None), Some(&other), None, Likeness::Other),
        (digest(Some(text), None), None, None, Likeness::Other),
        (digest(None, Some("d")), Some(&other), Some("d"), Likeness::Same),
        (digest(None, Some("d")), Some(&other), Some("e"), Likeness::Other),
        (digest(Some(text), Some("d")), Some(&held), Some("d"), Likeness::Same),
        (digest(Some(text), Some("d")), Some(&held), Some(""), Likeness::Other),
        (digest(Some(text), Some("")), Some(&held), Some(""), Likeness::Same),
        (digest(Some(text), Some("")), Some(&held), None, Likeness::Alike),
        (digest(None, Some("")), Some(&held), None, Likeness::Alike),
    ] {
        assert_eq!(wanted.likeness(held_body, held_data), likeness, "{held_body:?} {held_data:?}");
    }
}
