//! What the ledger of one job holds, for people: read in one state of the database, beside its runs or after them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio_postgres::Row;

use super::columns::{count, small_count};
use super::database::Database;
use super::{PostgresAddress, ledger, missing, verify};
use crate::edit::{ContentDigest, IdDigest};
use crate::evidence::{Head, NamedCheckpoint, Proof};
use crate::ledger::{
    AuditInfo, AuditRecord, CapOwner, Cause, Ciphertext, ControlAction, ControlEvent, EditRecord, Findings, Found,
    JobIdentity, Latency, LedgerAddress, LedgerError, Look, Note, Outcomes, Overview, Progress, RunList, RunRecord,
    Runner, RunnerState, Sample, SharedJob, State, Verification, Worker,
};

/// A lease that has not been renewed for so long is called silent.
const SILENT_AFTER: Duration = Duration::from_secs(8);
const FIND_JOB: &str = "SELECT job, pace, session, paused, rate, stop, \
    (SELECT min(run) FROM run JOIN lease USING (run) WHERE lease.job = job.job AND lease.session = job.session) \
    FROM job WHERE name = $1";
/// Whoever ended and left something in doubt gives its lease up as if it were lost.
const RUNNERS: &str = "SELECT run, coalesce(host, ''), coalesce(pid, 0), coalesce(\"user\", ''), \
    CASE WHEN lease.state = 'lost' AND ended <> 'died' THEN 'ended' ELSE lease.state END, share, lease.rate, \
    beat, (1000 * extract(epoch FROM greatest(clock_timestamp() - renewed_at, interval '0')))::bigint, \
    done, failed, in_doubt, requests, read_backs, slow_downs, speed, held \
    FROM lease LEFT JOIN run USING (run) WHERE lease.job = $1 AND (session = $2 OR lease.state = 'live') ORDER BY run";
/// What all live runs of an app said, and the operators of their jobs.
const CAPS: &str = "SELECT run, coalesce(host, ''), share, lease.rate, job.job, job.name, job.rate, job.rate_by \
    FROM lease JOIN job USING (job) LEFT JOIN run USING (run) \
    WHERE lease.pace = $1 AND lease.state = 'live' ORDER BY run";
/// The columns of an [`EditRecord`].
const EDIT: &str = "from_account, to_account, msg_key, state::text, code, note, attempts, line, edit.run, sent_at, content, \
    coalesce((SELECT name FROM run_list WHERE run_list.run = edit.run AND run_list.list = edit.list), \
             (SELECT input FROM run WHERE run.run = edit.run AND $has_lists))";

/// A job's ledger, open to be looked at.
#[derive(Debug)]
pub(super) struct PostgresOverview {
    address: LedgerAddress,
    database: Database,
    job: i32,
    worker: Option<Worker>,
    shared: SharedJob,
    /// The columns of an [`EditRecord`].
    columns: String,
}

