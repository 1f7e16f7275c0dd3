//! What a run needs, set up after the operator has agreed to the plan.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use super::Request;
use super::ledger::JobLedger;
use super::service::service;
use super::session::RunParts;
use super::signals::Signals;
use crate::api::proxy::Proxy;
use crate::command::{CommandError, sandbox};
use crate::input::Input;
use crate::job::{Job, ServiceChoice};
use crate::ledger::RunInfo;
use crate::live::page::{self, Page};
use crate::register::{Register, RegisterEntry, Share};
use crate::report::resume::Called;
use crate::run::Plan;
use crate::system::same_file::resolved;

/// Takes the job's part of its app's cap on this machine. `None`: the sandbox inside this process has no other callers.
pub(super) fn share(job: &Job, ledger: &JobLedger<'_>) -> Result<Option<Arc<Share>>, CommandError> {
    match &job.service {
        Some(ServiceChoice::Sandbox(_)) | None => Ok(None),
        Some(ServiceChoice::At { .. }) => {
            let wanted = RegisterEntry {
                service: ledger.identity.service.clone(),
                sdkappid: ledger.identity.sdkappid,
                rate: job.rate,
                max_rate: job.max_rate,
                // For people, and in JSON, which holds text only.
                ledger: PathBuf::from(resolved(ledger.path).to_string_lossy().into_owned()),
                process: std::process::id(),
            };
            Ok(Some(Arc::new(Register::of_user()?.join(wanted)?)))
        }
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
    let (mut store, records) = ledger.into_store()?;
    let todo = plan.todo(input, &job.mapping, Some(records), job.policy)?;
    let signals = Signals::listen(called.clone())?;
    store.begin_run(&run_info(job, input, plan, called))?;
    let locked_since = if sandbox.is_some() { None } else { Some(locked_since) };
    Ok(RunParts { store, todo, signals, locked_since, share, service, sandbox, page })
}

/// What the ledger records about a run when it begins.
fn run_info(job: &Job, input: &Input, plan: &Plan, called: &Called) -> RunInfo {
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
        directory: std::env::current_dir().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
    }
}
