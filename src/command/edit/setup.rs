//! What a run needs, set up after the operator has agreed to the plan.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::time::Instant;

use super::Request;
use super::ledger::JobLedger;
use super::service::service;
use super::session::{RunParts, SharedParts};
use crate::api::client::HttpService;
use crate::api::proxy::Proxy;
use crate::cli::JobArgs;
use crate::command::{CommandError, sandbox, tell};
use crate::job::{Job, ServiceChoice};
use crate::ledger::{
    JobIdentity, LedgerAddress, LedgerError, PostgresAddress, RunInfo, RunRecord, RunStore, SharedTerms,
    overview_beside_writer,
};
use crate::live::page::{self, Page};
use crate::originals::{self, KeepingStore, OriginalsFile};
use crate::register::{Register, RegisterEntry, Share};
use crate::report::resume::Called;
use crate::run::{Conditions, Lease, Plan, Policy};
use crate::sandbox::Sandbox;
use crate::system::same_file::resolved;
use crate::system::switch::SwitchHandle;
use crate::terminal::shell;

/// Takes the job's part of its app's cap on this machine. `None`: the sandbox inside this process has no other callers.
pub(super) fn share(job: &Job, ledger: &JobLedger<'_>) -> Result<Option<Arc<Share>>, CommandError> {
    match &job.service {
        Some(ServiceChoice::Sandbox(_)) | None => Ok(None),
        Some(ServiceChoice::At { .. }) => {
            let database = ledger.address.postgres().map(PostgresAddress::servers_and_database);
            let entry = RegisterEntry { database, ..entry(ledger.address, &ledger.identity, job.rate, job.max_rate) };
            Ok(Some(Arc::new(Register::of_user()?.join(entry)?)))
        }
    }
}

/// What the register holds of this process, if it shares its cap with nobody elsewhere.
pub(in crate::command) fn entry(
    ledger: &LedgerAddress,
    identity: &JobIdentity,
    rate: NonZeroU32,
    max_rate: NonZeroU32,
) -> RegisterEntry {
    RegisterEntry {
        service: identity.service.clone(),
        sdkappid: identity.sdkappid,
        rate,
        max_rate,
        // For people, and in JSON, which holds text only.
        ledger: PathBuf::from(match ledger {
            LedgerAddress::File(path) => resolved(path).to_string_lossy().into_owned(),
            LedgerAddress::Postgres(address) => address.to_string(),
        }),
        process: std::process::id(),
        database: None,
    }
}

/// Begins the run in the ledger. Everything that can fail is set up before that, since a run that has begun must end; and
/// what can be wrong with the service or the page, before a ledger is created.
pub(super) async fn begin(
    request: &Request<'_>,
    called: &Called,
    plan: &Plan,
    ledger: JobLedger<'_>,
    share: Option<Arc<Share>>,
    locked_since: Instant,
) -> Result<RunParts, CommandError> {
    let Request { args, job, input, .. } = request;
    let (service, sandbox) = service(job).await?;
    let open = |address| Page::open(address, page::given_token()?, request.asked_for);
    let page = args.page.map(open).transpose()?;
    if let Some(sandbox) = &sandbox
        && plan.to_read_back + plan.to_read_first > 0
    {
        // The sandbox of an earlier process is gone, and an empty history would settle nothing.
        sandbox::add_messages(sandbox, input, &job.mapping)?;
    }
    let is_shared = ledger.address.postgres().is_some();
    let info = run_info(request, plan, called, is_shared);
    if is_shared {
        return begin_shared(request, plan, ledger, &info, RunNeeds { share, service, sandbox, page });
    }
    let address = ledger.address;
    let (store, records) = ledger.into_store()?;
    let mut store = with_originals(args, address, store)?;
    let todo = plan.todo(input, &job.mapping, Some(records), job.policy)?;
    store.begin_run(&info)?;
    let locked_since = if sandbox.is_some() { None } else { Some(locked_since) };
    Ok(RunParts { store, todo, shared: None, locked_since, share, service, sandbox, page })
}

/// What a run needs besides its ledger.
struct RunNeeds {
    share: Option<Arc<Share>>,
    service: HttpService,
    sandbox: Option<Sandbox>,
    page: Option<Page>,
}

