//! The job: flags, environment and job file, merged and checked. Flags override the environment, and both override the
//! file. Secrets come from the environment or a file of their own, never from the job file.

mod file;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use self::file::JobFilePlace;
use self::file::{Confirm, JobFile, ServiceSpec};
use crate::api::credentials::{Credentials, CredentialsError, secret_of_variable};
use crate::api::endpoint::{Endpoint, EndpointError, RegionHost};
use crate::api::proxy::{Proxy, ProxyError};
use crate::cli::{self, JobArgs, ReadingArgs, ServiceArgs};
use crate::input::{Format, InputSpec, Mapping, MappingError};
use crate::ledger::{JobIdentity, LedgerAddress};
use crate::report::resume::NOT_RECORDED;
use crate::run::{FailureLimit, FailureLimitError, InDoubt, Policy};
use crate::sandbox::{self, Faults};
use crate::terminal::excerpt::Excerpt;

/// The service's limit for this call. (An `unwrap` in a constant is checked by the compiler.)
const RATE: NonZeroU32 = NonZeroU32::new(200).unwrap();
pub(crate) const ATTEMPTS: NonZeroU32 = NonZeroU32::new(8).unwrap();
/// The service itself gives up after 3 s.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
const FAILURES: FailureLimit = FailureLimit::Percent(20);
/// Answers that take as long as the service's own timeout must not slow the run down.
const ANSWER_SECONDS: usize = 3;
/// The default limit of requests in flight: each needs a file handle and some memory.
const IN_FLIGHT_MAX: usize = 768;

/// A checked job.
#[derive(Debug)]
pub struct Job {
    /// The identity of its ledger. `None` only if nothing will be sent and there is no ledger.
    pub identity: Option<JobIdentity>,
    /// The service. `None` if nothing will be sent.
    pub service: Option<ServiceChoice>,
    /// Whether it is the sandbox, or on this machine, and not the service itself.
    pub is_stand_in: bool,
    /// The proxy on the way to it, if there is one.
    pub proxy: Option<Proxy>,
    /// Maximum attempts for each edit in one run.
    pub attempts_max: NonZeroU32,
    /// Maximum requests per second.
    pub rate: NonZeroU32,
    /// Maximum requests per second of all jobs of the app together.
    pub max_rate: NonZeroU32,
    /// Maximum requests in flight.
    pub in_flight_max: usize,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// Which edits are sent, read back or retried.
    pub policy: Policy,
    /// The number of failures that stops the run.
    pub failures: FailureLimit,
    /// The list's format and column names.
    pub input: InputSpec,
    /// How rows become edits.
    pub mapping: Mapping,
    /// Whether a person must confirm the plan.
    pub confirm_always: bool,
    /// SHA-256 of the job file, in hexadecimal, if there is one.
    pub file_sha256: Option<String>,
}

/// Which service.
#[derive(Debug)]
pub enum ServiceChoice {
    /// The stand-in inside this process.
    Sandbox(Faults),
    /// The service, or a stand-in in another process.
    At {
        /// Where.
        endpoint: Endpoint,
        /// Who calls it.
        credentials: Arc<Credentials>,
        /// One more authority to trust.
        ca_cert: Option<PathBuf>,
    },
}

/// What is wrong with a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The job file cannot be read.
    #[error("cannot read the job file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not as it must be.
    #[error("{}: {what}", whereabouts(Some(path), place.as_deref()))]
    File {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Option<Box<JobFilePlace>>,
        /// What is wrong, by the parser, or by key.
        what: String,
    },
    /// What it says of the list or the content cannot be.
    #[error("{}: {source}", whereabouts(path.as_deref(), place.as_deref()))]
    Mapping {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// Where in it.
        place: Option<Box<JobFilePlace>>,
        /// Why.
        source: MappingError,
    },
    /// A value that cannot be.
    #[error("{origin}: {what}")]
    Value {
        /// The flag, variable or key.
        origin: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The rate is above what is allowed.
    #[error(
        "the rate {rate} is above the most that is allowed, {max}; the service refuses more than 200 a second. \
         Where it takes more (a sandbox), say so with --max-rate"
    )]
    Rate {
        /// The rate.
        rate: NonZeroU32,
        /// The most.
        max: NonZeroU32,
    },
    /// Something needed is not given.
    #[error("{what} is not given: {how}")]
    Missing {
        /// What.
        what: &'static str,
        /// How to give it.
        how: &'static str,
    },
    /// The address cannot be used.
    #[error("the endpoint {given:?}: {source}")]
    Endpoint {
        /// As given.
        given: String,
        /// Why.
        source: EndpointError,
    },
    /// The signature cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

