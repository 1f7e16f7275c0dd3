//! The parts of a `postgres://` URL, as libpq takes it apart. No error shows more of it than a parameter's name, since a
//! password may be anywhere in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Why a text is not the address of a job in a PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is another kind of text.
    #[error("it does not begin with postgres:// (write it like postgres://user@host/database?job=NAME)")]
    Scheme,
    /// It names no job.
    #[error("it names no job; add job=NAME to its end, as in postgres://user@host/database?job=NAME")]
    NoJob,
    /// The name of the job cannot be one.
    #[error("the job's name must be 1 to 100 characters long, without control characters")]
    Job,
    /// It holds a password.
    #[error(
        "there is a password in it, which everyone who lists this machine's processes would see; take it out (and change \
         it), and give it in PGPASSWORD, in ~/.pgpass (or the file of PGPASSFILE) or in a service file"
    )]
    Password,
    /// It holds server options.
    #[error("options cannot be set, because the program sets them itself; leave that parameter out")]
    Options,
    /// It holds a parameter that is not known.
    #[error(
        "the parameter {name} is not known; there are job, user, host, port, dbname, service, sslmode, sslrootcert, \
         connect_timeout, application_name, channel_binding, target_session_attrs and allow"
    )]
    Unknown {
        /// Its name.
        name: String,
    },
    /// It holds a parameter twice.
    #[error("the parameter {name} is there twice; leave one out")]
    Twice {
        /// Its name.
        name: String,
    },
    /// A parameter has no value.
    #[error("a parameter has no value; write NAME=VALUE, with & between two of them")]
    NoValue,
    /// It holds an escape that is not text.
    #[error("it is not UTF-8 once its escapes (%2F for / and so on) are read, or it holds control characters")]
    Escape,
    /// A host is not one.
    #[error("one of its hosts is not a name, an address or the directory of a socket")]
    Host,
    /// A port is not one.
    #[error("one of its ports is not a number from 1 to 65535")]
    Port,
    /// There are more or fewer ports than hosts.
    #[error("it has {ports} ports for {hosts} hosts; give one for each, or one for all")]
    Ports {
        /// How many ports.
        ports: usize,
        /// How many hosts.
        hosts: usize,
    },
    /// It would let others read and change what is sent.
    #[error(
        "sslmode={mode} would not keep others on the way from reading and changing what is sent; leave it (and PGSSLMODE) out, or \
         say sslmode=verify-full (TLS with a checked certificate, which is always used to another machine)"
    )]
    Plain {
        /// The mode.
        mode: String,
    },
    /// A parameter has a value that it cannot have.
    #[error("{name} must be {possible}")]
    Value {
        /// The parameter's name.
        name: &'static str,
        /// What it can be.
        possible: &'static str,
    },
    /// Nobody says who is to connect.
    #[error("it names no user, and this system has no name for the one that runs this; write postgres://USER@host/…")]
    NoUser,
    /// There is no such service.
    #[error("there is no service {name} in {files}; name another one, or write host, port and database into the URL")]
    NoService {
        /// Its name.
        name: String,
        /// Where it was looked for.
        files: String,
    },
    /// A file of services cannot be read.
    #[error("cannot read the service file {}: {why}", path.display())]
    ServiceFile {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The parameters that a URL, a service file and the environment may set.
pub(super) type Parameters = BTreeMap<&'static str, String>;

/// Parameters that a URL may set.
const KNOWN: [&str; 13] = [
    "job",
    "user",
    "host",
    "port",
    "dbname",
    "service",
    "sslmode",
    "sslrootcert",
    "connect_timeout",
    "application_name",
    "channel_binding",
    "target_session_attrs",
    "allow",
];

/// The name of a parameter as it is known, if it is.
pub(super) fn known(name: &str) -> Option<&'static str> {
    KNOWN.into_iter().find(|known| *known == name)
}

/// Takes a URL apart. What it does not say is not in the answer.
pub(super) fn parse(text: &str) -> Result<Parameters, AddressError> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or(AddressError::Scheme)?;
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    // A password that holds a slash or a question mark ends the authority early, and leaves an @ behind it.
    if user.contains(':')
        || (hosts.contains(':') && (database.contains('@') || query.is_some_and(|query| query.contains('@'))))
    {
        return Err(AddressError::Password);
    }
    let mut parameters = Parameters::new();
    let mut set = |name: &'static str, value: String| match parameters.insert(name, value) {
        None => Ok(()),
        Some(_) => Err(AddressError::Twice { name: name.to_owned() }),
    };
    if !user.is_empty() {
        set("user", decoded(user)?)?;
    }
    if !hosts.is_empty() {
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = host_and_port(host)?;
            names.push(name);
            ports.push(port.unwrap_or_default());
        }
        set("host", names.join(","))?;
        if ports.iter().any(|port| !port.is_empty()) {
            set("port", ports.join(","))?;
        }
    }
    if !database.is_empty() {
        set("dbname", decoded(database)?)?;
    }
    for parameter in query.into_iter().flat_map(|query| query.split('&')).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or(AddressError::NoValue)?;
        match (decoded(name)?.as_str(), known(name)) {
            ("password" | "sslpassword", _) => return Err(AddressError::Password),
            ("options", _) => return Err(AddressError::Options),
            (_, Some(name)) => set(name, decoded(value)?)?,
            (_, None) if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                return Err(AddressError::Unknown { name: name.to_owned() });
            }
            (_, None) => return Err(AddressError::Unknown { name: "…".to_owned() }),
        }
    }
    Ok(parameters)
}

/// A host's name without brackets, and its port, if it has one.
fn host_and_port(host: &str) -> Result<(String, Option<String>), AddressError> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']').ok_or(AddressError::Host)?;
            let port = rest.strip_prefix(':');
            if port.is_none() && !rest.is_empty() {
                return Err(AddressError::Host);
            }
            (name, port)
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let name = decoded(name)?;
    if name.contains(',') {
        return Err(AddressError::Host);
    }
    Ok((name, port.map(decoded).transpose()?))
}

fn decoded(text: &str) -> Result<String, AddressError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| AddressError::Escape)?;
    if text.contains(char::is_control) { Err(AddressError::Escape) } else { Ok(text.into_owned()) }
}
