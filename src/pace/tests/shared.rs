//! A pace that is one of several: its share changes all the time, and its gate shuts.

use proptest::prelude::*;

use super::*;

/// A gate on tokio's paused clock, open for four seconds.
fn gate() -> Gate {
    let start = Instant::now();
    let gate = Gate::new(move || start.elapsed());
    renew(&gate);
    gate
}

fn renew(gate: &Gate) {
    gate.extend(gate.now() + GATE_OPEN);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_out_while_the_gate_is_shut_nor_is_it_made_up_for() {
    let gate = gate();
    let start = Instant::now();
    let pace = Pace::with_gate(cap(100), start, gate.clone());
    let sent = send_for(&pace, Duration::from_mins(1)).await;
    assert!(sent.len() > 380 && sent[sent.len() - 1] < start + GATE_OPEN, "{}", sent.len());
    // It wakes by itself, and at once.
    let opened = start + Duration::from_secs(100);
    let (sent, ()) = tokio::join!(send_for(&pace, Duration::from_secs(41)), async {
        tokio::time::sleep_until(opened).await;
        renew(&gate);
    });
    assert_eq!(sent[0], opened);
    assert!(sent[3] > opened + Duration::from_millis(20), "{:?}", sent[3] - opened);
    assert!((95..=100).contains(&sent.len()), "{}", sent.len());
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_not_spent_once_the_gate_is_shut_and_is_free_again() {
    let gate = gate();
    let pace = Pace::with_gate(cap(1), Instant::now(), gate.clone());
    let permit = pace.permit().await.unwrap();
    tokio::time::sleep(GATE_OPEN).await;
    assert_eq!(permit.spend(), Err(Shut));
    renew(&gate);
    let permit = tokio::time::timeout(Duration::from_millis(1), pace.permit()).await.unwrap().unwrap();
    gate.shut();
    assert_eq!(permit.spend(), Err(Shut));
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_noticed_while_the_gate_is_shut() {
    let gate = gate();
    gate.shut();
    let pace = Arc::new(Pace::with_gate(cap(1), Instant::now(), gate));
    let waiter = tokio::spawn({
        let pace = Arc::clone(&pace);
        async move { pace.permit().await.is_none() }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiter.is_finished());
    pace.pause();
    assert!(waiter.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn with_a_share_of_nothing_nothing_goes_out_until_it_is_raised() {
    let start = Instant::now();
    let pace = Pace::new(cap(200), start);
    pace.set_share(0);
    assert_eq!(pace.now(), PaceNow { cap: 0, rate: 0, held: Duration::ZERO });
    let raised = start + Duration::from_mins(1);
    let (sent, ()) = tokio::join!(send_for(&pace, Duration::from_secs(80)), async {
        tokio::time::sleep_until(raised).await;
        pace.set_share(1);
        tokio::time::sleep_until(raised + Duration::from_secs(10)).await;
        pace.set_share(0);
    });
    assert_eq!(sent[0], raised);
    assert_eq!(sent.len(), 10);
}

/// With nothing there is nothing to lower, and what was learnt before is kept.
#[tokio::test(start_paused = true)]
async fn slow_downs_that_come_while_the_share_is_nothing_do_no_harm() {
    let pace = Pace::new(cap(200), Instant::now());
    let permit = pace.permit().await.unwrap();
    let receipt = permit.receipt();
    permit.spend().unwrap();
    pace.set_share(0);
    for _ in 0..4 {
        pace.slow_down(receipt, None);
    }
    assert_eq!(pace.now().rate, 0);
    pace.set_share(200);
    assert_eq!(pace.now().rate, 150);
    pace.set_share(1);
    let sent = send_for(&pace, Duration::from_mins(1)).await;
    assert!((50..=60).contains(&sent.len()), "{}", sent.len());
}

/// The ledger says once a second what the share is, and it is nearly always what it was.
#[tokio::test(start_paused = true)]
async fn a_share_that_stays_as_it_is_changes_nothing() {
    let told = Arc::new(Pace::new(cap(200), Instant::now()));
    let quiet = Pace::new(cap(200), Instant::now());
    for pace in [&*told, &quiet] {
        let permit = pace.permit().await.unwrap();
        let receipt = permit.receipt();
        permit.spend().unwrap();
        for _ in 0..4 {
            pace.slow_down(receipt, None);
        }
    }
    let teller = tokio::spawn({
        let told = Arc::clone(&told);
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                told.set_share(200);
            }
        }
    });
    let (sent, expected) =
        tokio::join!(send_for(&told, Duration::from_secs(20)), send_for(&quiet, Duration::from_secs(20)));
    teller.abort();
    assert!(sent == expected, "{} and {}", sent.len(), expected.len());
}

#[tokio::test(start_paused = true)]
async fn a_share_that_changes_every_second_is_used() {
    let pace = Pace::new(cap(60), Instant::now());
    let (sent, ()) = tokio::join!(send_for(&pace, Duration::from_mins(1)), async {
        for second in 0..60 {
            pace.set_share(60 + second % 2 * 2);
            tokio::time::sleep(SECOND).await;
        }
    });
    assert!(sent.len() >= 3_550 && worst_second(&sent) <= 62, "{}", sent.len());
}

/// Sends as fast as it may, `senders` at once, each of which needs up to `opens` to open its connection. Returns when
/// each request went out, and the share that was in force then.
async fn send_while(pace: &Pace, changes: &[(u16, u32)], opens: u64, seed: u64) -> Vec<(Instant, u32)> {
    const SENDERS: u64 = 40;
    let share = std::cell::Cell::new(pace.now().cap);
    let sent = std::cell::RefCell::new(Vec::new());
    let senders = futures_util::future::join_all((0..SENDERS).map(|sender| {
        let (share, sent) = (&share, &sent);
        async move {
            let mut random = fastrand::Rng::with_seed(seed ^ sender);
            while let Some(permit) = pace.permit().await {
                tokio::time::sleep(Duration::from_millis(random.u64(0..=opens))).await;
                if permit.spend().is_ok() {
                    sent.borrow_mut().push((Instant::now(), share.get()));
                }
            }
        }
    }));
    let orders = async {
        for (after, to) in changes {
            tokio::time::sleep(Duration::from_millis((*after).into())).await;
            share.set(*to);
            pace.set_share(*to);
        }
        tokio::time::sleep(SECOND * 2).await;
        pace.pause();
    };
    tokio::join!(senders, orders);
    sent.into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Within the second that ends with a request, no more go out than the share in force at that moment; so in no
    /// second at all more than the highest share in force in it.
    #[test]
    fn no_second_has_more_than_its_share(
        first in 1..=60_u32,
        changes in prop::collection::vec((0..=2_500_u16, prop_oneof![Just(0), Just(1), 0..=60_u32]), 1..20),
        opens in prop_oneof![Just(0), Just(20), Just(1_500), Just(6_000_u64)],
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let sent = runtime.block_on(async {
            let pace = Pace::new(cap(first), Instant::now());
            send_while(&pace, &changes, opens, seed).await
        });
        let mut first = 0;
        for (last, (at, share)) in sent.iter().enumerate() {
            while *at - sent[first].0 >= SECOND {
                first += 1;
            }
            prop_assert!(last - first < *share as usize, "{} with a share of {share}", last - first + 1);
        }
    }
}
