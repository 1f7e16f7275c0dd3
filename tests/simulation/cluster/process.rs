//! A process with a clock of its own: it can be killed, stopped, put to sleep with its machine, and cut off from the
//! database, between any two steps that it takes. Each process has its own runtime, on whose paused clock it does whatever
//! it does; the world lets all of them go forward in turn, a few milliseconds at a time. One that stands still is passed
//! over, and finds that time has gone on.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep_until};

/// What happens to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Killed,
    /// It stands still for so long.
    Stopped(Duration),
    /// So does its machine, and the clock that does not count that.
    Suspended(Duration),
    /// It cannot reach the database for so long; `Hang`: and does not hear that it cannot.
    CutOff(Duration, Hang),
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hang {
    /// An error comes at once.
    Refused,
    /// Nothing comes.
    Silent,
}

/// The side of it that what runs in it sees.
#[derive(Clone)]
pub(crate) struct Process(Arc<Inner>);

struct Inner {
    name: usize,
    state: Mutex<State>,
    /// Tells the world that it is to stand still.
    halted: Notify,
    /// Tells the process that it goes on.
    continued: Notify,
}

struct State {
    base: Instant,
    /// The world's time when `base` was, and the time that its machine slept since.
    ahead: Duration,
    /// Points passed so far, and what happens at some of them.
    points: u64,
    at_points: Vec<(u64, Trouble)>,
    /// The same for requests between the gate and the socket.
    sockets: u64,
    at_sockets: Vec<(u64, Trouble)>,
    halt: Option<Trouble>,
    /// Requests that have passed the gate and are not through.
    handed: usize,
    /// When the last beat was sent that was acknowledged.
    beat_sent: Option<Duration>,
    cut_off: Option<(Duration, Hang)>,
    /// How often the connection was lost.
    cuts: u64,
}

impl Process {
    fn new(name: usize, began: Duration, at_points: Vec<(u64, Trouble)>, at_sockets: Vec<(u64, Trouble)>) -> Process {
        let state = State {
            base: Instant::now(),
            ahead: began,
            points: 0,
            at_points,
            sockets: 0,
            at_sockets,
            halt: None,
            handed: 0,
            beat_sent: None,
            cut_off: None,
            cuts: 0,
        };
        let (halted, continued) = (Notify::new(), Notify::new());
        Process(Arc::new(Inner { name, state: Mutex::new(state), halted, continued }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn name(&self) -> usize {
        self.0.name
    }

    /// The world's time. Only within the process.
    pub(crate) fn now(&self) -> Duration {
        let state = self.state();
        state.ahead + state.base.elapsed()
    }

    /// A point at which something may happen to it: what comes after it does not come until that is over.
    pub(crate) async fn point(&self) {
        let trouble = {
            let mut state = self.state();
            state.points += 1;
            let point = state.points;
            take(&mut state.at_points, point)
        };
        self.pass(trouble).await;
    }

    /// The same, between the gate and the socket. Returns for how long it stood still there.
    pub(crate) async fn socket(&self) -> Duration {
        let trouble = {
            let mut state = self.state();
            state.sockets += 1;
            let socket = state.sockets;
            take(&mut state.at_sockets, socket)
        };
        self.pass(trouble).await
    }

    async fn pass(&self, trouble: Option<Trouble>) -> Duration {
        let begun = self.now();
        match trouble {
            None => return Duration::ZERO,
            Some(Trouble::CutOff(..)) => self.befall(trouble, begun),
            Some(_) => {
                let continued = self.0.continued.notified();
                self.befall(trouble, begun);
                continued.await;
            }
        }
        self.now().saturating_sub(begun)
    }

    fn befall(&self, trouble: Option<Trouble>, now: Duration) {
        match trouble {
            Some(Trouble::CutOff(length, how)) => self.cut_off(now + length, how),
            Some(trouble) => {
                self.state().halt.get_or_insert(trouble);
                self.0.halted.notify_one();
            }
            None => {}
        }
    }

    fn cut_off(&self, until: Duration, how: Hang) {
        let mut state = self.state();
        state.cut_off = Some((until, how));
        state.cuts += 1;
    }

    /// How it is cut off from the database at the moment.
    pub(crate) fn is_cut_off(&self, now: Duration) -> Option<Hang> {
        self.state().cut_off.filter(|(until, _)| now < *until).map(|(_, how)| how)
    }

    /// How often its connection was lost so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.state().cuts
    }

    /// A beat that was sent then was acknowledged.
    pub(crate) fn beat_acknowledged(&self, sent: Duration) {
        let mut state = self.state();
        state.beat_sent = state.beat_sent.max(Some(sent));
    }

    /// A request has passed the gate. It is through when what is returned is dropped.
    pub(crate) fn hand(&self) -> Handed {
        self.state().handed += 1;
        Handed(self.clone())
    }
}

fn take(troubles: &mut Vec<(u64, Trouble)>, here: u64) -> Option<Trouble> {
    let place = troubles.iter().position(|(at, _)| *at == here);
    place.map(|place| troubles.swap_remove(place).1)
}

/// A request between the gate and its answer.
pub(crate) struct Handed(Process);

impl Drop for Handed {
    fn drop(&mut self) {
        self.0.state().handed -= 1;
    }
}

/// What the world sees of a process.
pub(crate) struct Machine<T> {
    pub(crate) process: Process,
    runtime: Runtime,
    task: JoinHandle<T>,
    /// It stands still until then, for this reason.
    stands: Option<(Duration, Trouble)>,
    /// Whether the kernel kills it if it does not renew its lease.
    has_switch: bool,
}

/// What has become of a process.
#[derive(Debug)]
pub(crate) enum Fate<T> {
    Lives,
    Killed,
    Ended(T),
}

/// The kernel kills a process that has renewed its lease for the last time so long ago, if it may still send something.
const SWITCH: Duration = runner::pace::SWITCH_AFTER;
const GATE_OPEN: Duration = runner::pace::GATE_OPEN;

enum Step<T> {
    Time,
    Halted,
    Ended(T),
}

impl<T: Send + 'static> Machine<T> {
    /// Starts a process.
    pub(crate) fn start<F>(
        name: usize,
        began: Duration,
        at_points: Vec<(u64, Trouble)>,
        at_sockets: Vec<(u64, Trouble)>,
        has_switch: bool,
        program: impl FnOnce(Process) -> F,
    ) -> Machine<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (process, task) = runtime.block_on(async {
            let process = Process::new(name, began, at_points, at_sockets);
            let task = tokio::spawn(program(process.clone()));
            (process, task)
        });
        Machine { process, runtime, task, stands: None, has_switch }
    }

