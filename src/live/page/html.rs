//! The page as HTML.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use thousands::Separable;

use super::ledger_cache::LedgerView;
use super::words::PageWords;
use super::{Button, Context};
use crate::ledger::{Cause, Sample};
use crate::live::View;
use crate::report::chart::{RunSeries, latency, over_time};
use crate::report::format::{HoldObject, RunState};
use crate::report::{runners, shares};
use crate::run::{Activity, Hold, HoldReason};
use crate::terminal::escape::escape_control;
use crate::words::Words;

/// Without a script the page reloads itself after this many seconds.
const RELOAD_SECONDS: u32 = 5;
/// A screen reader announces progress every this many percent.
const ALOUD_PERCENT: u64 = 10;

/// The whole page.
pub(super) fn page(page: &Context, words: &Words) -> Html<String> {
    let (view, facts) = (page.shared.view(), &page.shared.facts);
    let (said, say) = (PageWords::of(words), words.say);
    let places = places(page, &view, words);
    let place = |name: &str| places.iter().find(|(of, _)| *of == name).map(|(_, markup)| markup.clone());
    let section = |title: &str, name: &'static str, note: Option<&str>| {
        html! {
            section aria-labelledby={ (name) "-title" } {
                h2 id={ (name) "-title" } { (title) }
                @if let Some(note) = note { p.note { (note) } }
                div id=(name) { @if let Some(markup) = place(name) { (markup) } }
            }
        }
    };
    let body = html! {
        header {
            p.over-title {
                "runner · " (facts.ledger) " · "
                ((say.app_at)(facts.sdkappid, &facts.service)) " · " ((say.on_host)(&page.host))
            }
            h1 { (facts.input) }
        }
        main {
            p #said.unseen role="status" aria-live="polite" { @if let Some(markup) = place("said") { (markup) } }
            p #lost role="alert" hidden { (said.lost) }
            @for name in ["state", "buttons", "totals", "pace"] {
                div id=(name) { @if let Some(markup) = place(name) { (markup) } }
            }
            (section(say.over_time, "over-time", Some(say.over_time_note)))
            (section(say.latency, "latency", None))
            @if facts.ledger.postgres().is_some() { (section(say.runners, "runners", Some(say.runners_note))) }
            (section(said.answers, "answers", Some(said.answers_note)))
            (section(say.acts, "acts", None))
            section aria-labelledby="resume-title" {
                h2 id="resume-title" { (say.to_resume) }
                pre tabindex="0" { code { (facts.resume.command) } }
                @for remark in &facts.resume.remarks { p.note { (remark.text(say)) } }
            }
        }
        footer {
            p { "runner " (crate::BUILD) " · " (words.place(view.at)) }
        }
        @for button in Button::ALL {
            dialog id={ "confirm-" (button.word()) } aria-labelledby={ "ask-" (button.word()) } {
                (form(page, words, button, true))
            }
        }
        script src="/page.js" defer {}
    };
    let reload = html! { noscript { meta http-equiv="refresh" content=(RELOAD_SECONDS); } };
    document(words, &place("title").unwrap_or_default(), &reload, Some(facts.started_at), &body)
}

