//! Parses the whole list on several threads.
//!
//! ```text
//! list ─┬▶ batch ─▶ thread: parses rows, calls its visitor
//!       └▶ batch ─▶ thread: parses rows, calls its visitor
//! ```
//! One thread reads at a time: a free thread takes the next batch. Each visitor keeps its own results; passing them on
//! row by row would take a tenth of the time.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::list_reader::ListReader;
use super::row_source::{RawRow, RowSource};
use super::rows::{RowParser, Rows};
use super::{Input, InputError, Mapping, ReadInput, Row};

/// Maximum number of threads. Beyond it, reading, which only one thread does at a time, is the bottleneck.
const THREADS_MAX: usize = 4;
/// Rows in a batch: a few milliseconds' work, so that the handover costs nothing.
const BATCH_ROWS: usize = 2048;
/// Bytes after which a batch is full: long rows would otherwise fill the memory.
const BATCH_BYTES: usize = 256 * 1024;

impl Input {
    /// The number of visitors that [`Input::survey`] can run in parallel on this machine.
    pub fn survey_threads() -> usize {
        thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS_MAX))
    }

    /// Reads every list and passes each row to one of `visitors`, each on its own thread. Each visitor receives its rows
    /// in order. Returns what was read.
    ///
    /// # Errors
    /// Fails if the list cannot be read or a visitor fails; then some rows were not visited.
    pub fn survey<V: FnMut(Row) -> Result<(), E> + Send, E: From<InputError> + Send>(
        &self,
        mapping: &Mapping,
        visitors: Vec<V>,
    ) -> Result<Option<ReadInput>, E> {
        let Rows { list, parser } = self.rows(mapping)?;
        let list = Mutex::new(list);
        let lock_list = || list.lock().unwrap_or_else(PoisonError::into_inner);
        let work = |mut visitor: V| -> Result<(), E> {
            let (mut parser, mut batch) = (parser.clone(), Batch::default());
            loop {
                batch.read(&mut lock_list());
                if batch.is_empty() {
                    return Ok(());
                }
                // If one visitor fails, the others stop as well.
                batch.visit(&mut parser, &mut visitor).inspect_err(|_| lock_list().stop())?;
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = visitors.into_iter().map(|visitor| scope.spawn(|| work(visitor))).collect();
            // Propagates a panic, as if the rows had been visited on this thread.
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        Ok(lock_list().read_input())
    }
}

/// Raw rows of one list in shared buffers, which the next batch reuses.
#[derive(Default)]
struct Batch {
    rows: Vec<BatchRow>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    source: Option<RowSource>,
    /// Why reading stopped, if it failed.
    error: Option<InputError>,
}

/// One row of a batch: where its bytes and cell ends stop in the batch's buffers.
struct BatchRow {
    number: u64,
    line: u64,
    malformed: Option<String>,
    bytes_end: usize,
    ends_end: usize,
}

impl Batch {
    fn read(&mut self, list: &mut ListReader) {
        self.rows.clear();
        self.bytes.clear();
        self.ends.clear();
        while self.rows.len() < BATCH_ROWS && self.byte_count() < BATCH_BYTES {
            match list.read_in_list() {
                Ok(Some(raw)) => self.push(raw),
                Ok(None) if !self.rows.is_empty() => break,
                Ok(None) => match list.next_list() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        self.error = Some(error);
                        break;
                    }
                },
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        self.source = Some(list.source().clone());
    }

    fn push(&mut self, raw: RawRow<'_>) {
        let RawRow { number, line, malformed, bytes, ends, source: _ } = raw;
        self.bytes.extend_from_slice(bytes);
        self.ends.extend_from_slice(ends);
        self.rows.push(BatchRow { number, line, malformed, bytes_end: self.bytes.len(), ends_end: self.ends.len() });
    }

    /// Cell ends count too: a row of empty cells has nothing else.
    fn byte_count(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.error.is_none()
    }

    fn visit<E: From<InputError>>(
        &mut self,
        parser: &mut RowParser,
        visitor: &mut impl FnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut bytes, mut ends) = (0, 0);
        let Some(source) = &self.source else { return Ok(()) };
        for BatchRow { number, line, malformed, bytes_end, ends_end } in self.rows.drain(..) {
            let raw = RawRow {
                number,
                line,
                malformed,
                bytes: &self.bytes[bytes..bytes_end],
                ends: &self.ends[ends..ends_end],
                source,
            };
            (bytes, ends) = (bytes_end, ends_end);
            visitor(parser.parse(raw))?;
        }
        self.error.take().map_or(Ok(()), |error| Err(error.into()))
    }
}
