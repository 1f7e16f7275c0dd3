//! The plan: the whole list is read and checked before anything is sent.
//!
//! Memory is a number a row: which messages are listed more than once is found by a prefix of their digests first, and
//! told for certain in a second reading of the list, which only lists with repetitions need (and which keeps an entry for
//! each message that is repeated).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::distinct::{Distinct, Prefix};
use super::todo::{InDoubt, Policy, Repeated, Standing, Todo, is_duplicate, stand};
use crate::edit::{ContentDigest, Edit, Finding, IdDigest, Wanted};
use crate::input::{Input, InputError, Mapping, Problem, Row};
use crate::ledger::{LedgerError, Records, State};
use crate::system::digest::hex;

/// Problems that are told one by one; those beyond are counted.
const PROBLEMS_MAX: usize = 100;
/// Kinds of warnings that are told: those that are met first, where there are more. A list can hold as many as it has rows.
const WARNINGS_MAX: usize = 50;

/// What a run of this list would do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Rows of the list.
    pub rows: u64,
    /// Rows that want what a row before them wants.
    pub duplicates: u64,
    /// Pairs of accounts between which a message is edited.
    pub conversations: u64,
    /// Edits that are done already.
    pub done: u64,
    /// Edits that failed before, and are not taken up again.
    pub failed: u64,
    /// Edits in doubt since an earlier run, and held.
    pub in_doubt: u64,
    /// Edits to send.
    pub to_do: u64,
    /// Those of them that failed before.
    pub failed_again: u64,
    /// Those of them that are in doubt.
    pub in_doubt_again: u64,
    /// Those of these that are read back first.
    pub to_read_back: u64,
    /// Those of the edits to send whose messages are read first, other than those in doubt.
    pub to_read_first: u64,
    /// Those of them that are not in the ledger yet.
    pub new_edits: u64,
    /// Those of them that this run takes on.
    pub this_run: u64,
    /// Bytes of new content of the edits to send; without those that are read back first.
    pub bytes: u64,
    /// What is odd, but will be sent as it is.
    pub warnings: Vec<Warning>,
    /// Kinds of warnings that are not in `warnings`.
    pub warnings_left_out: bool,
    /// SHA-256 of the list as stored, in hexadecimal.
    pub sha256: String,
    repeated: Arc<Repeated>,
    /// Rows before the first one to send.
    settled_first: u64,
}

/// Something odd, in one row or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The field and what is odd about it.
    pub what: String,
    /// The first line of it.
    pub line: u64,
    /// Rows of it.
    pub rows: u64,
}

/// Everything that is wrong with the rows of a list.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The first of them, in the order of the list.
    pub first: Vec<Problem>,
    /// How many there are beyond those.
    pub more: u64,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The list cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Rows are wrong.
    #[error("the list has {} problem{}", .0.count(), if .0.count() == 1 { "" } else { "s" })]
    Problems(Problems),
}

impl Problems {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.first.len() as u64 + self.more
    }

    fn push(&mut self, problem: Problem) {
        if self.first.len() < PROBLEMS_MAX {
            self.first.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn add(&mut self, other: Problems) {
        self.first.extend(other.first);
        self.first.sort_by_key(|problem| problem.line);
        self.more += other.more + self.first.len().saturating_sub(PROBLEMS_MAX) as u64;
        self.first.truncate(PROBLEMS_MAX);
    }
}

/// Reads and checks the whole list against itself and against what earlier runs did.
///
/// # Errors
/// The list or the ledger cannot be read, or rows are wrong: then nothing may be sent.
pub fn plan(
    input: &Input,
    mapping: &Mapping,
    records: Option<&dyn Records>,
    policy: &Policy,
) -> Result<Plan, PlanError> {
    let warnings = Warnings::default();
    let part = || Survey::new(records, policy, &warnings);
    let (mut survey, mut others) = (part()?, (1..Input::looks()).map(|_| part()).collect::<Result<Vec<_>, _>>()?);
    let parts = std::iter::once(&mut survey).chain(&mut others);
    let sha256 = input.survey(mapping, parts.map(|part| |row| part.row(row)).collect())?;
    for part in others {
        survey.add(part);
    }
    survey.plan.sha256 = hex(&sha256.unwrap_or_default());
    let (suspects, conversations) = survey.distinct();
    survey.plan.conversations = conversations;
    if !suspects.is_empty() {
        survey.repetitions(input, mapping, &suspects)?;
    }
    survey.finish()
}

impl Plan {
    /// The rows to send, from the top. `records` is what the ledger holds now.
    ///
    /// # Errors
    /// The list cannot be read again as it was.
    pub fn todo(
        &self,
        input: &Input,
        mapping: &Mapping,
        records: Option<Box<dyn Records>>,
        policy: Policy,
    ) -> Result<Todo, InputError> {
        Ok(Todo {
            rows: input.rows(mapping)?,
            repeated: Arc::clone(&self.repeated),
            records,
            policy,
            settled_first: self.settled_first,
            left: self.this_run,
        })
    }

    /// Whether another row before this one wants the same.
    pub fn is_duplicate(&self, edit: &Edit, line: u64) -> bool {
        is_duplicate(&self.repeated, edit.id().digest(), line)
    }

    /// Edits that are sent whatever reading back may tell of others.
    pub fn to_send(&self) -> u64 {
        self.to_do - self.to_read_back - self.to_read_first
    }

    /// Those of them that are in doubt: they may have taken place already.
    pub fn to_send_in_doubt(&self) -> u64 {
        self.in_doubt_again - self.to_read_back
    }

    /// How many edits of this run are read first, those in doubt included.
    pub fn this_run_reads(&self) -> u64 {
        (self.to_read_back + self.to_read_first).min(self.this_run)
    }

    /// Messages of the list.
    pub fn messages(&self) -> u64 {
        self.rows - self.duplicates
    }
}

/// What is odd, by its words. All threads note it in the same place, or those that are told would have rows missing.
type Warnings = Mutex<BTreeMap<String, Warning>>;

/// What one thread has seen of the list, and then what all have. Each looks edits up in the ledger by itself: in a list whose
/// order is not the ledger's, that is what takes the time.
struct Survey<'a> {
    records: Option<Box<dyn Records>>,
    policy: &'a Policy,
    plan: Plan,
    problems: Problems,
    messages: Distinct,
    conversations: Distinct,
    warnings: &'a Warnings,
}

