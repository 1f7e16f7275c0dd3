//! The way from a process to the database: slow, cut, or without an answer.

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use runner::ledger::{Change, EditRow, Note, State};
use tokio::time::sleep;

use crate::simulation::cluster::globe::Globe;
use crate::simulation::cluster::process::{Hang, Process};
use crate::simulation::cluster::service::Tencent;
use crate::support::model_database::{JobNumber, Line, NoAnswer, Tables};

/// A client gives up after this long.
const ATTEMPT_MAX: Duration = Duration::from_secs(2);
/// What a client has given up may still be done for this long.
const LATE_MAX: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub(crate) struct Link {
    globe: Globe,
    service: Tencent,
    process: Process,
}

enum Fate {
    Answered,
    LostBefore,
    LostAfter,
    LostLate,
}

impl Link {
    pub(crate) fn new(globe: &Globe, service: &Tencent, process: &Process) -> Link {
        Link { globe: globe.clone(), service: service.clone(), process: process.clone() }
    }

    fn fate(&self) -> Fate {
        let climate = &self.globe.climate;
        if self.process.now() >= climate.calm_from {
            return Fate::Answered;
        }
        let (before, after, late) = (climate.lost_before, climate.lost_after, climate.lost_late);
        match u32::try_from(self.globe.draw(1_000)).unwrap_or_default() {
            chance if chance < before => Fate::LostBefore,
            chance if chance < before + after => Fate::LostAfter,
            chance if chance < before + after + late => Fate::LostLate,
            _ => Fate::Answered,
        }
    }

    /// Waits until the client gives up, or learns that its connection is gone.
    async fn no_answer<T>(&self) -> Result<T, NoAnswer> {
        sleep(self.globe.draw_time(ATTEMPT_MAX)).await;
        Err(NoAnswer)
    }

    fn later<T>(&self, work: impl FnOnce(&mut Tables) -> T + Send + 'static) {
        let (database, climate) = (self.globe.database.clone(), self.globe.climate.clone());
        let at = self.process.now() + self.globe.draw_time(LATE_MAX);
        self.globe.under_way.push(at, move |at| {
            if !climate.is_down(at) {
                work(&mut database.tables());
            }
        });
    }
}

impl Debug for Link {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "link of process {}", self.process.name())
    }
}

impl Line for Link {
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let Link { globe, process, .. } = self;
        process.point().await;
        let takes = globe.climate.takes[process.name() % globe.climate.takes.len()];
        let took = Duration::from_micros(globe.draw(takes * 1_000));
        let there = globe.draw_time(took);
        sleep(there).await;
        let (now, cuts, fate) = (process.now(), process.cuts(), self.fate());
        if globe.climate.is_down(now) {
            sleep(Duration::from_millis(1)).await;
            return Err(NoAnswer);
        }
        match process.is_cut_off(now) {
            Some(Hang::Refused) => return Err(NoAnswer),
            Some(Hang::Silent) => {
                sleep(ATTEMPT_MAX).await;
                return Err(NoAnswer);
            }
            None => {}
        }
        globe.under_way.catch_up(now);
        let done = match fate {
            Fate::LostBefore => return self.no_answer().await,
            Fate::LostLate => {
                self.later(work);
                sleep(ATTEMPT_MAX).await;
                return Err(NoAnswer);
            }
            Fate::LostAfter => {
                work(&mut globe.database.tables());
                return self.no_answer().await;
            }
            Fate::Answered => work(&mut globe.database.tables()),
        };
        process.point().await;
        sleep(took.saturating_sub(there)).await;
        let is_lost = process.cuts() != cuts || globe.climate.went_down(now, process.now());
        if is_lost { self.no_answer().await } else { Ok(done) }
    }

    fn call_blocking<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> Result<T, NoAnswer> {
        let now = self.process.now();
        if self.globe.climate.is_down(now) || self.process.is_cut_off(now).is_some() {
            return Err(NoAnswer);
        }
        self.globe.under_way.catch_up(now);
        Ok(work(&mut self.globe.database.tables()))
    }

    fn applies(&self, job: JobNumber, change: &Change, before: Option<EditRow>) {
        let (story, now) = (&self.globe.story, self.service.last_seen());
        let (key, before) = (&change.edit.id().msg_key, before.map(|before| before.state));
        story.log(now, format_args!("  {key} of job {job}: {before:?} to {:?} by {}", change.to, self.process.name()));
        story.check(now, before != Some(State::Done), || format!("{key} was done already"));
        story.check(now, change.to != Some(State::Done) || self.service.has(&change.edit), || {
            format!("{key} is called done, and the service does not have it")
        });
        let is_not_sent = change.note.is_some_and(Note::is_of_reading_first);
        story.check(
            now,
            change.to != Some(State::Failed) || is_not_sent || !self.service.was_made(&change.edit),
            || format!("{key} is called failed, and the service has it"),
        );
    }
}
