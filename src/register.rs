//! The register of running jobs, which share their app's cap on this machine.
//!
//! The service counts the requests of an app, not of a job. So each job that is about to send has an entry in a directory
//! of its user: a file with the job's rate, which the job keeps locked. The kernel releases the lock however the process
//! ends, so an unlocked entry belongs to a dead process and is removed. Entries are read, created and changed under one
//! more lock, by one job at a time; the entries of an app never add up to more than its cap.
//!
//! An entry says what may be sent from now on, not what was sent a moment ago. A job that gets room waits for a whole window
//! before it uses it: by then, what was sent by the job that had it before no longer counts.
//!
//! The directory must be the same for all jobs that share a cap, whether a shell, cron or systemd starts them. So it does
//! not depend on environment variables that these set differently: it is in the user's home directory, as the user database
//! has it, unless `RUNNER_STATE_DIR` names another one. Users who run jobs of one app side by side name one that all of
//! them can write to. Without such a directory nothing is sent, because the cap would be a guess.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

use crate::terminal::shell;

/// The environment variable that names another directory.
pub const VARIABLE: &str = "RUNNER_STATE_DIR";
const IN_HOME: &str = ".local/state/runner";
/// Held while entries are read or changed.
const LOCK: &str = "lock";
const ENDING: &str = "job";
/// The maximum size of an entry: the path of a ledger, and some numbers.
const ENTRY_BYTES_MAX: u64 = 16 * 1024;
/// The lock is held for a few milliseconds each time.
const LOCK_TRIES: u32 = 500;
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// A job's part of an app's cap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterEntry {
    /// The service, as in ledgers.
    pub service: String,
    /// The app.
    pub sdkappid: u64,
    /// The maximum number of requests a second.
    pub rate: NonZeroU32,
    /// The cap of all jobs of the app together, as this job was given it.
    pub max_rate: NonZeroU32,
    /// The job's ledger.
    pub ledger: PathBuf,
    /// The job's process.
    pub process: u32,
    /// The database by way of which the job shares the cap with others, if it does: of all jobs that use one database, only
    /// the highest rate counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// Why a job may not send, or not at that rate.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The user has no home directory.
    #[error("this user has no home directory to keep {IN_HOME} in; {}", DirectoryAdvice)]
    NoHome,
    /// The directory cannot be used.
    #[error("{} cannot be used: {source}; {}", path.display(), DirectoryAdvice)]
    Unusable {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The app's cap is used up.
    #[error("{0}")]
    NoRoom(Box<NoRoom>),
}

/// What to do about a directory that cannot be used.
struct DirectoryAdvice;

impl fmt::Display for DirectoryAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the jobs of an app share its cap by way of that directory: set {VARIABLE} to one that this user can write to, \
             the same for every job on this machine"
        )
    }
}

/// Which jobs have the room that a job asked for.
#[derive(Debug)]
pub struct NoRoom {
    wanted: RegisterEntry,
    others: Vec<RegisterEntry>,
    max: u32,
    /// The job is running already, and asked for more than it has.
    is_running: bool,
}

/// The directory of entries.
#[derive(Clone, Debug)]
pub struct Register {
    directory: PathBuf,
}

/// An entry that this process holds. Dropping it removes the entry.
#[derive(Debug)]
pub struct Share {
    register: Register,
    path: PathBuf,
    held: Mutex<(File, RegisterEntry)>,
}

impl Register {
    /// The user's register; creates the directory if there is none.
    ///
    /// # Errors
    /// There is no place for the directory, or it cannot be created.
    pub fn of_user() -> Result<Register, RegisterError> {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || {
            let known = User::from_uid(Uid::effective()).ok().flatten().map(|user| user.dir);
            known.or_else(std::env::home_dir).filter(|home| !home.as_os_str().is_empty())
        };
        // A relative path would be another directory for each working directory.
        if let Some(path) = named.as_ref().filter(|path| path.is_relative()) {
            let source = io::Error::other("it must begin with / to be one place for all jobs");
            return Err(RegisterError::Unusable { path: path.clone(), source });
        }
        let directory = named.or_else(|| Some(home()?.join(IN_HOME))).ok_or(RegisterError::NoHome)?;
        Register::at(directory)
    }