/// The parts that change during the run, by their place on the page.
pub(super) fn places(page: &Context, view: &View, words: &Words) -> Vec<(&'static str, Markup)> {
    let said = PageWords::of(words);
    let percent = shares::percent(view.totals.done, view.totals.messages);
    let (state, _) = named(view, words);
    let known = page.ledger_cache.known();
    let acts = html! {
        @if known.acts.is_empty() { p.note { (words.say.no_acts) } }
        @else {
            ul.acts {
                @for (at, act) in &known.acts {
                    li { time { (words.clock(*at)) } " " strong { (words.order(act.what)) } " " span.by { (words.lang.say(&act.by)) } }
                }
            }
        }
    };
    let mut runs = known.runs.clone();
    // What others do at this moment is not known here.
    if known.shared.is_none()
        && let Some(run) = runs.last_mut()
    {
        run.samples.push(sample(view));
    }
    let mut places = vec![
        ("title", html! { (percent) " % · " (state) " · runner" }),
        ("said", html! { ((said.aloud)(state, percent / ALOUD_PERCENT * ALOUD_PERCENT)) }),
        ("state", self::state(page, view, words, percent)),
        ("buttons", buttons(view, said)),
        ("totals", totals(view, page.shared.facts.duplicates, words)),
        ("pace", pace(page, view, words)),
        (
            "over-time",
            over_time(&runs.into_iter().map(|run| RunSeries::new(run.samples, run.acts)).collect::<Vec<_>>(), words),
        ),
        ("latency", latency(&view.tally.latency, words)),
        ("answers", answers(view, words)),
        ("acts", acts),
    ];
    if page.shared.facts.ledger.postgres().is_some() {
        places.push(("runners", runners(&known, words)));
    }
    places
}

/// What all runners of the job share, and each of them, as the ledger had it last.
fn runners(known: &LedgerView, words: &Words) -> Markup {
    let said = PageWords::of(words);
    html! {
        @if let Some(shared) = &known.shared {
            dl.pace {
                @for (label, text) in words.shared_lines(shared) { div { dt { (label) } dd { (escape_control(&text)) } } }
            }
            (runners::table(shared, words))
            p.note { (said.as_of) " " (words.clock(known.at)) }
        }
        @else { p.note { (said.asking_database) } }
    }
}

/// The state's name, and what it means.
fn named(view: &View, words: &Words) -> (&'static str, String) {
    let said = PageWords::of(words);
    let text = match view.activity() {
        Activity::Running => said.running_text.to_owned(),
        // At the very start it would be gone before it can be read.
        Activity::Held(Hold { reason: HoldReason::Start, .. }) => String::new(),
        activity @ (Activity::Held(_) | Activity::Outage(_) | Activity::Waiting(_)) => {
            HoldObject::of(activity).map(|hold| words.hold(&hold)).unwrap_or_default()
        }
        Activity::Paused => said.paused_text.to_owned(),
        Activity::Stopping => said.stopping_text.to_owned(),
        Activity::Over("finished") => said.over_finished.to_owned(),
        Activity::Over(_) => said.over_left.to_owned(),
    };
    let name = match view.state() {
        RunState::Running => said.running,
        RunState::Held => said.held,
        RunState::Outage => said.outage,
        RunState::Waiting => said.waiting,
        RunState::Paused => said.paused,
        RunState::Stopping => said.stopping,
        RunState::Over => said.over,
    };
    (name, text)
}

fn state(page: &Context, view: &View, words: &Words, percent: u64) -> Markup {
    let facts = &page.shared.facts;
    let said = PageWords::of(words);
    let (name, note) = named(view, words);
    html! {
        p.state.(view.state().word()) {
            strong { (name) }
            span {
                (percent) " % · "
                ((said.done_of)(&view.totals.done.separate_with_commas(), &view.totals.messages.separate_with_commas()))
            }
            // A run that does not take on the whole rest of the list has an end of its own.
            @if facts.planned < facts.to_do {
                span {
                    ((said.this_run)(
                        &view.tally.settled().separate_with_commas(), &facts.planned.separate_with_commas()
                    ))
                }
            }
        }
        p.note { (note) }
    }
}

/// Links to pages that ask for confirmation; with the script they open a dialog on this page.
fn buttons(view: &View, said: &PageWords) -> Markup {
    let button = |button: Button, name: &str| {
        let word = button.word();
        html! { a.button.(word) role="button" href={ "/confirm/" (word) } data-opens={ "confirm-" (word) } { (name) } }
    };
    html! {
        @if !matches!(view.activity(), Activity::Stopping | Activity::Over(_)) {
            @if view.tally.paused { (button(Button::Resume, said.resume)) } @else { (button(Button::Pause, said.pause)) }
            (button(Button::Rate, said.change_rate))
            (button(Button::Stop, said.stop))
        }
    }
}

