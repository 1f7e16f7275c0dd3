//! Writes files completely or not at all, and never over a file that somebody else put there. Every file that the program
//! writes in one piece goes through here.
//!
//! A file is recognised as the program's own by its SHA-256, recorded in a manifest or in a file beside it
//! (`.NAME.sha256`, as `sha256sum -c` reads it). Any other file is put aside under a free name.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::system::digest::{hex, sha256_of_file};
use crate::system::small_file;
use crate::terminal::escape::escape_control;

/// How many names are tried for a file that is put aside.
const ASIDE_MAX: u32 = 1_000;
/// How often, and how many times, a process looks whether another one is done with a file and its mark.
const TURN_LOOK: Duration = Duration::from_millis(20);
const TURN_LOOKS: u32 = 250;

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// What a manifest records about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// Writes a file, readable by its owner only: everything that `fill` writes, durably, or nothing. An existing file is
/// replaced if its SHA-256 is `ours`, and put aside otherwise.
///
/// # Errors
/// The file cannot be written, an existing one cannot be put aside, or `fill` failed.
pub fn write<T, E: From<WriteError>>(
    path: &Path,
    ours: Option<&str>,
    fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<(T, Written), E> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let directory = directory(path);
    fs::create_dir_all(directory).map_err(failed)?;
    let mut temporary = NamedTempFile::new_in(directory).map_err(failed)?;
    let (filled, written) = {
        let mut out = Hashing { out: BufWriter::new(temporary.as_file_mut()), hash: Sha256::new(), bytes: 0 };
        let filled = fill(&mut out)?;
        out.flush().map_err(failed)?;
        (filled, Written { bytes: out.bytes, sha256: hex(&out.hash.finalize()) })
    };
    temporary.as_file().sync_all().map_err(failed)?;
    put_aside_unless(path, ours).map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    sync(directory);
    Ok((filled, written))
}

/// Tries whether a file can be written there, long before there is anything to write.
///
/// # Errors
/// It cannot.
pub fn check(path: &Path) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let directory = directory(path);
    fs::create_dir_all(directory).and_then(|()| NamedTempFile::new_in(directory)).map_err(failed)?;
    if path.is_dir() { Err(failed(ErrorKind::IsADirectory.into())) } else { Ok(()) }
}

/// As [`write()`], with the file's SHA-256 in a file of its own beside it.
///
/// # Errors
/// As [`write()`].
pub fn write_marked<T, E: From<WriteError>>(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let _turn = turn(path);
    let (filled, written) = write(path, marked(path).as_deref(), fill)?;
    let beside = mark(path);
    let failed = |source| WriteError { path: beside.clone(), source };
    // A checksum that cannot be read is somebody else's.
    let ours = marked(path).and_then(|_| sha256_of_file(&beside).ok());
    write(&beside, ours.as_deref(), |out| {
        let name = path.file_name().unwrap_or_default();
        out.write_all(written.sha256.as_bytes()).map_err(failed)?;
        out.write_all(b"  ").map_err(failed)?;
        out.write_all(name.as_encoded_bytes()).map_err(failed)?;
        out.write_all(b"\n").map_err(failed)
    })?;
    Ok(filled)
}

/// Removes a file. If its SHA-256 is not `ours`, it is put aside.
///
/// # Errors
/// The file cannot be removed.
pub fn remove(path: &Path, ours: Option<&str>) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    put_aside_unless(path, ours).map_err(failed)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// As [`remove`], for a file that [`write_marked`] wrote.
///
/// # Errors
/// The file cannot be removed.
pub fn remove_marked(path: &Path) -> Result<(), WriteError> {
    let _turn = turn(path);
    let ours = marked(path);
    remove(path, ours.as_deref())?;
    if ours.is_some() { remove(&mark(path), sha256_of_file(&mark(path)).ok().as_deref()) } else { Ok(()) }
}

