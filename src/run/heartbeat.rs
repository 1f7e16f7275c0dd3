//! Renews the lease of a run that shares its ledger with others, and keeps the run to what the ledger gives it: the gate,
//! its shares of the cap, and what operators say.
//!
//! Each beat says how the run does and asks for shares. What comes back is applied at once, on the thread that sends. A run
//! that cannot renew its lease stops sending before others may take over: its gate shuts by itself. And it watches the
//! beats of the others: one that stands still for long enough is declared lost, by this run's own clock.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::StopReason;
use super::context::RunContext;
use super::supplier::LostRuns;
use crate::api::Service;
use crate::ledger::{Beat, Beaten, Beats, LedgerError, LiveLease, Progress};
use crate::pace::shares::{ShareKeeper, fair};
use crate::pace::{Demand, GATE_OPEN, SWITCH_AFTER, Usage};
use crate::system::switch::SwitchHandle;

/// How often the lease is renewed.
const EVERY: Duration = Duration::from_secs(1);
/// How soon it is tried again after a beat that failed.
const AGAIN: Duration = Duration::from_millis(250);
/// Beats are at least this far apart.
const APART: Duration = Duration::from_millis(50);
/// A run whose beat has stood still for this long is lost, by the clock of whoever watches it.
const LOST_AFTER: Duration = Duration::from_secs(8);
/// Whoever has not heard from the ledger for this long begins to watch anew: the others may have been cut off as well.
const WATCH_ANEW: Duration = Duration::from_secs(3);
/// How long a run waits for a ledger that does not answer.
const OUTAGE_MAX: Duration = Duration::from_mins(10);
/// The service's limit for reading back, which is separate from the limit for edits.
const READS_MAX: u32 = 200;

/// What the heartbeat tells its run.
#[derive(Debug)]
pub(super) enum Order {
    /// The job was paused, or goes on.
    Pause(bool),
    /// How far the other runs of the job are.
    Others(Progress),
    /// The run has to stop.
    Stop(StopReason),
}

/// The lease of a run, and what ends a process that does not renew it.
#[derive(Debug)]
pub struct Lease {
    /// The number of the run.
    pub run: i64,
    /// Renews the lease.
    pub beats: Box<dyn Beats>,
    /// `None` where nothing can be sent by a process that stands still, as in a simulation.
    pub switch: Option<SwitchHandle>,
}

pub(super) struct Heartbeat<S> {
    context: Arc<RunContext<S>>,
    lease: Lease,
    lost: LostRuns,
    orders: mpsc::UnboundedSender<Order>,
    edits: ShareKeeper,
    reads: ShareKeeper,
    demand: Demand,
    /// What the last beat brought back.
    last: Beaten,
    heard_at: Instant,
    is_cut_off: bool,
    /// The beats of the others, and since when they stand still.
    watched: BTreeMap<i64, (i64, Instant)>,
}

