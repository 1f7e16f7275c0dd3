//! `runner audit LEDGER`: reads done edits back, and says whether they hold.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thousands::Separable;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::edit::{service, setup};
use super::{CommandError, Exit, exit_after_printing, print, tell};
use crate::api::client::{ClientOptions, HttpService};
use crate::cli::{AuditArgs, Seed};
use crate::edit::IdDigest;
use crate::job::{self, ATTEMPTS, ProcessEnvironment, ServiceChoice, TIMEOUT};
use crate::ledger::{
    AuditInfo, AuditRecord, AuditStore, EditRecord, Findings, Found, JobIdentity, Ledger, LedgerAddress, LedgerError,
    State, open_audit, open_overview, overview_beside_writer, unix_ms,
};
use crate::live::progress::{Mode, Progress, Screen};
use crate::register::Register;
use crate::report::audit;
use crate::report::directory::ReportError;
use crate::report::format::{self, AuditObject, FORMAT};
use crate::run::{self, AuditEnd, Drawing, InDoubt, RunContext, RunTerms, UnderWay};
use crate::system::atomic_file::{self, WriteError};
use crate::system::digest::hex;
use crate::terminal::duration::format_duration;
use crate::terminal::shell;
use crate::words::{Lang, Words};

/// Half of the service's limit: what else reads messages of the app back has room.
const RATE: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// The app's cap, of which an audit takes its part as a job does.
const RATE_MAX: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Answers that take as long as the service's own timeout must not slow the audit down.
const ANSWER_SECONDS: usize = 3;
/// Edits that are fetched together.
const BATCH: usize = 200;
/// An audit goes on for a day at most: what was looked at before that may have changed.
const GOES_ON_WITHIN_MS: i64 = 24 * 60 * 60 * 1_000;
/// The list, and the object for programs.
pub(super) const NAMES: [&str; 2] = ["audit.csv", "audit.json"];

pub(super) async fn execute(args: &AuditArgs, screen: &Screen) -> Result<Exit, CommandError> {
    let (mut identity, choice, proxy) = job::service_of_audit(&args.service, args.job.as_deref(), &ProcessEnvironment)?;
    let ServiceChoice::At { endpoint, credentials, ca_cert } = choice else { return Err(CommandError::NoService) };
    identity.name = check_ledger(&args.ledger)?.name;
    let rate = args.rate.unwrap_or(RATE);
    let share = Register::of_user()?.join(setup::entry(&args.ledger, &identity, rate, RATE_MAX))?;
    let in_flight_max = (rate.get() as usize * ANSWER_SECONDS).max(8);
    let options = ClientOptions {
        endpoint: &endpoint,
        proxy: proxy.as_ref(),
        timeout: TIMEOUT,
        ca_cert: ca_cert.as_deref(),
        concurrency: in_flight_max,
    };
    let service = service::client(&options, Arc::clone(&credentials), 1)?;
    let mut store = open_audit(&args.ledger, &identity).map_err(|error| match error {
        // They say what a run is to be told.
        LedgerError::CommitsLost { .. }
        | LedgerError::ReadsFirst { .. }
        | LedgerError::Forgotten { .. }
        | LedgerError::OtherJob { may_move: Some(_), .. } => CommandError::AuditNeedsRun(error),
        error => error.into(),
    })?;
    let locked_since = Some(Instant::now());
    if let Some(directory) = &args.csv {
        // Found out now, not after hours.
        for name in NAMES {
            atomic_file::check(&directory.join(name))?;
        }
    }
    let (number, messages) = begin(args, &mut *store, credentials.identifier())?;

    let signals = Signals::listen()?;
    let terms = RunTerms {
        rate,
        max_rate: RATE_MAX,
        in_flight_max,
        attempts_max: ATTEMPTS,
        in_doubt: InDoubt::Hold,
        under_way: UnderWay::DIRECT,
        locked_since,
        seed: fastrand::u64(..),
    };
    let (mut store, ended) = look_at(args, screen, &messages, (store, service, terms), &signals).await?;
    share.release();
    let recorded = end(&mut *store, &ended).map_err(CommandError::from);
    // The store keeps its lock until then, so no run changes the file meanwhile.
    let result = recorded.and_then(|()| show_result(args, number));
    drop(store);
    let is_as_wanted = match result {
        Ok(is_as_wanted) => is_as_wanted,
        // What was found is in the ledger.
        Err(error) => {
            tell(format_args!("error: {}", error.with_causes()));
            return Ok(Exit::Stopped);
        }
    };
    Ok(match ended {
        AuditEnd::Interrupted => signals.exit(),
        AuditEnd::Stopped(_) | AuditEnd::Ledger(_) => Exit::Stopped,
        AuditEnd::Finished if is_as_wanted => Exit::Done,
        AuditEnd::Finished => Exit::SomeNotDone,
    })
}

