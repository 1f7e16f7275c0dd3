//! The file in which originals are kept: a line that names it, and then ciphertexts, each after a line with its number, its
//! length and its SHA-256. It is only ever added to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::filter::FilterError;
use crate::ledger::{Ciphertext, LedgerAddress, LedgerError};
use crate::system::digest::{hex, sha256};
use crate::system::rescued;
use crate::system::same_file::Identity;

/// What the first line begins with.
const MAGIC: &str = "runner-originals/1 ";
/// Longer than any line between ciphertexts.
const LINE_MAX: u64 = 256;

/// Why originals cannot be kept, or not be given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginalsError {
    /// It cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something else is in it.
    #[error("{} holds something else than originals; name another file, nothing in this one was changed", path.display())]
    SomethingElse {
        /// The file.
        path: PathBuf,
    },
    /// Another run keeps originals in it.
    #[error("another run keeps originals in {}; let it finish, or name another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold what the ledger says that it holds.
    #[error(
        "{} lacks the ciphertext {number}, which the ledger records, or has another one in its place: it was cut off or \
         altered, or an older copy was put there. Put the right one back, or name a new file", path.display()
    )]
    Lacks {
        /// The file.
        path: PathBuf,
        /// The first one that is missing.
        number: u64,
    },
    /// It holds nothing, and perhaps held what the ledger records.
    #[error(
        "{} is empty, and the ledger records originals: if they were in it, put back what it held; if it is to be a new file, \
         remove it", path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It was made for another ledger.
    #[error(
        "{} keeps the originals of another ledger ({theirs}): the way back takes the newest original of a message, so each ledger \
         needs a file of its own; name another one", path.display()
    )]
    OtherLedger {
        /// The file.
        path: PathBuf,
        /// The name of that ledger's log.
        theirs: String,
    },
    /// The ledger has nothing of it.
    #[error("{ledger} records nothing of {}; is it the file of another ledger?", path.display())]
    NotRecorded {
        /// The file.
        path: PathBuf,
        /// The ledger.
        ledger: LedgerAddress,
    },
    /// Some of it makes no sense.
    #[error("{} makes no sense after its ciphertext {number}: a run died there, or the file was damaged", path.display())]
    BreaksOff {
        /// The file.
        path: PathBuf,
        /// The last whole one.
        number: u64,
    },
    /// A ciphertext is not as it was written.
    #[error("the ciphertext {number} of {} is not as it was written: its SHA-256 is another one", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// Its number.
        number: u64,
    },
    /// It was moved.
    #[error("{} is not the file any more that this run began with; put that one back", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// It was removed while the run went on.
    #[error(
        "{} was removed while this run went on; what it held is in {}: put that in its place", path.display(), rescued.display()
    )]
    Removed {
        /// The file.
        path: PathBuf,
        /// Where its content is now.
        rescued: PathBuf,
    },
    /// It was removed, and its content with it.
    #[error("{} was removed while this run went on, and what it held could not be saved: {source}", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The command that encrypts failed.
    #[error("--encrypt-with: {0}")]
    Encrypting(FilterError),
    /// The command that decrypts failed.
    #[error("the ciphertext {number} of {} could not be decrypted: {source}; are key and command the right ones?", path.display())]
    Decrypting {
        /// The file.
        path: PathBuf,
        /// Its number.
        number: u64,
        /// What went wrong.
        source: FilterError,
    },
    /// What was encrypted can be read.
    #[error("--encrypt-with gives back what it got as it was, which anybody could read; name a command that encrypts")]
    Unencrypted,
    /// What was decrypted is no list.
    #[error("the ciphertext {number} of {} was not decrypted to lines of a list; is it the right key?", path.display())]
    NoLines {
        /// The file.
        path: PathBuf,
        /// Its number.
        number: u64,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The list cannot be written.
    #[error("cannot write the list: {source}")]
    Unwritten {
        /// Why not.
        source: io::Error,
    },
}

