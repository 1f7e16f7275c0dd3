#![no_main]
use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use runner::edit::{Edit, MessageId, MsgBody};
use runner_fuzz::can_be_shown;
use serde_json::Value;

/// Finds a duplicate key in a valid JSON text by another method than the program's: character by character.
fn has_a_key_twice(text: &str) -> bool {
    let mut open: Vec<Option<HashSet<String>>> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '{' => open.push(Some(HashSet::new())),
            '[' => open.push(None),
            '}' | ']' => drop(open.pop()),
            '"' => {
                let mut end = 0;
                while !rest[end..].starts_with('"') {
                    end += if rest[end..].starts_with('\\') { 2 } else { 1 };
                    while !rest.is_char_boundary(end) {
                        end += 1;
                    }
                }
                let string: String = serde_json::from_str(&format!("\"{}\"", &rest[..end])).unwrap();
                rest = &rest[end + 1..];
                let is_key = rest.trim_start().starts_with(':');
                if let (true, Some(Some(keys))) = (is_key, open.last_mut())
                    && !keys.insert(string)
                {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

fuzz_target!(|text: &str| {
    let body = match MsgBody::parse(text) {
        Ok(body) => body,
        Err(findings) => {
            assert!(!findings.is_empty());
            return findings.iter().for_each(|finding| can_be_shown(&finding.what));
        }
    };
    assert!(!has_a_key_twice(text));
    let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "k".into() };
    let edit = Edit::new(id.clone(), Some(body), None).unwrap();
    edit.warnings().iter().for_each(|warning| can_be_shown(&warning.what));
    let request: Value = serde_json::from_slice(&edit.request_body()).unwrap();
    // Written in another way, it is still the same content.
    let again = MsgBody::parse(&request["MsgBody"].to_string());
    if let Ok(again) = again {
        let again = Edit::new(id, Some(again), None).unwrap();
        assert_eq!(again.content_digest(), edit.content_digest());
    }
});
