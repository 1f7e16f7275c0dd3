//! The plan: the whole list is read and checked before anything is sent.
//!
//! Memory is a number a row: which messages are listed more than once is found by a prefix of their digests first, and
//! told for certain in a second reading of the list, which only lists with repetitions need (and which keeps an entry for
//! each message that is repeated).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::distinct::{Distinct, Prefix};
use super::todo::{InDoubt, Policy, Repeated, Standing, Todo, is_duplicate, stand};
use crate::edit::{ContentDigest, Edit, Finding, IdDigest, Wanted};
use crate::input::{Input, InputError, Mapping, Problem, Row};
use crate::ledger::{Known, LedgerError, Records, State};

/// Problems that are told one by one; those beyond are counted.
const PROBLEMS_MAX: usize = 100;
/// Kinds of warnings that are told; a list can hold as many kinds as it has rows.
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
    let mut survey = Survey::default();
    let sha256 = input.survey(mapping, looks(records, |_| true)?, |seen| survey.row(seen, policy))?;
    survey.plan.sha256 = hex(sha256.unwrap_or_default());
    let (suspects, conversations) = survey.distinct();
    survey.plan.conversations = conversations;
    if !suspects.is_empty() {
        survey.repetitions(input, mapping, &suspects, records, policy)?;
    }
    survey.finish(policy)
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
        self.to_do - self.to_read_back
    }

    /// Those of them that are in doubt: they may have taken place already.
    pub fn to_send_in_doubt(&self) -> u64 {
        self.in_doubt_again - self.to_read_back
    }

    /// Messages of the list.
    pub fn messages(&self) -> u64 {
        self.rows - self.duplicates
    }
}

/// What the plan needs to know of a row. The rows are looked at by several threads, and counted by one.
struct Seen {
    line: u64,
    edit: Result<SeenEdit, Vec<Problem>>,
}

struct SeenEdit {
    wanted: Wanted,
    /// What the ledger has of it. (The error is large, and these are handed from thread to thread.)
    known: Result<Option<Known>, Box<LedgerError>>,
    conversation: u64,
    bytes: usize,
    warnings: Vec<Finding>,
}

/// Each looks edits up in the ledger by itself: in a list whose order is not the ledger's, that is what takes the time.
fn looks(
    records: Option<&dyn Records>,
    is_looked_up: impl Fn(IdDigest) -> bool + Copy + Send,
) -> Result<Vec<impl FnMut(Row) -> Seen + Send>, LedgerError> {
    let one = |_| {
        let mut records = records.map(Records::again).transpose()?;
        Ok(move |row: Row| {
            let edit = row.edit.map(|edit| {
                let wanted = edit.wanted();
                SeenEdit {
                    wanted,
                    known: match &mut records {
                        Some(records) if is_looked_up(wanted.message) => records.find(wanted.message).map_err(Box::new),
                        _ => Ok(None),
                    },
                    conversation: edit.id().conversation(),
                    bytes: edit.content_bytes(),
                    warnings: edit.warnings(),
                }
            });
            Seen { line: row.line, edit }
        })
    };
    (0..Input::looks()).map(one).collect()
}

#[derive(Default)]
struct Survey {
    plan: Plan,
    problems: Problems,
    messages: Distinct,
    conversations: Distinct,
    warnings: BTreeMap<String, Warning>,
}

impl Survey {
    fn row(&mut self, seen: Seen, policy: &Policy) -> Result<(), PlanError> {
        self.plan.rows += 1;
        if self.plan.to_do == 0 {
            self.plan.settled_first = self.plan.rows - 1;
        }
        match seen.edit {
            Ok(edit) => self.edit(edit, seen.line, policy)?,
            Err(problems) => problems.into_iter().for_each(|problem| self.problems.push(problem)),
        }
        Ok(())
    }

