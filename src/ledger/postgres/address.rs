//! Where a job's ledger is: a database, and the job's name in it. It never holds a password.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{User, geteuid};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::config::ChannelBinding;

use super::service_file;
use super::url::{self, AddressError, Parameters};

/// The directory of the socket where nothing names a host: libpq's choice on this system.
const SOCKET_DIRECTORY: &str = if cfg!(target_os = "linux") { "/var/run/postgresql" } else { "/tmp" };
/// The longest name of a job.
const JOB_CHARACTERS_MAX: usize = 100;
/// What stays as it is in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stays as it is in the value of a parameter.
const ESCAPED_VALUE: &AsciiSet = &ESCAPED.remove(b'/').remove(b':');

/// The address of a job's ledger in a PostgreSQL database: `postgres://user@host:port/database?job=NAME`.
///
/// What the URL does not say comes from a service file, then from the environment (`PGHOST` and so on), then from libpq's
/// defaults. It is displayed with all of that, so it means the same wherever it is pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAddress(Arc<Resolved>);

#[derive(Debug, PartialEq, Eq)]
struct Resolved {
    user: String,
    hosts: Vec<Host>,
    database: String,
    job: String,
    service: Option<String>,
    /// Wanted with a server on this machine; with others always.
    tls: bool,
    root_certificate: Option<PathBuf>,
    connect_timeout: Option<Duration>,
    application_name: Option<String>,
    channel_binding: ChannelBinding,
    fsync_off: bool,
}

/// One of the servers of which one is the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A host, or the directory of a socket.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Host {
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// Whether what is sent does not leave this machine.
    pub(super) fn is_local(&self) -> bool {
        self.is_socket()
            || self.name == "localhost"
            || self.name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The name by which libpq looks for it in a file of passwords.
    pub(super) fn password_name(&self) -> &str {
        if self.name == SOCKET_DIRECTORY { "localhost" } else { &self.name }
    }
}

impl PostgresAddress {
    /// The name of the job.
    pub fn job(&self) -> &str {
        &self.0.job
    }

    /// The servers and the database, whoever connects and for which job: what shares a cap.
    pub fn servers_and_database(&self) -> String {
        let hosts: Vec<_> = self.0.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
        format!("{}/{}", hosts.join(","), self.0.database)
    }

    /// The role that connects.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.0.database
    }

    /// Whether a server is accepted that may lose what it confirmed (`allow=fsync-off`).
    pub fn allows_fsync_off(&self) -> bool {
        self.0.fsync_off
    }

    pub(super) fn hosts(&self) -> &[Host] {
        &self.0.hosts
    }

    pub(super) fn service(&self) -> Option<&str> {
        self.0.service.as_deref()
    }

    pub(super) fn uses_tls(&self, host: &Host) -> bool {
        !host.is_socket() && (self.0.tls || !host.is_local())
    }

    pub(super) fn root_certificate(&self) -> Option<&Path> {
        self.0.root_certificate.as_deref()
    }

    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.0.connect_timeout
    }

    pub(super) fn application_name(&self) -> Option<&str> {
        self.0.application_name.as_deref()
    }

    pub(super) fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding
    }

    /// Reads an address; `variable` looks a variable of the environment up.
    pub(super) fn parse(
        text: &str,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<PostgresAddress, AddressError> {
        let mut given = url::parse(text)?;
        let named =
            |name: &str| variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let job = given.remove("job").ok_or(AddressError::NoJob)?;
        if job.is_empty() || job.chars().count() > JOB_CHARACTERS_MAX {
            return Err(AddressError::Job);
        }
        let service = given.remove("service").or_else(|| named("PGSERVICE"));
        if let Some(service) = &service {
            let section = service_file::find(service, variable)?;
            // Ports belong to the hosts beside them.
            let has_hosts = given.contains_key("host");
            for (name, value) in section.parameters {
                if !(has_hosts && name == "port") {
                    given.entry(name).or_insert(value);
                }
            }
        }
        let names_root = given.contains_key("sslrootcert");
        let mut take = |name: &'static str, variable: &str| given.remove(name).or_else(|| named(variable));
        let user = take("user", "PGUSER").or_else(system_user).ok_or(AddressError::NoUser)?;
        let database = take("dbname", "PGDATABASE").unwrap_or_else(|| user.clone());
        let (host, port) = (take("host", "PGHOST"), take("port", "PGPORT"));
        let hosts = hosts(host.as_deref().unwrap_or_default(), port.as_deref().unwrap_or_default())?;
        let tls = uses_tls(take("sslmode", "PGSSLMODE").as_deref(), names_root, &hosts)?;
        // Of several servers always the primary is used.
        if !matches!(take("target_session_attrs", "").as_deref(), None | Some("any" | "read-write" | "primary")) {
            return Err(AddressError::Value { name: "target_session_attrs", possible: "read-write or primary" });
        }
        // The system's certificates are trusted anyway.
        let root_certificate = take("sslrootcert", "PGSSLROOTCERT").filter(|path| path != "system").map(PathBuf::from);
        Ok(PostgresAddress(Arc::new(Resolved {
            user,
            hosts,
            database,
            job,
            service,
            tls,
            root_certificate,
            connect_timeout: connect_timeout(given.get("connect_timeout"))?,
            channel_binding: channel_binding(&given)?,
            fsync_off: allows_fsync_off(&given)?,
            application_name: given.remove("application_name"),
        })))
    }
}

