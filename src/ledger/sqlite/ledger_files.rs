//! Checks that the ledger's files are still where the run found them, and rescues the ledger if they are not.
//!
//! SQLite keeps writing to a file that was removed or replaced, without an error. A later run that opens the ledger by its name
//! finds another, or none, and would send everything again.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::ledger::{LedgerError, unix_ms};
use crate::system::rescued;

/// Device and inode of the file with a name; `None`: there is none.
type FileId = Option<(u64, u64)>;

/// The ledger's file and the two that SQLite keeps beside it, as they were when the run began.
#[derive(Debug)]
pub(super) struct LedgerFiles {
    path: PathBuf,
    files: [(PathBuf, FileId); 3],
}

impl LedgerFiles {
    /// Records where the files are now. The ledger's own is identified by its open handle, which nobody can replace.
    pub(super) fn note(path: &Path, ledger: &File) -> io::Result<LedgerFiles> {
        let held = (path.to_owned(), Some(id(&ledger.metadata()?)));
        let beside = ["-wal", "-shm"].map(|ending| {
            let file = beside(&followed(path), ending);
            let id = id_of(&file);
            (file, id)
        });
        let [log, index] = beside;
        Ok(LedgerFiles { path: path.to_owned(), files: [held, log, index] })
    }

    /// The first file that was removed or replaced. Files are examined by name and never opened: closing any handle of a file
    /// releases SQLite's locks on it.
    pub(super) fn changed(&self) -> Option<&Path> {
        self.files.iter().find(|(file, id)| id_of(file) != *id).map(|(file, _)| file.as_path())
    }

    /// Saves what the ledger holds to a new file, and closes the old ones without touching whatever now has their names.
    pub(super) fn give_up(&self, connection: Connection, file: &Path) -> LedgerError {
        // The rescued file is complete, but without this it would pass for one whose log is lost. If it cannot be written, the
        // next run has to read messages first, which is slower and no less safe.
        let _ = connection.execute("UPDATE run SET ended = 'died', ended_at = ?1 WHERE ended IS NULL", [unix_ms()]);
        let rescued = rescue(&connection, &self.path);
        // A ledger that was moved is then complete where it is now, and the log that is left behind is empty, so it cannot be
        // taken for that of another file. If this fails, nothing more is lost.
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        // Otherwise closing removes the two files beside it by name, whatever they are now.
        if connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).is_err() {
            std::mem::forget(connection);
        }
        LedgerError::Removed { path: self.path.clone(), file: file.to_owned(), rescued: rescued.map_err(Arc::from) }
    }
}

/// Checks that no rescued ledger is waiting to be put back.
///
/// # Errors
/// There is one: a run that began now would not know what was sent.
pub(super) fn put_back(path: &Path) -> Result<(), LedgerError> {
    let found = rescued::names(path).find_map(|rescued| Some((rescued.symlink_metadata().ok()?.len(), rescued)));
    match found {
        None => Ok(()),
        Some((0, mark)) => Err(LedgerError::Lost { path: path.to_owned(), mark }),
        Some((_, rescued)) => Err(LedgerError::NotPutBack { path: path.to_owned(), rescued }),
    }
}

/// SQLite's log (`-wal`).
pub(super) fn log(path: &Path) -> PathBuf {
    beside(&followed(path), "-wal")
}

/// The index of the log (`-shm`), which all processes that have the ledger open share.
pub(super) fn index(path: &Path) -> PathBuf {
    beside(&followed(path), "-shm")
}

/// SQLite's journal while it creates a ledger.
pub(super) fn journal(path: &Path) -> PathBuf {
    beside(&followed(path), "-journal")
}

fn rescue(connection: &Connection, path: &Path) -> Result<PathBuf, String> {
    // Created here, so that nobody else can read it; SQLite accepts an empty file.
    let (rescued, _) = rescued::create(path).map_err(|error| error.to_string())?;
    let written = std::path::absolute(&rescued).map_err(|error| error.to_string()).and_then(|whole| {
        let name = whole.to_str().ok_or("its name is not UTF-8")?;
        connection.execute("VACUUM INTO ?1", [name]).map_err(|error| error.to_string())?;
        // The file is on disk by now; this makes its name durable. If it fails, the system does so later by itself.
        let _ = whole.parent().map(File::open).map(|folder| folder.and_then(|folder| folder.sync_all()));
        Ok(())
    });
    match written {
        Ok(()) => Ok(rescued),
        Err(why) => {
            // Half a ledger is worse than none. The empty file stays, so that the next run does not start anew.
            let _ = File::create(&rescued);
            Err(why)
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The file behind symbolic links, as SQLite follows them: its own files are beside that one.
pub(super) fn followed(path: &Path) -> PathBuf {
    /// As many as the kernel follows.
    const LINKS_MAX: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(link) = path.read_link() else { break };
        path = path.parent().unwrap_or(Path::new("")).join(link);
    }
    path
}

fn id_of(file: &Path) -> FileId {
    file.metadata().ok().map(|metadata| id(&metadata))
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
