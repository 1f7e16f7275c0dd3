//! What goes wrong, and how often.

use std::collections::VecDeque;
use std::time::Duration;

use runner::api::Outcome;
use runner::ledger::Note;

/// What can go wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Code(i64),
    SlowDown,
    /// Another status than 200, before or after the edit took place, with a `Retry-After` of so many seconds.
    HttpBefore(u16, u64),
    HttpAfter(u16, u64),
    Garbage,
    /// The service lost an answer internally, and says so.
    InsideBefore,
    InsideAfter,
    LostBefore,
    LostAfter,
    /// The connection is lost at once, and the edit takes place up to three seconds later.
    LostLate,
    TimedOutBefore,
    TimedOutAfter,
    /// What was sent stays in the kernel for a while before it goes out, even if the process is gone by then.
    Stuck,
    NotSent,
    SignAnew,
    /// A code that concerns the job, or this edit alone.
    Refused(i64),
    NoSignature,
}

impl Spell {
    fn of(random: &mut fastrand::Rng) -> Spell {
        let from = Duration::from_millis(random.u64(0..10_000));
        // A few seconds, some minutes, or as long as the run takes.
        let lasts = [random.u64(1..30), random.u64(30..1_200), 1_000_000][random.usize(..3)];
        let of = [None, Some(Call::Edit), Some(Call::Look)][random.usize(..3)];
        Spell { fault: Fault::any(random), of, from, to: from + Duration::from_secs(lasts) }
    }
}

impl Fault {
    const ALL: [Fault; 38] = [
        Fault::Code(20004),
        Fault::Code(20005),
        Fault::Code(91000),
        Fault::Code(90992),
        Fault::Code(20006),
        Fault::Code(424_242),
        Fault::SlowDown,
        Fault::HttpBefore(429, 0),
        Fault::HttpBefore(429, 7),
        Fault::HttpAfter(429, 2),
        Fault::HttpBefore(502, 0),
        Fault::HttpAfter(502, 0),
        Fault::HttpAfter(503, 9),
        Fault::HttpBefore(408, 0),
        Fault::HttpAfter(408, 0),
        Fault::HttpBefore(425, 0),
        Fault::HttpAfter(425, 3),
        Fault::HttpBefore(404, 0),
        Fault::HttpAfter(404, 0),
        Fault::HttpBefore(302, 0),
        Fault::HttpAfter(204, 0),
        Fault::Garbage,
        Fault::InsideBefore,
        Fault::InsideAfter,
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::LostLate,
        Fault::LostLate,
        Fault::TimedOutBefore,
        Fault::TimedOutAfter,
        Fault::Stuck,
        Fault::NotSent,
        Fault::SignAnew,
        Fault::Refused(70_001),
        Fault::Refused(70_003),
        Fault::Refused(60_004),
        Fault::Refused(60_005),
        Fault::NoSignature,
    ];

    fn any(random: &mut fastrand::Rng) -> Fault {
        Fault::ALL[random.usize(..Fault::ALL.len())]
    }

    /// Whether the run stops on this fault, or on a few of them.
    fn stops(self) -> bool {
        matches!(self, Fault::Refused(70_001..) | Fault::NoSignature)
    }

    /// The answer that comes instead of a success, whether the edit takes place, and what the client makes of it.
    pub(crate) fn outcome(self) -> (bool, Outcome) {
        let refused = |code, signed_anew| Outcome::Refused { code, info: "no".into(), retry_after: None, signed_anew };
        let http = |status, seconds: u64| Outcome::Http {
            status,
            retry_after: (seconds > 0).then_some(Duration::from_secs(seconds)),
        };
        match self {
            Fault::None => (true, Outcome::Confirmed),
            Fault::Code(code) | Fault::Refused(code) => (false, refused(code, false)),
            Fault::SlowDown => (false, refused(60_007, false)),
            Fault::SignAnew => (false, refused(70_001, true)),
            Fault::HttpBefore(status, seconds) => (false, http(status, seconds)),
            Fault::HttpAfter(status, seconds) => (true, http(status, seconds)),
            Fault::Garbage => (true, Outcome::NoAnswer(Note::NotTheService)),
            Fault::InsideBefore => (false, refused(60_008, false)),
            Fault::InsideAfter => (true, refused(60_013, false)),
            Fault::LostBefore => (false, Outcome::NoAnswer(Note::ConnectionLost)),
            Fault::LostAfter | Fault::LostLate => (true, Outcome::NoAnswer(Note::ConnectionLost)),
            Fault::TimedOutBefore => (false, Outcome::NoAnswer(Note::TimedOut)),
            Fault::TimedOutAfter | Fault::Stuck => (true, Outcome::NoAnswer(Note::TimedOut)),
            Fault::NotSent => (false, Outcome::NotSent { reason: "connection refused".into() }),
            Fault::NoSignature => (false, Outcome::NoSignature),
        }
    }
}

