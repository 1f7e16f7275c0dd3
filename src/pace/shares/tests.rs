use proptest::prelude::*;

use super::*;

#[test]
fn the_cap_is_shared_out_fairly() {
    assert_eq!(fair(200, &[]), [0; 0]);
    assert_eq!(fair(200, &[200]), [200]);
    assert_eq!(fair(200, &[50, 20]), [50, 20], "there is enough");
    assert_eq!(fair(200, &[200, 200, 200, 200]), [50; 4]);
    assert_eq!(fair(200, &[200, 20, 200]), [90, 20, 90]);
    assert_eq!(fair(200, &[200, 200, 200]), [67, 67, 66], "what remains goes to the first ones");
    assert_eq!(fair(200, &[10, 200, 40, 200, 200]), [10, 50, 40, 50, 50]);
    assert_eq!(fair(10, &[3, 9, 9]), [3, 4, 3]);
    assert_eq!(fair(3, &[0, 5, 5, 5, 5]), [0, 1, 1, 1, 0]);
    assert_eq!(fair(0, &[7, 7]), [0, 0]);
    assert_eq!(fair(u32::MAX, &[u32::MAX, u32::MAX]), [u32::MAX / 2 + 1, u32::MAX / 2]);
}

proptest! {
    #[test]
    fn nobody_gets_more_than_it_wants_or_less_than_it_could(
        cap in 0..500_u32,
        wants in prop::collection::vec(prop_oneof![0..5_u32, 0..500_u32], 0..20),
    ) {
        let shares = fair(cap, &wants);
        prop_assert_eq!(shares.len(), wants.len());
        prop_assert_eq!(shares.iter().sum::<u32>(), cap.min(wants.iter().sum()), "all of it is given that is wanted");
        for (one, (share, want)) in shares.iter().zip(&wants).enumerate() {
            prop_assert!(share <= want);
            if share < want {
                // Nobody has more than one that wants more, but for what remains.
                for (other, theirs) in shares.iter().enumerate() {
                    prop_assert!(*theirs <= share + u32::from(other < one), "{shares:?} of {cap} for {wants:?}");
                }
            }
        }
    }
}

const STEP: Duration = Duration::from_millis(250);

#[test]
fn a_lower_share_is_in_force_at_once_and_told_only_later() {
    let start = Instant::now();
    let mut keeper = ShareKeeper::new();
    assert_eq!((keeper.aim(100, start), keeper.ask(start)), (0, 100), "nothing is used before it is granted");
    assert_eq!(keeper.answered(70, start), 70);
    assert_eq!((keeper.publishes_at(), keeper.aim(20, start), keeper.ask(start)), (None, 20, 70));
    assert_eq!((keeper.answered(70, start), keeper.publishes_at()), (20, Some(start + PUBLISH_AFTER)));
    assert_eq!(keeper.ask(start + STEP * 4), 70);
    assert_eq!((keeper.aim(10, start + STEP * 4), keeper.ask(start + STEP * 4)), (10, 70));
    assert_eq!(keeper.ask(start + STEP * 5), 20, "as far as it has been in force for long enough");
    assert_eq!(keeper.ask(start + STEP * 9), 10);
    assert_eq!((keeper.answered(10, start + STEP * 9), keeper.publishes_at()), (10, None));
}

#[test]
fn beats_are_sent_early_while_shares_change_hands() {
    let start = Instant::now();
    let mut keeper = ShareKeeper::new();
    keeper.aim(100, start);
    keeper.ask(start);
    assert_eq!(keeper.early_beat(start), Some(start + ASK_AGAIN));
    keeper.answered(100, start);
    assert_eq!(keeper.early_beat(start), None);
    keeper.aim(50, start);
    assert_eq!(keeper.early_beat(start + STEP), Some(start + PUBLISH_AFTER));
    assert_eq!(keeper.ask(start + PUBLISH_AFTER), 50);
    assert_eq!(keeper.early_beat(start + PUBLISH_AFTER), None);
}

