//! Connections to real servers: which ones are taken, which are refused, and what is said of those.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use runner::ledger::postgres::{Driver, PostgresAddress, PostgresError, Purpose, connect};
use tokio_postgres::Client;

use crate::support::postgres::{Cluster, OWNER, free_port};
use crate::support::tcp_proxy::Proxy;

fn try_connect(url: &str) -> Result<Client, PostgresError> {
    let address: PostgresAddress = url.parse().unwrap();
    Driver::get().unwrap().wait(async move { connect(&address, Purpose::Run).await }).unwrap()
}

/// What is said of a server that is refused.
pub(super) fn refused(url: &str) -> String {
    let error = try_connect(url).map(|_| ()).unwrap_err();
    assert!(!error.is_passing(), "{error}");
    error.to_string()
}

fn ask(client: Client, sql: &str) -> Result<String, tokio_postgres::Error> {
    let sql = sql.to_owned();
    Driver::get().unwrap().wait(async move { client.query_one(&sql, &[]).await?.try_get(0) }).unwrap()
}

#[test]
fn a_connection_has_the_settings_that_a_run_relies_on() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().url("may");
    for (name, value) in [
        ("search_path", "runner"),
        ("synchronous_commit", "on"),
        ("statement_timeout", "10s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "2s"),
        ("enable_seqscan", "off"),
        ("application_name", "runner"),
    ] {
        let client = try_connect(&url).unwrap();
        assert_eq!(ask(client, &format!("SELECT current_setting('{name}')")).unwrap(), value, "{name}");
    }
    // A look may take longer.
    let address: PostgresAddress = url.parse().unwrap();
    let look = Driver::get().unwrap().wait(async move { connect(&address, Purpose::Look).await }).unwrap().unwrap();
    assert_eq!(ask(look, "SELECT current_setting('statement_timeout') || current_setting('jit')").unwrap(), "10minon");
    let socket = cluster.directory().to_str().unwrap();
    let url = format!("postgres:///postgres?host={socket}&port={}&user={OWNER}&job=may", cluster.port());
    assert_eq!(
        ask(try_connect(&url).unwrap(), "SELECT coalesce(inet_client_addr()::text, 'socket')").unwrap(),
        "socket"
    );
}

#[test]
fn a_server_that_is_not_there_may_come_back_and_a_database_that_is_not_there_does_not() {
    let Some(cluster) = Cluster::shared() else { return };
    let port = free_port();
    let error = try_connect(&format!("postgres://{OWNER}@127.0.0.1:{port}/postgres?job=may")).map(|_| ()).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("Connection refused"), "{error}");
    let told = refused(&format!("postgres://{OWNER}@127.0.0.1:{}/nothing?job=may", cluster.port()));
    assert!(told.contains("\"nothing\" does not exist (3D000); create the database"), "{told}");
    // The first host that can be used is used.
    let url = format!("postgres://{OWNER}@127.0.0.1:{port},127.0.0.1:{}/postgres?job=may", cluster.port());
    assert_eq!(ask(try_connect(&url).unwrap(), "SELECT 'here'").unwrap(), "here");
}

#[test]
fn a_server_that_may_lose_what_it_confirmed_is_refused_unless_that_is_allowed() {
    let Some(mut cluster) = Cluster::start() else { return };
    cluster.set("fsync", "off");
    cluster.restart();
    let url = cluster.url("may");
    let told = refused(&url);
    assert!(told.contains("since fsync is off there") && told.contains("allow=fsync-off"), "{told}");
    try_connect(&format!("{url}&allow=fsync-off")).unwrap();
    // A role that would rather not wait is not asked.
    cluster.psql("ALTER ROLE postgres SET synchronous_commit = off");
    let client = try_connect(&format!("{url}&allow=fsync-off")).unwrap();
    assert_eq!(ask(client, "SELECT current_setting('synchronous_commit')").unwrap(), "on");
    // A server that takes no changes now may take some later.
    cluster.psql("ALTER ROLE postgres SET default_transaction_read_only = on");
    let error = try_connect(&format!("{url}&allow=fsync-off")).map(|_| ()).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("is read-only now"), "{error}");
}

