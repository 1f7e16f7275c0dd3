//! Makes the plan: reads and checks the whole list before anything is sent.
//!
//! Memory is a number for each row, which tells which messages may be listed more than once, or a second time with their
//! accounts swapped. A second reading of the list makes certain; it is needed only if there are any, and keeps an entry
//! for each such message.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::distinct::{Distinct, Prefix};
use super::plan::{Plan, PlanError, Problems, Warning};
use super::suspicions::{AsOf, Suspicions};
use super::todo::{InDoubt, Policy, Repeated, Standing, stand};
use crate::edit::{ContentDigest, Edit, EitherWay, Finding, IdDigest, Line, Wanted};
use crate::input::{Input, InputError, Mapping, Problem, ReadList, Row};
use crate::ledger::{LedgerError, Records, RunList, State};
use crate::system::digest::hex;

/// Kinds of warnings that are kept, the first ones met. A list can have as many kinds as it has rows.
const WARNINGS_MAX: usize = 50;

/// Reads the whole list and checks it against itself and against earlier runs. The times in its keys are compared with
/// `as_of`.
///
/// # Errors
/// The list or the ledger cannot be read, or rows are wrong: then nothing may be sent.
pub fn plan(
    input: &Input,
    mapping: &Mapping,
    records: Option<&dyn Records>,
    policy: &Policy,
    as_of: AsOf,
) -> Result<Plan, PlanError> {
    let warnings = Warnings::default();
    let part = || Survey::new(records, policy, &warnings, as_of);
    let (mut survey, mut others) =
        (part()?, (1..Input::survey_threads()).map(|_| part()).collect::<Result<Vec<_>, _>>()?);
    let parts = std::iter::once(&mut survey).chain(&mut others);
    let read = input.survey(mapping, parts.map(|part| |row| part.row(row)).collect())?;
    for part in others {
        survey.add(part);
    }
    if survey.plan.rows == 0 {
        let empty_rows = read.iter().flat_map(|read| &read.lists).map(|list| list.facts.empty_rows).sum();
        return Err(InputError::NoRows { name: input.name().to_owned(), empty_rows }.into());
    }
    if let Some(read) = read {
        survey.plan.read = read.lists.iter().map(|list| list.facts).collect();
        survey.plan.sha256 = hex(&read.sha256);
        if input.has_several() {
            let lists = input.lists().zip(read.lists);
            let lists = lists.map(|(list, ReadList { rows, sha256, .. })| RunList {
                name: list.name().to_owned(),
                sha256: hex(&sha256),
                rows,
            });
            survey.plan.lists = lists.collect();
        }
    }
    survey.plan.known = records.map(Records::progress).unwrap_or_default();
    let (suspects, conversations) = survey.distinct();
    survey.plan.conversations = conversations;
    if !suspects.is_empty() {
        survey.repetitions(input, mapping, &suspects)?;
    }
    survey.finish()
}

fn prefix(message: EitherWay) -> Prefix {
    Prefix::of(message.0.to_le_bytes())
}

/// Warnings by their text. All threads share them, so that each warning counts the rows of all threads.
type Warnings = Mutex<BTreeMap<String, Warning>>;

/// What one thread has found in the list, later merged into what all have. Each thread has its own reader of the
/// ledger: if the list is not in the ledger's order, lookups take most of the time.
struct Survey<'a> {
    records: Option<Box<dyn Records>>,
    policy: &'a Policy,
    plan: Plan,
    problems: Problems,
    messages: Distinct,
    conversations: Distinct,
    warnings: &'a Warnings,
    suspicions: Suspicions,
}