fn system_user() -> Option<String> {
    User::from_uid(geteuid()).ok().flatten().map(|user| user.name)
}

fn hosts(hosts: &str, ports: &str) -> Result<Vec<Host>, AddressError> {
    let names: Vec<&str> = hosts.split(',').collect();
    let ports: Vec<&str> = ports.split(',').collect();
    if ports.len() != 1 && ports.len() != names.len() {
        return Err(AddressError::Ports { ports: ports.len(), hosts: names.len() });
    }
    let host = |(index, name): (usize, &&str)| {
        let name = if name.is_empty() { SOCKET_DIRECTORY } else { *name };
        let is_socket = name.starts_with('/') && !name.contains('\0');
        let is_address = name.parse::<IpAddr>().is_ok();
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !(is_socket || is_address || is_name) {
            return Err(AddressError::Host);
        }
        let port = match *ports.get(index).or(ports.first()).unwrap_or(&"") {
            "" => 5432,
            port => port.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Port)?,
        };
        Ok(Host { name: name.to_owned(), port })
    };
    names.iter().enumerate().map(host).collect()
}

/// Whether TLS is used on this machine too. Whoever names a certificate to check with wants it checked, also at the end of a tunnel.
fn uses_tls(mode: Option<&str>, names_root: bool, hosts: &[Host]) -> Result<bool, AddressError> {
    let are_local = hosts.iter().all(Host::is_local);
    match mode {
        None => Ok(names_root),
        Some("require" | "verify-full") => Ok(true),
        Some("verify-ca") if are_local => Ok(true),
        Some("disable" | "allow" | "prefer") if are_local => Ok(false),
        Some(mode @ ("disable" | "allow" | "prefer" | "verify-ca")) => {
            Err(AddressError::Plain { mode: mode.to_owned() })
        }
        Some(_) => Err(AddressError::Value { name: "sslmode", possible: "verify-full or require" }),
    }
}

fn connect_timeout(text: Option<&String>) -> Result<Option<Duration>, AddressError> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<u16>() {
        Ok(seconds @ 1..=3600) => Ok(Some(Duration::from_secs(seconds.into()))),
        Ok(_) | Err(_) => {
            Err(AddressError::Value { name: "connect_timeout", possible: "a number of seconds from 1 to 3600" })
        }
    }
}

fn channel_binding(given: &Parameters) -> Result<ChannelBinding, AddressError> {
    match given.get("channel_binding").map(String::as_str) {
        None | Some("prefer") => Ok(ChannelBinding::Prefer),
        Some("require") => Ok(ChannelBinding::Require),
        Some("disable") => Ok(ChannelBinding::Disable),
        Some(_) => Err(AddressError::Value { name: "channel_binding", possible: "prefer, require or disable" }),
    }
}

fn allows_fsync_off(given: &Parameters) -> Result<bool, AddressError> {
    match given.get("allow").map(String::as_str) {
        None => Ok(false),
        Some("fsync-off") => Ok(true),
        Some(_) => Err(AddressError::Value { name: "allow", possible: "fsync-off" }),
    }
}

impl FromStr for PostgresAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<PostgresAddress, AddressError> {
        PostgresAddress::parse(text, &|name| env::var_os(name))
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |text| utf8_percent_encode(text, ESCAPED);
        write!(f, "postgres://{}@", escaped(&self.0.user))?;
        for (index, host) in self.0.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if host.name.contains(':') && !host.is_socket() {
                write!(f, "{comma}[{}]:{}", host.name, host.port)?;
            } else {
                write!(f, "{comma}{}:{}", escaped(&host.name), host.port)?;
            }
        }
        write!(f, "/{}?job={}", escaped(&self.0.database), escaped(&self.0.job))?;
        let mut parameter = |name, value: &str| write!(f, "&{name}={}", utf8_percent_encode(value, ESCAPED_VALUE));
        if let Some(service) = &self.0.service {
            parameter("service", service)?;
        }
        if self.0.tls {
            parameter("sslmode", "verify-full")?;
        }
        if let Some(path) = &self.0.root_certificate {
            parameter("sslrootcert", &path.to_string_lossy())?;
        }
        if let Some(timeout) = self.0.connect_timeout {
            parameter("connect_timeout", &timeout.as_secs().to_string())?;
        }
        if let Some(name) = &self.0.application_name {
            parameter("application_name", name)?;
        }
        match self.0.channel_binding {
            ChannelBinding::Require => parameter("channel_binding", "require")?,
            ChannelBinding::Disable => parameter("channel_binding", "disable")?,
            _ => {}
        }
        if self.0.fsync_off { parameter("allow", "fsync-off") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
