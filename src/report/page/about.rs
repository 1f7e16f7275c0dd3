//! What the report is of, and what its words mean.

use maud::{Markup, html};

use super::shown;
use super::tables::digests;
use crate::report::evidence;
use crate::report::facts::Report;
use crate::words::Words;

pub(super) fn about(report: &Report, words: &Words) -> Markup {
    let (facts, say) = (&report.facts, words.say);
    let list = facts.last_run().map(|run| &run.record);
    let meanings = [
        (say.done, say.done_means),
        (say.failed, say.failed_means),
        (say.in_doubt, say.in_doubt_means),
        (say.in_flight, say.in_flight_means),
        (say.not_reached, say.not_reached_means),
    ];
    html! {
        section.about {
            h2 { (say.about) }
            dl {
                dt { (say.ledger) }
                dd {
                    b { (facts.ledger) } br;
                    @match &report.ledger_sha256 {
                        Some(sha256) => { "SHA-256 " code { (sha256) } }
                        None => { (facts.no_digest(say)) }
                    }
                }
                dt { (say.log) }
                dd {
                    @if let Some(head) = &facts.log { (evidence::log_line(head, words.lang)) br; code { (head.origin) } br; }
                    (evidence::verdict(facts.holds, words.lang))
                }
                @if let Some(list) = list {
                    dt { (say.list) }
                    dd { b { (shown(&list.input)) } (digests(list)) }
                }
                dt { (say.made_at) }
                dd { (words.moment(facts.at)) (say.comma) (words.place(facts.at)) }
                dt { (say.version) }
                dd { "runner " (crate::BUILD) }
            }
            h3 { (say.words_mean) }
            dl { @for (word, meaning) in meanings { dt { (word) } dd { (meaning) } } }
            p.note { (say.print_hint) }
        }
    }
}