impl PostgresOverview {
    /// Opens the ledger of a job that runs may be working on.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn open(address: &PostgresAddress) -> Result<PostgresOverview, LedgerError> {
        let database = Database::open(address)?;
        let mut found = database.all(FIND_JOB, vec![Box::new(address.job().to_owned())], |row| {
            let shared = SharedJob {
                paused: row.try_get(3)?,
                rate: row
                    .try_get::<_, Option<i32>>(4)?
                    .and_then(|rate| u32::try_from(rate).ok())
                    .and_then(NonZeroU32::new),
                stop: row.try_get(5)?,
                first_run: row.try_get(6)?,
                ..SharedJob::default()
            };
            Ok((row.try_get::<_, i32>(0)?, row.try_get::<_, i32>(1)?, row.try_get::<_, i32>(2)?, shared))
        })?;
        let Some((job, pace, session, mut shared)) = found.pop() else { return Err(missing(address)) };
        shared.runners = database.all(RUNNERS, vec![Box::new(job), Box::new(session)], runner)?;
        let said = database.all(CAPS, vec![Box::new(pace)], |row| Said::read(row, job))?;
        tell_cap(&mut shared, &said);
        let worker = worker(&shared);
        let has_lists = "SELECT EXISTS (SELECT FROM run_list JOIN run USING (run) WHERE job = $1)";
        let has_lists = database.all(has_lists, vec![Box::new(job)], |row| row.try_get::<_, bool>(0))? == [true];
        let columns = EDIT.replace("$has_lists", &has_lists.to_string());
        Ok(PostgresOverview { address: ledger(address), database, job, worker, shared, columns })
    }

    /// A query with the job as its first value.
    fn all<T>(
        &self,
        query: impl Into<String>,
        read: impl FnMut(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, LedgerError> {
        self.database.all(query, vec![Box::new(self.job)], read)
    }

    /// A query with the job as its first value, and the run, if there is one, as its second.
    fn all_of<T>(
        &self,
        run: Option<i64>,
        query: &str,
        read: impl FnMut(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, LedgerError> {
        self.database.all(query, vec![Box::new(self.job), Box::new(run)], read)
    }

    /// The lists of each run that had several.
    fn lists(&self) -> Result<BTreeMap<i64, Vec<RunList>>, LedgerError> {
        let query =
            "SELECT run, name, sha256, rows FROM run_list JOIN run USING (run) WHERE job = $1 ORDER BY run, list";
        let mut lists: BTreeMap<i64, Vec<RunList>> = BTreeMap::new();
        for (run, list) in self.all(query, |row| {
            let list = RunList { name: row.try_get(1)?, sha256: row.try_get(2)?, rows: count(row, 3)? };
            Ok((row.try_get(0)?, list))
        })? {
            lists.entry(run).or_default().push(list);
        }
        Ok(lists)
    }
}

impl Overview for PostgresOverview {
    fn address(&self) -> &LedgerAddress {
        &self.address
    }

    fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    fn has_begun_to_move(&self) -> bool {
        false
    }

    fn may_lack_commits(&self) -> bool {
        false
    }

    fn is_at_rest(&self) -> bool {
        false
    }

    fn shared(&self) -> Result<Option<SharedJob>, LedgerError> {
        Ok(Some(self.shared.clone()))
    }

    fn job(&self) -> Result<JobIdentity, LedgerError> {
        let mut jobs = self.all("SELECT sdkappid, service, job_name FROM job WHERE job = $1", |row| {
            Ok(JobIdentity {
                sdkappid: count(row, 0)?,
                service: row.try_get(1)?,
                other_host: None,
                name: row.try_get(2)?,
            })
        })?;
        jobs.pop().ok_or_else(|| missing(&self.database.address))
    }

    fn outcomes(&self) -> Result<Vec<Outcomes>, LedgerError> {
        let query =
            "SELECT state::text, code, note, run, count(*) FROM edit WHERE job = $1 GROUP BY state, code, note, run";
        let outcomes = self.all(query, |row| {
            let Some(state) = State::from_word(row.try_get(0)?) else { return Ok(None) };
            let cause = cause(row.try_get(1)?, row.try_get(2)?);
            Ok(Some(Outcomes { state, cause, run: row.try_get(3)?, edits: count(row, 4)? }))
        })?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
        let query = "SELECT run, started_at, ended_at, ended, reason, version, \"user\", host, pid, input, input_sha256, \
             input_rows, rate, duplicates, planned, new_edits, seq_before, command, directory, identifier, job_sha256, \
             proxy FROM run WHERE job = $1 ORDER BY run";
        let mut lists = self.lists()?;
        self.all(query, |row| {
            let run = row.try_get(0)?;
            let new_edits: Option<i64> = row.try_get(15)?;
            // None yet: the first edit has the number 1.
            let seq_before = row.try_get::<_, Option<i64>>(16)?.unwrap_or(0);
            Ok(RunRecord {
                run,
                started_at: row.try_get(1)?,
                ended_at: row.try_get(2)?,
                ended: row.try_get(3)?,
                reason: row.try_get::<_, Option<String>>(4)?.filter(|reason| !reason.is_empty()),
                version: row.try_get(5)?,
                user: row.try_get(6)?,
                host: row.try_get(7)?,
                pid: small_count(row, 8)?,
                input: row.try_get(9)?,
                input_sha256: row.try_get(10)?,
                input_rows: count(row, 11)?,
                lists: lists.remove(&run).unwrap_or_default(),
                rate: small_count(row, 12)?,
                duplicates: row.try_get::<_, Option<i64>>(13)?.map(i64::unsigned_abs),
                planned: row.try_get::<_, Option<i64>>(14)?.map(i64::unsigned_abs),
                new_edits: new_edits.map(|new_edits| (new_edits.unsigned_abs(), seq_before)),
                command: row.try_get(17)?,
                directory: row.try_get(18)?,
                identifier: row.try_get(19)?,
                job_sha256: row.try_get(20)?,
                proxy: row.try_get(21)?,
            })
        })
    }

    fn edits_after(&self, seq: i64) -> Result<u64, LedgerError> {
        let query = "SELECT count(*) FROM edit WHERE job = $1 AND seq > $2";
        let counted = self.all_of(Some(seq), query, |row| count(row, 0))?;
        Ok(counted.first().copied().unwrap_or_default())
    }

    fn samples(&self, run: i64) -> Result<Vec<Sample>, LedgerError> {
        let query = "SELECT at, sample.rate, done, failed, in_doubt, requests, read_backs, slow_downs \
             FROM sample JOIN run USING (run) WHERE job = $1 AND run = $2 ORDER BY at, sample";
        self.all_of(Some(run), query, |row| {
            Ok(Sample {
                at: row.try_get(0)?,
                rate: small_count(row, 1)?,
                done: count(row, 2)?,
                failed: count(row, 3)?,
                in_doubt: count(row, 4)?,
                requests: count(row, 5)?,
                read_backs: count(row, 6)?,
                slow_downs: count(row, 7)?,
                ..Sample::default()
            })
        })
    }

    fn answers(&self, run: Option<i64>) -> Result<Vec<(Cause, u64)>, LedgerError> {
        let query = "SELECT code, note, sum(answers)::bigint FROM answer JOIN run USING (run) \
             WHERE job = $1 AND ($2::bigint IS NULL OR run = $2) GROUP BY code, note ORDER BY sum(answers) DESC, code, note";
        let answers = self.all_of(run, query, |row| {
            let (code, note): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            let cause = if note.is_empty() { Some(Cause::Code(code)) } else { cause(None, Some(&note)) };
            Ok((cause, count(row, 2)?))
        })?;
        Ok(answers.into_iter().filter_map(|(cause, answers)| Some((cause?, answers))).collect())
    }

    fn latency(&self, run: Option<i64>) -> Result<Latency, LedgerError> {
        let query = "SELECT run, up_to_ms, answers FROM latency JOIN run USING (run) \
             WHERE job = $1 AND ($2::bigint IS NULL OR run = $2) ORDER BY run";
        let slots = self.all_of(run, query, |row| {
            Ok((row.try_get::<_, i64>(0)?, (u32::try_from(row.try_get::<_, i64>(1)?).ok(), count(row, 2)?)))
        })?;
        let mut latency = Latency::default();
        for run in slots.chunk_by(|(run, _), (other, _)| run == other) {
            latency.add_run(&run.iter().map(|(_, slot)| *slot).collect::<Vec<_>>());
        }
        Ok(latency)
    }

    fn acts(&self) -> Result<Vec<(i64, i64, ControlEvent)>, LedgerError> {
        let query = "SELECT coalesce(run, 0), at, what, rate, \"by\" FROM act WHERE job = $1 ORDER BY act";
        let acts = self.all(query, |row| {
            let rate: Option<i32> = row.try_get(3)?;
            let rate = rate.and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new);
            let what = match (row.try_get(2)?, rate) {
                ("pause", _) => ControlAction::Pause,
                ("resume", _) => ControlAction::Resume,
                ("stop", _) => ControlAction::Stop,
                (_, Some(rate)) => ControlAction::Rate(rate),
                // The schema allows for no other.
                (_, None) => return Ok(None),
            };
            Ok(Some((row.try_get(0)?, row.try_get(1)?, ControlEvent { what, by: row.try_get(4)? })))
        })?;
        Ok(acts.into_iter().flatten().collect())
    }

    fn head(&self) -> Result<Option<Head>, LedgerError> {
        verify::find_head(&self.database, self.job)
    }

    fn verify(&self, heads: &[NamedCheckpoint]) -> Result<Verification, LedgerError> {
        verify::verify(&self.database, self.job, heads)
    }

    fn prove(&self, message: IdDigest, size: Option<u64>) -> Result<Vec<Proof>, LedgerError> {
        verify::prove(&self.database, self.job, message, size)
    }

    fn ciphertexts(&self) -> Result<Vec<Ciphertext>, LedgerError> {
        let query = "SELECT file, number, originals, sha256 FROM ciphertext JOIN run USING (run) WHERE job = $1 \
             ORDER BY file COLLATE \"C\", number";
        self.all(query, |row| {
            let file: String = row.try_get(0)?;
            Ok(Ciphertext {
                file: file.into(),
                number: count(row, 1)?,
                originals: count(row, 2)?,
                sha256: row.try_get(3)?,
            })
        })
    }

    fn audits(&self) -> Result<Vec<AuditRecord>, LedgerError> {
        let query = "SELECT audit, begun_at, ended_at, ended, reason, version, \"user\", host, done, wanted, head, seed, \
             identifier, command FROM audit WHERE job = $1 ORDER BY audit";
        let mut audits = self.all(query, |row| {
            Ok(AuditRecord {
                audit: row.try_get(0)?,
                begun_at: row.try_get(1)?,
                ended_at: row.try_get(2)?,
                ended: row.try_get(3)?,
                reason: row.try_get(4)?,
                version: row.try_get(5)?,
                user: row.try_get(6)?,
                host: row.try_get(7)?,
                info: AuditInfo {
                    done: count(row, 8)?,
                    wanted: count(row, 9)?,
                    head: row.try_get(10)?,
                    seed: row.try_get(11)?,
                    identifier: row.try_get(12)?,
                    command: row.try_get(13)?,
                },
                findings: Findings::default(),
            })
        })?;
        let query = "SELECT audit, found, count(*) FROM look WHERE job = $1 GROUP BY audit, found";
        let counts =
            self.all(query, |row| Ok((row.try_get::<_, i64>(0)?, Found::from_word(row.try_get(1)?), count(row, 2)?)))?;
        for (number, found, messages) in counts {
            let audit = audits.iter_mut().find(|audit| audit.audit == number);
            if let (Some(audit), Some(found)) = (audit, found) {
                audit.findings.add(found, messages);
            }
        }
        Ok(audits)
    }

    fn visit_looks(&self, audit: i64, visit: &mut dyn FnMut(Look)) -> Result<(), LedgerError> {
        let query = "SELECT message, at, found, code, note FROM look WHERE job = $1 AND audit = $2";
        let looks = self.all_of(Some(audit), query, |row| {
            let (message, found) = (row.try_get::<_, &[u8]>(0)?.try_into(), Found::from_word(row.try_get(2)?));
            // The schema allows for no others.
            let (Ok(message), Some(found)) = (message, found) else { return Ok(None) };
            let cause = cause(row.try_get(3)?, row.try_get(4)?);
            Ok(Some(Look { message: IdDigest(message), at: row.try_get(1)?, found, cause }))
        })?;
        looks.into_iter().flatten().for_each(visit);
        Ok(())
    }

    /// Through a cursor, since a client that is slower than the server would collect all of them in memory.
    fn visit_edits(
        &self,
        state: State,
        at_most: Option<u32>,
        visit: &mut dyn FnMut(EditRecord) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let limit = at_most.map(|at_most| format!(" LIMIT {at_most}")).unwrap_or_default();
        let (columns, job, state) = (&self.columns, self.job, state.word());
        let edits = format!("SELECT {columns} FROM edit WHERE job = {job} AND state = '{state}' ORDER BY seq{limit}");
        self.database.visit(&edits, |row| Ok(edit(row)?.map_or(ControlFlow::Continue(()), &mut *visit)))
    }

    fn edit(&self, message: IdDigest) -> Result<Option<EditRecord>, LedgerError> {
        Ok(self.find_edits(&[message])?.pop().flatten())
    }

    fn find_edits(&self, messages: &[IdDigest]) -> Result<Vec<Option<EditRecord>>, LedgerError> {
        let query = format!(
            "SELECT {}, wanted.place FROM unnest($2::bytea[]) WITH ORDINALITY AS wanted (message, place) \
             JOIN edit ON edit.message = wanted.message AND edit.job = $1",
            self.columns
        );
        let wanted: Vec<Vec<u8>> = messages.iter().map(|message| message.0.to_vec()).collect();
        let mut found: Vec<Option<EditRecord>> = vec![None; messages.len()];
        let known = self.database.all(query, vec![Box::new(self.job), Box::new(wanted)], |row| {
            Ok((row.try_get::<_, i64>(12)?, edit(row)?))
        })?;
        for (place, known) in known {
            if let Some(place) = usize::try_from(place - 1).ok().and_then(|place| found.get_mut(place)) {
                *place = known;
            }
        }
        Ok(found)
    }
}

/// What one live run of the app said, and the operator of its job.
struct Said {
    run: i64,
    host: String,
    share: u32,
    rate: u32,
    /// Its job, if that is another one.
    job: Option<String>,
    operator: Option<(u32, String)>,
}

impl Said {
    fn read(row: &Row, ours: i32) -> Result<Said, tokio_postgres::Error> {
        let job: i32 = row.try_get(4)?;
        let operator = row.try_get::<_, Option<i32>>(6)?.map(i32::unsigned_abs);
        Ok(Said {
            run: row.try_get(0)?,
            host: row.try_get(1)?,
            share: small_count(row, 2)?,
            rate: small_count(row, 3)?,
            job: if job == ours { None } else { Some(row.try_get(5)?) },
            operator: operator.zip(row.try_get::<_, Option<String>>(7)?.or(Some(String::new()))),
        })
    }
}

/// The lowest cap is in force. Whose it is is told if somebody has said a higher one.
fn tell_cap(shared: &mut SharedJob, said: &[Said]) {
    shared.shares = said.iter().map(|said| said.share).sum();
    shared.other_runs = said.iter().filter(|said| said.job.is_some()).count() as u64;
    let Some(lowest) = said.iter().min_by_key(|said| (said.rate, said.run)) else { return };
    let operator =
        said.iter().filter_map(|said| Some((said.operator.as_ref()?, &said.job))).min_by_key(|((rate, _), _)| *rate);
    match operator {
        Some(((rate, by), job)) if *rate < lowest.rate => {
            shared.cap = *rate;
            shared.cap_is_of = Some(CapOwner::Operator { by: by.clone(), job: job.clone() });
        }
        _ => {
            shared.cap = lowest.rate;
            let Said { run, host, job, .. } = lowest;
            shared.cap_is_of = said.iter().any(|said| said.rate > lowest.rate).then(|| CapOwner::Run {
                run: *run,
                host: host.clone(),
                job: job.clone(),
            });
        }
    }
}

fn worker(shared: &SharedJob) -> Option<Worker> {
    let live: Vec<&Runner> = shared.live().collect();
    match live.as_slice() {
        [] => None,
        [one] => Some(Worker::new(format!("1 runner: process {} on host {}", one.pid, one.host))),
        more => Some(Worker::new(format!("{} runners", more.len()))),
    }
}

fn runner(row: &Row) -> Result<Runner, tokio_postgres::Error> {
    let renewed = Duration::from_millis(count(row, 8)?);
    Ok(Runner {
        run: row.try_get(0)?,
        host: row.try_get(1)?,
        pid: small_count(row, 2)?,
        user: row.try_get(3)?,
        state: match row.try_get(4)? {
            "live" if renewed < SILENT_AFTER => RunnerState::Live,
            "live" => RunnerState::Silent,
            "lost" => RunnerState::Lost,
            _ => RunnerState::Ended,
        },
        share: small_count(row, 5)?,
        rate: small_count(row, 6)?,
        beat: row.try_get(7)?,
        renewed,
        progress: Progress {
            done: count(row, 9)?,
            failed: count(row, 10)?,
            in_doubt: count(row, 11)?,
            requests: count(row, 12)?,
            read_backs: count(row, 13)?,
            slow_downs: count(row, 14)?,
            speed: row.try_get::<_, f32>(15)?.into(),
            held: row.try_get(16)?,
        },
    })
}

/// `None`: its state or its digest is none that this version knows, which the schema does not allow.
fn edit(row: &Row) -> Result<Option<EditRecord>, tokio_postgres::Error> {
    let (state, content) = (State::from_word(row.try_get(3)?), row.try_get::<_, &[u8]>(10)?.try_into());
    let (Some(state), Ok(content)) = (state, content) else { return Ok(None) };
    Ok(Some(EditRecord {
        from_account: row.try_get(0)?,
        to_account: row.try_get(1)?,
        msg_key: row.try_get(2)?,
        state,
        cause: cause(row.try_get(4)?, row.try_get(5)?),
        attempts: small_count(row, 6)?,
        line: count(row, 7)?,
        run: row.try_get(8)?,
        sent_at: row.try_get(9)?,
        content: ContentDigest(content),
        list: row.try_get(11)?,
    }))
}

/// The result of the last attempt. A note takes precedence over a code, as it says what the code does not.
fn cause(code: Option<i64>, note: Option<&str>) -> Option<Cause> {
    let note = note.and_then(Note::from_word).map(Cause::Note);
    note.or(code.map(Cause::Code))
}
