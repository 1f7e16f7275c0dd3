//! A PostgreSQL server of one's own: made by `initdb`, on a free port of loopback, and gone with the test, however that
//! ends. It is as durable as a real one (`fsync` is on), since that is checked.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::support::harness::wait_for;

/// The role that owns everything.
pub(crate) const OWNER: &str = "postgres";

/// Waits until the test closes its end of the pipe, which a test that is killed does too. Then it ends the server and
/// removes its directory. The number in the pid file may have passed to another process, unless that works in there.
const GUARD: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
alive() { [ "$(readlink "/proc/$1/cwd")" = "$0/data" ]; }
server=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
if [ -n "$server" ]; then
    memory=$(sed -n '7s/.* //p' "$0/data/postmaster.pid")
    while alive "$server"; do kill -QUIT "$server"; sleep 0.02; done
    if [ -f "$0/data/postmaster.pid" ] && [ -n "$memory" ]; then ipcrm -m "$memory"; fi
fi 2>/dev/null
umount "$0/data" 2>/dev/null
rm -rf "$0"
"#;

/// A server that one test has, or all tests of a program share.
pub(crate) struct Cluster {
    directory: PathBuf,
    programs: PathBuf,
    port: u16,
    /// Whom the server runs as, if not as the tests do: it refuses root.
    user: Option<User>,
    server: Option<Child>,
    guard: Child,
}

/// A database in a server.
#[derive(Clone, Copy)]
pub(crate) struct Database<'a> {
    pub(crate) cluster: &'a Cluster,
    number: u32,
}

/// Programs of PostgreSQL, of the newest version here. Debian does not have them in `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let mut debian: Vec<PathBuf> = debian.filter(|programs| programs.join("initdb").is_file()).collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.pop().or_else(|| std::env::split_paths(&path).find(|programs| programs.join("initdb").is_file()))
}

impl Cluster {
    /// `None`: there is no PostgreSQL on this machine, and that is said. In CI it must be there.
    pub(crate) fn start() -> Option<Cluster> {
        Cluster::make(None)
    }

    /// One whose disk has little room, for which this process has to be root. It lasts for a list of some thousand edits.
    pub(crate) fn on_a_small_disk() -> Option<Cluster> {
        Cluster::make(Some("100m"))
    }

