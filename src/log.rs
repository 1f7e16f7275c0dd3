//! The log: lines on standard error, or in a file that may be moved away under it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Zoned;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// A file that lines are appended to. If it is moved or removed, the next line goes to a new file at its path, as
/// `logrotate` expects; a truncated file (`copytruncate`) continues from its beginning.
#[derive(Clone, Debug)]
pub struct LogFile(Arc<Mutex<Opened>>);

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: File,
    /// Device and inode, which tell whether the path still leads to this file.
    identity: (u64, u64),
}

impl LogFile {
    /// Opens the file, or creates it for its owner alone.
    ///
    /// # Errors
    /// It cannot be opened for writing.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        Ok(LogFile(Arc::new(Mutex::new(Opened::new(path.to_owned())?))))
    }
}

impl Opened {
    fn new(path: PathBuf) -> io::Result<Opened> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let metadata = file.metadata()?;
        Ok(Opened { path, file, identity: (metadata.dev(), metadata.ino()) })
    }

    /// Reopens the path if the file is no longer there. If that fails, lines still go to the old file.
    fn reopen_if_moved(&mut self) {
        let metadata = std::fs::metadata(&self.path).ok();
        let is_same = metadata.is_some_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if !is_same && let Ok(opened) = Opened::new(self.path.clone()) {
            *self = opened;
        }
    }
}

/// Writes one line.
#[derive(Debug)]
pub struct LineWriter<'a>(MutexGuard<'a, Opened>);

impl Write for LineWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.file.flush()
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = LineWriter<'a>;

    /// Checks for a moved file once per line, so that no line is split between two files.
    fn make_writer(&'a self) -> LineWriter<'a> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.reopen_if_moved();
        LineWriter(opened)
    }
}

/// The time of day, for a log in a terminal.
#[derive(Clone, Copy, Debug)]
pub struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", Zoned::now().strftime("%H:%M:%S"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_line(log: &LogFile, line: &str) {
        writeln!(log.make_writer(), "{line}").unwrap();
    }

    #[test]
    fn a_file_that_is_moved_away_or_removed_is_followed_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("run.log"), dir.path().join("run.log.1"));
        std::fs::write(&path, "before\n").unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let log = LogFile::open(&path).unwrap();
        write_line(&log, "one");
        std::fs::rename(&path, &old).unwrap();
        write_line(&log, "two");
        write_line(&log, "three");
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("before\none\n", "two\nthree\n"));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        write_line(&log, "four");
        assert_eq!(read(&path), "four\n");
        // `create`: the new file is there already. `copytruncate`: it is the same one, and empty.
        std::fs::rename(&path, &old).unwrap();
        std::fs::write(&path, "").unwrap();
        write_line(&log, "five");
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("four\n", "five\n"));
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        write_line(&log, "six");
        assert_eq!(read(&path), "six\n");
    }

    #[test]
    fn where_there_can_be_no_new_file_lines_go_on_into_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, moved) = (dir.path().join("log"), dir.path().join("moved"));
        std::fs::create_dir(&folder).unwrap();
        let log = LogFile::open(&folder.join("run.log")).unwrap();
        std::fs::rename(&folder, &moved).unwrap();
        write_line(&log, "one");
        assert_eq!(std::fs::read_to_string(moved.join("run.log")).unwrap(), "one\n");
    }
}
