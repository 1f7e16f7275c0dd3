//! All edits of a job, read once and kept in memory, for whoever looks all of a list up: about 72 bytes an edit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::Type;

use super::begin::{OTHERS, progress};
use super::columns::{edit, unsound};
use super::link::{Link, failure, read, within};
use super::schema::{self, query};
use super::{Driver, PostgresAddress, PostgresError, Purpose};
use crate::edit::IdDigest;
use crate::ledger::{EditRow, EditStatus, JobIdentity, LedgerError, LostCommits, Progress, Records};

/// The longest that the database may take for the next rows.
const STALL_MAX: Duration = Duration::from_mins(1);

/// The edits of a job as they were at one moment.
#[derive(Clone, Debug)]
pub(super) struct PostgresRecords {
    address: PostgresAddress,
    edits: Arc<Edits>,
    /// Those of them that live runs were sending at that moment.
    under_way: Arc<HashSet<IdDigest>>,
    /// Whether those are left out: for a plan they are neither done nor in doubt, but still to be sent.
    is_held: bool,
    went_through_proxy: bool,
    progress: Progress,
}

/// What is read of a job's ledger.
struct Loaded {
    edits: Vec<(IdDigest, EditRow)>,
    under_way: HashSet<IdDigest>,
    went_through_proxy: bool,
    progress: Progress,
}

/// Edits by their messages. A binary search of a million would wait for the memory at each of its twenty steps, which takes
/// as long as reading them takes.
#[derive(Debug)]
struct Edits {
    /// In the order of their messages.
    sorted: Vec<(IdDigest, EditRow)>,
    /// Where those begin whose digests begin with these bits, and where the last ones end; about as many as there are edits.
    begins: Vec<usize>,
    bits: u32,
}

impl Edits {
    fn new(mut edits: Vec<(IdDigest, EditRow)>) -> Edits {
        edits.sort_unstable_by_key(|(message, _)| message.0);
        let bits = edits.len().max(1).ilog2();
        let mut begins = vec![0; (1 << bits) + 1];
        for (message, _) in &edits {
            begins[first_bits(*message, bits) + 1] += 1;
        }
        for at in 1..begins.len() {
            begins[at] += begins[at - 1];
        }
        Edits { sorted: edits, begins, bits }
    }

    fn find(&self, message: IdDigest) -> Option<&EditRow> {
        let first = first_bits(message, self.bits);
        let near = self.sorted.get(*self.begins.get(first)?..*self.begins.get(first + 1)?)?;
        near.iter().find(|(one, _)| *one == message).map(|(_, row)| row)
    }
}

/// They are spread evenly, being of a digest.
fn first_bits(message: IdDigest, bits: u32) -> usize {
    let first = message.0.iter().take(8).fold(0, |first, byte| first << 8 | u64::from(*byte));
    usize::try_from(first.checked_shr(u64::BITS - bits).unwrap_or_default()).unwrap_or_default()
}

impl PostgresRecords {
    /// Reads them, of a ledger that is checked to be this job's; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is another job's.
    pub(super) fn open(
        address: &PostgresAddress,
        job: Option<(&JobIdentity, LostCommits)>,
    ) -> Result<Option<PostgresRecords>, LedgerError> {
        let (at, job) = (address.clone(), job.map(|(job, gaps)| (job.clone(), gaps)));
        let read = Driver::get()?.wait(async move { load(&at, job.as_ref()).await })??;
        Ok(read.map(|Loaded { edits, under_way, went_through_proxy, progress }| {
            let (edits, under_way) = (Arc::new(Edits::new(edits)), Arc::new(under_way));
            PostgresRecords { address: address.clone(), edits, under_way, is_held: false, went_through_proxy, progress }
        }))
    }

    fn find(&self, message: IdDigest) -> Option<&EditRow> {
        if self.is_held && self.under_way.contains(&message) {
            return None;
        }
        self.edits.find(message)
    }
}