    fn make(disk: Option<&str>) -> Option<Cluster> {
        let Some(programs) = programs() else {
            let missing = "there is no PostgreSQL here: apt-get install postgresql";
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            // Not by a macro, whose words are not shown where a test passes.
            std::io::stderr().write_all(format!("skipped: {missing}\n").as_bytes()).unwrap();
            return None;
        };
        let user = geteuid().is_root().then(|| User::from_name("postgres").unwrap().unwrap());
        let directory = tempfile::Builder::new().prefix("runner-pg-").tempdir().unwrap();
        if let Some(user) = &user {
            chown(directory.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        // As the system names it, by which its processes are found.
        let directory = directory.keep().canonicalize().unwrap();
        let guard = Command::new("/bin/sh")
            .arg("-c")
            .arg(GUARD)
            .arg(&directory)
            .current_dir("/")
            // Ctrl-C ends the tests, and then the guard has work.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut cluster = Cluster { directory, programs, port: free_port(), user, server: None, guard };
        let data = cluster.data();
        if let (Some(size), Some(user)) = (disk, &cluster.user) {
            std::fs::create_dir(&data).unwrap();
            let options = format!("size={size},mode=700,uid={},gid={}", user.uid, user.gid);
            let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&data).status();
            assert!(mount.unwrap().success(), "no file system could be mounted");
        }
        let made = cluster
            .program("initdb")
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"])
            // Little to fill with zeros, and to checkpoint.
            .arg("--wal-segsize=1")
            .args(["-U", OWNER, "-D"])
            .arg(data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        cluster.set("listen_addresses", "127.0.0.1");
        cluster.set("unix_socket_directories", cluster.directory.to_str().unwrap());
        cluster.set("shared_buffers", "16MB");
        // Files in the data directory, which go with it.
        cluster.set("dynamic_shared_memory_type", "mmap");
        cluster.set("max_connections", "200");
        cluster.start_again();
        Some(cluster)
    }

    /// The one that tests of this program share: each takes a database of its own, and changes nothing else.
    pub(crate) fn shared() -> Option<&'static Cluster> {
        static SHARED: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::start);
        SHARED.as_ref()
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory of its socket.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join("log")).unwrap_or_default()).into_owned()
    }

    /// A program of PostgreSQL, or one that is as particular about whom it runs as.
    pub(crate) fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.directory).env_clear().stdin(Stdio::null()).env("PATH", "/usr/sbin:/usr/bin:/bin");
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Writes a file into its directory that only the server's user may read.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.directory.join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(content.as_ref()).unwrap();
        if let Some(user) = &self.user {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        path
    }

    /// Sets a parameter, from its next start on.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let path = self.data().join("postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(file, "{name} = '{}'", value.replace('\'', "''")).unwrap();
    }

    /// From now on whoever comes by TCP needs this password. `psql` still comes by the socket, without.
    pub(crate) fn require_password(&mut self, password: &str) {
        self.psql(&format!("ALTER ROLE {OWNER} PASSWORD '{}'", password.replace('\'', "''")));
        self.write("data/pg_hba.conf", "local all all trust\nhost all all all scram-sha-256\n");
        self.restart();
    }

    /// From now on it offers TLS, with this certificate and key in PEM.
    pub(crate) fn offer_tls(&mut self, certificate: &str, key: &str) {
        self.write("data/server.crt", certificate);
        self.write("data/server.key", key);
        self.set("ssl", "on");
        self.restart();
    }

    /// Starts it where it was stopped or killed.
    pub(crate) fn start_again(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log")).unwrap();
        let data = self.data();
        let mut command = self.program("postgres");
        command.arg("-D").arg(&data).args(["-p", &self.port.to_string()]);
        let server = command.process_group(0).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let id = server.id().to_string();
        let server = self.server.insert(server);
        let mut ended = None;
        wait_for("PostgreSQL to be ready", || {
            ended = server.try_wait().unwrap();
            let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            let mut lines = file.lines();
            let is_ready = lines.next() == Some(&*id)
                && lines.nth(6).is_some_and(|state| ["ready", "standby"].contains(&state.trim()));
            (is_ready || ended.is_some()).then_some(())
        });
        assert!(ended.is_none(), "PostgreSQL did not start:\n{}", self.log());
    }

    /// Stops it in order, without waiting for those who are connected.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::SIGINT);
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Fills its disk to the last byte. Returns the file whose removal makes room.
    pub(crate) fn fill_disk(&self) -> PathBuf {
        let path = self.data().join("filling");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 16, 1 << 9, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }

    /// Kills it, as the machine's out-of-memory killer may. Its pid file remains.
    pub(crate) fn kill_9(&mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, signal: Signal) {
        let mut server = self.server.take().unwrap();
        kill(Pid::from_raw(server.id().cast_signed()), signal).unwrap();
        wait_for("PostgreSQL to end", || server.try_wait().unwrap());
        // Those that served connections see a moment later that it has gone, and none can start before.
        wait_for("all of PostgreSQL to end", || self.processes().is_empty().then_some(()));
    }

    /// Its processes: those that work in its data directory.
    fn processes(&self) -> Vec<PathBuf> {
        let data = self.data();
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        all.filter(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == data)).collect()
    }

    /// What a statement answers, its columns separated by `|`.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.psql_in("postgres", sql)
    }

    fn psql_in(&self, database: &str, sql: &str) -> String {
        let ran = self.try_psql_in(database, sql);
        assert!(ran.is_ok(), "{sql}: {ran:?}");
        ran.unwrap_or_default()
    }

    /// The same in another database, or what was wrong.
    pub(crate) fn try_psql_in(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.program("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", database, "-p", &self.port.to_string(), "-h"]);
        let ran = psql.arg(&self.directory).args(["-c", sql]).output().unwrap();
        let [out, error] = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).trim_end().to_owned());
        if ran.status.success() { Ok(out) } else { Err(error) }
    }

    pub(crate) fn create_database(&self, name: &str) {
        self.psql(&format!("CREATE DATABASE {name}"));
    }

    /// A new database.
    pub(crate) fn database(&self) -> Database<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let database = Database { cluster: self, number: NUMBER.fetch_add(1, Ordering::Relaxed) };
        self.create_database(&database.name());
        database
    }

    /// The address of a job in the first database.
    pub(crate) fn url(&self, job: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/postgres?job={job}", self.port)
    }
}

impl Database<'_> {
    pub(crate) fn name(&self) -> String {
        format!("d{}", self.number)
    }

    /// The address of a job in it.
    pub(crate) fn url(&self, job: &str) -> String {
        self.url_at(self.cluster.port, job)
    }

    /// The same by way of a proxy at another port of loopback.
    pub(crate) fn url_at(&self, port: u16, job: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{port}/{}?job={job}", self.name())
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.cluster.psql_in(&self.name(), sql)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        if let Some(server) = &mut self.server {
            let _ = server.wait();
        }
        let _ = self.guard.wait();
    }
}

/// A port below those that the system gives to connections, which might take it while the server is down.
pub(crate) fn free_port() -> u16 {
    wait_for("a free port", || {
        let port = fastrand::u16(15_000..32_000);
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}