/// Begins a run that shares its ledger with others: it gets its edits in parts, and holds a lease.
fn begin_shared(
    request: &Request<'_>,
    plan: &Plan,
    ledger: JobLedger<'_>,
    info: &RunInfo,
    needs: RunNeeds,
) -> Result<RunParts, CommandError> {
    let Request { args, job, input, .. } = request;
    let switch = SwitchHandle::start()?;
    let address = ledger.address;
    let mut store = with_originals(args, address, ledger.into_shared_store()?)?;
    store.begin_run(info)?;
    // What an ended run of this job sent last may arrive until a while after this.
    let locked_since = Some(Instant::now());
    let shared = store.share().ok_or(LedgerError::Latched)?;
    let todo = match plan.todo_in_parts(input, &job.mapping, shared.work, job.policy) {
        Ok(todo) => todo,
        Err(error) => {
            store.end_run("stopped", &error.to_string())?;
            return Err(error.into());
        }
    };
    let lease = Lease { run: shared.run, beats: shared.beats, switch: Some(switch) };
    let shared = Some(SharedParts { lease, control: shared.control });
    let RunNeeds { share, service, sandbox, page } = needs;
    Ok(RunParts { store, todo, shared, locked_since, share, service, sandbox, page })
}

/// Checks what is asked for beyond the edits themselves, before the operator agrees to them: the command that encrypts, and
/// whether earlier runs of the ledger had more.
pub(super) async fn check_extras(args: &JobArgs, ledger: &JobLedger<'_>) -> Result<(), CommandError> {
    if let Some(overview) = ledger.overview()? {
        if args.only_if.is_none() && overview.runs()?.last().is_some_and(had_reviewed) {
            tell(
                "warning: the last run edited only what was reviewed, and this run edits whatever it finds (--only-if)",
            );
        }
        if args.originals.is_none() && !overview.ciphertexts()?.is_empty() {
            tell(
                "warning: this ledger records originals that earlier runs kept, and this run keeps none (--originals)",
            );
        }
    }
    if let Some(command) = &args.encrypt_with {
        originals::try_command(command).await?;
    }
    Ok(())
}

/// The store, which keeps what messages held before where that is asked for.
fn with_originals(
    args: &JobArgs,
    ledger: &LedgerAddress,
    store: Box<dyn RunStore>,
) -> Result<Box<dyn RunStore>, CommandError> {
    let (Some(path), Some(command)) = (&args.originals, &args.encrypt_with) else { return Ok(store) };
    let overview = overview_beside_writer(ledger)?;
    let recorded = overview.ciphertexts()?;
    let name = overview.head()?.map(|head| head.origin).unwrap_or_default();
    let file = OriginalsFile::open(path, &name, &recorded)?;
    if recorded.iter().any(|ciphertext| !file.has(ciphertext)) {
        tell(format_args!(
            "warning: this ledger records originals in another file than {}; keep that as well",
            path.display()
        ));
    }
    Ok(Box::new(KeepingStore::new(store, file, command)))
}

/// Whether it was called with `--only-if`.
fn had_reviewed(run: &RunRecord) -> bool {
    let words = run.command.as_deref().and_then(shell::words);
    let is_flag = |word: &OsString| word == "--only-if" || word.as_encoded_bytes().starts_with(b"--only-if=");
    words.is_some_and(|words| words.iter().any(is_flag))
}

/// What all runs must agree on that work on the list at the same time.
fn shared_terms(job: &Job, plan: &Plan, conditions: &Conditions) -> SharedTerms {
    let Policy { in_doubt, retry_failed, read_first, rows_max: _ } = job.policy;
    let in_doubt = in_doubt.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    SharedTerms {
        list: plan.rows_digest(),
        settings: vec![
            ("in-doubt", in_doubt),
            ("retry-failed", retry_failed.to_string()),
            ("read-first", read_first.to_string()),
            ("max-attempts", job.attempts_max.to_string()),
            ("originals", conditions.keeps_originals.to_string()),
            ("only-if", conditions.reviewed.is_some().to_string()),
        ],
    }
}

/// What the ledger records about a run when it begins.
fn run_info(request: &Request<'_>, plan: &Plan, called: &Called, is_shared: bool) -> RunInfo {
    let Request { job, input, conditions, .. } = request;
    RunInfo {
        input: input.name().to_owned(),
        input_sha256: plan.sha256.clone(),
        input_rows: plan.rows,
        lists: plan.lists.clone(),
        duplicates: plan.duplicates,
        planned: plan.this_run,
        new_edits: plan.new_edits,
        rate: job.rate.get(),
        read_first: job.policy.read_first,
        identifier: job.service.as_ref().map(ServiceChoice::identifier).unwrap_or_default().to_owned(),
        job_sha256: job.file_sha256.clone(),
        proxy: job.proxy.as_ref().map(Proxy::address),
        command: called.to_record(),
        known: plan.known,
        shared: is_shared.then(|| shared_terms(job, plan, conditions)),
        directory: std::env::current_dir().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
    }
}