/// Which of the two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Edit,
    Look,
}

/// For a while, everything fails in one way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spell {
    pub(crate) fault: Fault,
    /// `None`: both calls.
    pub(crate) of: Option<Call>,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// How the service misbehaves.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Of a thousand requests, for edits and for read-backs.
    pub(crate) faults: Vec<(Fault, u32)>,
    /// The fates of the first requests, before chance has its way.
    pub(crate) script: VecDeque<Fault>,
    pub(crate) spell: Option<Spell>,
    /// Read-backs meet none of the random faults of edits.
    pub(crate) spares_lookups: bool,
    /// Of a hundred messages, those that are always "too fast"; and of a hundred conversations, those whose lookups
    /// are.
    pub(crate) stubborn: u32,
    /// Of a hundred messages, those whose edits always get a code that concerns the job.
    pub(crate) at_fault: u32,
    /// How long answers take, in milliseconds.
    pub(crate) takes: std::ops::Range<u64>,
    /// Of a thousand connections, those that take half a second to open.
    pub(crate) slow_to_open: u32,
}

impl Weather {
    pub(crate) fn calm() -> Weather {
        Weather {
            faults: Vec::new(),
            script: VecDeque::new(),
            spell: None,
            spares_lookups: false,
            stubborn: 0,
            at_fault: 0,
            takes: 1..20,
            slow_to_open: 0,
        }
    }

    pub(crate) fn scripted(fates: &[Fault]) -> Weather {
        // Read-backs draw from the same script, so each fate comes several times.
        Weather { script: fates.iter().copied().cycle().take(60).collect(), ..Weather::calm() }
    }

    /// Answers to edits are lost, but not the first one, and nothing else goes wrong: the service is never out of reach.
    pub(crate) fn gentle(random: &mut fastrand::Rng) -> Weather {
        let lost = [
            Fault::LostBefore,
            Fault::LostAfter,
            Fault::LostLate,
            Fault::TimedOutBefore,
            Fault::TimedOutAfter,
            Fault::Garbage,
            Fault::InsideAfter,
            Fault::HttpAfter(502, 0),
        ];
        let faults = (0..4).map(|_| (lost[random.usize(..lost.len())], random.u32(1..60))).collect();
        let (script, takes) = (VecDeque::from([Fault::None]), 1..random.u64(2..200));
        Weather { faults, script, spares_lookups: true, takes, ..Weather::calm() }
    }

    /// Random faults.
    pub(crate) fn of(random: &mut fastrand::Rng) -> Weather {
        let mut weather = Weather::calm();
        let worst = random.u32(10..200);
        for _ in 0..random.u8(0..6) {
            let fault = Fault::any(random);
            // A fault that stops the job at once would leave nothing else to see.
            let share = if fault.stops() { 5 } else { random.u32(1..worst) };
            weather.faults.push((fault, share));
        }
        weather.spell = (random.u8(0..4) == 0).then(|| Spell::of(random));
        weather.stubborn = if random.u8(0..4) == 0 { random.u32(1..30) } else { 0 };
        weather.at_fault = if random.u8(0..4) == 0 { random.u32(1..30) } else { 0 };
        weather.takes = match random.u8(0..6) {
            0 => 300..500,
            1 => 1..3_000,
            2 => 2_900..2_901,
            _ => 1..50,
        };
        weather.slow_to_open = if random.bool() { random.u32(0..300) } else { 0 };
        weather
    }

    /// The fate of the next request, `since` the process was started. `about`: the message or conversation.
    pub(crate) fn draw(&mut self, call: Call, about: &str, since: Duration, random: &mut fastrand::Rng) -> Fault {
        let number = about.bytes().fold(7_u32, |number, byte| number.wrapping_mul(31).wrapping_add(u32::from(byte)));
        if number % 100 < self.stubborn {
            return Fault::SlowDown;
        }
        if call == Call::Edit && number / 100 % 100 < self.at_fault {
            return Fault::Refused(60_004);
        }
        if let Some(spell) = self.spell
            && spell.of.is_none_or(|of| of == call)
            && (spell.from..spell.to).contains(&since)
        {
            return spell.fault;
        }
        if let Some(fate) = self.script.pop_front() {
            return fate;
        }
        if call == Call::Look && self.spares_lookups {
            return Fault::None;
        }
        let mut rest = random.u32(0..1_000);
        for (fault, share) in &self.faults {
            if rest < *share {
                return *fault;
            }
            rest -= share;
        }
        Fault::None
    }
}
