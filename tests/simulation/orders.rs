//! What somebody tells a run while it goes on, at any moment, and what must hold from then on.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::ledger::{ControlAction, ControlEvent, State};
use runner::run::Control;
use tokio::time::{Instant, sleep};

use crate::simulation::disk::Disk;
use crate::simulation::events::Events;

/// What was permitted before a pause goes out within this time: the slowest connection takes half a second to open.
const OPENS: Duration = Duration::from_millis(500);
/// What went out comes to its end within this time, and what did not is taken back at once.
const ENDS: Duration = Duration::from_secs(15);
/// A window of a second, and what requests differ by on their way.
const WINDOW: Duration = Duration::from_millis(1_010);

/// Orders, each so long after the one before.
pub(crate) type Script = Vec<(Duration, ControlAction)>;

/// Up to five orders within some seconds of each other, or minutes. At the end nothing is paused.
pub(crate) fn script(random: &mut fastrand::Rng, cap: NonZeroU32) -> Script {
    let mut script = Script::new();
    for _ in 0..random.u8(1..6) {
        let most = [300, 2_000, 60_000][random.usize(..3)];
        let order = match random.u8(0..9) {
            0..3 => ControlAction::Pause,
            3..5 => ControlAction::Resume,
            5..8 => ControlAction::Rate(NonZeroU32::new(random.u32(1..=cap.get())).unwrap()),
            _ => ControlAction::Stop,
        };
        script.push((Duration::from_millis(random.u64(0..most)), order));
    }
    script.push((Duration::from_millis(random.u64(0..60_000)), ControlAction::Resume));
    // A run of one request a second would take longer than anybody watches.
    script.push((Duration::from_millis(random.u64(0..5_000)), ControlAction::Rate(cap)));
    script
}

/// What a run was told so far, for who checks that it obeys.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Caps, and until when each was in force; the last one is.
    before: Vec<(Instant, u32)>,
    cap: u32,
    paused: Option<Instant>,
}

impl Told {
    pub(crate) fn begin(&self, cap: NonZeroU32) {
        *self.0.lock().unwrap() = Inner { cap: cap.get(), ..Inner::default() };
    }

    /// The most that may arrive within the second that ends now.
    pub(crate) fn cap(&self) -> u32 {
        let (inner, now) = (self.0.lock().unwrap(), Instant::now());
        let before = inner.before.iter().filter(|(until, _)| now - *until <= WINDOW).map(|(_, cap)| *cap);
        before.chain([inner.cap]).max().unwrap()
    }

    /// Whether something may go out now.
    pub(crate) fn may_send(&self) -> bool {
        self.0.lock().unwrap().paused.is_none_or(|since| since.elapsed() <= OPENS)
    }

    fn set_cap(&self, cap: u32) {
        let mut inner = self.0.lock().unwrap();
        let before = (Instant::now(), inner.cap);
        inner.before.push(before);
        inner.cap = cap;
    }
}

/// Tells the run one thing after the other, until it has ended.
pub(crate) async fn tell(control: Control, script: Script, told: Told, disk: Disk, events: Events) {
    for (after, order) in script {
        sleep(after).await;
        let is_old_pause = told.0.lock().unwrap().paused.is_some_and(|since| since.elapsed() > ENDS);
        let under_way = disk.count(State::Sending);
        events.check(!is_old_pause || under_way == 0 || disk.has_failed(), || {
            format!("{under_way} edits are under way in the middle of a pause")
        });
        // What is more from now on counts before it is told, what is less once it is done.
        match order {
            ControlAction::Resume => told.0.lock().unwrap().paused = None,
            ControlAction::Rate(rate) if rate.get() > told.0.lock().unwrap().cap => told.set_cap(rate.get()),
            ControlAction::Rate(_) | ControlAction::Pause | ControlAction::Stop => {}
        }
        events.tell(format_args!("TOLD {order}"));
        if control.tell(ControlEvent { what: order, by: "somebody".to_owned() }).await.is_err() {
            return;
        }
        match order {
            ControlAction::Pause => {
                told.0.lock().unwrap().paused.get_or_insert_with(Instant::now);
            }
            ControlAction::Rate(rate) => told.set_cap(rate.get()),
            ControlAction::Resume | ControlAction::Stop => {}
        }
    }
}
