//! A connection that can be relied on. What was found out about a server holds for its connection only: another one may
//! lead to another server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Host;
use super::{Driver, PostgresAddress, PostgresError, password, tls};

/// The oldest version whose statements and locks were tried.
const VERSION_MIN: u32 = 15;

/// Whether it has been said that replicas are not waited for: once is enough.
static HAS_WARNED: AtomicBool = AtomicBool::new(false);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A run: its statements are short, and whatever takes long is given up.
    Run,
    /// A look at a ledger, and changes to it that no run waits for.
    Look,
    /// A look that changes nothing.
    Read,
}

impl Purpose {
    /// Parameters of the session.
    fn parameters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Purpose::Run => &[
                ("search_path", "runner"),
                ("synchronous_commit", "on"),
                ("standard_conforming_strings", "on"),
                // A statement after the one that waited for a lock must see what it has waited for.
                ("default_transaction_isolation", r"read\ committed"),
                ("statement_timeout", "10000"),
                ("lock_timeout", "2000"),
                ("idle_in_transaction_session_timeout", "2000"),
                // A plan that was made while a table was empty would read all of it later.
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("enable_bitmapscan", "off"),
                ("jit", "off"),
            ],
            Purpose::Look | Purpose::Read => &[
                ("search_path", "runner"),
                ("synchronous_commit", "on"),
                ("standard_conforming_strings", "on"),
                ("statement_timeout", "600000"),
                ("lock_timeout", "10000"),
                ("idle_in_transaction_session_timeout", "60000"),
            ],
        }
    }

    /// For opening a TCP connection; also the longest that data may remain unacknowledged.
    fn connect_timeout(self) -> Duration {
        Duration::from_secs(match self {
            Purpose::Run => 2,
            Purpose::Look | Purpose::Read => 5,
        })
    }

    /// From the beginning until a connection has been checked: about ten ways there and back.
    fn ready_timeout(self, address: &PostgresAddress) -> Duration {
        let opened = address.connect_timeout().unwrap_or(self.connect_timeout());
        opened + self.connect_timeout()
    }
}

/// Opens a connection, driven by the [`Driver`], to the first of the address's servers that can be used, and checks that
/// what it confirms is durable.
///
/// # Errors
/// None of them can be used: what the last of them said.
pub async fn connect(address: &PostgresAddress, purpose: Purpose) -> Result<Client, PostgresError> {
    let driver = Driver::get()?;
    let address = Arc::new(address.clone());
    // An old primary that takes no changes any more may be one of several: it has an older state.
    let purpose = if address.hosts().len() > 1 && purpose == Purpose::Read { Purpose::Look } else { purpose };
    let mut refused = PostgresError::TimedOut { address: address.to_string().into() };
    for (index, host) in address.hosts().iter().enumerate() {
        if index > 0 {
            tracing::warn!("{refused}; trying {}", host.name);
        }
        let (address, host) = (Arc::clone(&address), host.clone());
        match driver.run(connect_to(address, host, purpose)).await? {
            Ok(client) => return Ok(client),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// How a host is reached. Made on a thread that may block: files are read for it.
struct Way {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    session: String,
}

impl Way {
    fn to(address: &PostgresAddress, host: &Host, purpose: Purpose) -> Result<Way, PostgresError> {
        let session = format!("{:016x}", fastrand::u64(..));
        let mut options = format!("-c runner.session={session}");
        for (name, value) in purpose.parameters() {
            options.extend([" -c ", name, "=", value]);
        }
        let mut config = Config::new();
        config
            .host(&host.name)
            .port(host.port)
            .user(address.user())
            .dbname(address.database())
            .application_name(address.application_name().unwrap_or("runner"))
            .options(options)
            .channel_binding(address.channel_binding())
            .connect_timeout(address.connect_timeout().unwrap_or(purpose.connect_timeout()))
            // A server that has gone without a word is noticed within these seconds.
            .tcp_user_timeout(2 * purpose.connect_timeout())
            .keepalives_idle(purpose.connect_timeout())
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(2);
        if let Some(password) = password::find(address, host)? {
            config.password(password.expose_secret());
        }
        let uses_tls = address.uses_tls(host);
        config.ssl_mode(if uses_tls { SslMode::Require } else { SslMode::Disable });
        let tls = uses_tls.then(|| tls::connector(address.root_certificate())).transpose()?;
        Ok(Way { config, tls, session })
    }
}

async fn connect_to(address: Arc<PostgresAddress>, host: Host, purpose: Purpose) -> Result<Client, PostgresError> {
    let made = {
        let address = Arc::clone(&address);
        tokio::task::spawn_blocking(move || Way::to(&address, &host, purpose)).await
    };
    let way = made.map_err(|error| PostgresError::Driver { source: Arc::new(std::io::Error::other(error)) })??;
    let ready = async {
        let client = match way.tls {
            Some(tls) => open(&way.config, tls).await,
            None => open(&way.config, NoTls).await,
        };
        let client = client.map_err(|error| PostgresError::connecting(&address, error))?;
        check(&client, &address, &way.session, purpose).await?;
        Ok(client)
    };
    match timeout(purpose.ready_timeout(&address), ready).await {
        Ok(ready) => ready,
        Err(_) => Err(PostgresError::TimedOut { address: address.to_string().into() }),
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<Client, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket> + 'static,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    tokio::spawn(async move {
        // Whoever uses the client learns that it is closed, not why.
        if let Err(error) = connection.await {
            tracing::debug!("a connection to PostgreSQL was lost: {error:?}");
        }
    });
    Ok(client)
}

/// One message, and so one session, even behind a pooler.
const CHECK: &str = "SELECT current_setting('server_version_num')::int / 10000, current_setting('runner.session', true), \
    CASE WHEN pg_is_in_recovery() THEN 'standby' WHEN current_setting('transaction_read_only')::bool THEN 'session' \
    ELSE '' END, current_setting('fsync'), \
    current_setting('full_page_writes'), current_setting('synchronous_commit'), \
    CASE current_setting('synchronous_standby_names') WHEN '' THEN (SELECT count(*) FROM pg_stat_replication) ELSE 0 END";

async fn check(
    client: &Client,
    address: &PostgresAddress,
    session: &str,
    purpose: Purpose,
) -> Result<(), PostgresError> {
    let answer = client.simple_query(CHECK).await.map_err(|error| PostgresError::connecting(address, error))?;
    let row = answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let found =
        row.as_ref().and_then(ServerFacts::of).ok_or_else(|| PostgresError::Pooler { address: named(address) })?;
    found.judge(address, session, purpose)?;
    if found.replicas > 0 && !HAS_WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "{address} has a replica and waits for none: after a failover the newest intents may be missing, and \
             messages could be edited twice; set synchronous_standby_names on the server"
        );
    }
    Ok(())
}

