//! What has changed, pushed to open pages, once a second and at the end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Context, html};
use crate::run::Activity;
use crate::words::Words;

/// Pages open at once.
pub(super) const STREAMS_MAX: usize = 16;
const EVERY: Duration = Duration::from_secs(1);
/// How soon a browser that lost the connection tries again.
const AGAIN: Duration = Duration::from_secs(2);

/// One open page.
struct Watcher {
    page: Context,
    words: Words,
    tick: Interval,
    /// What it shows in each place.
    has: BTreeMap<&'static str, String>,
    is_over: bool,
    /// Opened after the run was stopped on the page: whoever stopped it sees its end here.
    follows_stop: bool,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn events(State(page): State<Context>, headers: HeaderMap) -> Response {
    let Ok(place) = std::sync::Arc::clone(&page.streams).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open already\n").into_response();
    };
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let words = page.words(&headers);
    let follows_stop = *page.end_awaited.borrow();
    let watcher = Watcher { page, words, tick, has: BTreeMap::new(), is_over: false, follows_stop, _place: place };
    Sse::new(stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    }))
    .into_response()
}

impl Watcher {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.is_over {
                if self.follows_stop {
                    self.page.end_awaited.send_replace(false);
                }
                return None;
            }
            let close = self.page.close.clone();
            tokio::select! {
                biased;
                () = close.cancelled() => {
                    // The page has shown the last numbers; this event says that they are the last.
                    self.is_over = true;
                }
                _ = self.tick.tick() => {}
            }
            let changed = self.changed();
            if self.is_over || !changed.is_empty() {
                let name = if self.is_over { "end" } else { "view" };
                let run = self.page.shared.facts.started_at;
                let data = json!({ "run": run.to_string(), "places": changed });
                return Some(Event::default().event(name).retry(AGAIN).data(data.to_string()));
            }
        }
    }

    fn changed(&mut self) -> BTreeMap<&'static str, String> {
        let view = self.page.shared.view();
        debug_assert!(!self.is_over || matches!(view.activity(), Activity::Over(_)), "{view:?}");
        let places = html::places(&self.page, &view, &self.words);
        let mut changed = BTreeMap::new();
        for (place, markup) in places {
            let markup = markup.into_string();
            if self.has.get(place) != Some(&markup) {
                self.has.insert(place, markup.clone());
                changed.insert(place, markup);
            }
        }
        changed
    }
}
