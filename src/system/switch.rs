//! A dead man's switch: the kernel kills this process at a set time, unless that is put off before.
//!
//! It holds where nothing in this program can: while the process is stopped, or too busy to look at a clock.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{io, thread};

use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

/// A timer that kills this process (SIGKILL) when it runs out, whether the process runs or is stopped. Its clock, which
/// began when the machine was booted, also runs while the machine is suspended.
///
/// Dropping it takes it away, unless that happens in a panic: then nobody knows what is still about to be sent, and it
/// stays armed.
#[derive(Debug)]
pub struct DeadMansSwitch(Timer);

impl DeadMansSwitch {
    /// One that is not armed yet.
    ///
    /// # Errors
    /// The system has no more timers, or none on this clock.
    pub fn new() -> io::Result<DeadMansSwitch> {
        let kill = SigEvent::new(SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 });
        Ok(DeadMansSwitch(Timer::new(ClockId::CLOCK_BOOTTIME, kill)?))
    }

    /// Arms it, or puts it off: the process is killed when its machine has been up for this long, suspended or not. At
    /// once, if it has been already.
    ///
    /// # Errors
    /// The system refuses, and it runs out when it was to run out before.
    pub fn push(&mut self, until: Duration) -> io::Result<()> {
        // At 0 it would be disarmed.
        let until = Expiration::OneShot(until.max(Duration::from_nanos(1)).into());
        Ok(self.0.set(until, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Takes the time away; it can be armed again.
    ///
    /// # Errors
    /// The system refuses, and it runs out when it was to run out before.
    pub fn disarm(&mut self) -> io::Result<()> {
        Ok(self.0.set(Expiration::OneShot(Duration::ZERO.into()), TimerSetTimeFlags::empty())?)
    }
}

/// A switch that other threads can put off. The timer itself belongs to one thread, which does what it is told in order;
/// should it come late, the process is killed too early rather than too late.
#[derive(Debug)]
pub struct SwitchHandle(Sender<Option<Duration>>);

impl SwitchHandle {
    /// Starts the thread, with a switch that is not armed yet.
    ///
    /// # Errors
    /// There is no timer to be had, or no thread.
    pub fn start() -> io::Result<SwitchHandle> {
        let (tell, told) = channel::<Option<Duration>>();
        let (made, is_made) = channel();
        thread::Builder::new().name("switch".to_owned()).spawn(move || {
            let mut switch = match DeadMansSwitch::new() {
                Ok(switch) => switch,
                Err(error) => return drop(made.send(Err(error))),
            };
            drop(made.send(Ok(())));
            for until in told {
                let set = match until {
                    Some(until) => switch.push(until),
                    None => switch.disarm(),
                };
                if let Err(error) = set {
                    tracing::warn!("the dead man's switch cannot be set: {error}");
                }
            }
        })?;
        is_made.recv().map_err(|_| io::Error::other("the thread of the switch has ended"))??;
        Ok(SwitchHandle(tell))
    }

    /// Arms it, or puts it off: see [`DeadMansSwitch::push`].
    pub fn push(&self, until: Duration) {
        // The thread ends only with this handle.
        let _ = self.0.send(Some(until));
    }

    /// Takes the time away: see [`DeadMansSwitch::disarm`].
    pub fn disarm(&self) {
        let _ = self.0.send(None);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::{env, fs, thread};

    use nix::sys::signal::raise;
    use nix::time::clock_gettime;

    use super::*;

    /// Tells a process of this test program that it is to arm the switch, and for when.
    const UNTIL: &str = "RUNNER_TEST_SWITCH";

    fn up_for() -> Duration {
        clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap().into()
    }

    fn until() -> Option<Duration> {
        env::var(UNTIL).ok().map(|nanos| Duration::from_nanos(nanos.parse().unwrap()))
    }

    /// This test program once more, for one test alone.
    fn start(test: &str, until: Duration) -> Child {
        let mut again = Command::new(env::current_exe().unwrap());
        again.args(["--exact", &format!("system::switch::tests::{test}")]).env(UNTIL, until.as_nanos().to_string());
        again.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// How it ended, and whether it was stopped before.
    fn ended(child: &mut Child) -> (ExitStatus, bool) {
        let (deadline, mut was_stopped) = (up_for() + Duration::from_secs(20), false);
        loop {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            was_stopped |= stat.rsplit_once(')').unwrap().1.trim_start().starts_with('T');
            if let Some(status) = child.try_wait().unwrap() {
                return (status, was_stopped);
            }
            if up_for() > deadline {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_stopped_process_is_killed_on_time() {
        if let Some(until) = until() {
            let mut switch = DeadMansSwitch::new().unwrap();
            switch.push(until).unwrap();
            raise(Signal::SIGSTOP).unwrap();
            return;
        }
        let until = up_for() + Duration::from_millis(1_500);
        let (status, was_stopped) = ended(&mut start("a_stopped_process_is_killed_on_time", until));
        let late = up_for().checked_sub(until);
        assert_eq!((status.signal(), was_stopped), (Some(Signal::SIGKILL as i32), true), "{status}");
        assert!(late.is_some_and(|late| late < Duration::from_secs(5)), "{late:?}");
    }

    #[test]
    fn a_process_that_puts_it_off_or_takes_it_away_lives_on() {
        if let Some(until) = until() {
            let mut switches = [(); 3].map(|()| DeadMansSwitch::new().unwrap());
            for switch in &mut switches {
                switch.push(until).unwrap();
            }
            let [mut pushed, mut disarmed, dropped] = switches;
            pushed.push(until + Duration::from_mins(1)).unwrap();
            disarmed.disarm().unwrap();
            drop(dropped);
            while up_for() < until + Duration::from_millis(200) {
                thread::sleep(Duration::from_millis(20));
            }
            return;
        }
        let (status, _) = ended(&mut start(
            "a_process_that_puts_it_off_or_takes_it_away_lives_on",
            up_for() + Duration::from_millis(1_500),
        ));
        assert!(status.success(), "{status}");
    }

    #[test]
    fn a_time_that_has_passed_kills_at_once() {
        if until().is_some() {
            DeadMansSwitch::new().unwrap().push(Duration::ZERO).unwrap();
            thread::sleep(Duration::from_secs(20));
            return;
        }
        let (status, _) = ended(&mut start("a_time_that_has_passed_kills_at_once", Duration::ZERO));
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}");
    }
}
