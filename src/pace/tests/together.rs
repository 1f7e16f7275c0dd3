//! Several runners that share one cap, each with a pace of its own, over the ledger's rule.

use std::cell::RefCell;

use super::super::shares::{ShareKeeper, fair};
use super::*;

const CAP: u32 = 200;

/// What the ledger knows of a runner.
#[derive(Clone, Copy, Default)]
struct Lease {
    held: u32,
    wanted: u32,
}

/// Begins after `joins`, wants to send `needs` a second at most, and adds what it sent until `end`.
async fn runner(
    leases: &RefCell<Vec<Lease>>,
    sent: &RefCell<Vec<Instant>>,
    joins: Duration,
    needs: Option<u32>,
    end: Instant,
) {
    tokio::time::sleep(joins).await;
    let pace = Pace::new(cap(CAP), Instant::now());
    pace.set_share(0);
    let me = leases.borrow().len();
    leases.borrow_mut().push(Lease::default());
    let beats = async {
        let (mut keeper, mut demand) = (ShareKeeper::new(), Demand::new());
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            {
                let mut all = leases.borrow_mut();
                let free = CAP - all.iter().map(|lease| lease.held).sum::<u32>();
                let usage = Usage { at: now, cap: CAP, share: keeper.share(), given: pace.given() };
                all[me].wanted = demand.wanted(usage);
                let wants: Vec<_> = all.iter().map(|lease| lease.wanted).collect();
                pace.set_share(keeper.aim(fair(CAP, &wants)[me], now));
                let (held, ask) = (all[me].held, keeper.ask(now));
                all[me].held = if ask <= held { ask } else { held + (ask - held).min(free) };
                pace.set_share(keeper.answered(all[me].held, now));
            }
            if next <= now {
                next = now + SECOND;
            }
            tokio::time::sleep_until(keeper.early_beat(now).map_or(next, |early| early.min(next))).await;
        }
    };
    let sends = async {
        let own = needs.map(|needs| Pace::new(cap(needs), Instant::now()));
        loop {
            if let Some(own) = &own {
                own.permit().await.unwrap().spend().unwrap();
            }
            if pace.permit().await.unwrap().spend().is_ok() {
                sent.borrow_mut().push(Instant::now());
            }
        }
    };
    tokio::select! {
        () = beats => {}
        () = sends => {}
        () = tokio::time::sleep_until(end) => {}
    }
}

/// What all of them sent within `time`; each joins so many milliseconds after the start.
async fn together(runners: &[(u64, Option<u32>)], time: Duration) -> Vec<Instant> {
    let (leases, sent) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let end = Instant::now() + time;
    let all = runners.iter().map(|(joins, needs)| runner(&leases, &sent, Duration::from_millis(*joins), *needs, end));
    futures_util::future::join_all(all).await;
    sent.into_inner()
}

#[tokio::test(start_paused = true)]
async fn runners_use_the_cap_up_together_and_never_pass_it() {
    let hungry = [(0, None), (130, None), (420, None), (770, None)];
    let late = [(0, None), (0, None), (20_000, None)];
    let modest = [(0, Some(30)), (0, None), (5_000, Some(3))];
    for (runners, least) in [(&hungry[..1], 198.0), (&hungry, 192.5), (&late, 191.0), (&modest, 169.0)] {
        let sent = together(runners, Duration::from_secs(42)).await;
        assert!(worst_second(&sent) <= 200, "{runners:?}: {}", worst_second(&sent));
        assert!(mean(&sent) >= least, "{runners:?}: {}", mean(&sent));
    }
}

#[tokio::test(start_paused = true)]
async fn many_runners_share_as_well() {
    let sixteen: Vec<_> = (0..16).map(|runner| (runner * 61, None)).collect();
    let sent = together(&sixteen, Duration::from_secs(42)).await;
    assert!(worst_second(&sent) <= 200 && mean(&sent) >= 185.0, "{}, {}", worst_second(&sent), mean(&sent));
}
