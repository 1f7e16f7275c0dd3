//! The lists of a job: one, or several that are read one after the other as if they were one.

use std::io::Read;
use std::iter;
use std::path::{Path, PathBuf};

use super::{Format, InputError, List, Mapping, Rows, SheetRead};
use crate::edit::OneOfLists;
use crate::system::same_file::Identity;

const STANDARD_INPUT: &str = "-";
/// Lists that are named; further ones are only counted.
const NAMED_MAX: usize = 3;

/// A job's lists, which can be read from the top any number of times. Readers are independent of each other.
#[derive(Clone, Debug)]
pub struct Input {
    first: List,
    others: Vec<List>,
    display_name: String,
}

impl Input {
    /// Opens the list at `path`; `-` is standard input, which is copied into a temporary file first. Without `format`,
    /// the file's name determines the format; gzip is recognized by the file's first bytes.
    ///
    /// # Errors
    /// Fails if the format is unknown, or the file cannot be opened or cannot be read more than once.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Input, InputError> {
        List::open(path, format).map(|list| Input::new(list, Vec::new()))
    }

    /// Opens several lists, to be read in this order. Of several, `format` is the format of those whose names imply none.
    ///
    /// # Errors
    /// Fails as [`Input::open`] does, and if two of them are one file.
    pub fn open_all(first: &Path, others: &[PathBuf], format: Option<Format>) -> Result<Input, InputError> {
        if others.is_empty() {
            return Input::open(first, format);
        }
        let paths: Vec<&Path> = iter::once(first).chain(others.iter().map(PathBuf::as_path)).collect();
        check_distinct(&paths)?;
        let open = |path: &Path| List::open(path, Format::told_by_name(&path.to_string_lossy()).or(format));
        Ok(Input::new(open(first)?, others.iter().map(|path| open(path)).collect::<Result<_, _>>()?))
    }

    /// Copies a stream into an unnamed temporary file that only this user can read, and opens that.
    ///
    /// # Errors
    /// Fails if the stream cannot be read or is longer than [`SPOOL_BYTES_MAX`](super::SPOOL_BYTES_MAX), or the disk is
    /// full.
    pub fn from_reader(name: &str, reader: impl Read, format: Format) -> Result<Input, InputError> {
        List::from_reader(name, reader, format).map(|list| Input::new(list, Vec::new()))
    }

    fn new(mut first: List, mut others: Vec<List>) -> Input {
        if !others.is_empty() {
            for (position, list) in (1..).zip(iter::once(&mut first).chain(&mut others)) {
                list.one_of = Some(OneOfLists { position, name: list.display_name.clone() });
            }
        }
        let names: Vec<&str> =
            iter::once(&first).chain(&others).map(|list| &*list.display_name).take(NAMED_MAX).collect();
        let more = (1 + others.len()).saturating_sub(NAMED_MAX);
        let mut display_name = names.join(", ");
        if more > 0 {
            display_name = format!("{display_name} and {more} more");
        }
        Input { first, others, display_name }
    }

    /// The lists, in the order in which they are read.
    pub fn lists(&self) -> impl Iterator<Item = &List> {
        iter::once(&self.first).chain(&self.others)
    }

    /// Whether there is more than one.
    pub fn has_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// The name of the list, or the names of the first ones, escaped for display.
    pub fn name(&self) -> &str {
        &self.display_name
    }

    /// The lists' size in bytes, as stored.
    pub fn bytes(&self) -> u64 {
        self.lists().map(List::bytes).sum()
    }

    /// The sheets of the workbooks among the lists that are read, and what there is to say about them.
    ///
    /// # Errors
    /// Fails if a workbook cannot be read.
    pub fn sheets(&self, mapping: &Mapping) -> Result<Vec<SheetRead>, InputError> {
        let mut sheets = Vec::new();
        for list in self.lists() {
            let Some(SheetRead { name, mut remark }) = list.sheet(mapping)? else { continue };
            if self.has_several() {
                remark = remark.map(|remark| format!("{}: {remark}", list.display_name));
            }
            sheets.push(SheetRead { name, remark });
        }
        Ok(sheets)
    }

    /// Reads from the top. The header of the first CSV list is checked here, those of others when they are reached.
    ///
    /// # Errors
    /// Fails if the list has changed since it was opened, cannot be read, or has an invalid header.
    pub fn rows(&self, mapping: &Mapping) -> Result<Rows, InputError> {
        Rows::new(&self.first, &self.others, mapping)
    }
}

/// Checks that no file is given twice, by whatever name: its rows would all be duplicates, so another list was probably
/// meant. Checked before standard input is copied, which may take a while.
fn check_distinct(paths: &[&Path]) -> Result<(), InputError> {
    let is_standard_input = |path: &Path| path.as_os_str() == STANDARD_INPUT;
    if paths.iter().filter(|path| is_standard_input(path)).count() > 1 {
        return Err(InputError::StandardInputTwice);
    }
    let identity = |path: &&Path| Identity::of(if is_standard_input(path) { Path::new("/dev/stdin") } else { path });
    let identities: Vec<Identity> = paths.iter().map(identity).collect();
    for (index, identity) in identities.iter().enumerate() {
        if let Some(before) = identities[..index].iter().position(|before| before.is(identity)) {
            let name = |index: usize| paths[index].display().to_string();
            return Err(InputError::SameFile { name: name(index), before: name(before) });
        }
    }
    Ok(())
}