impl<'a> Survey<'a> {
    fn new(
        records: Option<&dyn Records>,
        policy: &'a Policy,
        warnings: &'a Warnings,
        as_of: AsOf,
    ) -> Result<Survey<'a>, LedgerError> {
        Ok(Survey {
            records: records.map(Records::again).transpose()?,
            policy,
            plan: Plan { settled_first: u64::MAX, ..Plan::default() },
            problems: Problems::default(),
            messages: Distinct::default(),
            conversations: Distinct::default(),
            warnings,
            suspicions: Suspicions::new(as_of),
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

    fn edit(&mut self, edit: &Edit, number: u64, line: Line) -> Result<(), PlanError> {
        let wanted = edit.wanted();
        self.plan.contents.push(edit, wanted, number);
        self.plan.digest.add(number, &wanted);
        let conversation = edit.id().conversation();
        // Rows that are repeated are found by this, and those whose accounts are swapped.
        self.messages.push(prefix(EitherWay::within(conversation, &edit.id().msg_key)));
        self.conversations.push_once(Prefix::of(conversation.to_le_bytes()));
        self.suspicions.see(edit.id(), &line);
        for finding in edit.warnings() {
            self.warn(&finding, &line);
        }
        match self.stand(wanted)? {
            Standing::Conflict(state) => self.problems.push(Problem {
                line,
                cell: None,
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
                if !matches!(standing, Standing::Done) {
                    self.plan.open_parts.add(number);
                }
                if matches!(standing, Standing::ToDo(_)) {
                    self.plan.settled_first = self.plan.settled_first.min(number - 1);
                }
                self.count(&standing, edit.content_bytes(), 1);
            }
        }
        Ok(())
    }

    fn stand(&mut self, wanted: Wanted) -> Result<Standing, LedgerError> {
        let status = self.records.as_mut().map_or(Ok(None), |records| records.status(wanted.message))?;
        Ok(stand(wanted, status, self.policy))
    }

    fn warn(&mut self, finding: &Finding, line: &Line) {
        let what = format!("{} {}", finding.field.service_name(), finding.what);
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(warning) = warnings.get_mut(&what) {
            warning.rows += 1;
            if *line < warning.line {
                warning.line = line.clone();
            }
        } else if warnings.len() < WARNINGS_MAX {
            warnings.insert(what.clone(), Warning { what, line: line.clone(), rows: 1 });
        } else {
            self.plan.warnings_left_out = true;
        }
    }

    /// Merges what another thread has found. Names every count of a plan, so that a new one cannot be forgotten.
    fn add(&mut self, other: Survey<'_>) {
        let Survey { plan, problems, messages, conversations, suspicions, records: _, policy: _, warnings: _ } = other;
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
            contents,
            warnings_left_out,
            settled_first,
            open_parts,
            digest,
            // Known only once all threads are done.
            duplicates: _,
            conversations: _,
            this_run: _,
            warnings: _,
            sha256: _,
            read: _,
            lists: _,
            known: _,
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
        self.plan.contents.add(contents);
        self.plan.digest.merge(digest);
        self.plan.open_parts.merge(open_parts);
        self.plan.warnings_left_out |= warnings_left_out;
        self.plan.settled_first = self.plan.settled_first.min(settled_first);
        self.problems.add(problems);
        self.messages.add(messages);
        self.conversations.add(conversations);
        self.suspicions.add(suspicions);
    }

    /// Messages that may be listed more than once, in either direction, and the number of conversations. Either takes sorting millions of
    /// digests.
    fn distinct(&mut self) -> (Vec<Prefix>, u64) {
        let (messages, conversations) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.conversations));
        std::thread::scope(|scope| {
            let repeated = scope.spawn(|| messages.repeated());
            let count = conversations.count();
            // A panic of that thread continues here.
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

    /// Reads the list once more for rows that may be repetitions. The first row of each message stays in the counts,
    /// the others are subtracted.
    fn repetitions(&mut self, input: &Input, mapping: &Mapping, suspects: &[Prefix]) -> Result<(), PlanError> {
        let is_suspect = |message: EitherWay| suspects.binary_search(&prefix(message)).is_ok();
        let mut firsts: HashMap<IdDigest, (Line, ContentDigest)> = HashMap::new();
        let mut repeated = Repeated::new();
        let mut rows = input.rows(mapping)?;
        while let Some(Row { line, edit, .. }) = rows.next_of(is_suspect)? {
            let Ok(edit) = edit else { continue };
            let wanted = edit.wanted();
            let Some((first, content)) = firsts.get(&wanted.message) else {
                if firsts.contains_key(&edit.id().swapped()) {
                    self.suspicions.see_swapped(edit.id(), &line);
                }
                firsts.insert(wanted.message, (line, wanted.content));
                continue;
            };
            if *content != wanted.content {
                self.problems.push(Problem {
                    line,
                    cell: None,
                    column: None,
                    what: format!(
                        "wants another content for the message of {first}; a message is edited once: keep one of the two"
                    ),
                });
                continue;
            }
            repeated.insert(wanted.message, first.clone());
            self.plan.duplicates += 1;
            let standing = self.stand(wanted)?;
            self.count(&standing, edit.content_bytes(), -1);
        }
        self.plan.repeated = Arc::new(repeated);
        Ok(())
    }

    fn finish(mut self) -> Result<Plan, PlanError> {
        if self.problems.count() > 0 {
            self.problems.first.sort_by(|one, other| one.line.cmp(&other.line));
            return Err(PlanError::Problems(self.problems));
        }
        self.plan.settled_first = self.plan.settled_first.min(self.plan.rows);
        self.plan.this_run = self.policy.rows_max.map_or(self.plan.to_do, |max| max.min(self.plan.to_do));
        let warnings = std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        self.plan.warnings = warnings.into_values().chain(self.suspicions.warnings()).collect();
        self.plan.warnings.sort_by(|one, other| one.line.cmp(&other.line));
        Ok(self.plan)
    }
}
