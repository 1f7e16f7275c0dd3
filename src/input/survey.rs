//! The whole list, looked at by several threads.
//!
//! ```text
//! list ─▶ batch ─┬▶ thread: rows made and looked at ─┬▶ what was found, in the list's order
//!        batch ─┴▶ thread: rows made and looked at ─┘
//! ```
//! Reading is one thread's work at a time: who is free takes the next batch, and a place in the queue with it. So what is
//! found comes in the list's order, however long each batch takes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::rows::{Raw, RowMaker, Rows, Source};
use super::{Input, InputError, Mapping, Row};

/// Threads at most: then reading, which only one does at a time, is what takes the time.
const THREADS_MAX: usize = 4;
/// Rows that are taken at a time: some hundred microseconds' work, so that handing them over costs nothing.
const BATCH_ROWS: usize = 512;
/// Bytes of rows after which no more are taken: a row of a few kilobytes can have a thousand things wrong with it, and what
/// was found is kept until it is taken in.
const BATCH_BYTES: usize = 64 * 1024;
/// Batches that may be ahead of whoever takes in what was found.
const BATCHES_AHEAD: usize = 4;

impl Input {
    /// Looks that [`Input::survey`] can make use of on this machine.
    pub fn looks() -> usize {
        thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS_MAX))
    }

    /// Reads the whole list and has each row looked at by one of `looks`, each on a thread of its own. What they find is
    /// given to `take`, in the list's order. Gives the SHA-256 of the list as stored.
    ///
    /// # Errors
    /// The first error of the list, or of `take`. Every row before it was given to `take`.
    pub fn survey<T: Send, E: From<InputError>>(
        &self,
        mapping: &Mapping,
        looks: Vec<impl FnMut(Row) -> T + Send>,
        mut take: impl FnMut(T) -> Result<(), E>,
    ) -> Result<Option<[u8; 32]>, E> {
        let Rows { source, maker } = self.rows(mapping)?;
        let source = Mutex::new(source);
        let (queue, batches) = sync_channel::<Receiver<Looked<T>>>(BATCHES_AHEAD);
        let work = |mut look, queue: SyncSender<_>| {
            let (mut maker, mut batch) = (maker.clone(), Batch::default());
            loop {
                let (done, found) = sync_channel(1);
                {
                    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
                    batch.read(&mut source);
                    if batch.is_empty() || queue.send(found).is_err() {
                        return;
                    }
                }
                // Where nobody wants it any more, nobody wants the next one.
                let _ = done.send(batch.look(&mut maker, &mut look));
            }
        };
        thread::scope(|scope| {
            for look in looks {
                let (work, queue) = (&work, queue.clone());
                scope.spawn(move || work(look, queue));
            }
            // With these two gone, either side ends when the other has.
            drop(queue);
            for Looked { found, error } in batches.into_iter().flat_map(Receiver::into_iter) {
                found.into_iter().try_for_each(&mut take)?;
                error.map_or(Ok(()), Err)?;
            }
            Ok::<(), E>(())
        })?;
        Ok(source.into_inner().unwrap_or_else(PoisonError::into_inner).sha256())
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

/// What was found in a batch, and why no more could be read behind it.
struct Looked<T> {
    found: Vec<T>,
    error: Option<InputError>,
}

impl Batch {
    fn read(&mut self, source: &mut Source) {
        self.rows.clear();
        self.bytes.clear();
        self.ends.clear();
        while self.rows.len() < BATCH_ROWS && self.bytes.len() < BATCH_BYTES {
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

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.error.is_none()
    }

    fn look<T>(&mut self, maker: &mut RowMaker, look: &mut impl FnMut(Row) -> T) -> Looked<T> {
        let (mut bytes, mut ends) = (0, 0);
        let looked = self.rows.drain(..).map(|Taken { number, line, fault, bytes_end, ends_end }| {
            let raw =
                Raw { number, line, fault, bytes: &self.bytes[bytes..bytes_end], ends: &self.ends[ends..ends_end] };
            (bytes, ends) = (bytes_end, ends_end);
            look(maker.make(raw))
        });
        Looked { found: looked.collect(), error: self.error.take() }
    }
}