async fn load(
    address: &PostgresAddress,
    job: Option<&(JobIdentity, LostCommits)>,
) -> Result<Option<Loaded>, LedgerError> {
    let mut link = Link::new(address, Purpose::Look);
    let client = &*link.client().await?;
    let job = job.map(|(job, gaps)| (job, *gaps));
    let facts = async {
        let Some(row) = schema::find_ledger(client, address, job).await? else { return Ok(None) };
        let proxy = "SELECT EXISTS (SELECT 1 FROM run WHERE job = $1 AND proxy IS NOT NULL)";
        let rows = query(client, address, proxy, &[&row.job]).await?;
        let went_through_proxy = rows.first().map_or(Ok(false), |row| read(address, row.try_get(0)))?;
        let rows = query(client, address, OTHERS, &[&row.job, &0_i64]).await?;
        let progress = rows.first().map_or(Ok(Progress::default()), |row| read(address, progress(row)))?;
        Ok(Some((row.job, went_through_proxy, progress)))
    };
    let Some((job, went_through_proxy, progress)) = within(address, facts).await? else { return Ok(None) };
    let (edits, under_way) = copy(client, address, job).await?;
    Ok(Some(Loaded { edits, under_way, went_through_proxy, progress }))
}

/// A run that has not beaten for ten seconds has most likely died, and nobody has declared it lost yet.
async fn copy(
    client: &Client,
    address: &PostgresAddress,
    job: i32,
) -> Result<(Vec<(IdDigest, EditRow)>, HashSet<IdDigest>), LedgerError> {
    let failed = |error| failure(address, PostgresError::of(address, error));
    let sql = format!(
        "COPY (SELECT message, content, state, attempts, code, note,
                      state = 'sending' AND EXISTS (
                          SELECT 1 FROM lease l WHERE l.run = e.run AND l.state = 'live'
                          AND l.renewed_at > clock_timestamp() - interval '10 s')
               FROM edit e WHERE job = {job})
         TO STDOUT (FORMAT BINARY)"
    );
    // An enum is sent as text.
    let types = [Type::BYTEA, Type::BYTEA, Type::TEXT, Type::INT4, Type::INT8, Type::TEXT, Type::BOOL];
    let begun = timeout(STALL_MAX, client.copy_out(&sql)).await;
    let timed_out = || PostgresError::TimedOut { address: address.to_string().into() }.into();
    let rows = BinaryCopyOutStream::new(begun.map_err(|_| timed_out())?.map_err(failed)?, &types);
    pin_mut!(rows);
    let (mut edits, mut under_way) = (Vec::new(), HashSet::new());
    loop {
        let row = match timeout(STALL_MAX, rows.next()).await {
            Ok(Some(row)) => row.map_err(failed)?,
            Ok(None) => return Ok((edits, under_way)),
            Err(_) => return Err(timed_out()),
        };
        let digests: (&[u8], &[u8]) = (read(address, row.try_get(0))?, read(address, row.try_get(1))?);
        let state = (read(address, row.try_get(2))?, read(address, row.try_get(3))?);
        let cause = (read(address, row.try_get(4))?, read(address, row.try_get(5))?);
        let edit = edit(address, digests, state, cause)?;
        if read(address, row.try_get(6))? {
            under_way.insert(edit.0);
        }
        edits.push(edit);
    }
}

impl Records for PostgresRecords {
    fn status(&mut self, message: IdDigest) -> Result<Option<EditStatus>, LedgerError> {
        Ok(self.find(message).map(|row| EditStatus { state: row.state, content: row.content }))
    }

    fn row(&mut self, message: IdDigest) -> Result<EditRow, LedgerError> {
        self.find(message).copied().ok_or_else(|| unsound(&self.address, "an edit is missing"))
    }

    fn again(&self) -> Result<Box<dyn Records>, LedgerError> {
        Ok(Box::new(self.clone()))
    }

    fn held(mut self: Box<Self>) -> Result<Box<dyn Records>, LedgerError> {
        self.is_held = true;
        Ok(self)
    }

    fn went_through_proxy(&self) -> Result<bool, LedgerError> {
        Ok(self.went_through_proxy)
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::ContentDigest;
    use crate::ledger::State;

    #[test]
    fn every_edit_is_found_and_no_other() {
        let digest = |number: u32| IdDigest(*blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().unwrap());
        for count in [0, 1, 2, 3, 64, 1_000] {
            let row = |attempts| EditRow {
                state: State::Done,
                content: ContentDigest([7; 16]),
                attempts,
                code: Some(0),
                note: None,
            };
            let edits = Edits::new((0..count).map(|number| (digest(number), row(number))).collect());
            for number in 0..=(2 * count) {
                let found = edits.find(digest(number)).map(|row| row.attempts);
                assert_eq!(found, (number < count).then_some(number), "{number} of {count}");
            }
            for extreme in [IdDigest([0; 16]), IdDigest([255; 16])] {
                assert!(edits.find(extreme).is_none());
            }
        }
    }
}