/// Looks at these messages, and shows how far it is.
async fn look_at(
    args: &AuditArgs,
    screen: &Screen,
    messages: &[IdDigest],
    (store, service, terms): (Box<dyn AuditStore>, HttpService, RunTerms),
    signals: &Signals,
) -> Result<(Box<dyn AuditStore>, AuditEnd), CommandError> {
    let (ledger, writer) = Ledger::start(store);
    let mode = if args.no_progress || args.log.quiet { Mode::Off } else { Mode::of_stderr() };
    let mut progress = Progress::start(screen, mode, String::new());
    let (started, wanted) = (Instant::now(), messages.len() as u64);
    let mut batches = messages.chunks(BATCH);
    // Each time in another state of the ledger: reading one for hours would keep its log from being folded in.
    let next = || match batches.next() {
        Some(messages) => fetch(&args.ledger, messages).map(Some),
        None => Ok(None),
    };
    let show = |findings: &Findings| {
        progress.show_share(findings.looked_at(), wanted, &progress_line(findings, wanted, started.elapsed()));
    };
    let (_, ended) = run::audit(RunContext::new(ledger, service, terms), next, signals.stop.clone(), show).await;
    progress.finish();
    Ok((writer.await.map_err(|_| LedgerError::Latched)?, ended))
}

/// The edits of these messages. In a database runs may have begun since, which read messages back under the same limit.
fn fetch(ledger: &LedgerAddress, messages: &[IdDigest]) -> Result<Vec<EditRecord>, AuditEnd> {
    let overview = overview_beside_writer(ledger).map_err(AuditEnd::Ledger)?;
    if let (LedgerAddress::Postgres(_), Some(worker)) = (ledger, overview.worker()) {
        let (ledger, worker) = (ledger.clone(), worker.name().to_owned());
        return Err(AuditEnd::Stopped(CommandError::AuditBesideRun { ledger, worker }.to_string()));
    }
    let found = overview.find_edits(messages).map_err(AuditEnd::Ledger)?;
    Ok(found.into_iter().flatten().collect())
}

/// Records how it ended, and says why if it was stopped.
fn end(store: &mut dyn AuditStore, ended: &AuditEnd) -> Result<(), LedgerError> {
    let (word, reason) = match ended {
        AuditEnd::Finished => ("finished", None),
        AuditEnd::Interrupted => ("interrupted", None),
        AuditEnd::Stopped(reason) => ("stopped", Some(reason.clone())),
        AuditEnd::Ledger(error) => ("stopped", Some(error.to_string())),
    };
    if let Some(reason) = &reason {
        tell(format_args!("error: {reason}"));
    }
    match (store.end_audit(word, reason.as_deref()), ended) {
        // It takes nothing more, for the reason that was just told.
        (Err(_), AuditEnd::Ledger(_)) => Ok(()),
        (result, _) => result,
    }
}

/// What the ledger says of its job. It is closed again: closing it later would release the locks of whoever writes to it.
///
/// # Errors
/// There is no ledger, or runs work on it, whose limit the audit would take part of.
fn check_ledger(ledger: &LedgerAddress) -> Result<JobIdentity, CommandError> {
    let overview = open_overview(ledger)?;
    match overview.worker() {
        Some(worker) => Err(CommandError::AuditBesideRun { ledger: ledger.clone(), worker: worker.name().to_owned() }),
        None => Ok(overview.job()?),
    }
}