    /// The register in this directory; creates it, accessible only to this user, if there is none.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn at(directory: PathBuf) -> Result<Register, RegisterError> {
        match DirBuilder::new().recursive(true).mode(0o700).create(&directory) {
            Ok(()) => Ok(Register { directory }),
            Err(source) => Err(RegisterError::Unusable { path: directory, source }),
        }
    }

    /// Reserves the part of the app's cap that `wanted` asks for. From then on no other job of the app gets that part; requests
    /// of jobs that ended or made room a moment ago still count for one window.
    ///
    /// # Errors
    /// There is not enough room, or the register cannot be used.
    pub fn join(&self, wanted: RegisterEntry) -> Result<Share, RegisterError> {
        let _lock = self.lock()?;
        self.check(&wanted, None)?;
        let name = format!("{}-{:016x}.{ENDING}", wanted.process, fastrand::u64(..));
        let path = self.directory.join(name);
        let failed = |source| unusable(&path, source);
        let mut file = options().create_new(true).open(&path).map_err(failed)?;
        let made = file.try_lock().map_err(io::Error::from).and_then(|()| write(&mut file, &wanted));
        // The next job would remove an entry without a lock, and could not read half an entry.
        made.inspect_err(|_| drop(fs::remove_file(&path))).map_err(failed)?;
        Ok(Share { register: self.clone(), path, held: Mutex::new((file, wanted)) })
    }

    fn lock(&self) -> Result<File, RegisterError> {
        let path = self.directory.join(LOCK);
        let failed = |source| unusable(&path, source);
        let file = options().create(true).truncate(false).open(&path).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::new(ErrorKind::TimedOut, "another process keeps it locked")))
    }

    /// Checks that there is room for this entry beside all others; `own` is the job's present entry, if it has one.
    fn check(&self, wanted: &RegisterEntry, own: Option<&Path>) -> Result<(), RegisterError> {
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|source| unusable(&self.directory, source))? {
            let path = entry.map_err(|source| unusable(&self.directory, source))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) && own != Some(&path) {
                others.extend(look(&path).map_err(|source| unusable(&path, source))?);
            }
        }
        others.retain(|other| other.service == wanted.service && other.sdkappid == wanted.sdkappid);
        // What jobs share by way of a database is dealt out there.
        others.retain(|other| other.database.is_none() || other.database != wanted.database);
        // Each job was given the cap; if they differ, the lowest keeps all of them.
        let max = others.iter().map(|other| other.max_rate).fold(wanted.max_rate, NonZeroU32::min).get();
        let taken = taken(&others);
        if others.is_empty() || taken + u64::from(wanted.rate.get()) <= u64::from(max) {
            return Ok(());
        }
        let wanted = wanted.clone();
        Err(RegisterError::NoRoom(Box::new(NoRoom { wanted, others, max, is_running: own.is_some() })))
    }
}

impl Share {
    /// Changes the job's part of the app's cap. A higher rate may be used one window after this returns; before a lower rate
    /// is set here, the job must already send at it.
    ///
    /// # Errors
    /// There is not enough room, or the register cannot be used; the share is unchanged.
    pub fn set_rate(&self, rate: NonZeroU32) -> Result<(), RegisterError> {
        let _lock = self.register.lock()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, entry) = &mut *held;
        let wanted = RegisterEntry { rate, ..entry.clone() };
        if rate > entry.rate {
            self.register.check(&wanted, Some(&self.path))?;
        }
        write(file, &wanted).map_err(|source| unusable(&self.path, source))?;
        *entry = wanted;
        Ok(())
    }

    /// The current rate.
    pub fn rate(&self) -> NonZeroU32 {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).1.rate
    }

    /// Gives the share back; the job sends nothing more.
    pub fn release(&self) {
        // An entry that cannot be removed is no longer locked, so it no longer counts.
        let _ = fs::remove_file(&self.path);
        let _ = self.held.lock().unwrap_or_else(PoisonError::into_inner).0.unlock();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release();
    }
}

/// The group may read and lock entries, for directories that several users share; the default directory is one user's.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o660);
    options
}