/// What a server says of itself.
#[derive(Clone, Debug)]
struct ServerFacts {
    version: u32,
    session: Option<String>,
    /// A standby, whose state is an older one.
    is_standby: bool,
    /// Its database, or the role, takes no changes.
    is_read_only: bool,
    /// A setting that makes what is confirmed durable, and is off.
    off: Option<&'static str>,
    synchronous_commit: String,
    /// How many are attached, if it waits for none of them.
    replicas: u32,
}

impl ServerFacts {
    fn of(row: &SimpleQueryRow) -> Option<ServerFacts> {
        let text = |column| row.try_get(column).ok().flatten();
        let settings = [("fsync", text(3)?), ("full_page_writes", text(4)?)];
        Some(ServerFacts {
            version: text(0)?.parse().ok()?,
            session: text(1).map(str::to_owned),
            is_standby: text(2)? == "standby",
            is_read_only: text(2)? == "session",
            off: settings.iter().find(|(_, value)| *value != "on").map(|(name, _)| *name),
            synchronous_commit: text(5)?.to_owned(),
            replicas: text(6)?.parse().ok()?,
        })
    }

    /// Whether what it confirms is durable, and what is asked of it reaches one and the same session.
    fn judge(&self, address: &PostgresAddress, session: &str, purpose: Purpose) -> Result<(), PostgresError> {
        if self.version < VERSION_MIN {
            return Err(PostgresError::TooOld { address: named(address), version: self.version });
        }
        if self.session.as_deref() != Some(session) {
            return Err(PostgresError::Pooler { address: named(address) });
        }
        if self.is_standby || (self.is_read_only && purpose != Purpose::Read) {
            return Err(PostgresError::ReadOnly { address: named(address) });
        }
        if let Some(setting) = self.off.filter(|_| !address.allows_fsync_off()) {
            return Err(PostgresError::NotDurable { address: named(address), setting });
        }
        // The session asked for `on`, so something between has changed it.
        if self.synchronous_commit != "on" {
            let found = self.synchronous_commit.clone();
            return Err(PostgresError::NotSynchronous { address: named(address), found });
        }
        Ok(())
    }
}

fn named(address: &PostgresAddress) -> Arc<str> {
    address.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(change: impl FnOnce(&mut ServerFacts), url: &str) -> Option<String> {
        let mut found = ServerFacts {
            version: 15,
            session: Some("s".to_owned()),
            is_standby: false,
            is_read_only: false,
            off: None,
            synchronous_commit: "on".to_owned(),
            replicas: 0,
        };
        change(&mut found);
        found.judge(&url.parse().unwrap(), "s", Purpose::Run).err().map(|error| error.to_string())
    }

    type Spoil = fn(&mut ServerFacts);

    #[test]
    fn a_server_that_may_lose_commits_or_changes_sessions_is_refused() {
        let url = "postgres://u@127.0.0.1/d?job=j";
        assert_eq!(judged(|_| (), url), None);
        let refusals: [(Spoil, &str); 8] = [
            (|found| found.version = 14, "PostgreSQL 14"),
            (|found| found.session = None, "pooler"),
            (|found| found.session = Some("another".to_owned()), "pooler"),
            (|found| found.is_standby = true, "read-only"),
            (|found| found.is_read_only = true, "read-only"),
            (|found| found.off = Some("fsync"), "fsync is off"),
            (|found| found.off = Some("full_page_writes"), "full_page_writes is off"),
            (|found| found.synchronous_commit = "local".to_owned(), "synchronous_commit to local"),
        ];
        for (change, wanted) in refusals {
            let told = judged(change, url).unwrap();
            assert!(told.contains(wanted) && told.contains("postgres://u@127.0.0.1:5432/d?job=j"), "{told}");
        }
        let allowed = "postgres://u@127.0.0.1/d?job=j&allow=fsync-off";
        assert_eq!(judged(|found| found.off = Some("fsync"), allowed), None);
        assert!(judged(|found| found.synchronous_commit = "off".to_owned(), allowed).is_some());
    }
}