#[test]
fn what_the_ledger_was_not_told_of_yet_may_be_used_again() {
    let start = Instant::now();
    let mut keeper = ShareKeeper::new();
    keeper.aim(100, start);
    keeper.ask(start);
    keeper.answered(100, start);
    assert_eq!(keeper.aim(20, start), 20);
    assert_eq!(keeper.aim(120, start + STEP), 100);
    assert_eq!(keeper.ask(start + STEP), 120);
    assert_eq!(keeper.answered(110, start + STEP), 110);
    // So may more than was in force of late.
    let later = start + STEP * 7;
    assert_eq!([keeper.aim(50, start + STEP), keeper.aim(20, later), keeper.aim(80, later)], [50, 20, 80]);
    assert_eq!((keeper.ask(later), keeper.share()), (80, 80));
    assert_eq!(keeper.answered(80, later), 80);
    // Once it was told, or may have been, what was given away has to be granted anew.
    let later = later + STEP * 6;
    assert_eq!((keeper.aim(20, start + STEP * 7), keeper.ask(later)), (20, 20));
    assert_eq!((keeper.aim(120, later), keeper.ask(later)), (20, 120));
    assert_eq!(keeper.answered(90, later), 90);
}

/// What happens to a beat on its way.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It is answered after so many milliseconds, half of which it takes to get there.
    Answered(u64),
    Lost,
    /// The ledger acts on it after so many milliseconds, and its answer is lost.
    AnswerLost(u64),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Aim(u32),
    Beat(Way),
    /// A beat as soon as a lower share can be told of, and then one of each runner.
    Publish,
}

/// A beat under way, or its answer.
#[derive(Clone, Copy, Debug)]
struct Message {
    at: Instant,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Beat { sent: u32, number: u64, ask: u32, answer_takes: Option<Duration> },
    Answer { sent: u32, number: u64, held: u32 },
}

/// One runner, and its row in the ledger.
struct Runner {
    keeper: ShareKeeper,
    /// What was in force, and since when: the latest last.
    in_force: Vec<(Instant, u32)>,
    messages: Vec<Message>,
    /// Beats sent so far, given up or not: only the latest one's answer counts.
    sent: u32,
    /// The number of the last beat that the ledger is known to have acted on.
    known: u64,
    number: u64,
    held: u32,
}

impl Runner {
    fn new(now: Instant) -> Runner {
        Runner {
            keeper: ShareKeeper::new(),
            in_force: vec![(now, 0)],
            messages: Vec::new(),
            sent: 0,
            known: 0,
            number: 0,
            held: 0,
        }
    }

    /// The most that was in force in the second, and its margin, that ends now.
    fn highest(&self, now: Instant) -> u32 {
        let until = self.in_force.iter().skip(1).map(|(since, _)| *since).chain([now + STEP]);
        let recent = self.in_force.iter().zip(until).filter(|(_, until)| *until + super::super::WINDOW > now);
        recent.map(|((_, share), _)| *share).max().unwrap_or(0)
    }

    fn sets(&mut self, share: u32, now: Instant) {
        self.in_force.push((now, share));
    }
}

/// Runners that share a cap, and the rule of the ledger.
struct World {
    cap: u32,
    runners: Vec<Runner>,
}

impl World {
    fn happens(&mut self, one: usize, event: Event, now: Instant) {
        let runner = &mut self.runners[one];
        match event {
            Event::Aim(target) => {
                let share = runner.keeper.aim(target, now);
                runner.sets(share, now);
            }
            Event::Beat(way) => {
                runner.sent += 1;
                let (ask, number) = (runner.keeper.ask(now), runner.known + 1);
                let (takes, answer_takes) = match way {
                    Way::Answered(takes) => (takes / 2, Some(Duration::from_millis(takes / 2))),
                    Way::AnswerLost(takes) => (takes, None),
                    Way::Lost => return,
                };
                let at = now + Duration::from_millis(takes);
                let what = What::Beat { sent: runner.sent, number, ask, answer_takes };
                runner.messages.push(Message { at, what });
            }
            Event::Publish => {
                for other in (one..self.runners.len()).chain(0..one) {
                    self.happens(other, Event::Beat(Way::Answered(0)), now);
                    self.deliver(now);
                }
            }
        }
    }

