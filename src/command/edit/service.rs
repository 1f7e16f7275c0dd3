//! The client of the service, set up without sending anything.

use std::sync::Arc;

use crate::api::client::{ClientOptions, HttpService};
use crate::api::credentials::Credentials;
use crate::api::endpoint::Endpoint;
use crate::command::CommandError;
use crate::job::{Job, ServiceChoice};
use crate::sandbox::{self, Faults, Sandbox};

/// File handles for everything else: list, ledger, log, and connections that are about to be closed.
const FILES_BESIDE: u64 = 128;

/// The client, and the sandbox if it runs inside this process. Nothing is sent.
pub(super) async fn service(job: &Job) -> Result<(HttpService, Option<Sandbox>), CommandError> {
    let (endpoint, credentials, ca_cert, sandbox) = match &job.service {
        Some(ServiceChoice::Sandbox(faults)) => {
            let sandbox = start_sandbox(job, faults).await?;
            let endpoint = Endpoint::parse(&sandbox.endpoint_url())?;
            let key = sandbox::Options::well_known().key;
            let credentials = Credentials::with_key(sandbox::SDKAPPID, sandbox::IDENTIFIER, key);
            (endpoint, Arc::new(credentials), None, Some(sandbox))
        }
        Some(ServiceChoice::At { endpoint, credentials, ca_cert }) => {
            (endpoint.clone(), Arc::clone(credentials), ca_cert.clone(), None)
        }
        None => return Err(CommandError::NoService),
    };
    let options = ClientOptions {
        endpoint: &endpoint,
        proxy: job.proxy.as_ref(),
        timeout: job.timeout,
        ca_cert: ca_cert.as_deref(),
        concurrency: job.in_flight_max,
    };
    // The sandbox needs as many again.
    Ok((client(&options, credentials, if sandbox.is_some() { 2 } else { 1 })?, sandbox))
}

/// The client, with as many file handles as its requests in flight need: one each, or several.
pub(in crate::command) fn client(
    options: &ClientOptions<'_>,
    credentials: Arc<Credentials>,
    handles_each: u64,
) -> Result<HttpService, CommandError> {
    check_file_handles(options.concurrency, handles_each)?;
    Ok(HttpService::new(options, credentials)?)
}

/// Raises the limit of file handles, often 1,024, if the requests in flight need more: one handle each, or two.
fn check_file_handles(in_flight_max: usize, each: u64) -> Result<(), CommandError> {
    let wanted = (in_flight_max as u64).saturating_mul(each).saturating_add(FILES_BESIDE);
    let given = rlimit::increase_nofile_limit(wanted)?;
    if given < wanted {
        let possible = given.saturating_sub(FILES_BESIDE) / each;
        return Err(CommandError::FileHandles { in_flight_max, limit: given, possible });
    }
    Ok(())
}

async fn start_sandbox(job: &Job, faults: &Faults) -> Result<Sandbox, CommandError> {
    let options = sandbox::Options {
        rate: job.rate.get().max(sandbox::RATE),
        faults: faults.clone(),
        ..sandbox::Options::well_known()
    };
    Sandbox::start(options).await.map_err(CommandError::Sandbox)
}