    /// Whether it stands still.
    pub(crate) fn stands(&self) -> bool {
        self.stands.is_some()
    }

    /// Something happens to it now.
    pub(crate) fn befall(&mut self, trouble: Trouble, now: Duration) {
        match trouble {
            Trouble::CutOff(length, how) => self.process.cut_off(now + length, how),
            trouble => self.halt(trouble, now),
        }
    }

    fn halt(&mut self, trouble: Trouble, now: Duration) {
        if self.stands.is_some() {
            return;
        }
        let until = match trouble {
            Trouble::Stopped(length) | Trouble::Suspended(length) => now + length,
            Trouble::Killed | Trouble::CutOff(..) => now,
        };
        self.stands = Some((until, trouble));
    }

    /// Goes forward to that time.
    pub(crate) fn step(&mut self, until: Duration) -> Fate<T> {
        loop {
            if let Some((stands_until, trouble)) = self.stands {
                if matches!(trouble, Trouble::Killed) {
                    return Fate::Killed;
                }
                let switch = self.switch();
                let is_stopped = matches!(trouble, Trouble::Stopped(_));
                // The timers of a machine that sleeps run out when it wakes.
                let kills_at = switch.map(|at| if is_stopped { at } else { at.max(stands_until) });
                if kills_at.is_some_and(|at| at <= until && switch <= Some(stands_until)) {
                    return Fate::Killed;
                }
                if stands_until >= until {
                    return Fate::Lives;
                }
                self.stands = None;
                self.go_on(stands_until, is_stopped);
            }
            match self.run(until) {
                Step::Time => return Fate::Lives,
                Step::Ended(ended) => return Fate::Ended(ended),
                Step::Halted => {
                    let trouble = self.process.state().halt.take();
                    let now = self.runtime.block_on(async { self.process.now() });
                    if let Some(trouble) = trouble {
                        self.halt(trouble, now);
                    }
                }
            }
        }
    }

    /// When the kernel kills it, if it can still send something.
    fn switch(&self) -> Option<Duration> {
        let state = self.process.state();
        let stopped_at = state.beat_sent.filter(|_| self.has_switch)?;
        let now = self.runtime.block_on(async { state.ahead + state.base.elapsed() });
        let may_send = state.handed > 0 || now < stopped_at + GATE_OPEN;
        may_send.then_some(stopped_at + SWITCH)
    }

    /// Goes on after it stood still up to then.
    fn go_on(&mut self, at: Duration, is_stopped: bool) {
        self.runtime.block_on(async {
            let gap = at.saturating_sub(self.process.now());
            if is_stopped {
                advance(gap).await;
            } else {
                self.process.state().ahead += gap;
            }
            self.process.0.continued.notify_waiters();
        });
    }

    fn run(&mut self, until: Duration) -> Step<T> {
        let Machine { process, runtime, task, .. } = self;
        runtime.block_on(async {
            let target = {
                let state = process.state();
                state.base + until.saturating_sub(state.ahead)
            };
            tokio::select! {
                biased;
                () = process.0.halted.notified() => Step::Halted,
                ended = task => Step::Ended(ended.unwrap()),
                () = sleep_until(target) => Step::Time,
            }
        })
    }
}
