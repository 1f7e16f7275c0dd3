//! Control requests to a run at any moment, and what must hold from then on.

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
/// What went out finishes within this time, and what did not is withdrawn at once.
const ENDS: Duration = Duration::from_secs(15);
/// A window of a second, and the spread of travel times.
const WINDOW: Duration = Duration::from_millis(1_010);

/// Requests, each after a delay from the one before.
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
    // At one request a second, a run would take too long.
    script.push((Duration::from_millis(random.u64(0..5_000)), ControlAction::Rate(cap)));
    script
}

/// The limits that control requests have set so far.
#[derive(Clone, Default)]
pub(crate) struct ControlLimits(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Earlier caps, and until when each was in force.
    before: Vec<(Instant, u32)>,
    cap: u32,
    paused: Option<Instant>,
}

impl ControlLimits {
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

/// Sends the requests one after another until the run has ended.
pub(crate) async fn send(control: Control, script: Script, limits: ControlLimits, disk: Disk, events: Events) {
    for (after, order) in script {
        sleep(after).await;
        let is_old_pause = limits.0.lock().unwrap().paused.is_some_and(|since| since.elapsed() > ENDS);
        let under_way = disk.count(State::Sending);
        events.check(!is_old_pause || under_way == 0 || disk.has_failed(), || {
            format!("{under_way} edits are under way in the middle of a pause")
        });
        // A higher cap counts before it is requested, a lower one once it is applied.
        match order {
            ControlAction::Resume => limits.0.lock().unwrap().paused = None,
            ControlAction::Rate(rate) if rate.get() > limits.0.lock().unwrap().cap => limits.set_cap(rate.get()),
            ControlAction::Rate(_) | ControlAction::Pause | ControlAction::Stop => {}
        }
        events.log(format_args!("TOLD {order}"));
        if control.tell(ControlEvent { what: order, by: "somebody".to_owned() }).await.is_err() {
            return;
        }
        match order {
            ControlAction::Pause => {
                limits.0.lock().unwrap().paused.get_or_insert_with(Instant::now);
            }
            ControlAction::Rate(rate) => limits.set_cap(rate.get()),
            ControlAction::Resume | ControlAction::Stop => {}
        }
    }
}
