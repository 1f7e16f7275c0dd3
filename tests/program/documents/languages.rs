//! The Chinese documents and the English ones stay in step.

use std::collections::BTreeSet;

use super::markdown::{Section, sections};
use super::{all_documents, documents, is_how_to, text};

/// Those that users read, beside the how-tos. Those for whoever works on the program are in English only.
const FOR_USERS: [&str; 4] = ["README.md", "docs/guarantees.md", "docs/ledger.md", "docs/sandbox.md"];

/// The target of a link of either language, without the language.
fn target(link: &str) -> String {
    // The headings' own anchors are in the language of the headings.
    link.split('#').next().unwrap().replace(".zh-CN", "")
}

fn chinese(document: &str) -> String {
    document.replace(".md", ".zh-CN.md")
}

fn in_both_languages() -> Vec<String> {
    documents().into_iter().filter(|document| is_how_to(document) || FOR_USERS.contains(&document.as_str())).collect()
}

#[test]
fn what_users_read_is_in_both_languages_and_the_rest_in_english() {
    let both = in_both_languages();
    assert!(FOR_USERS.iter().all(|document| both.iter().any(|both| both == document)), "{both:?}");
    let wanted: BTreeSet<String> =
        documents().into_iter().chain(both.iter().map(|document| chinese(document))).collect();
    assert_eq!(all_documents(), wanted);
}

fn same(document: &str, english: &Section, chinese: &Section) {
    let place = format!("{document}: {:?} and {:?}", english.heading, chinese.heading);
    assert_eq!(english.level, chinese.level, "{place}: levels of headings");
    let blocks = |section: &Section| -> Vec<Vec<String>> {
        let lines = section.blocks.iter().map(|block| {
            let lines = block.without_comments().into_iter().map(str::to_owned);
            std::iter::once(block.language.clone()).chain(lines).collect()
        });
        lines.collect()
    };
    assert_eq!(blocks(english), blocks(chinese), "{place}: code");
    assert_eq!(english.table_rows, chinese.table_rows, "{place}: rows of tables");
    let spans = |section: &Section| section.code_spans().map(on_one_line).collect::<BTreeSet<_>>();
    assert_eq!(spans(english), spans(chinese), "{place}: what stands between backticks");
    let links = |section: &Section| section.links().map(target).collect::<BTreeSet<_>>();
    assert_eq!(links(english), links(chinese), "{place}: links");
}

/// Code may span lines.
fn on_one_line(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_chinese_documents_have_what_the_english_ones_have() {
    for document in in_both_languages() {
        let [english, chinese] = [document.clone(), chinese(&document)].map(|name| sections(&text(&name)));
        let headings =
            |sections: &[Section]| sections.iter().map(|section| section.heading.clone()).collect::<Vec<_>>();
        assert_eq!(english.len(), chinese.len(), "{:#?}\n{:#?}", headings(&english), headings(&chinese));
        for (english, chinese) in english.iter().zip(&chinese) {
            same(&document, english, chinese);
        }
    }
}

/// A translation, not a copy: most paragraphs have Han characters.
#[test]
fn the_chinese_documents_are_in_chinese() {
    for document in in_both_languages() {
        for section in sections(&text(&chinese(&document))).iter().filter(|section| !section.prose.trim().is_empty()) {
            let han = section.prose.chars().filter(|c| ('\u{4e00}'..='\u{9fff}').contains(c)).count();
            assert!(han > 10, "{document}: {:?} is not in Chinese", section.heading);
        }
    }
}

#[test]
fn what_the_documents_link_to_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in all_documents() {
        let directory = root.join(&document).parent().unwrap().to_owned();
        for section in sections(&text(&document)) {
            for link in section.links().filter(|link| !link.starts_with("https://")) {
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                assert!(directory.join(path).exists(), "{document} links to {link}, which is not there");
                let page = if path.is_empty() { document.as_str() } else { path };
                if !anchor.is_empty() {
                    let file = if path.is_empty() { root.join(page) } else { directory.join(page) };
                    let headings = sections(&std::fs::read_to_string(file).unwrap());
                    let has = headings.iter().any(|section| anchor_of(&section.heading) == anchor);
                    assert!(has, "{document} links to {link}, and there is no such heading");
                }
            }
        }
    }
}

/// A heading's anchor as GitHub and GitLab make it.
fn anchor_of(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