    /// When the next beat or answer arrives, if it does before `end`.
    fn next_due(&self, end: Instant) -> Option<Instant> {
        let messages = self.runners.iter().flat_map(|runner| &runner.messages);
        messages.map(|message| message.at).min().filter(|at| *at <= end)
    }

    /// Delivers what is due.
    fn deliver(&mut self, now: Instant) {
        for one in 0..self.runners.len() {
            while let Some(due) = self.runners[one].messages.iter().position(|message| message.at <= now) {
                let message = self.runners[one].messages.remove(due);
                self.deliver_one(one, message, now);
            }
        }
    }

    fn deliver_one(&mut self, one: usize, message: Message, now: Instant) {
        let all: u32 = self.runners.iter().map(|runner| runner.held).sum();
        let (cap, runner) = (self.cap, &mut self.runners[one]);
        match message.what {
            What::Beat { sent, number, ask, answer_takes } => {
                // A beat that comes twice, or after a later one, changes nothing.
                if number == runner.number + 1 {
                    runner.number = number;
                    runner.held =
                        if ask <= runner.held { ask } else { runner.held + (ask - runner.held).min(cap - all) };
                }
                if let Some(takes) = answer_takes {
                    let what = What::Answer { sent, number: runner.number, held: runner.held };
                    runner.messages.push(Message { at: now + takes, what });
                }
            }
            What::Answer { sent, number, held } => {
                if sent == runner.sent {
                    runner.known = number;
                    let share = runner.keeper.answered(held, now);
                    runner.sets(share, now);
                }
            }
        }
    }

    fn in_force(&self, now: Instant) -> u32 {
        self.runners.iter().map(|runner| runner.highest(now)).sum()
    }
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        6 => (0..20_u64).prop_map(Way::Answered),
        2 => (0..6_000_u64).prop_map(Way::Answered),
        1 => Just(Way::Lost),
        2 => (0..3_000_u64).prop_map(Way::AnswerLost),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => prop_oneof![Just(0), Just(u32::MAX), 0..=200_u32].prop_map(Event::Aim),
        3 => way().prop_map(Event::Beat),
        1 => Just(Event::Publish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever becomes of beats and answers, all runners together never have more than the cap in force, counted over
    /// the second for which a request counts.
    #[test]
    fn the_cap_is_never_in_force_twice(
        cap in 1..=200_u32,
        runners in 2..=4_usize,
        events in prop::collection::vec((0..4_usize, prop_oneof![0..60_u64, 0..900_u64], event()), 1..120),
    ) {
        let mut now = Instant::now();
        let mut world = World { cap, runners: (0..runners).map(|_| Runner::new(now)).collect() };
        for (runner, after, event) in events {
            let runner = runner % runners;
            let publishes_at = world.runners[runner].keeper.publishes_at();
            let next = match (event, publishes_at) {
                (Event::Publish, Some(at)) => at.max(now),
                _ => now + Duration::from_millis(after),
            };
            while let Some(due) = world.next_due(next) {
                world.deliver(due);
                prop_assert!(world.in_force(due) <= cap, "{} of {cap}", world.in_force(due));
            }
            now = next;
            world.happens(runner, event, now);
            prop_assert!(world.in_force(now) <= cap, "{} of {cap}", world.in_force(now));
        }
    }
}

/// Runners that all want everything end with equal parts, and the cap is used up.
#[test]
fn a_cap_changes_hands_within_a_few_beats() {
    let start = Instant::now();
    let mut world = World { cap: 200, runners: (0..4).map(|_| Runner::new(start)).collect() };
    for beat in 0..10 {
        // A newcomer every other beat.
        let there = (beat / 2 + 1).min(4);
        let targets = fair(200, &vec![200; there]);
        for (runner, target) in targets.into_iter().enumerate() {
            let now = start + STEP * u32::try_from(beat * 4 + runner).unwrap();
            world.happens(runner, Event::Aim(target), now);
            world.happens(runner, Event::Beat(Way::Answered(0)), now);
            world.deliver(now);
            assert!(world.in_force(now) <= 200);
        }
    }
    let shares: Vec<_> = world.runners.iter().map(|runner| runner.keeper.share()).collect();
    assert_eq!(shares, [50; 4]);
}
