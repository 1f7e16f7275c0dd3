//! The whole list, looked at by several threads.
//!
//! ```text
//! list ─▶ batch ─┬▶ thread: rows made and looked at
//!        batch ─┴▶ thread: rows made and looked at
//! ```
//! Reading is one thread's work at a time: who is free takes the next batch. Each keeps what it finds; handing it to one
//! that puts it together, row by row, would take a tenth of the time.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::list_reader::Source;
use super::raw_row::Raw;
use super::rows::{RowMaker, Rows};
use super::{Input, InputError, Mapping, Row};

/// Threads at most: then reading, which only one does at a time, is what takes the time.
const THREADS_MAX: usize = 4;
/// Rows that are taken at a time: some milliseconds' work, so that handing them over costs nothing.
const BATCH_ROWS: usize = 2048;
/// Bytes of rows after which no more are taken: long ones would fill the memory.
const BATCH_BYTES: usize = 256 * 1024;

impl Input {
    /// Looks that [`Input::survey`] can make use of on this machine.
    pub fn looks() -> usize {
        thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS_MAX))
    }

    /// Reads the whole list and has each row looked at by one of `looks`, each on a thread of its own. To each they come in
    /// the list's order. Gives the SHA-256 of the list as stored.
    ///
    /// # Errors
    /// An error of the list, or of a look: then not every row was looked at.
    pub fn survey<L: FnMut(Row) -> Result<(), E> + Send, E: From<InputError> + Send>(
        &self,
        mapping: &Mapping,
        looks: Vec<L>,
    ) -> Result<Option<[u8; 32]>, E> {
        let Rows { source, maker } = self.rows(mapping)?;
        let source = Mutex::new(source);
        let source_now = || source.lock().unwrap_or_else(PoisonError::into_inner);
        let work = |mut look: L| -> Result<(), E> {
            let (mut maker, mut batch) = (maker.clone(), Batch::default());
            loop {
                batch.read(&mut source_now());
                if batch.is_empty() {
                    return Ok(());
                }
                // Where one cannot go on, the others need not.
                batch.look(&mut maker, &mut look).inspect_err(|_| source_now().end())?;
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = looks.into_iter().map(|look| scope.spawn(|| work(look))).collect();
            // A panic of a thread is passed on, as if its rows had been looked at here.
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        Ok(source_now().sha256())
    }
}

/// Rows as they stand in the list, one behind the other. Its room is used again for the next ones.
#[derive(Default)]
struct Batch {
    rows: Vec<Taken>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Why no more could be read.
    error: Option<InputError>,
}

/// One of them: its bytes and cells end so far into the batch's.
struct Taken {
    number: u64,
    line: u64,
    fault: Option<String>,
    bytes_end: usize,
    ends_end: usize,
}

impl Batch {
    fn read(&mut self, source: &mut Source) {
        self.rows.clear();
        self.bytes.clear();
        self.ends.clear();
        while self.rows.len() < BATCH_ROWS && self.taken_bytes() < BATCH_BYTES {
            match source.read() {
                Ok(Some(raw)) => self.push(raw),
                Ok(None) => break,
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
    }

    fn push(&mut self, raw: Raw<'_>) {
        let Raw { number, line, fault, bytes, ends } = raw;
        self.bytes.extend_from_slice(bytes);
        self.ends.extend_from_slice(ends);
        self.rows.push(Taken { number, line, fault, bytes_end: self.bytes.len(), ends_end: self.ends.len() });
    }

    /// A row of nothing but empty cells has their ends.
    fn taken_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.error.is_none()
    }

    fn look<E: From<InputError>>(
        &mut self,
        maker: &mut RowMaker,
        look: &mut impl FnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut bytes, mut ends) = (0, 0);
        for Taken { number, line, fault, bytes_end, ends_end } in self.rows.drain(..) {
            let raw =
                Raw { number, line, fault, bytes: &self.bytes[bytes..bytes_end], ends: &self.ends[ends..ends_end] };
            (bytes, ends) = (bytes_end, ends_end);
            look(maker.make(raw))?;
        }
        self.error.take().map_or(Ok(()), |error| Err(error.into()))
    }
}