/// A ciphertext in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From 1.
    pub number: u64,
    /// Its SHA-256 when it was written, in hexadecimal.
    pub sha256: String,
    /// Where it begins.
    at: u64,
    bytes: u64,
}

/// What a file of originals holds.
#[derive(Debug)]
pub struct Frames {
    file: File,
    path: PathBuf,
    /// Its name.
    pub name: Arc<str>,
    /// The name of the log of its ledger.
    ledger: String,
    /// Its ciphertexts, in order.
    pub frames: Vec<Frame>,
    /// Where the last whole one ends.
    end: u64,
    /// Whether that is the end of the file.
    is_whole: bool,
    /// The last whole ciphertext before something that makes no sense, after which there are others.
    broken_after: Option<u64>,
}

impl Frames {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn open(path: &Path) -> Result<Frames, OriginalsError> {
        let unusable = |source| OriginalsError::Unusable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unusable)?;
        let frames = Frames::of(file, path).map_err(unusable)?;
        frames.ok_or_else(|| OriginalsError::SomethingElse { path: path.to_owned() })
    }

    /// `None`: the first line is not that of such a file.
    fn of(file: File, path: &Path) -> io::Result<Option<Frames>> {
        let bytes = file.metadata()?.len();
        let mut reader = BufReader::new(&file);
        let Some(first) = line(&mut reader)? else { return Ok(None) };
        let Some((name, ledger)) = first.strip_prefix(MAGIC).and_then(|rest| rest.split_once(' ')) else {
            return Ok(None);
        };
        let (mut frames, mut end, mut broken_after) = (Vec::<Frame>::new(), reader.stream_position()?, None);
        let mut at = end;
        loop {
            let next = frames.last().map_or(1, |last| last.number + 1);
            if let Some(frame) = next_frame(&mut reader, next, at, bytes)? {
                if at > end {
                    broken_after.get_or_insert(next - 1);
                }
                end = frame.at + frame.bytes + 1;
                at = end;
                frames.push(frame);
                continue;
            }
            // Whatever stands there, another one may come after it.
            reader.seek(SeekFrom::Start(at))?;
            reader.skip_until(b'\n')?;
            at = reader.stream_position()?;
            if at >= bytes {
                break;
            }
        }
        let (name, ledger, is_whole) = (name.into(), ledger.to_owned(), end == bytes);
        Ok(Some(Frames { file, path: path.to_owned(), name, ledger, frames, end, is_whole, broken_after }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a ciphertext.
    ///
    /// # Errors
    /// They cannot be read, or are not as they were written.
    pub fn read(&self, frame: &Frame) -> Result<Vec<u8>, OriginalsError> {
        let unusable = |source| OriginalsError::Unusable { path: self.path.clone(), source };
        // No longer than the file.
        let mut bytes = vec![0; usize::try_from(frame.bytes).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, frame.at).map_err(unusable)?;
        if sha256(&bytes) == frame.sha256 {
            Ok(bytes)
        } else {
            Err(OriginalsError::Altered { path: self.path.clone(), number: frame.number })
        }
    }

    /// Whether there is nothing but whole ciphertexts.
    ///
    /// # Errors
    /// There is.
    pub fn check_whole(&self) -> Result<(), OriginalsError> {
        let last = self.frames.last().map_or(0, |last| last.number);
        match self.broken_after.or((!self.is_whole).then_some(last)) {
            Some(number) => Err(OriginalsError::BreaksOff { path: self.path.clone(), number }),
            None => Ok(()),
        }
    }

    /// Checks that all that a ledger records of this file is in it.
    ///
    /// # Errors
    /// Not all of it is.
    pub fn check_recorded(&self, recorded: &[Ciphertext]) -> Result<(), OriginalsError> {
        let is_there = |ciphertext: &&Ciphertext| {
            let found = self.frames.binary_search_by_key(&ciphertext.number, |frame| frame.number);
            found.is_ok_and(|index| self.frames[index].sha256 == ciphertext.sha256)
        };
        let of_this = recorded.iter().filter(|ciphertext| ciphertext.file == self.name);
        match of_this.filter(|ciphertext| !is_there(ciphertext)).map(|ciphertext| ciphertext.number).min() {
            Some(number) => Err(OriginalsError::Lacks { path: self.path.clone(), number }),
            None => Ok(()),
        }
    }
}

/// A line without its line feed; `None`: there is no whole one, or it is too long.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.take(LINE_MAX).read_until(b'\n', &mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(|line| String::from_utf8(line.to_vec()).ok()))
}

/// The ciphertext of this number after the line at `at`, if it is whole.
fn next_frame(reader: &mut BufReader<&File>, number: u64, at: u64, end: u64) -> io::Result<Option<Frame>> {
    let Some(line) = line(reader)? else { return Ok(None) };
    let mut words = line.split(' ');
    let words = [(); 5].map(|()| words.next());
    let [Some("ciphertext"), Some(is), Some(bytes), Some(sha256), None] = words else { return Ok(None) };
    let (Ok(is), Ok(bytes)) = (is.parse::<u64>(), bytes.parse::<u64>()) else { return Ok(None) };
    let at = at + line.len() as u64 + 1;
    if is < number || at.checked_add(bytes).is_none_or(|after| after >= end) {
        return Ok(None);
    }
    reader.seek_relative(i64::try_from(bytes).map_err(io::Error::other)?)?;
    let mut feed = [0];
    reader.read_exact(&mut feed)?;
    Ok((feed == *b"\n").then(|| Frame { number: is, sha256: sha256.to_owned(), at, bytes }))
}

/// A file to which originals are added, locked.
#[derive(Debug)]
pub struct OriginalsFile {
    frames: Frames,
    identity: Identity,
}

impl OriginalsFile {
    /// Opens the file, or makes it, readable by its owner only. What a run that died has not written to its end is cut off: no
    /// edit was sent after that. `ledger` is the name of the ledger's log, `recorded` what it records.
    ///
    /// # Errors
    /// It cannot be used, holds something else, or what another ledger's run has kept, is in use or damaged, or lacks what the
    /// ledger records. Nothing in it was changed then.
    pub fn open(path: &Path, ledger: &str, recorded: &[Ciphertext]) -> Result<OriginalsFile, OriginalsError> {
        let unusable = |source| OriginalsError::Unusable { path: path.to_owned(), source };
        let (mut options, was_there) = (OpenOptions::new(), path.exists());
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OriginalsError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        if is_to_be_named(&file).map_err(unusable)? {
            if was_there && !recorded.is_empty() {
                return Err(OriginalsError::Empty { path: path.to_owned() });
            }
            name(&file, ledger).map_err(unusable)?;
            // Its name is durable as well.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = File::open(directory.unwrap_or(Path::new(".")));
            directory.and_then(|directory| directory.sync_all()).map_err(unusable)?;
        }
        (&file).seek(SeekFrom::Start(0)).map_err(unusable)?;
        let frames = Frames::of(file, path).map_err(unusable)?;
        let mut frames = frames.ok_or_else(|| OriginalsError::SomethingElse { path: path.to_owned() })?;
        if frames.ledger != ledger {
            return Err(OriginalsError::OtherLedger { path: path.to_owned(), theirs: frames.ledger });
        }
        frames.check_recorded(recorded)?;
        if let Some(number) = frames.broken_after {
            return Err(OriginalsError::BreaksOff { path: path.to_owned(), number });
        }
        let last_recorded = recorded.iter().filter(|ciphertext| ciphertext.file == frames.name).map(|c| c.number).max();
        let is_recorded = |frame: &&Frame| Some(frame.number) <= last_recorded;
        for frame in frames.frames.iter().take_while(is_recorded) {
            frames.read(frame)?;
        }
        // The length of the last one may have come to the disk without its bytes.
        if let Some(last) = frames.frames.last().filter(|last| !is_recorded(last))
            && matches!(frames.read(last), Err(OriginalsError::Altered { .. }))
        {
            frames.end = frames.frames.pop().map_or(frames.end, |last| last.at - header(&last).len() as u64);
            frames.is_whole = false;
        }
        if !frames.is_whole {
            tracing::warn!(
                "{}: what a run that died has not written to its end is cut off, after ciphertext {}",
                path.display(),
                frames.frames.len()
            );
            frames.file.set_len(frames.end).map_err(unusable)?;
        }
        // A run that died may not have come to this.
        frames.file.sync_all().map_err(unusable)?;
        Ok(OriginalsFile { frames, identity: Identity::of(path) })
    }

    /// Adds a ciphertext of so many originals. Once this returns it survives a power cut.
    ///
    /// # Errors
    /// Nothing is known of it then.
    pub fn append(&mut self, ciphertext: &[u8], originals: u64) -> Result<Ciphertext, OriginalsError> {
        let Frames { file, path, name, frames, end, .. } = &mut self.frames;
        let unusable = |source| OriginalsError::Unusable { path: path.clone(), source };
        let number = frames.last().map_or(1, |last| last.number + 1);
        let mut frame = Frame { number, sha256: sha256(ciphertext), at: 0, bytes: ciphertext.len() as u64 };
        let header = header(&frame);
        frame.at = *end + header.len() as u64;
        let bytes = [header.as_bytes(), ciphertext, b"\n"].concat();
        file.write_all_at(&bytes, *end).and_then(|()| file.sync_data()).map_err(unusable)?;
        *end += bytes.len() as u64;
        let kept = Ciphertext { file: Arc::clone(name), number, originals, sha256: frame.sha256.clone() };
        frames.push(frame);
        // In a file without a name nothing is durable.
        self.check_is_there()?;
        Ok(kept)
    }

    /// Checks that the file still has its name. If it was removed, what it held is saved beside where it was.
    ///
    /// # Errors
    /// It has not.
    pub fn check_is_there(&self) -> Result<(), OriginalsError> {
        let path = self.frames.path.clone();
        if Identity::of(&path) == self.identity {
            return Ok(());
        }
        if self.frames.file.metadata().is_ok_and(|file| file.nlink() > 0) {
            return Err(OriginalsError::Moved { path });
        }
        match self.rescue() {
            Ok(rescued) => Err(OriginalsError::Removed { path, rescued }),
            Err(source) => Err(OriginalsError::Gone { path, source }),
        }
    }

    fn rescue(&self) -> io::Result<PathBuf> {
        let (rescued, mut out) = rescued::create(&self.frames.path)?;
        let mut file = &self.frames.file;
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut file.take(self.frames.end), &mut out)?;
        out.sync_all()?;
        Ok(rescued)
    }

    /// Whether it is the file of this ciphertext.
    pub fn has(&self, ciphertext: &Ciphertext) -> bool {
        ciphertext.file == self.frames.name
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.frames.path
    }
}

fn header(frame: &Frame) -> String {
    let Frame { number, sha256, bytes, .. } = frame;
    format!("ciphertext {number} {bytes} {sha256}\n")
}

/// Whether it is new, or its first line was not written to its end.
fn is_to_be_named(file: &File) -> io::Result<bool> {
    let mut line = Vec::new();
    file.take(LINE_MAX).read_to_end(&mut line)?;
    let begins = line.len().min(MAGIC.len());
    Ok(!line.contains(&b'\n')
        && line.len() < usize::try_from(LINE_MAX).unwrap_or_default()
        && line[..begins] == MAGIC.as_bytes()[..begins])
}

/// Writes the first line, with a name that no other file has, and that of the ledger's log.
fn name(file: &File, ledger: &str) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    file.set_len(0)?;
    file.write_all_at(format!("{MAGIC}{} {ledger}\n", hex(&random)).as_bytes(), 0)?;
    file.sync_all()
}