/// Records that the audit begins, or that the last one goes on. Returns its number, and the messages that are left.
fn begin(args: &AuditArgs, store: &mut dyn AuditStore, identifier: &str) -> Result<(i64, Vec<IdDigest>), CommandError> {
    let overview = overview_beside_writer(&args.ledger)?;
    let mut drawing = Drawing::default();
    overview.edits(State::Done, None, |edit| {
        drawing.add(edit.id().digest(), edit.content);
        Ok::<_, LedgerError>(())
    })?;
    if drawing.done() == 0 {
        return Err(CommandError::NothingToAudit);
    }
    let seed = match (args.seed, &args.words) {
        (Some(Seed(seed)), _) => Some(seed),
        (None, Some(words)) => Some(drawing.seed(words)),
        (None, None) => None,
    };
    let (done, head) = (drawing.done(), hex(&drawing.head()));
    let mut messages = match (args.sample, &seed) {
        (Some(size), Some(seed)) => drawing.sample(size.get(), seed),
        (_, _) => drawing.all(),
    };
    let info = AuditInfo {
        done,
        wanted: messages.len() as u64,
        head,
        seed: seed.as_ref().map(|seed| hex(seed)),
        identifier: identifier.to_owned(),
        command: shell::line(std::env::args_os()),
    };
    let audits = overview.audits()?;
    let is_drawn = |audit: &AuditRecord| audit.info.head == info.head && audit.info.seed == info.seed;
    if args.seed.is_some() && !audits.iter().any(is_drawn) {
        return Err(CommandError::UnknownSeed);
    }
    let is_recent = |last: &AuditRecord| unix_ms().saturating_sub(last.begun_at) < GOES_ON_WITHIN_MS;
    let is_to_go_on = |audit: &AuditRecord| !audit.is_finished() && is_recent(audit) && is_same(&audit.info, &info);
    let goes_on = audits.into_iter().rfind(is_to_go_on);
    if let Some(last) = &goes_on {
        let mut looked_at = HashSet::new();
        overview.visit_looks(last.audit, &mut |look| {
            looked_at.insert(look.message);
        })?;
        messages.retain(|message| !looked_at.contains(message));
        tell(format_args!("Audit {} goes on: {} are left.", last.audit, messages.len()));
    }
    drop(overview);
    let number = store.begin_audit(&info, goes_on.map(|last| last.audit))?;
    Ok((number, messages))
}

/// Whether an audit looks at the same messages of the same ledger.
fn is_same(last: &AuditInfo, new: &AuditInfo) -> bool {
    let of = |info: &AuditInfo| (info.head.clone(), info.wanted, info.seed.clone(), info.identifier.clone());
    of(last) == of(new)
}

/// Prints what was found, and writes the lists. Returns whether all that was looked at is as wanted.
fn show_result(args: &AuditArgs, number: i64) -> Result<bool, CommandError> {
    let overview = open_overview(&args.ledger)?;
    let words = Words::new(Lang::of_process());
    let audits = overview.audits()?;
    let audit = audits.iter().find(|audit| audit.audit == number).ok_or(LedgerError::Latched)?;
    let object = AuditObject { format: FORMAT, ledger: args.ledger.to_string(), findings: audit::object(audit) };
    let text = if args.json { format::pretty(&object)? } else { audit::text(&*overview, audit, &words)? };
    exit_after_printing(print(text.as_bytes(), args.json))?;
    if let Some(directory) = &args.csv {
        let [list, summary] = NAMES.map(|name| directory.join(name));
        atomic_file::write_marked(&list, |out| {
            audit::list(&*overview, audit, &words, out).map_err(|source| ReportError::List { name: NAMES[0], source })
        })?;
        atomic_file::write_marked(&summary, |out| {
            format::write(&mut &mut *out, &object).map_err(|source| WriteError { path: summary.clone(), source })
        })?;
    }
    Ok(audit.findings.defects() == 0)
}

fn progress_line(findings: &Findings, wanted: u64, took: Duration) -> String {
    let many = |number: u64| number.separate_with_commas();
    let looked_at = findings.looked_at();
    let mut parts = vec![format!("{} of {} looked at", many(looked_at), many(wanted))];
    for found in Found::ALL {
        let messages = findings.of(found);
        if messages > 0 {
            parts.push(format!("{} {}", many(messages), audit::name(found)));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
    let left = took.mul_f64(wanted.saturating_sub(looked_at) as f64 / looked_at.max(1) as f64);
    if looked_at > 0 && looked_at < wanted {
        parts.push(format!("{} left", format_duration(left)));
    }
    parts.join(" · ")
}

/// The signals that stop an audit: the first one lets it say what it has found, the second does not. That is durable either way.
struct Signals {
    stop: CancellationToken,
    is_terminated: Arc<AtomicBool>,
}

impl Signals {
    fn listen() -> Result<Signals, CommandError> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let signals = Signals { stop: CancellationToken::new(), is_terminated: Arc::default() };
        let (stop, is_terminated) = (signals.stop.clone(), Arc::clone(&signals.is_terminated));
        tokio::spawn(async move {
            loop {
                let exit = tokio::select! {
                    _ = interrupt.recv() => Exit::Interrupted,
                    _ = terminate.recv() => Exit::Terminated,
                };
                if stop.is_cancelled() {
                    std::process::exit(exit.code().into());
                }
                is_terminated.store(exit == Exit::Terminated, Ordering::SeqCst);
                stop.cancel();
            }
        });
        Ok(signals)
    }

    fn exit(&self) -> Exit {
        if self.is_terminated.load(Ordering::SeqCst) { Exit::Terminated } else { Exit::Interrupted }
    }
}