#[test]
fn the_password_comes_from_a_service_file_and_a_wrong_one_is_refused() {
    let Some(mut cluster) = Cluster::start() else { return };
    cluster.require_password("it's:a\\secret");
    let told = refused(&cluster.url("may"));
    assert!(told.contains("does not let this user in") && told.contains("PGPASSWORD"), "{told}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("services");
    let section = |password: &str| {
        format!("[right]\nhost=127.0.0.1\nport={}\nuser={OWNER}\npassword={password}\n", cluster.port())
    };
    std::fs::write(&file, section("it's:a\\secret") + &section("wrong").replace("right", "wrong")).unwrap();
    // This process has one environment, which its other tests read too; those have no service and no password.
    let told = run_with("PGSERVICEFILE", file.to_str().unwrap(), "postgres:///postgres?job=may&service=right");
    assert_eq!(told, "connected");
    let told = run_with("PGSERVICEFILE", file.to_str().unwrap(), "postgres:///postgres?job=may&service=wrong");
    assert!(told.contains("password authentication failed for user \"postgres\" (28P01)"), "{told}");
    assert_eq!(run_with("PGPASSWORD", "it's:a\\secret", &cluster.url("may")), "connected");
}

/// What comes of connecting in a process with this variable: this test program again, at the test below.
fn run_with(name: &str, value: &str, url: &str) -> String {
    let this = std::env::current_exe().unwrap();
    let test = "library::postgres::connect::connects_where_the_environment_says";
    let ran = std::process::Command::new(this)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(name, value)
        .env("RUNNER_TEST_URL", url)
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let told = out.lines().find_map(|line| line.split_once("told: "));
    told.unwrap_or_else(|| panic!("{out}")).1.to_owned()
}

#[test]
fn connects_where_the_environment_says() {
    let Some(url) = std::env::var_os("RUNNER_TEST_URL") else { return };
    let told = try_connect(url.to_str().unwrap()).map_or_else(|error| error.to_string(), |_| "connected".to_owned());
    println!("told: {told}");
}

#[test]
fn tls_is_used_with_a_certificate_that_is_checked() {
    let Some(mut cluster) = Cluster::start() else { return };
    let url = |host: &str, rest: &str| {
        format!("postgres://{OWNER}@{host}:{}/postgres?job=may&sslmode=verify-full{rest}", cluster.port())
    };
    let told = refused(&url("localhost", ""));
    assert!(told.contains("offers no TLS"), "{told}");

    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let (ours, another) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(ours.path(), authority.pem()).unwrap();
    std::fs::write(another.path(), self::authority().pem()).unwrap();
    let url = {
        let port = cluster.port();
        move |host: &str, file: &tempfile::NamedTempFile| {
            let file = file.path().display();
            format!("postgres://{OWNER}@{host}:{port}/postgres?job=may&sslmode=verify-full&sslrootcert={file}")
        }
    };
    cluster.offer_tls(&certificate.pem(), &key.serialize_pem());
    let client = try_connect(&url("localhost", &ours)).unwrap();
    assert!(ask(client, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").unwrap().starts_with("TLSv1."));
    let told = refused(&url("localhost", &another));
    assert!(told.contains("is not trusted") && told.contains("sslrootcert=FILE"), "{told}");
    let told = refused(&url("127.0.0.1", &ours));
    assert!(told.contains("is not trusted"), "{told}");
    std::fs::write(another.path(), "nothing").unwrap();
    let told = refused(&url("localhost", &another));
    assert!(told.contains("holds no certificate in PEM form"), "{told}");
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn a_lost_connection_may_come_back() {
    let Some(mut cluster) = Cluster::start() else { return };
    let address: PostgresAddress = cluster.url("may").parse().unwrap();
    let lost = |client: Client| PostgresError::of(&address, ask(client, "SELECT 'x'").unwrap_err());
    for end in [Cluster::stop, Cluster::kill_9] {
        let client = try_connect(&cluster.url("may")).unwrap();
        end(&mut cluster);
        let error = lost(client);
        assert!(error.is_passing() && error.to_string().starts_with("the connection to postgres://"), "{error}");
        cluster.start_again();
        try_connect(&cluster.url("may")).unwrap();
    }
    // One that says why.
    let client = try_connect(&cluster.url("may")).unwrap();
    let error =
        PostgresError::of(&address, ask(client, "SELECT pg_terminate_backend(pg_backend_pid())::text").unwrap_err());
    assert!(error.is_passing(), "{error}");
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let Some(cluster) = Cluster::shared() else { return };
    let proxy = Proxy::start(([127, 0, 0, 1], cluster.port()).into());
    let url = format!("postgres://{OWNER}@127.0.0.1:{}/postgres?job=may", proxy.port());
    proxy.set_delay(Duration::from_millis(20));
    let started = Instant::now();
    let client = try_connect(&url).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(80), "the start and the check each take a way there and back");
    proxy.cut();
    let address: PostgresAddress = url.parse().unwrap();
    let error = PostgresError::of(&address, ask(client, "SELECT 'x'").unwrap_err());
    assert!(error.is_passing(), "{error}");
    let error = try_connect(&url).map(|_| ()).unwrap_err();
    assert!(matches!(error, PostgresError::Unreachable { .. }), "{error}");
    proxy.hold();
    let error = try_connect(&url).map(|_| ()).unwrap_err();
    assert!(error.is_passing() && matches!(error, PostgresError::TimedOut { .. }), "{error}");
    proxy.mend();
    try_connect(&url).unwrap();
}

#[test]
fn a_standby_is_refused_until_it_is_the_primary() {
    let Some(mut cluster) = Cluster::start() else { return };
    cluster.stop();
    cluster.write("data/standby.signal", "");
    cluster.start_again();
    let url = cluster.url("may");
    let error = try_connect(&url).map(|_| ()).unwrap_err();
    assert!(error.is_passing() && matches!(error, PostgresError::ReadOnly { .. }), "{error}");
    cluster.psql("SELECT pg_promote()");
    try_connect(&url).unwrap();
}

#[test]
fn what_a_full_server_and_a_busy_one_answer_passes_and_a_missing_right_does_not() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let address: PostgresAddress = database.url("may").parse().unwrap();
    database.psql("CREATE ROLE nobody LOGIN; CREATE SCHEMA runner; CREATE TABLE runner.edit (id int)");
    let failed = |url: &str, sql: &str| PostgresError::of(&address, ask(try_connect(url).unwrap(), sql).unwrap_err());
    for (sql, passes, told) in [
        ("SELECT id::text FROM nothing", false, "42P01"),
        ("SELECT (1 / 0)::text", false, "22012"),
        ("SELECT pg_read_file('nothing')", false, "58P01"),
    ] {
        let error = failed(&database.url("may"), sql);
        assert!(error.is_passing() == passes && error.to_string().contains(told), "{error}");
    }
    let nobody = database.url("may").replace("postgres@", "nobody@");
    let error = failed(&nobody, "SELECT id::text FROM runner.edit");
    assert!(!error.is_passing() && error.to_string().contains("(42501); have its owner grant"), "{error}");
    database.psql("ALTER ROLE nobody CONNECTION LIMIT 0");
    let error = try_connect(&nobody).map(|_| ()).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("(53300); end connections"), "{error}");
}
