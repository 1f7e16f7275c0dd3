//! Whether anything may be handed to the connection now.
//!
//! Several runners that share one cap, and one list, must agree on who may send. Each has a lease that it renews every
//! second; one that does not renew it is taken for lost by the others, who then take over what it had. So a runner that
//! cannot renew has to stop before that, whatever keeps it from renewing: the database is gone, the network is cut, the
//! process was stopped, the machine was asleep. The gate is what stops it. It opens with each renewal that was
//! acknowledged and shuts by itself.
//!
//! Nobody's wall clock matters. The gate reads a clock of this machine that also runs while the machine is suspended,
//! which the clock behind [`std::time::Instant`] does not.

use std::fmt::{self, Debug, Formatter};
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

/// How long the gate stays open after the *sending* of a beat that was acknowledged. The others take a runner for lost
/// once they have seen its beat unchanged for 8 s, and none can have seen that beat before it was sent. So 4 s lie between
/// the last request of a lost runner and the first one that another sends with its share of the cap, and a request
/// counts for less than 1.5 s. Two beats in a row may be lost, and the gate still does not shut.
pub const GATE_OPEN: Duration = Duration::from_secs(4);

/// How long after the sending of its last acknowledged beat the kernel kills a process that has not renewed its lease. A
/// process may be stopped after the gate was asked and before the bytes are in the socket, where no gate can help. What
/// it was about to send may be sent by others after 60 s, by their own watch, so it has to be dead before that; and a
/// runner that is merely cut off has long shut its gate and disarmed the switch by then.
pub const SWITCH_AFTER: Duration = Duration::from_secs(45);

/// An instant of the gate's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GateTime(Duration);

/// Whether anything may be handed to the connection now. Cheap to clone; all clones are one gate.
#[derive(Clone, Debug)]
pub struct Gate(Option<Arc<GateState>>);

struct GateState {
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    /// In nanoseconds of its clock; 0 until it is opened for the first time.
    open_until: AtomicU64,
    is_shut_for_good: AtomicBool,
    opened: Notify,
}

impl Gate {
    /// A gate that is shut. `clock` tells the time since some fixed moment, and must not stand still while the machine
    /// is suspended: see [`Gate::by_boot_time`].
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Gate {
        Gate(Some(Arc::new(GateState {
            clock: Box::new(clock),
            open_until: AtomicU64::new(0),
            is_shut_for_good: AtomicBool::new(false),
            opened: Notify::new(),
        })))
    }

    /// A gate that is shut, by the time since this machine was booted.
    pub fn by_boot_time() -> Gate {
        Gate::new(boot_time)
    }

    /// For a run that shares nothing with other machines. Costs nothing, and cannot be shut.
    pub fn always_open() -> Gate {
        Gate(None)
    }

    /// Whether the run shares its list with others.
    pub(super) fn can_shut(&self) -> bool {
        self.0.is_some()
    }

    /// The time by the gate's clock. To be read before a beat is sent.
    pub fn now(&self) -> GateTime {
        GateTime(self.0.as_ref().map_or_else(boot_time, |state| (state.clock)()))
    }

    /// Keeps it open until then: [`GATE_OPEN`] after the moment at which a beat was sent that has now been acknowledged.
    /// Never shortens that time, and never opens a gate that is shut for good.
    pub fn extend(&self, until: GateTime) {
        let Some(state) = &self.0 else { return };
        // A time that is beyond every clock came from one that could not be read.
        let Ok(until) = u64::try_from(until.0.as_nanos()) else { return };
        state.open_until.fetch_max(until, Ordering::SeqCst);
        state.opened.notify_waiters();
    }

    /// Shuts it for good: the lease is lost, and others may have taken over.
    pub fn shut(&self) {
        if let Some(state) = &self.0 {
            state.is_shut_for_good.store(true, Ordering::SeqCst);
        }
    }

    /// Whether anything may be handed to the connection now.
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|state| state.is_open())
    }

    /// Waits until it is open; for ever, if it is shut for good.
    pub async fn opens(&self) {
        let Some(state) = &self.0 else { return };
        loop {
            let opened = state.opened.notified();
            if state.is_open() {
                return;
            }
            opened.await;
        }
    }
}

impl GateState {
    fn is_open(&self) -> bool {
        !self.is_shut_for_good.load(Ordering::SeqCst)
            && (self.clock)().as_nanos() < u128::from(self.open_until.load(Ordering::SeqCst))
    }
}

impl Debug for GateState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let until = Duration::from_nanos(self.open_until.load(Ordering::SeqCst));
        f.debug_struct("GateState").field("is_open", &self.is_open()).field("until", &until).finish_non_exhaustive()
    }
}

impl GateTime {
    /// The time since the gate's clock began: for a gate by boot time, since this machine was booted.
    pub fn since_start(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for GateTime {
    type Output = GateTime;

    fn add(self, duration: Duration) -> GateTime {
        GateTime(self.0.saturating_add(duration))
    }
}

/// The time since this machine was booted, suspended or not. A clock that cannot be read is beyond every time at which
/// a gate is open.
fn boot_time() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// By tokio's clock, which is paused.
    fn gate() -> Gate {
        let start = Instant::now();
        Gate::new(move || start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_open_for_four_seconds_from_the_sending_of_the_last_acknowledged_beat() {
        let gate = gate();
        assert!(!gate.is_open(), "nothing was acknowledged yet");
        let sent = gate.now();
        tokio::time::sleep(Duration::from_secs(3)).await;
        gate.extend(sent + GATE_OPEN);
        tokio::time::sleep(Duration::from_millis(999)).await;
        assert!(gate.is_open());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_late_shortens_nothing() {
        let gate = gate();
        let first = gate.now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        gate.extend(gate.now() + GATE_OPEN);
        gate.extend(first + GATE_OPEN);
        tokio::time::sleep(Duration::from_millis(3_999)).await;
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_when_it_opens_and_never_once_it_is_shut_for_good() {
        let gate = gate();
        // An answer that came too late opens nothing.
        let late = tokio::time::timeout(Duration::from_secs(5), async {
            let sent = gate.now();
            let answer = async {
                tokio::time::sleep(GATE_OPEN).await;
                gate.extend(sent + GATE_OPEN);
            };
            tokio::join!(gate.opens(), answer)
        });
        assert!(late.await.is_err());
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.opens().await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiter.is_finished());
        gate.extend(gate.now() + GATE_OPEN);
        waiter.await.unwrap();

        gate.shut();
        assert!(!gate.is_open());
        gate.extend(gate.now() + GATE_OPEN);
        assert!(!gate.is_open());
        assert!(tokio::time::timeout(Duration::from_mins(1), gate.opens()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_cannot_be_read_keeps_it_shut() {
        let gate = Gate::new(|| Duration::MAX);
        gate.extend(gate.now() + GATE_OPEN);
        assert!(!gate.is_open());
    }

    #[tokio::test]
    async fn the_clock_of_this_machine_opens_and_shuts_it() {
        let gate = Gate::by_boot_time();
        gate.extend(gate.now() + GATE_OPEN);
        assert!(gate.is_open());
        let gate = Gate::by_boot_time();
        let past = GateTime(gate.now().since_start().saturating_sub(GATE_OPEN));
        gate.extend(past + GATE_OPEN);
        assert!(!gate.is_open());
    }

    #[test]
    fn the_gate_of_a_run_on_one_machine_is_never_shut() {
        let gate = Gate::always_open();
        gate.shut();
        assert!(gate.is_open());
    }
}