impl<'a> Survey<'a> {
    fn new(
        records: Option<&dyn Records>,
        policy: &'a Policy,
        warnings: &'a Warnings,
    ) -> Result<Survey<'a>, LedgerError> {
        Ok(Survey {
            records: records.map(Records::again).transpose()?,
            policy,
            plan: Plan { settled_first: u64::MAX, ..Plan::default() },
            problems: Problems::default(),
            messages: Distinct::default(),
            conversations: Distinct::default(),
            warnings,
        })
    }

    fn row(&mut self, row: Row) -> Result<(), PlanError> {
        self.plan.rows += 1;
        match row.edit {
            Ok(edit) => self.edit(&edit, row.number, row.line)?,
            Err(problems) => {
                for problem in problems {
                    self.problems.push(problem);
                }
            }
        }
        Ok(())
    }

    fn edit(&mut self, edit: &Edit, number: u64, line: u64) -> Result<(), PlanError> {
        let wanted = edit.wanted();
        self.messages.push(Prefix::of(wanted.message.0));
        self.conversations.push_once(Prefix::of(edit.id().conversation().to_le_bytes()));
        for finding in edit.warnings() {
            self.warn(&finding, line);
        }
        match self.stand(wanted)? {
            Standing::Conflict(state) => self.problems.push(Problem {
                line,
                column: None,
                what: format!(
                    "the ledger has this message with another content ({state}); {}",
                    match state {
                        State::Failed => "say --retry-failed to have it edited as it is wanted now",
                        State::Sending | State::Waiting | State::Done | State::InDoubt =>
                            "a message is edited once: take the row out, or give it the content it had",
                    }
                ),
            }),
            standing => {
                if matches!(standing, Standing::ToDo(_)) {
                    self.plan.settled_first = self.plan.settled_first.min(number - 1);
                }
                self.count(&standing, edit.content_bytes(), 1);
            }
        }
        Ok(())
    }

    fn stand(&mut self, wanted: Wanted) -> Result<Standing, LedgerError> {
        let brief = self.records.as_mut().map_or(Ok(None), |records| records.status(wanted.message))?;
        Ok(stand(wanted, brief, self.policy))
    }

    fn warn(&mut self, finding: &Finding, line: u64) {
        let what = format!("{} {}", finding.field.service_name(), finding.what);
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(warning) = warnings.get_mut(&what) {
            warning.rows += 1;
            warning.line = warning.line.min(line);
        } else if warnings.len() < WARNINGS_MAX {
            warnings.insert(what.clone(), Warning { what, line, rows: 1 });
        } else {
            self.plan.warnings_left_out = true;
        }
    }

    /// Takes in what another thread has seen. Every number of a plan is named here: one that was forgotten would be short.
    fn add(&mut self, other: Survey<'_>) {
        let Survey { plan, problems, messages, conversations, records: _, policy: _, warnings: _ } = other;
        let Plan {
            rows,
            done,
            failed,
            in_doubt,
            to_do,
            failed_again,
            in_doubt_again,
            to_read_back,
            to_read_first,
            new_edits,
            bytes,
            warnings_left_out,
            settled_first,
            // Of all threads together, once they are done.
            duplicates: _,
            conversations: _,
            this_run: _,
            warnings: _,
            sha256: _,
            repeated: _,
        } = plan;
        self.plan.rows += rows;
        self.plan.done += done;
        self.plan.failed += failed;
        self.plan.in_doubt += in_doubt;
        self.plan.to_do += to_do;
        self.plan.failed_again += failed_again;
        self.plan.in_doubt_again += in_doubt_again;
        self.plan.to_read_back += to_read_back;
        self.plan.to_read_first += to_read_first;
        self.plan.new_edits += new_edits;
        self.plan.bytes += bytes;
        self.plan.warnings_left_out |= warnings_left_out;
        self.plan.settled_first = self.plan.settled_first.min(settled_first);
        self.problems.add(problems);
        self.messages.add(messages);
        self.conversations.add(conversations);
    }

    /// Messages that may be listed more than once, and how many conversations there are. Millions are sorted for either.
    fn distinct(&mut self) -> (Vec<Prefix>, u64) {
        let (messages, conversations) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.conversations));
        std::thread::scope(|scope| {
            let repeated = scope.spawn(|| messages.repeated());
            let count = conversations.count();
            // A panic of that thread is passed on, as if it had been sorted here.
            (repeated.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), count)
        })
    }

    fn count(&mut self, standing: &Standing, bytes: usize, by: i64) {
        let plan = &mut self.plan;
        let add = |count: &mut u64, by: i64| *count = count.saturating_add_signed(by);
        match standing {
            Standing::Done => add(&mut plan.done, by),
            Standing::Failed => add(&mut plan.failed, by),
            Standing::InDoubt => add(&mut plan.in_doubt, by),
            Standing::ToDo(state) => {
                let mut is_read_back = false;
                match state {
                    Some(State::Failed) => add(&mut plan.failed_again, by),
                    Some(State::InDoubt | State::Sending) => {
                        add(&mut plan.in_doubt_again, by);
                        is_read_back = self.policy.in_doubt == InDoubt::Verify || self.policy.read_first;
                    }
                    None => add(&mut plan.new_edits, by),
                    Some(State::Waiting | State::Done) => {}
                }
                add(&mut plan.to_do, by);
                if is_read_back {
                    add(&mut plan.to_read_back, by);
                } else {
                    if self.policy.read_first {
                        add(&mut plan.to_read_first, by);
                    }
                    add(&mut plan.bytes, by * i64::try_from(bytes).unwrap_or_default());
                }
            }
            Standing::Conflict(_) => {}
        }
    }

    /// Reads the list once more for the rows that may be repetitions. The first of each message counts, the others
    /// are taken out of the counts again.
    fn repetitions(&mut self, input: &Input, mapping: &Mapping, suspects: &[Prefix]) -> Result<(), PlanError> {
        let is_suspect = |message: IdDigest| suspects.binary_search(&Prefix::of(message.0)).is_ok();
        let mut firsts: HashMap<IdDigest, (u64, ContentDigest)> = HashMap::new();
        let mut repeated = Repeated::new();
        let mut rows = input.rows(mapping)?;
        while let Some(Row { line, edit, .. }) = rows.next_of(is_suspect)? {
            let Ok(edit) = edit else { continue };
            let wanted = edit.wanted();
            let Some(&(first, content)) = firsts.get(&wanted.message) else {
                firsts.insert(wanted.message, (line, wanted.content));
                continue;
            };
            if content != wanted.content {
                self.problems.push(Problem {
                    line,
                    column: None,
                    what: format!(
                        "wants another content for the message of line {first}; a message is edited once: keep one of the two"
                    ),
                });
                continue;
            }
            repeated.insert(wanted.message, first);
            self.plan.duplicates += 1;
            let standing = self.stand(wanted)?;
            self.count(&standing, edit.content_bytes(), -1);
        }
        self.plan.repeated = Arc::new(repeated);
        Ok(())
    }

    fn finish(mut self) -> Result<Plan, PlanError> {
        if self.problems.count() > 0 {
            self.problems.first.sort_by_key(|problem| problem.line);
            return Err(PlanError::Problems(self.problems));
        }
        self.plan.settled_first = self.plan.settled_first.min(self.plan.rows);
        self.plan.this_run = self.policy.rows_max.map_or(self.plan.to_do, |max| max.min(self.plan.to_do));
        let warnings = std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        self.plan.warnings = warnings.into_values().collect();
        self.plan.warnings.sort_by_key(|warning| warning.line);
        Ok(self.plan)
    }
}