fn whereabouts(path: Option<&Path>, place: Option<&JobFilePlace>) -> String {
    match (path, place) {
        (Some(path), Some(place)) => format!("the job file {}: {place}", path.display()),
        (Some(path), None) => format!("the job file {}", path.display()),
        (None, _) => "the job".to_owned(),
    }
}

impl JobError {
    /// The part of the job file that is wrong.
    pub fn excerpt(&self) -> Option<&Excerpt> {
        match self {
            JobError::File { place, .. } | JobError::Mapping { place, .. } => {
                place.as_ref().map(|place| &place.excerpt)
            }
            _ => None,
        }
    }
}

/// The source of environment variables, which tests replace.
pub trait Environment {
    /// The value of a variable; `None` if it is not set or empty.
    fn get(&self, name: &str) -> Option<OsString>;

    /// As [`Environment::get`], for a variable whose empty value has a meaning: `None` only if it is not set.
    fn get_even_empty(&self, name: &str) -> Option<OsString> {
        self.get(name)
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<OsString> {
        self.get_even_empty(name).filter(|value| !value.is_empty())
    }

    fn get_even_empty(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl ServiceChoice {
    /// The admin account that signs.
    pub fn identifier(&self) -> &str {
        match self {
            ServiceChoice::Sandbox(_) => sandbox::IDENTIFIER,
            ServiceChoice::At { credentials, .. } => credentials.identifier(),
        }
    }
}

impl Job {
    /// Puts the job together.
    ///
    /// # Errors
    /// A value is missing, contradictory or out of range; the error names its origin.
    pub fn new(args: &JobArgs, environment: &impl Environment) -> Result<Job, JobError> {
        let (file, source) = JobFile::read(args.job.as_deref())?;
        let job = Job::of(args, environment, file).map_err(|error| source.locate(error))?;
        Ok(Job { file_sha256: source.sha256(), ..job })
    }

    fn of(args: &JobArgs, environment: &impl Environment, mut file: JobFile) -> Result<Job, JobError> {
        if args.input_format.is_some() {
            file.input.format = args.input_format;
        } else {
            file.input.format = file.input.format.map(|format| format.of_job(&args.input));
        }
        for (flag, text) in [("--text", &args.text), ("--custom-data", &args.custom_data)] {
            if text.as_deref() == Some(NOT_RECORDED) {
                let what = format!("{NOT_RECORDED} stands for what is not recorded; give it as it was");
                return Err(value(flag, what));
            }
        }
        (file.content.text_as_it_is, file.content.custom_data_as_it_is) = (args.text.clone(), args.custom_data.clone());
        args.reading.override_in(&mut file.input);
        let mapping = mapping(args.job.as_deref(), &file)?;
        for (key, given, max) in [
            ("pace.rate", file.pace.rate.map(wide), u64::from(cli::RATE_MAX.get())),
            ("pace.max_rate", file.pace.max_rate.map(wide), u64::from(cli::RATE_MAX.get())),
            (
                "pace.concurrency",
                file.pace.concurrency.map(|number| number.get() as u64),
                cli::CONCURRENCY_MAX.get() as u64,
            ),
            ("retry.max_attempts", file.retry.max_attempts.map(wide), u64::from(cli::ATTEMPTS_MAX.get())),
        ] {
            if given.is_some_and(|given| given > max) {
                return Err(value(key, format!("write a whole number from 1 to {max}")));
            }
        }
        let max_rate = args.max_rate.or(file.pace.max_rate).unwrap_or(RATE);
        let rate = args.rate.or(file.pace.rate).unwrap_or_else(|| RATE.min(max_rate));
        if rate > max_rate {
            return Err(JobError::Rate { rate, max: max_rate });
        }
        let enough = (rate.get() as usize * ANSWER_SECONDS).clamp(8, IN_FLIGHT_MAX);
        let policy = Policy {
            in_doubt: args.in_doubt.or(file.retry.in_doubt).unwrap_or(InDoubt::Verify),
            retry_failed: args.retry_failed,
            read_first: args.read_first || file.retry.read_first == Some(true),
            rows_max: args.max_rows.map(std::num::NonZeroU64::get),
        };
        let timeout = match (args.timeout, &file.retry.timeout) {
            (Some(timeout), _) => timeout,
            (None, Some(text)) => cli::time(text).map_err(|what| value("retry.timeout", what))?,
            (None, None) => TIMEOUT,
        };
        let failures = match (args.max_failures, &file.retry.max_failures) {
            (Some(limit), _) => limit,
            (None, Some(text)) => {
                text.parse().map_err(|error: FailureLimitError| value("retry.max_failures", error.to_string()))?
            }
            (None, None) => FAILURES,
        };
        let is_stand_in = args.sandbox
            || endpoint(&args.service, environment, &file.service).is_ok_and(|endpoint| endpoint.is_loopback());
        let (identity, service, proxy) = service(args, environment, &file)?;
        Ok(Job {
            identity,
            service,
            is_stand_in,
            proxy,
            attempts_max: args.max_attempts.or(file.retry.max_attempts).unwrap_or(ATTEMPTS),
            rate,
            max_rate,
            in_flight_max: args.concurrency.or(file.pace.concurrency).map_or(enough, std::num::NonZeroUsize::get),
            timeout,
            policy,
            failures,
            input: file.input,
            mapping,
            confirm_always: file.confirm == Some(Confirm::Always),
            file_sha256: None,
        })
    }
}

/// How a list is read: the part of a job that does not concern the service. `text` and `custom_data` are the flags of
/// these names.
///
/// # Errors
/// The job file cannot be read, or is wrong.
pub fn reading(
    job: Option<&Path>,
    lists: &[PathBuf],
    reading: &ReadingArgs,
    text: Option<String>,
    custom_data: Option<String>,
) -> Result<(Option<Format>, Mapping), JobError> {
    let (mut file, source) = JobFile::read(job)?;
    (file.content.text_as_it_is, file.content.custom_data_as_it_is) = (text, custom_data);
    reading.override_in(&mut file.input);
    let format = file.input.format.map(|format| format.of_job(lists));
    Ok((format, mapping(job, &file).map_err(|error| source.locate(error))?))
}

fn mapping(path: Option<&Path>, file: &JobFile) -> Result<Mapping, JobError> {
    Mapping::new(&file.input, &file.content).map_err(|source| JobError::Mapping {
        path: path.filter(|_| !source.is_of_flag()).map(Path::to_owned),
        place: None,
        source,
    })
}

type Service = (Option<JobIdentity>, Option<ServiceChoice>, Option<Proxy>);

fn service(args: &JobArgs, environment: &impl Environment, file: &JobFile) -> Result<Service, JobError> {
    let identity =
        |sdkappid, service, other_host| Some(JobIdentity { sdkappid, service, other_host, name: file.name.clone() });
    if args.sandbox {
        let faults = args.faults.clone().unwrap_or_else(Faults::none);
        let identity = identity(sandbox::SDKAPPID, "sandbox".to_owned(), None);
        return Ok((identity, Some(ServiceChoice::Sandbox(faults)), None));
    }
    let target = target(&args.service, environment, &file.service);
    let (endpoint, sdkappid) = match target {
        // A plan needs no service, unless there is a ledger to compare it with.
        Err(JobError::Missing { .. })
            if args.dry_run && !args.resume.as_ref().is_some_and(LedgerAddress::may_exist) =>
        {
            return Ok((None, None, None));
        }
        target => target?,
    };
    let identity = identity(sdkappid, endpoint.service(), endpoint.second_service());
    let proxy = Proxy::find(&endpoint, |name| environment.get_even_empty(name))?;
    if args.dry_run {
        return Ok((identity, None, proxy));
    }
    let service = service_at(endpoint, sdkappid, &args.service, environment, &file.service)?;
    Ok((identity, Some(service), proxy))
}

/// The service of an audit: the same as a job's. (Its identity has the name that the job file gives.)
///
/// # Errors
/// A value is missing, contradictory or out of range; the error names its origin.
pub fn service_of_audit(
    args: &ServiceArgs,
    job: Option<&Path>,
    environment: &impl Environment,
) -> Result<(JobIdentity, ServiceChoice, Option<Proxy>), JobError> {
    let (file, source) = JobFile::read(job)?;
    let find = || {
        let (endpoint, sdkappid) = target(args, environment, &file.service)?;
        let (service, other_host) = (endpoint.service(), endpoint.second_service());
        let proxy = Proxy::find(&endpoint, |name| environment.get_even_empty(name))?;
        let choice = service_at(endpoint, sdkappid, args, environment, &file.service)?;
        Ok((JobIdentity { sdkappid, service, other_host, name: file.name.clone() }, choice, proxy))
    };
    find().map_err(|error| source.locate(error))
}

fn target(args: &ServiceArgs, environment: &impl Environment, file: &ServiceSpec) -> Result<(Endpoint, u64), JobError> {
    endpoint(args, environment, file).and_then(|endpoint| Ok((endpoint, sdkappid(args, environment, file)?)))
}

fn service_at(
    endpoint: Endpoint,
    sdkappid: u64,
    args: &ServiceArgs,
    environment: &impl Environment,
    file: &ServiceSpec,
) -> Result<ServiceChoice, JobError> {
    let identifier = match (&args.identifier, text(environment, "TIM_IDENTIFIER")?) {
        (Some(identifier), _) => identifier.clone(),
        (None, Some(identifier)) => identifier,
        (None, None) => file.identifier.clone().ok_or(JobError::Missing {
            what: "the admin account",
            how: "set TIM_IDENTIFIER or --identifier to an admin account of the app, such as administrator",
        })?,
    };
    let credentials = Arc::new(credentials(sdkappid, &identifier, environment)?);
    Ok(ServiceChoice::At { endpoint, credentials, ca_cert: args.ca_cert.clone() })
}

fn sdkappid(args: &ServiceArgs, environment: &impl Environment, file: &ServiceSpec) -> Result<u64, JobError> {
    match (args.sdkappid, text(environment, "TIM_SDKAPPID")?) {
        (Some(sdkappid), _) => Ok(sdkappid),
        (None, Some(text)) => text
            .parse()
            .map_err(|_| value("TIM_SDKAPPID", "it is not a number; the console shows it as SDKAppID".to_owned())),
        (None, None) => file.sdkappid.ok_or(JobError::Missing {
            what: "the app",
            how: "set TIM_SDKAPPID or --sdkappid to the SDKAppID that the console shows",
        }),
    }
}

/// A region and an endpoint name the same thing; flags override the environment, and both override the file.
fn endpoint(args: &ServiceArgs, environment: &impl Environment, file: &ServiceSpec) -> Result<Endpoint, JobError> {
    let parse =
        |given: &str| Endpoint::parse(given).map_err(|source| JobError::Endpoint { given: redacted(given), source });
    let of = |origin: &str, word: &str| {
        word.parse::<RegionHost>().map(Endpoint::of).map_err(|error| value(origin, error.to_string()))
    };
    let both = |where_: &str| value(where_, "gives both a region and an endpoint; give one of them".to_owned());
    match (args.region, &args.endpoint) {
        (Some(region), _) => return Ok(Endpoint::of(region)),
        (None, Some(url)) => return parse(url),
        (None, None) => {}
    }
    match (text(environment, "TIM_REGION")?, text(environment, "TIM_ENDPOINT")?) {
        (Some(_), Some(_)) => return Err(both("the environment")),
        (Some(word), None) => return of("TIM_REGION", &word),
        (None, Some(url)) => return parse(&url),
        (None, None) => {}
    }
    match (&file.region, &file.endpoint) {
        (Some(_), Some(_)) => Err(both("[service] of the job file")),
        (Some(word), None) => of("service.region", word),
        (None, Some(url)) => parse(url),
        (None, None) => Err(JobError::Missing {
            what: "the service",
            how: "say where the app's data is with --region (cn, sgp, kor, ger, ind, usa, jpn, idn), or rehearse with --sandbox",
        }),
    }
}

/// Everything up to the query: a pasted URL may carry a signature.
fn redacted(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    match plain.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => plain.to_owned(),
    }
}

fn credentials(sdkappid: u64, identifier: &str, environment: &impl Environment) -> Result<Credentials, JobError> {
    let given = ["TIM_SECRET_KEY", "TIM_SECRET_KEY_FILE", "TIM_USERSIG"]
        .into_iter()
        .filter(|name| environment.get(name).is_some())
        .collect::<Vec<_>>();
    match given[..] {
        ["TIM_SECRET_KEY"] => Ok(Credentials::with_key(sdkappid, identifier, secret(environment, "TIM_SECRET_KEY")?)),
        ["TIM_SECRET_KEY_FILE"] => {
            let path = PathBuf::from(environment.get("TIM_SECRET_KEY_FILE").unwrap_or_default());
            Ok(Credentials::with_key_file(sdkappid, identifier, &path)?)
        }
        ["TIM_USERSIG"] => Ok(Credentials::with_usersig(sdkappid, identifier, secret(environment, "TIM_USERSIG")?)?),
        [] => Err(JobError::Missing {
            what: "the secret",
            how: "set TIM_SECRET_KEY or TIM_SECRET_KEY_FILE (the app's secret key), or TIM_USERSIG (a ready-made signature)",
        }),
        [..] => Err(value(&given.join(" and "), "are both set; set one of them".to_owned())),
    }
}

fn wide(number: NonZeroU32) -> u64 {
    number.get().into()
}

fn secret(environment: &impl Environment, name: &str) -> Result<SecretString, JobError> {
    Ok(secret_of_variable(name, &text(environment, name)?.unwrap_or_default())?)
}

fn text(environment: &impl Environment, name: &str) -> Result<Option<String>, JobError> {
    environment
        .get(name)
        .map(|value_| value_.into_string().map_err(|_| value(name, "it is not UTF-8".to_owned())))
        .transpose()
}

fn value(origin: &str, what: String) -> JobError {
    JobError::Value { origin: origin.to_owned(), what }
}

#[cfg(test)]
mod tests;