impl<S: Service> Heartbeat<S> {
    pub(super) fn new(
        context: &Arc<RunContext<S>>,
        lease: Lease,
        lost: LostRuns,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Heartbeat<S> {
        Heartbeat {
            context: Arc::clone(context),
            lease,
            lost,
            orders,
            edits: ShareKeeper::new(),
            reads: ShareKeeper::new(),
            demand: Demand::new(),
            last: Beaten::default(),
            heard_at: Instant::now(),
            is_cut_off: false,
            watched: BTreeMap::new(),
        }
    }

    /// Beats until the lease is lost or the ledger has been silent for too long; dropped when the run ends.
    pub(super) async fn run(mut self) {
        loop {
            let begun = Instant::now();
            if let Err(reason) = self.beat().await {
                // Nobody listens any more if the run has ended.
                let _ = self.orders.send(Order::Stop(reason));
                // Until then the process must not stand still for long.
                while !self.context.has_handed_nothing() {
                    sleep(AGAIN).await;
                }
                return;
            }
            sleep_until(self.next(begun)).await;
        }
    }

    /// When the next beat is due: sooner than usual while more can be had, or given to others.
    fn next(&self, begun: Instant) -> Instant {
        let (usual, now) = (begun + EVERY, Instant::now());
        let early = [self.edits.early_beat(begun), self.reads.early_beat(begun)].into_iter().flatten().min();
        let early = if self.is_cut_off { Some(now + AGAIN) } else { early };
        early.map_or(usual, |early| usual.min(early.max(now + APART)))
    }

    /// One beat, and what follows from it.
    async fn beat(&mut self) -> Result<(), StopReason> {
        let now = Instant::now();
        let given = self.context.pace.given();
        // Those that begin together can share the cap out at once if the first beat of each says what it wants.
        let cap = if self.last.live.is_empty() { self.context.rate.get() } else { self.last.cap };
        let usage = Usage { at: now, cap, share: self.edits.share(), given };
        // Others may have no share as long as one that has nothing to do keeps its own.
        let wanted = if self.context.is_idle() { 0 } else { self.demand.wanted(usage) };
        self.aim(wanted, now);
        let beat = Beat {
            share: self.edits.ask(now),
            reads: self.reads.ask(now),
            wanted,
            hold: self.context.take_hold(),
            progress: self.context.progress(),
        };
        let sent = self.context.gate.now();
        let beaten = {
            let Lease { beats, switch, .. } = &mut self.lease;
            let mut beating = beats.beat(beat);
            loop {
                tokio::select! {
                    beaten = &mut beating => break beaten,
                    // It may take long, where nothing answers at all.
                    () = sleep(EVERY) => disarm(&self.context, switch.as_ref()),
                }
            }
        };
        match beaten {
            Ok(beaten) => {
                let until = sent + GATE_OPEN;
                if let Some(switch) = &self.lease.switch {
                    switch.push((sent + SWITCH_AFTER).since_start());
                }
                self.edits.answered(beaten.share, Instant::now());
                self.reads.answered(beaten.reads, Instant::now());
                self.heard(beaten, beat.hold.is_some());
                self.aim(wanted, Instant::now());
                self.context.gate.extend(until);
                self.watch().await;
                Ok(())
            }
            Err(error @ LedgerError::LeaseLost { .. }) => {
                self.context.gate.shut();
                tracing::warn!("{error}; what this run was sending is for others to settle");
                Err(StopReason::LeaseLost)
            }
            Err(error @ LedgerError::Forgotten { .. }) => Err(StopReason::Ledger(error)),
            Err(error) => {
                self.cut_off(&error);
                // It is not certain that the others were told.
                self.context.publish_hold(beat.hold.unwrap_or_default());
                let silent = self.heard_at.elapsed();
                if silent >= OUTAGE_MAX { Err(StopReason::Ledger(error)) } else { Ok(()) }
            }
        }
    }

    /// Aims at this run's fair part of the cap, and sets the pace by what may be used of it now.
    fn aim(&mut self, wanted: u32, now: Instant) {
        let edits = self.edits.aim(self.target(wanted), now);
        let reads = self.reads.aim(self.reads_target(wanted), now);
        self.context.set_shares(edits, reads);
    }

    /// This run's part of the cap, if it could use `wanted`.
    fn target(&self, wanted: u32) -> u32 {
        let of = |lease: &LiveLease| if lease.run == self.lease.run { wanted } else { lease.wanted };
        self.part(fair(self.last.cap, &self.last.live.iter().map(of).collect::<Vec<_>>()))
    }

    /// Reading back is shared out equally among those that have something to do.
    fn reads_target(&self, wanted: u32) -> u32 {
        let cap = self.last.cap.min(READS_MAX);
        let of = |lease: &LiveLease| if lease.run == self.lease.run { wanted } else { lease.wanted };
        let wants = self.last.live.iter().map(|lease| if of(lease) > 0 { cap } else { 0 });
        self.part(fair(cap, &wants.collect::<Vec<_>>()))
    }

    fn part(&self, parts: Vec<u32>) -> u32 {
        let ours = self.last.live.iter().zip(parts).find(|(lease, _)| lease.run == self.lease.run);
        ours.map_or(0, |(_, part)| part)
    }

    /// Takes what a beat has brought back.
    fn heard(&mut self, beaten: Beaten, has_held: bool) {
        if self.is_cut_off {
            self.is_cut_off = false;
            let silent = self.heard_at.elapsed().as_secs();
            tracing::warn!("the ledger answers again, after {silent} s");
        }
        if beaten.is_anew || self.heard_at.elapsed() >= WATCH_ANEW {
            self.watched.clear();
        }
        self.heard_at = Instant::now();
        // The first beat shows what was before this run.
        if self.last.live.is_empty() {
            self.context.hold_with_others(beaten.hold_left);
        } else if beaten.holds > self.last.holds + i64::from(has_held) {
            self.context.hold_with_others(beaten.hold);
        }
        if beaten.paused {
            // At once: this beat opens the gate again, and permits may have been given before the pause.
            self.context.pause();
        }
        let orders = [
            (beaten.paused != self.last.paused).then_some(Order::Pause(beaten.paused)),
            // Said twice, it would end reading back.
            beaten.stop.clone().filter(|_| self.last.stop.is_none()).map(|by| Order::Stop(StopReason::Operator { by })),
            Some(Order::Others(beaten.others)),
        ];
        for order in orders.into_iter().flatten() {
            let _ = self.orders.send(order);
        }
        self.context.set_job_cap(NonZeroU32::new(beaten.cap));
        self.last = beaten;
    }

    /// Declares those lost whose beats stand still.
    async fn watch(&mut self) {
        let now = Instant::now();
        let others = self.last.live.iter().filter(|lease| lease.run != self.lease.run);
        let before = std::mem::take(&mut self.watched);
        self.watched = others
            .map(|lease| match before.get(&lease.run) {
                Some((beat, since)) if *beat == lease.beat => (lease.run, (lease.beat, *since)),
                Some(_) | None => (lease.run, (lease.beat, now)),
            })
            .collect();
        // One with each beat: that must not wait for many of them.
        let mut still = self.watched.iter().filter(|(_, (_, since))| now - *since >= LOST_AFTER);
        let Some((run, beat)) = still.next().map(|(run, (beat, _))| (*run, *beat)) else { return };
        match self.lease.beats.declare_lost(run, beat).await {
            Ok(true) => {
                self.lost.learnt(run);
                tracing::warn!(
                    "run {run} has not renewed its lease for {} s and is lost; what it was sending is in doubt",
                    LOST_AFTER.as_secs()
                );
            }
            Ok(false) => {}
            // It is tried again with the next beat.
            Err(error) => tracing::debug!(%error, run, "it could not be declared lost"),
        }
    }

    /// A beat failed.
    fn cut_off(&mut self, error: &LedgerError) {
        let is_open = self.context.gate.is_open();
        tracing::debug!(%error, is_open, "the lease was not renewed");
        if is_open {
            return;
        }
        if !std::mem::replace(&mut self.is_cut_off, true) {
            tracing::warn!("the ledger does not answer, and nothing is sent until it does: {error}");
        }
        disarm(&self.context, self.lease.switch.as_ref());
    }
}

/// What cannot leave any more needs nobody to stop it.
fn disarm<S: Service>(context: &RunContext<S>, switch: Option<&SwitchHandle>) {
    if let Some(switch) = switch
        && !context.gate.is_open()
        && context.has_handed_nothing()
    {
        switch.disarm();
    }
}
