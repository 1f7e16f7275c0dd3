//! What all processes of a world share: the database, the service, what is still under way, and what may go wrong.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::simulation::cluster::story::Story;
use crate::support::model_database::ModelDatabase;

/// Something that happens later, whatever becomes of the process that caused it.
type Event = Box<dyn FnOnce(Duration) + Send>;

/// What is under way to the service or to the database.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
}

impl UnderWay {
    pub(crate) fn push(&self, at: Duration, event: impl FnOnce(Duration) + Send + 'static) {
        let mut queue = self.0.lock().unwrap();
        let number = queue.next;
        queue.next += 1;
        queue.due.push(Reverse((at, number)));
        queue.events.insert(number, Box::new(event));
    }

    /// Whatever was to happen up to now happens.
    pub(crate) fn catch_up(&self, now: Duration) {
        loop {
            let (at, event) = {
                let mut queue = self.0.lock().unwrap();
                let Some(Reverse((at, number))) = queue.due.peek().copied().filter(|Reverse((at, _))| *at <= now)
                else {
                    return;
                };
                queue.due.pop();
                (at, queue.events.remove(&number).unwrap())
            };
            event(at);
        }
    }
}

/// How the database, and the ways to it, misbehave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Climate {
    /// Of a thousand transactions: no answer, and it was not done; no answer, and it was; the same, and it was done later.
    pub(crate) lost_before: u32,
    pub(crate) lost_after: u32,
    pub(crate) lost_late: u32,
    /// How long a transaction takes for each process, in milliseconds at most.
    pub(crate) takes: Vec<u64>,
    /// When the database is down.
    pub(crate) down: Vec<(Duration, Duration)>,
    /// From then on nothing goes wrong any more.
    pub(crate) calm_from: Duration,
}

impl Climate {
    pub(crate) fn is_down(&self, at: Duration) -> bool {
        self.down.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Whether it went down in between.
    pub(crate) fn went_down(&self, from: Duration, to: Duration) -> bool {
        self.down.iter().any(|(down, up)| *down <= to && from < *up)
    }
}

/// One world, without its processes.
#[derive(Clone)]
pub(crate) struct Globe {
    pub(crate) story: Story,
    pub(crate) database: ModelDatabase,
    pub(crate) under_way: UnderWay,
    pub(crate) climate: Arc<Climate>,
    pub(crate) random: Arc<Mutex<fastrand::Rng>>,
}

impl Globe {
    /// A number below `below`.
    pub(crate) fn draw(&self, below: u64) -> u64 {
        self.random.lock().unwrap().u64(..below.max(1))
    }

    pub(crate) fn draw_time(&self, most: Duration) -> Duration {
        most.mul_f64(self.random.lock().unwrap().f64())
    }
}