    fn edit(&mut self, edit: SeenEdit, line: u64, policy: &Policy) -> Result<(), PlanError> {
        self.messages.push(Prefix::of(edit.wanted.message.0));
        self.conversations.push_once(Prefix::of(edit.conversation.to_le_bytes()));
        for finding in edit.warnings {
            let what = format!("{} {}", finding.field.service_name(), finding.what);
            if let Some(warning) = self.warnings.get_mut(&what) {
                warning.rows += 1;
            } else if self.warnings.len() < WARNINGS_MAX {
                self.warnings.insert(what.clone(), Warning { what, line, rows: 1 });
            } else {
                self.plan.warnings_left_out = true;
            }
        }
        match stand(edit.wanted, edit.known.map_err(|error| *error)?, policy) {
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
            standing => self.count(&standing, edit.bytes, policy, 1),
        }
        Ok(())
    }

    /// Messages that may be listed more than once, and how many conversations there are. Millions are sorted for either.
    fn distinct(&mut self) -> (Vec<Prefix>, u64) {
        let (messages, conversations) = (&mut self.messages, &mut self.conversations);
        std::thread::scope(|scope| {
            let repeated = scope.spawn(|| messages.repeated());
            let count = conversations.count();
            // A panic of that thread is passed on, as if it had been sorted here.
            (repeated.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), count)
        })
    }

    fn count(&mut self, standing: &Standing, bytes: usize, policy: &Policy, by: i64) {
        let plan = &mut self.plan;
        let add = |count: &mut u64, by: i64| *count = count.saturating_add_signed(by);
        match standing {
            Standing::Done => add(&mut plan.done, by),
            Standing::Failed => add(&mut plan.failed, by),
            Standing::InDoubt => add(&mut plan.in_doubt, by),
            Standing::ToDo(known) => {
                let mut is_read_back = false;
                match known.map(|known| known.state) {
                    Some(State::Failed) => add(&mut plan.failed_again, by),
                    Some(State::InDoubt | State::Sending) => {
                        add(&mut plan.in_doubt_again, by);
                        is_read_back = policy.in_doubt == InDoubt::Verify;
                    }
                    None => add(&mut plan.new_edits, by),
                    Some(State::Waiting | State::Done) => {}
                }
                add(&mut plan.to_do, by);
                if is_read_back {
                    add(&mut plan.to_read_back, by);
                } else {
                    add(&mut plan.bytes, by * i64::try_from(bytes).unwrap_or_default());
                }
            }
            Standing::Conflict(_) => {}
        }
    }

    /// Reads the list once more for the rows that may be repetitions. The first of each message counts, the others
    /// are taken out of the counts again.
    fn repetitions(
        &mut self,
        input: &Input,
        mapping: &Mapping,
        suspects: &[Prefix],
        records: Option<&dyn Records>,
        policy: &Policy,
    ) -> Result<(), PlanError> {
        let is_suspect = |message: IdDigest| suspects.binary_search(&Prefix::of(message.0)).is_ok();
        let mut firsts: HashMap<IdDigest, (u64, ContentDigest)> = HashMap::new();
        let mut repeated = Repeated::new();
        input.survey(mapping, looks(records, is_suspect)?, |Seen { line, edit }| {
            let Ok(SeenEdit { wanted, known, bytes, .. }) = edit else { return Ok(()) };
            if !is_suspect(wanted.message) {
                return Ok(());
            }
            let Some(&(first, content)) = firsts.get(&wanted.message) else {
                firsts.insert(wanted.message, (line, wanted.content));
                return Ok(());
            };
            if content != wanted.content {
                self.problems.push(Problem {
                    line,
                    column: None,
                    what: format!(
                        "wants another content for the message of line {first}; a message is edited once: keep one of the two"
                    ),
                });
                return Ok(());
            }
            repeated.insert(wanted.message, first);
            self.plan.duplicates += 1;
            self.count(&stand(wanted, known.map_err(|error| *error)?, policy), bytes, policy, -1);
            Ok::<_, PlanError>(())
        })?;
        self.plan.repeated = Arc::new(repeated);
        Ok(())
    }

    fn finish(mut self, policy: &Policy) -> Result<Plan, PlanError> {
        if self.problems.count() > 0 {
            self.problems.first.sort_by_key(|problem| problem.line);
            return Err(PlanError::Problems(self.problems));
        }
        self.plan.this_run = policy.rows_max.map_or(self.plan.to_do, |max| max.min(self.plan.to_do));
        self.plan.warnings = self.warnings.into_values().collect();
        self.plan.warnings.sort_by_key(|warning| warning.line);
        Ok(self.plan)
    }
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