/// Waits until no other process of this program is between a file and its mark in this directory, and keeps others out. Where
/// that takes long, or the file system knows no locks, the worst is a file that is put aside.
fn turn(path: &Path) -> Option<File> {
    let directory = File::open(directory(path)).ok()?;
    for _ in 0..TURN_LOOKS {
        match directory.try_lock() {
            Ok(()) => return Some(directory),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TURN_LOOK),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// The path of the SHA-256 that [`write_marked`] wrote beside a file.
pub fn mark(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".sha256");
    path.with_file_name(name)
}

/// The SHA-256 recorded beside a file.
fn marked(path: &Path) -> Option<String> {
    let text = small_file::read(&mark(path)).ok()?;
    let sha256 = text.get(..64)?;
    let is_ours = sha256.iter().all(u8::is_ascii_hexdigit) && text.get(64..66) == Some(b"  ");
    String::from_utf8(sha256.to_vec()).ok().filter(|_| is_ours)
}

/// Gives an existing file that is not ours a second name; the write that follows then replaces the first.
fn put_aside_unless(path: &Path, ours: Option<&str>) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    // A directory cannot be replaced, and a device must not be. (A dangling link is put aside like a file.)
    if path.metadata().is_ok_and(|metadata: Metadata| !metadata.is_file()) {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "something stands there that is not a file"));
    }
    if ours.is_some_and(|ours| sha256_of_file(path).is_ok_and(|sha256| sha256 == ours)) {
        return Ok(());
    }
    let name = |number: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("~{number}"));
        PathBuf::from(name)
    };
    let numbers = std::iter::once(String::new()).chain((2..ASIDE_MAX).map(|number| number.to_string()));
    for aside in numbers.map(name) {
        match link_or_rename(path, &aside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let [was, is] = [path, &aside].map(|path| escape_control(&path.to_string_lossy()).into_owned());
                tracing::warn!("{was} is not as this program has written it; it is kept as {is}");
                return Ok(());
            }
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "too many files of this name were put aside; move them away"))
}

/// A hard link never replaces an existing file. Some file systems do not support them.
fn link_or_rename(path: &Path, aside: &Path) -> io::Result<()> {
    match fs::hard_link(path, aside) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            if aside.symlink_metadata().is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(path, aside)
        }
        linked => linked,
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Makes a name durable, where the file system supports it.
fn sync(directory: &Path) {
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

struct Hashing<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn fill(text: &str) -> impl FnOnce(&mut dyn Write) -> Result<(), WriteError> {
        move |out| out.write_all(text.as_bytes()).map_err(|source| WriteError { path: PathBuf::new(), source })
    }

    fn files(directory: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
            .filter(|(name, _)| !name.ends_with(".sha256"))
            .collect()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/file.txt");
        let ((), written) = write(&path, None, fill("abc")).unwrap();
        assert_eq!(written.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((written.bytes, sha256_of_file(&path).unwrap()), (3, written.sha256));
        let broken = |out: &mut dyn Write| {
            out.write_all(b"half").unwrap();
            Err::<(), _>(WriteError { path: path.clone(), source: io::Error::other("it broke") })
        };
        write(&path, None, broken).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_somebody_else_wrote_is_put_aside_and_what_we_wrote_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        let is = |wanted: &[(&str, &str)]| {
            let wanted = wanted.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            assert_eq!(files(dir.path()), wanted);
        };
        fs::write(&path, "theirs").unwrap();
        write_marked(&path, fill("one")).unwrap();
        is(&[("rows.csv", "one"), ("rows.csv~", "theirs")]);
        write_marked(&path, fill("two")).unwrap();
        is(&[("rows.csv", "two"), ("rows.csv~", "theirs")]);
        fs::write(&path, "mended").unwrap();
        write_marked(&path, fill("two")).unwrap();
        is(&[("rows.csv", "two"), ("rows.csv~", "theirs"), ("rows.csv~2", "mended")]);
        remove_marked(&path).unwrap();
        is(&[("rows.csv~", "theirs"), ("rows.csv~2", "mended")]);
        assert!(!mark(&path).exists());
        // Without a mark nothing is ours, and nothing is lost.
        fs::write(&path, "two").unwrap();
        remove_marked(&path).unwrap();
        is(&[("rows.csv~", "theirs"), ("rows.csv~2", "mended"), ("rows.csv~3", "two")]);
        remove_marked(&path).unwrap();
    }

    /// Several runs of one job end at the same time, and each writes the rows that failed.
    #[test]
    fn processes_that_write_one_file_at_the_same_time_do_not_take_it_for_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for time in 0..20 {
                        write_marked(path, fill(&format!("{writer} {time}"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(files(dir.path()).into_keys().collect::<Vec<_>>(), ["rows.csv"]);
        remove_marked(&path).unwrap();
        assert!(files(dir.path()).is_empty());
    }

    #[test]
    fn links_are_put_aside_and_what_is_no_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let [path, target] = ["page.html", "target"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink("target", &path).unwrap();
        write_marked(&path, fill("one")).unwrap();
        assert!(!target.exists() && path.symlink_metadata().unwrap().is_file());
        assert_eq!(dir.path().join("page.html~").read_link().unwrap(), Path::new("target"));
        fs::create_dir(&target).unwrap();
        assert!(write_marked(&target, fill("one")).unwrap_err().to_string().contains("not a file"));
        assert!(target.is_dir());
    }
}
