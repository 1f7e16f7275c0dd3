//! Commits, each with a number, until they are made: a lost connection is not an error.
//!
//! The number of a run's last commit is in its lease. When an answer was lost, it says whether the commit took place.
//! Otherwise the same is sent again; an earlier attempt that is still under way somewhere can then no longer succeed, or it
//! succeeds and this one cannot.

use std::collections::{HashMap, HashSet};

use super::columns::unsound;
use super::late::{self, ROW_STATES, RowState, row_states};
use super::link::{Link, Patience, Step, failure, is_answer, is_must, read};
use super::lost::IN_DOUBT;
use super::step::{self, FENCE, Kind, claim};
use super::{PostgresAddress, PostgresError, events, ledger};
use crate::edit::IdDigest;
use crate::ledger::{Applied, Change, LedgerError, Note, RunEvent, State, Transition, unix_ms};

/// How often a commit is looked at again because its edits have changed meanwhile.
const ROUNDS_MAX: u32 = 8;

const LEASE: &str = "SELECT state, commits FROM lease WHERE run = $1::int8";

const ALL_READ: &str = "
UPDATE job SET reads_first = false FROM lease l
WHERE l.run = $1::int8 AND l.state = 'live' AND job.job = l.job AND job.session = l.session";

const END_LEASE: &str = "
UPDATE lease SET state = CASE WHEN EXISTS (
        SELECT 1 FROM part p JOIN edit e ON (e.part, e.job) BETWEEN (p.number, p.job) AND (p.number, p.job)
        WHERE p.job = lease.job AND p.run = lease.run AND p.state = 'taken'
          AND e.run = lease.run AND e.state = 'in_doubt' AND e.note = $2::text AND e.code IS NULL)
    THEN 'lost' ELSE 'ended' END, share = 0, reads = 0
WHERE run = $1::int8 AND state = 'live'";

const END_RUN: &str = "
UPDATE run SET ended_at = $2::int8, ended = $3::text, reason = nullif($4::text, '')
WHERE run = $1::int8 AND ended IS NULL";

/// The connection that writes, and where its run is.
#[derive(Debug)]
pub(super) struct Writer {
    link: Link,
    run: i64,
    commits: i64,
    is_lost: bool,
}

/// How a commit stands that was not answered, or refused.
enum Found {
    /// It took place.
    Made,
    /// It did not, and the run is still live.
    Open(HashMap<IdDigest, RowState>),
    /// It did not, and others may have taken over.
    Lost,
}

impl Writer {
    pub(super) fn new(link: Link) -> Writer {
        Writer { link, run: 0, commits: 0, is_lost: false }
    }

