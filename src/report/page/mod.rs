//! The report as a page of its own: no network, no other file, no script. What comes from the service, the list or the
//! ledger is a stranger's text: maud escapes it, and [`escape_control`] writes out what could not be seen.

mod about;
mod tables;

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use thousands::Separable;

use super::chart::{CHART_CSS, latency, over_time};
use super::facts::Report;
use super::headline::Headline;
use super::resume::Resume;
use crate::ledger::{SharedJob, Totals};
use crate::terminal::escape::escape_control;
use crate::words::Words;

const PAGE_CSS: &str = include_str!("page.css");

/// Writes the page.
pub fn page(report: &Report, words: &Words) -> Markup {
    let (facts, say) = (&report.facts, words.say);
    let series = facts.series();
    html! {
        (DOCTYPE)
        html lang=(say.html_lang) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Nothing is loaded and nothing is run, whatever may be in the text.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="referrer" content="no-referrer";
                title { ((say.title)(&facts.ledger)) }
                style { (PreEscaped(CHART_CSS)) (PreEscaped(PAGE_CSS)) }
            }
            body {
                main {
                    (head(report, words))
                    (headline(report, words))
                    (totals(facts.totals, words))
                    section { h2 { (say.over_time) } p.note { (say.over_time_note) } (over_time(&series, words)) }
                    section { h2 { (say.latency) } (latency(&facts.latency, words)) }
                    section { h2 { (say.outcomes) } p.note { (say.outcomes_note) } (tables::outcomes(facts, words)) }
                    section { h2 { (say.not_done) } (tables::not_done(report, words)) }
                    @if let Some(shared) = facts.shared.as_ref().filter(|shared| !shared.runners.is_empty()) {
                        section { h2 { (say.runners) } (runners(shared, words)) }
                    }
                    section { h2 { (say.runs) } (tables::runs(facts, words)) }
                    section { h2 { (say.acts) } (tables::acts(facts, words)) }
                    @if !facts.audits.is_empty() {
                        section { h2 { (say.audits) } (tables::audits(facts, words)) }
                    }
                    (about::about(report, words))
                }
            }
        }
    }
}

/// What all runners share, and each of them.
fn runners(shared: &SharedJob, words: &Words) -> Markup {
    html! {
        p.note { (words.say.runners_note) }
        @for (label, text) in words.shared_lines(shared) { p { (label) (words.say.colon) (shown(&text)) } }
        (super::runners::table(shared, words))
    }
}

fn head(report: &Report, words: &Words) -> Markup {
    let (facts, say) = (&report.facts, words.say);
    html! {
        header {
            h1 { ((say.title)(&facts.ledger)) }
            p.note {
                ((say.app_at)(facts.job.sdkappid, &shown(&facts.job.service)))
                @if let Some(name) = &facts.job.name { " · " (say.job) " " (shown(name)) }
                " · " (words.moment(facts.at)) " (" (words.place(facts.at)) ")"
            }
        }
    }
}

fn headline(report: &Report, words: &Words) -> Markup {
    let headline = Headline::of(&report.facts, words);
    html! {
        section.summary.(headline.tone.class()) {
            p.headline { (shown(&headline.headline)) }
            @for sentence in &headline.more { p { (shown(sentence)) } }
            @if let Some(Resume { command, remarks }) = &report.resume {
                p.label { (words.say.to_resume) }
                pre { code { (shown(command)) } }
                @for remark in remarks { p.note { (shown(&remark.text(words.say))) } }
            }
        }
    }
}

/// The totals as the sum that they are, and as a bar.
fn totals(totals: Totals, words: &Words) -> Markup {
    let say = words.say;
    let Totals { messages, done, failed, in_doubt, in_flight, not_reached } = totals;
    let parts = [
        ("done", done, say.done),
        ("failed", failed, say.failed),
        ("doubt", in_doubt, say.in_doubt),
        ("flight", in_flight, say.in_flight),
        ("left", not_reached, say.not_reached),
    ];
    html! {
        section.totals aria-label=(say.totals) {
            dl.sum {
                div.all { dt { (say.messages) } dd { (messages.separate_with_commas()) } }
                @for (index, (class, number, label)) in parts.iter().enumerate() {
                    span.sign aria-hidden="true" { @if index == 0 { "=" } @else { "+" } }
                    div class={ "part " (class) @if *number == 0 { " zero" } } {
                        dt { (label) }
                        dd { (number.separate_with_commas()) }
                    }
                }
            }
            (bar(&parts, messages))
        }
    }
}

/// One edit among a million must still be visible.
fn bar(parts: &[(&str, u64, &str)], messages: u64) -> Markup {
    const WHOLE: f64 = 1_000.0;
    const LEAST: f64 = 3.0;
    let used: Vec<_> = parts.iter().filter(|(_, number, _)| *number > 0).collect();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let wide = |number: u64| {
        let room = WHOLE - LEAST * used.len() as f64;
        LEAST + room * number as f64 / messages.max(1) as f64
    };
    let places = used.iter().scan(0.0, |x, (class, number, _)| {
        let place = (*class, *x, wide(*number));
        *x += place.2;
        Some(place)
    });
    html! {
        svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.empty x="0" y="0" width="1000" height="10" {}
            @for (class, x, wide) in places {
                rect class=(class) x={ (format!("{x:.1}")) } y="0" width={ (format!("{wide:.1}")) } height="10" {}
            }
        }
    }
}

/// A stranger's text, fit to be shown.
fn shown(text: &str) -> Cow<'_, str> {
    escape_control(text)
}