/// How many rows of the list are in each state; the parts add up to the rows.
fn totals(view: &View, duplicates: u64, words: &Words) -> Markup {
    let rows = view.totals.messages + duplicates;
    let (totals, say, said) = (view.totals, words.say, PageWords::of(words));
    let parts = [
        ("done", say.done, totals.done),
        ("failed", say.failed, totals.failed),
        ("doubt", say.in_doubt, totals.in_doubt),
        ("flight", say.in_flight, totals.in_flight),
        ("left", say.not_reached, totals.not_reached),
        ("twice", said.duplicates, duplicates),
    ];
    html! {
        (bar(&parts, rows))
        dl.totals {
            @for (class, name, number) in parts {
                div.(class) { dt { (name) } dd { (number.separate_with_commas()) } }
            }
            div.rows { dt { (said.rows) } dd { (rows.separate_with_commas()) } }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for a picture, and far below 2^52")]
fn bar(parts: &[(&str, &str, u64)], rows: u64) -> Markup {
    let mut from = 0.0;
    let mut rects = String::new();
    for (class, _, number) in parts {
        let width = *number as f64 * 1_000.0 / rows.max(1) as f64;
        rects += &html! { rect class=(class) x={ (format!("{from:.2}")) } y="0" width={ (format!("{width:.2}")) } height="10" {} }
            .into_string();
        from += width;
    }
    html! {
        svg.whole viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" { (PreEscaped(rects)) }
    }
}

fn pace(page: &Context, view: &View, words: &Words) -> Markup {
    let (facts, said, say) = (&page.shared.facts, PageWords::of(words), words.say);
    let tally = &view.tally;
    let now = tally.pace;
    let left = tally.time_left.map(|left| {
        let until = view.at + i64::try_from(left.as_millis()).unwrap_or(0);
        (say.time_left_text)(&words.length(left), &words.minute(until))
    });
    let last = (tally.last_done_at > 0).then(|| words.clock(tally.last_done_at));
    let rate = if now.cap == 0 { facts.cap.get() } else { now.cap };
    let known = page.ledger_cache.known();
    let rate = match known.shared.as_ref().filter(|shared| shared.cap > 0) {
        Some(shared) => (said.share_text)(rate, shared.cap),
        None => (said.rate_text)(rate, facts.cap.get()),
    };
    let slowed = (now.rate < now.cap).then(|| (said.slowed)(now.rate));
    html! {
        dl.pace {
            div { dt { (said.speed) } dd { ((said.speed_text)(tally.speed)) } }
            div { dt { (said.rate) } dd { (rate) @if let Some(slowed) = slowed { " · " (slowed) } } }
            div { dt { (say.time_left) } dd { (left.as_deref().unwrap_or("–")) } }
            div { dt { (said.to_read_back) } dd { (tally.to_read_back.separate_with_commas()) } }
            div { dt { (say.slow_downs) } dd { (tally.slow_downs.separate_with_commas()) } }
            div { dt { (said.last_success) } dd { (last.as_deref().unwrap_or("–")) } }
        }
        p.note { (said.as_of) " " (words.clock(view.at)) }
    }
}

fn answers(view: &View, words: &Words) -> Markup {
    let (say, tally) = (words.say, &view.tally);
    let others: u64 = tally.causes.values().sum();
    let mut rows: Vec<(Cause, u64)> = tally.causes.iter().map(|(cause, answers)| (*cause, *answers)).collect();
    rows.sort_by_key(|(_, answers)| std::cmp::Reverse(*answers));
    rows.insert(0, (Cause::Code(0), tally.attempts.saturating_sub(others)));
    html! {
        @if tally.attempts == 0 { p.note { (PageWords::of(words).no_answers) } }
        @else {
            table {
                thead { tr { th scope="col" { (say.answers) } th scope="col" { (say.code) } th scope="col" { (say.meaning) } } }
                tbody {
                    @for (cause, answers) in rows {
                        tr {
                            td.number { (answers.separate_with_commas()) }
                            td.number { @if let Cause::Code(code) = cause { (code) } @else { "–" } }
                            td {
                                (words.meaning(cause))
                                @if let Some(advice) = words.advice(cause) { p.note { (advice) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The sample that the ledger would get now: the last point of the curve.
fn sample(view: &View) -> Sample {
    let tally = &view.tally;
    Sample {
        at: view.at,
        rate: tally.pace.cap,
        done: tally.done,
        failed: tally.failed,
        in_doubt: tally.in_doubt,
        requests: tally.attempts,
        read_backs: tally.read_backs,
        slow_downs: tally.slow_downs,
        ..Sample::default()
    }
}

/// A page that asks for confirmation.
pub(super) fn confirmation(page: &Context, words: &Words, button: Button) -> Html<String> {
    let body = html! { main.asks { (form(page, words, button, false)) } };
    document(words, &html! { "runner" }, &html! {}, None, &body)
}

fn form(page: &Context, words: &Words, button: Button, is_dialog: bool) -> Markup {
    let said = PageWords::of(words);
    let cap = page.shared.facts.cap.get();
    let now = page.shared.view().tally.pace.cap;
    let (question, name) = match button {
        Button::Pause => (said.pause_question.to_owned(), said.pause),
        Button::Resume => (said.resume_question.to_owned(), said.resume),
        Button::Rate => ((said.rate_question)(cap), said.change_rate),
        Button::Stop => (said.stop_question.to_owned(), said.stop),
    };
    html! {
        form method="post" action="/tell" {
            p id={ "ask-" (button.word()) } { (question) }
            @if page.shared.facts.ledger.postgres().is_some() { p.note { (said.on_all) } }
            input type="hidden" name="what" value=(button.word());
            input type="hidden" name="form_key" value=(page.form_key.text());
            @if button == Button::Rate {
                label {
                    (said.rate_label)
                    input type="number" name="rate" min="1" max=(cap) value=(if now == 0 { cap } else { now }) required
                        inputmode="numeric" autocomplete="off";
                }
            }
            p.choice {
                @if is_dialog { button.button type="submit" formmethod="dialog" formnovalidate { (said.cancel) } }
                @else { a.button href="/" { (said.cancel) } }
                button.button.go.(button.word()) type="submit" { (name) }
            }
        }
    }
}

/// The page that says why an action was refused.
pub(super) fn refusal(status: StatusCode, words: &Words, why: &str) -> Response {
    let said = PageWords::of(words);
    let body = html! {
        main.asks {
            h1 { (said.not_done) }
            p role="alert" { (why) }
            p.choice { a.button.go href="/" { (said.back) } }
        }
    };
    (status, document(words, &html! { (said.not_done) }, &html! {}, None, &body)).into_response()
}

/// The form that asks for the token.
pub(super) fn ask_for_token(words: &Words, is_wrong: bool) -> Response {
    let said = PageWords::of(words);
    let body = html! {
        main.asks {
            h1 { (said.token_title) }
            p { (said.token_text) }
            @if is_wrong { p role="alert" { (said.token_wrong) } }
            form method="post" action="/token" {
                label { (said.token_label) input type="password" name="token" required autocomplete="off"; }
                p.choice { button.button.go type="submit" { (said.token_open) } }
            }
            // A link from another page brings no cookie along, though it was set by then.
            p.note { a href="/" { (said.token_there) } }
        }
    };
    (StatusCode::UNAUTHORIZED, document(words, &html! { "runner" }, &html! {}, None, &body)).into_response()
}

/// `run`: which run this is the page of.
fn document(words: &Words, title: &Markup, head: &Markup, run: Option<i64>, body: &Markup) -> Html<String> {
    let markup = html! {
        (DOCTYPE)
        html lang=(words.say.html_lang) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title id="title" { (title) }
                link rel="stylesheet" href="/page.css";
                link rel="icon" href="data:,";
                (head)
            }
            body data-run=[run] { (body) }
        }
    };
    Html(markup.into_string())
}