    pub(super) fn begin(&mut self, run: i64) {
        self.run = run;
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    pub(super) fn run(&self) -> i64 {
        self.run
    }

    fn address(&self) -> PostgresAddress {
        self.link.address().clone()
    }

    pub(super) async fn commit(
        &mut self,
        changes: &[Change],
        events: &[RunEvent],
    ) -> Result<Vec<Applied>, LedgerError> {
        let address = self.address();
        let commit = self.commits + 1;
        let mut applied = vec![Applied::Yes; changes.len()];
        let (mut patience, mut rounds) = (Patience::new(), 0);
        loop {
            if self.is_lost {
                return late::keep(&mut self.link, self.run, changes).await;
            }
            let refused = match self.attempt(commit, changes, &applied, events).await {
                Ok(()) => return Ok(self.made(commit, applied, events)),
                Err(error) if is_must(&error) => true,
                Err(error) if is_answer(&error) && !error.is_passing() => return Err(failure(&address, error)),
                Err(error) => {
                    patience.wait(&address, error).await?;
                    false
                }
            };
            match self.find_out(commit, changes, &mut patience).await? {
                // This is what was sent last. What was sent before may have had more changes in it, but then one of them
                // belonged to somebody else, and still does.
                Found::Made => return Ok(self.made(commit, applied, events)),
                Found::Lost => self.is_lost = true,
                Found::Open(rows) if refused => {
                    judge(self.run, changes, &mut applied, rows)?;
                    rounds += 1;
                    if rounds > ROUNDS_MAX {
                        return Err(unsound(&address, "a commit that fits is refused"));
                    }
                }
                Found::Open(_) => {}
            }
        }
    }

    fn made(&mut self, commit: i64, applied: Vec<Applied>, events: &[RunEvent]) -> Vec<Applied> {
        self.commits = commit;
        self.is_lost |= events.iter().any(|event| matches!(event, RunEvent::StoppedAtOnce));
        applied
    }

    async fn attempt(
        &mut self,
        commit: i64,
        changes: &[Change],
        applied: &[Applied],
        events: &[RunEvent],
    ) -> Result<(), PostgresError> {
        let ours = changes.iter().zip(applied).filter(|(_, applied)| **applied == Applied::Yes);
        let mut steps = vec![Step::new(FENCE).with(self.run).with(commit)];
        if changes.iter().any(|change| Kind::of(change) == Kind::Nothing) {
            // Found out below, with the others.
            steps.push(Step::new("SELECT must(false, 'nothing')"));
        }
        steps.extend(step::steps(self.run, commit, ours.map(|(change, _)| change)));
        steps.extend(events::steps(self.run, commit, events));
        self.link.transact(&steps).await.map(drop)
    }

    /// Finds out how a commit stands. The edits are read before the lease: if that is live, nobody has touched them.
    async fn find_out(
        &mut self,
        commit: i64,
        changes: &[Change],
        patience: &mut Patience,
    ) -> Result<Found, LedgerError> {
        let address = self.address();
        let messages: Vec<&[u8]> = changes.iter().map(|change| &change.message.0[..]).collect();
        let steps = [Step::new(ROW_STATES).with(self.run).with(messages), Step::new(LEASE).with(self.run)];
        let rows = loop {
            match self.link.transact(&steps).await {
                Ok(rows) => break rows,
                Err(error) => patience.wait(&address, error).await?,
            }
        };
        let forgotten = || LedgerError::Forgotten { ledger: ledger(&address) };
        let lease = rows.get(1).and_then(|rows| rows.first()).ok_or_else(forgotten)?;
        let (state, commits): (&str, i64) = (read(&address, lease.try_get(0))?, read(&address, lease.try_get(1))?);
        if commits == commit {
            return Ok(Found::Made);
        }
        if commits != commit - 1 {
            return Err(forgotten());
        }
        if state != "live" {
            return Ok(Found::Lost);
        }
        Ok(Found::Open(row_states(&self.link, rows.first().map_or(&[], Vec::as_slice))?))
    }

    pub(super) async fn mark_all_read(&mut self) -> Result<(), LedgerError> {
        let steps = [Step::new(ALL_READ).with(self.run)];
        self.repeat(&steps).await
    }

    /// Ends the run. If it leaves edits behind of which it does not know what came of them, it was not ended but lost: others
    /// wait until nothing of it can be under way.
    pub(super) async fn end_run(&mut self, ended: &str, reason: &str) -> Result<(), LedgerError> {
        let steps = [
            Step::new("SELECT 1 FROM lease WHERE run = $1::int8 FOR NO KEY UPDATE").with(self.run),
            Step::new(IN_DOUBT).with(self.run).with(Note::ProcessDied.word()),
            Step::new(END_LEASE).with(self.run).with(Note::ProcessDied.word()),
            Step::new(END_RUN).with(self.run).with(unix_ms()).with(ended.to_owned()).with(reason.to_owned()),
        ];
        self.repeat(&steps).await?;
        self.link.drop_client();
        Ok(())
    }

    /// Makes a transaction at the end of a run, which may be made twice.
    async fn repeat(&mut self, steps: &[Step<'_>]) -> Result<(), LedgerError> {
        let mut patience = Patience::at_the_end();
        loop {
            match self.link.transact(steps).await {
                Ok(_) => return Ok(()),
                Err(error) => patience.wait(&self.address(), error).await?,
            }
        }
    }
}

/// Goes through a commit that was refused, and marks the changes of edits that are not this run's any more: those in doubt that
/// the late success of a lost run has settled.
///
/// # Errors
/// The ledger holds another state than the run believes, so neither can be trusted now.
fn judge(
    run: i64,
    changes: &[Change],
    applied: &mut [Applied],
    mut rows: HashMap<IdDigest, RowState>,
) -> Result<(), LedgerError> {
    let mut settled = HashSet::new();
    for (change, applied) in changes.iter().zip(applied) {
        let now = rows.get(&change.message).copied();
        let is_ours = match (change.from, now) {
            (None, None) => change.to.is_some(),
            (Some(from), Some(now)) => {
                let claim = claim(change).is_none_or(|attempts| (now.run, now.attempts) == (run, attempts));
                from == now.state && claim
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        let is_settled = now.is_some_and(|now| now.state == State::Done)
            && (change.from == Some(State::InDoubt) || settled.contains(&change.message));
        if *applied != Applied::Yes || is_settled {
            settled.insert(change.message);
            *applied = Applied::NotYours(now.map(|now| now.state));
            continue;
        }
        if !is_ours {
            return Err(Transition { from: change.from, to: change.to }.into());
        }
        match change.to {
            None => rows.remove(&change.message),
            Some(state) => {
                let before = now.unwrap_or(RowState { state, run, attempts: change.attempts });
                let (run, attempts) = match Kind::of(change) {
                    Kind::Sent => (run, change.attempts),
                    Kind::Read | Kind::Settled => (before.run, before.attempts),
                    Kind::Insert | Kind::Withdrawn | Kind::Answered | Kind::Leave | Kind::Nothing => {
                        (before.run, change.attempts)
                    }
                };
                rows.insert(change.message, RowState { state, run, attempts })
            }
        };
    }
    Ok(())
}