fn unusable(path: &Path, source: io::Error) -> RegisterError {
    RegisterError::Unusable { path: path.to_owned(), source }
}

/// Reads the entry of a running job; removes it and returns `None` if its process has ended.
fn look(path: &Path) -> io::Result<Option<RegisterEntry>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(None),
        },
        Err(TryLockError::WouldBlock) => {
            let mut text = Vec::new();
            file.take(ENTRY_BYTES_MAX).read_to_end(&mut text)?;
            Ok(Some(serde_json::from_slice(&text)?))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn write(file: &mut File, entry: &RegisterEntry) -> io::Result<()> {
    let text = serde_json::to_vec(entry)?;
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

fn taken(entries: &[RegisterEntry]) -> u64 {
    let mut of_databases: BTreeMap<&str, u64> = BTreeMap::new();
    let mut taken = 0;
    for RegisterEntry { rate, database, .. } in entries {
        let rate = u64::from(rate.get());
        match database {
            Some(database) => {
                let highest = of_databases.entry(database).or_default();
                *highest = rate.max(*highest);
            }
            None => taken += rate,
        }
    }
    taken + of_databases.values().sum::<u64>()
}

impl NoRoom {
    /// The part of the cap that is free.
    fn free(&self) -> u64 {
        u64::from(self.max).saturating_sub(taken(&self.others))
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoRoom { wanted, others, max, is_running } = self;
        let jobs = if let [_] = others[..] { "another job" } else { "other jobs" };
        write!(f, "{jobs} of app {} at {} on this machine: ", wanted.sdkappid, wanted.service)?;
        for (index, RegisterEntry { ledger, process, rate, .. }) in others.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} (process {process}) at {rate} a second", ledger.display())?;
        }
        let sum = taken(others) + u64::from(wanted.rate.get());
        write!(f, "; with {} a second of this one that makes {sum}, and the app's cap is {max}; ", wanted.rate)?;
        let each = (u64::from(*max) / (others.len() as u64 + 1)).max(1);
        match (self.free(), *is_running) {
            (0, true) => f.write_str("nothing more is free"),
            (free, true) => write!(f, "this one may go up to {free}"),
            (0, false) => {
                let others = if let [_] = others[..] { "it has" } else { "they have" };
                write!(f, "wait until {others} ended, or run each at {each}: ")?;
                for RegisterEntry { ledger, .. } in &self.others {
                    let each = each.to_string();
                    write!(
                        f,
                        "{}, ",
                        shell::command(["ctl".as_ref(), ledger.as_os_str(), "rate".as_ref(), each.as_ref()])
                    )?;
                }
                write!(f, "then --rate {each} here")
            }
            (free, false) => write!(f, "say --rate {free}, or wait until there is more room"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(rate: u32) -> NonZeroU32 {
        NonZeroU32::new(rate).unwrap()
    }

    fn entry(ledger: &str, wanted: u32) -> RegisterEntry {
        RegisterEntry {
            service: "example.com:443".to_owned(),
            sdkappid: 1_400_000_000,
            rate: rate(wanted),
            max_rate: rate(200),
            ledger: PathBuf::from(ledger),
            process: 4_711,
            database: None,
        }
    }

    fn entries(register: &Register) -> usize {
        fs::read_dir(&register.directory).unwrap().count() - 1
    }

    #[test]
    fn what_jobs_of_an_app_take_is_never_more_than_its_cap() {
        let dir = tempfile::tempdir().unwrap();
        let register = Register::at(dir.path().join("deep/state")).unwrap();
        let first = register.join(entry("/a.db", 200)).unwrap();
        let refused = register.join(entry("/b c.db", 50)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "another job of app 1400000000 at example.com:443 on this machine: /a.db (process 4711) at 200 a second; with \
             50 a second of this one that makes 250, and the app's cap is 200; wait until it has ended, or run each at 100: \
             runner ctl /a.db rate 100, then --rate 100 here"
        );
        // Others' are others'.
        let app = register.join(RegisterEntry { sdkappid: 1, ..entry("/app.db", 200) }).unwrap();
        let service =
            register.join(RegisterEntry { service: "other".to_owned(), ..entry("/service.db", 200) }).unwrap();
        first.set_rate(rate(100)).unwrap();
        let second = register.join(entry("/b c.db", 60)).unwrap();
        let refused = register.join(entry("/c.db", 41)).unwrap_err().to_string();
        assert!(
            refused
                .ends_with("that makes 201, and the app's cap is 200; say --rate 40, or wait until there is more room")
        );
        assert!(refused.starts_with("other jobs of app") && refused.contains("/b c.db (process 4711) at 60 a second"));
        let refused = first.set_rate(rate(150)).unwrap_err().to_string();
        assert!(refused.ends_with("that makes 210, and the app's cap is 200; this one may go up to 140"), "{refused}");
        assert_eq!(first.rate(), rate(100));
        first.set_rate(rate(140)).unwrap();
        drop(second);
        first.set_rate(rate(200)).unwrap();
        assert_eq!(entries(&register), 3);
        drop((first, app, service));
        assert_eq!(entries(&register), 0);
    }

    /// The least that anybody was told counts; a job by itself may send what it was told.
    #[test]
    fn jobs_that_were_told_different_caps_keep_the_lowest() {
        let dir = tempfile::tempdir().unwrap();
        let register = Register::at(dir.path().to_owned()).unwrap();
        let high = |wanted| RegisterEntry { max_rate: rate(5_000), ..entry("/high.db", wanted) };
        let first = register.join(high(1_000)).unwrap();
        register.join(high(4_001)).unwrap_err();
        register.join(entry("/low.db", 1)).unwrap_err();
        first.set_rate(rate(100)).unwrap();
        let _low = register.join(entry("/low.db", 100)).unwrap();
        first.set_rate(rate(101)).unwrap_err();
    }

    #[test]
    fn what_a_dead_process_left_is_taken_away_and_what_cannot_be_read_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let register = Register::at(dir.path().to_owned()).unwrap();
        fs::write(dir.path().join("1-1.job"), serde_json::to_vec(&entry("/dead.db", 200)).unwrap()).unwrap();
        fs::write(dir.path().join("1-2.job"), "").unwrap();
        let share = register.join(entry("/a.db", 200)).unwrap();
        assert_eq!(entries(&register), 1);
        drop(share);
        let path = dir.path().join("1-3.job");
        fs::write(&path, "from a later version").unwrap();
        let live = File::open(&path).unwrap();
        live.lock().unwrap();
        let refused = register.join(entry("/a.db", 1)).unwrap_err().to_string();
        assert!(refused.contains("1-3.job cannot be used") && refused.contains(VARIABLE), "{refused}");
        live.unlock().unwrap();
        register.join(entry("/a.db", 200)).unwrap();
        // Without a directory there is no promise to keep.
        fs::write(dir.path().join("file"), "").unwrap();
        let refused = Register::at(dir.path().join("file/state")).unwrap_err().to_string();
        assert!(refused.contains("set RUNNER_STATE_DIR to one that this user can write to"), "{refused}");
    }

    /// Whoever shares the cap by way of a database is no danger to the others there, and as much as one of them to the rest.
    #[test]
    fn jobs_that_share_a_database_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let register = Register::at(dir.path().to_owned()).unwrap();
        let shared = |rate| RegisterEntry { database: Some("db/one".to_owned()), ..entry("postgres://db/one", rate) };
        let first = register.join(shared(150)).unwrap();
        let _second = register.join(shared(120)).unwrap();
        register.join(entry("/a.db", 51)).unwrap_err();
        let local = register.join(entry("/a.db", 50)).unwrap();
        register.join(shared(151)).unwrap_err();
        register.join(RegisterEntry { database: Some("db/two".to_owned()), ..shared(1) }).unwrap_err();
        drop(first);
        local.set_rate(rate(80)).unwrap();
    }

    /// However many ask at once.
    #[test]
    fn the_last_room_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let register = Register::at(dir.path().to_owned()).unwrap();
        let shares: Vec<_> = std::thread::scope(|scope| {
            let ask = |index: u32| register.join(entry(&format!("/{index}.db"), 60)).ok();
            let threads: Vec<_> = (0..12).map(|index| scope.spawn(move || ask(index))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!((shares.len(), entries(&register)), (3, 3));
    }
}
