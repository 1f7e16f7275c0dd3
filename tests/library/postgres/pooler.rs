//! pgbouncer in transaction mode: each transaction may reach another session, so it is refused, whatever it is told to do
//! with the parameters of sessions.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::library::postgres::connect::refused;
use crate::support::harness::wait_for;
use crate::support::postgres::{Cluster, OWNER, free_port};

/// It ends with the test, however that ends: then the pipe is closed.
const ATTEND: &str = "trap '' INT HUP; \"$@\" & cat >/dev/null; kill -9 $!";
const PROGRAM: &str = "/usr/sbin/pgbouncer";

struct Pooler {
    port: u16,
    attendant: Child,
}

impl Pooler {
    fn start(cluster: &Cluster, settings: &str) -> Option<Pooler> {
        if !std::path::Path::new(PROGRAM).exists() {
            assert!(std::env::var_os("CI").is_none(), "pgbouncer is missing: apt-get install pgbouncer");
            eprintln!("skipped, as pgbouncer is missing: apt-get install pgbouncer");
            return None;
        }
        let port = free_port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={OWNER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n{settings}\n",
            cluster.port()
        );
        let file = cluster.write(&format!("pgbouncer-{port}.ini"), settings);
        let attendant = cluster
            .program("/bin/sh")
            .args(["-c", ATTEND, "sh", PROGRAM])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("pgbouncer", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(Pooler { port, attendant })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.attendant.stdin.take());
        let _ = self.attendant.wait();
    }
}

#[test]
fn a_pooler_is_refused_that_refuses_parameters_of_the_session_and_one_that_drops_them() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    for settings in
        ["", "ignore_startup_parameters = options", "ignore_startup_parameters = options\npool_mode = session"]
    {
        let Some(pooler) = Pooler::start(cluster, settings) else { return };
        let told = refused(&database.url_at(pooler.port, "may"));
        assert!(told.starts_with("a pooler is between this program and postgres://"), "{settings:?}: {told}");
    }
}
