//! The log of events of a ledger file, which grows with each of its transactions: see `0007_evidence.sql`.

use std::fmt::Write as _;
use std::io::Write as _;

use rusqlite::types::Null;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Serialize, Serializer};

use super::columns::number;
use crate::BUILD;
use crate::evidence::{Checkpoint, Head, Range, leaf};
use crate::ledger::{Note, unix_ms};
use crate::system::digest::hex;

/// The columns of an [`EditImage`], in their order.
macro_rules! edit_columns {
    () => {
        "seq, from_account, to_account, msg_key, message, content, coalesce(first_content, content), line, list, run, state, \
         attempts, code, note, sent_at, took_ms"
    };
}
pub(super) use edit_columns;

/// The end of the log, to which events are added within one transaction.
#[derive(Debug)]
pub(super) struct EventLog {
    head: Head,
    /// The line that is being written.
    line: Vec<u8>,
}

/// The row of an edit as an event has it.
#[derive(Debug)]
pub(super) struct EditImage<'a> {
    pub(super) seq: i64,
    pub(super) from_account: &'a str,
    pub(super) to_account: &'a str,
    pub(super) msg_key: &'a str,
    pub(super) message: &'a [u8],
    pub(super) content: &'a [u8],
    /// The content at its first event.
    pub(super) first_content: &'a [u8],
    pub(super) line: i64,
    pub(super) list: Option<i64>,
    pub(super) run: i64,
    pub(super) state: &'a str,
    pub(super) attempts: i64,
    pub(super) code: Option<i64>,
    pub(super) note: Option<&'a str>,
    pub(super) sent_at: i64,
    pub(super) took_ms: Option<i64>,
}

/// What the first event says of its log.
#[derive(Serialize)]
struct Begun<'a> {
    /// `made`, `upgraded` or `copied`.
    why: &'a str,
    /// Its name.
    log: &'a str,
    program: &'a str,
    /// The head of the log of which the ledger is a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Serialize)]
struct LookLine<'a> {
    event: u64,
    look: &'a LookImage<'a>,
}

/// What an audit found, as in the view `event_line`.
#[derive(Debug, Serialize)]
pub(super) struct LookImage<'a> {
    pub(super) audit: i64,
    #[serde(serialize_with = "in_hex")]
    pub(super) message: &'a [u8],
    pub(super) at: i64,
    pub(super) found: &'a str,
    pub(super) code: Option<i64>,
    pub(super) note: Option<&'a str>,
}

fn in_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes))
}

/// Writes an object without its braces, as the view `event_line` has it. (serde would look for what is to be escaped in the names
/// of the columns as well, which was a tenth of the time that verifying takes.)
struct RowWriter<'l>(&'l mut Vec<u8>);

impl RowWriter<'_> {
    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, text: Option<&str>) -> std::io::Result<()> {
        self.name(name);
        Ok(serde_json::to_writer(&mut *self.0, &text)?)
    }

    fn integer(&mut self, name: &str, integer: Option<i64>) -> std::io::Result<()> {
        self.name(name);
        Ok(serde_json::to_writer(&mut *self.0, &integer)?)
    }

    fn hex(&mut self, name: &str, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.name(name);
        self.0.push(b'"');
        self.0.extend(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]));
        self.0.push(b'"');
    }
}

impl<'a> EditImage<'a> {
    /// From the columns of [`edit_columns`].
    pub(super) fn of(row: &'a Row<'_>) -> rusqlite::Result<EditImage<'a>> {
        Ok(EditImage {
            seq: row.get(0)?,
            from_account: row.get_ref(1)?.as_str()?,
            to_account: row.get_ref(2)?.as_str()?,
            msg_key: row.get_ref(3)?.as_str()?,
            message: row.get_ref(4)?.as_blob()?,
            content: row.get_ref(5)?.as_blob()?,
            first_content: row.get_ref(6)?.as_blob()?,
            line: row.get(7)?,
            list: row.get(8)?,
            run: row.get(9)?,
            state: row.get_ref(10)?.as_str()?,
            attempts: row.get(11)?,
            code: row.get(12)?,
            note: row.get_ref(13)?.as_str_or_null()?,
            sent_at: row.get(14)?,
            took_ms: row.get(15)?,
        })
    }

    /// Its line as this event, without a line feed.
    pub(super) fn write_line(&self, event: u64, line: &mut Vec<u8>) -> std::io::Result<()> {
        line.clear();
        write!(line, "{{\"event\":{event},\"rows\":{{\"edit\":{{\"{}\":{{", self.seq)?;
        let mut row = RowWriter(line);
        row.text("from_account", Some(self.from_account))?;
        row.text("to_account", Some(self.to_account))?;
        row.text("msg_key", Some(self.msg_key))?;
        row.hex("message", self.message);
        row.hex("content", self.content);
        row.integer("line", Some(self.line))?;
        row.integer("list", self.list)?;
        row.integer("run", Some(self.run))?;
        row.text("state", Some(self.state))?;
        row.integer("attempts", Some(self.attempts))?;
        row.integer("code", self.code)?;
        row.text("note", self.note)?;
        row.integer("sent_at", Some(self.sent_at))?;
        row.integer("took_ms", self.took_ms)?;
        line.extend_from_slice(b"}}}}");
        Ok(())
    }
}

impl<'a> LookImage<'a> {
    pub(super) fn of(row: &'a Row<'_>) -> rusqlite::Result<LookImage<'a>> {
        Ok(LookImage {
            audit: row.get(0)?,
            message: row.get_ref(1)?.as_blob()?,
            at: row.get(2)?,
            found: row.get_ref(3)?.as_str()?,
            code: row.get(4)?,
            note: row.get_ref(5)?.as_str_or_null()?,
        })
    }

    /// Its line as this event, without a line feed.
    pub(super) fn write_line(&self, event: u64, line: &mut Vec<u8>) -> std::io::Result<()> {
        line.clear();
        Ok(serde_json::to_writer(line, &LookLine { event, look: self })?)
    }
}

/// The line of an event with this body, without a line feed.
pub(super) fn write_body_line(event: u64, body: &str, line: &mut Vec<u8>) -> std::io::Result<()> {
    line.clear();
    write!(line, "{{\"event\":{event},{}", body.get(1..).unwrap_or_default())
}

/// Writing to memory fails as anything else would that is not in the file.
fn unwritten(error: std::io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

impl EventLog {
    /// Begins the log with the ledger as it is. `why` it begins: `made`, `upgraded`, `copied`; then from a log with this head.
    pub(super) fn begin(connection: &Connection, why: &str, from: Option<&Checkpoint>) -> rusqlite::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| unwritten(std::io::Error::other(error)))?;
        let head = Head { origin: format!("runner/{}", hex(&random)).into(), range: Range::default() };
        let mut log = EventLog { head, line: Vec::new() };
        connection
            .execute("INSERT INTO log (one, origin, size, hashes) VALUES (1, ?1, 0, x'')", [&*log.head.origin])?;
        let begun = Begun { why, log: &log.head.origin, program: BUILD, from: from.map(ToString::to_string) };
        let begun = serde_json::to_string(&begun).map_err(|error| unwritten(error.into()))?;
        let mut rows = ChangedRows::default();
        let mut all =
            connection.prepare("SELECT name, \"key\", \"row\" FROM row_line WHERE name <> 'edit' ORDER BY name")?;
        let mut all = all.query([])?;
        while let Some(row) = all.next()? {
            rows.add(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
        }
        log.body(connection, &format!("{{\"what\":\"begun\",\"at\":{},\"begun\":{begun},{rows}}}", unix_ms()))?;
        let edits = concat!("SELECT ", edit_columns!(), " FROM edit WHERE state <> 'sending' ORDER BY seq");
        log.edits(connection, edits, [])?;
        // What a process that died was sending, in a ledger of an earlier version.
        log.doubt_all(connection)?;
        log.save(connection)
    }

    /// As the last transaction left it.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<EventLog> {
        Ok(EventLog { head: head(connection)?, line: Vec::new() })
    }

    /// Records the head, with the events of this transaction.
    pub(super) fn save(self, connection: &Connection) -> rusqlite::Result<()> {
        // Commits that only have intents, which are no events yet, leave the page as it is.
        if self.line.is_empty() {
            return Ok(());
        }
        let save = "UPDATE log SET size = ?1, hashes = ?2";
        let range = &self.head.range;
        connection.prepare_cached(save)?.execute(params![number(range.size()), range.hashes()]).map(drop)
    }

    /// Runs a statement that changes edits or finds them, and returns their rows: each is an event. Returns their number.
    pub(super) fn edits(
        &mut self,
        connection: &Connection,
        statement: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<usize> {
        let mut statement = connection.prepare_cached(statement)?;
        let mut rows = statement.query(params)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            self.edit(connection, &EditImage::of(row)?)?;
            count += 1;
        }
        Ok(count)
    }

    /// Puts in doubt what is being sent, as its process ends, or has ended, without the outcomes.
    pub(super) fn doubt_all(&mut self, connection: &Connection) -> rusqlite::Result<usize> {
        let doubt = concat!(
            "UPDATE edit SET state = 'in_doubt', code = ?1, note = ?2 WHERE state = 'sending' RETURNING ",
            edit_columns!()
        );
        self.edits(connection, doubt, params![Null, Note::ProcessDied.word()])
    }

    fn edit(&mut self, connection: &Connection, edit: &EditImage<'_>) -> rusqlite::Result<()> {
        edit.write_line(self.next(), &mut self.line).map_err(unwritten)?;
        let content = (edit.content != edit.first_content).then_some(edit.content);
        connection
            .prepare_cached(
                "INSERT INTO event (event, edit, run, at, took_ms, line, list, state, attempts, code, note, content)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                number(self.next()),
                edit.seq,
                edit.run,
                edit.sent_at,
                edit.took_ms,
                edit.line,
                edit.list,
                edit.state,
                edit.attempts,
                edit.code,
                edit.note,
                content
            ])?;
        self.push();
        Ok(())
    }

    pub(super) fn look(&mut self, connection: &Connection, look: &LookImage<'_>) -> rusqlite::Result<()> {
        look.write_line(self.next(), &mut self.line).map_err(unwritten)?;
        let added = connection
            .prepare_cached(
                "INSERT INTO event (event, edit, run, at, state, code, note)
                 SELECT ?1, seq, ?3, ?4, ?5, ?6, ?7 FROM edit WHERE message = ?2",
            )?
            .execute(params![
                number(self.next()),
                look.message,
                look.audit,
                look.at,
                look.found,
                look.code,
                look.note
            ])?;
        if added != 1 {
            return Err(rusqlite::Error::StatementChangedRows(added));
        }
        self.push();
        Ok(())
    }

    /// These rows of other tables have changed, or are gone: each is named by its table and its key, as in the view
    /// `row_line`.
    pub(super) fn rows(
        &mut self,
        connection: &Connection,
        what: &str,
        changed: &[(&str, String)],
    ) -> rusqlite::Result<()> {
        let mut rows = ChangedRows::default();
        let mut find = connection.prepare_cached("SELECT \"row\" FROM row_line WHERE name = ?1 AND \"key\" = ?2")?;
        for (name, key) in changed {
            let mut found = find.query([name, &key.as_str()])?;
            match found.next()? {
                Some(row) => rows.add(name, key, row.get_ref(0)?.as_str()?),
                None => rows.add(name, key, "null"),
            }
        }
        self.body(connection, &format!("{{\"what\":\"{what}\",\"at\":{},{rows}}}", unix_ms()))
    }

    fn body(&mut self, connection: &Connection, body: &str) -> rusqlite::Result<()> {
        write_body_line(self.next(), body, &mut self.line).map_err(unwritten)?;
        let insert = "INSERT INTO event (event, body) VALUES (?1, ?2)";
        connection.prepare_cached(insert)?.execute(params![number(self.next()), body])?;
        self.push();
        Ok(())
    }

    /// The number of the next event.
    fn next(&self) -> u64 {
        self.head.range.size() + 1
    }

    fn push(&mut self) {
        self.head.range.push(leaf(&self.line));
    }
}

/// The head of the log. A reader sees it as soon as it is durable.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    let load = "SELECT origin, size, hashes FROM log WHERE one = 1";
    let wrong = || rusqlite::Error::InvalidColumnType(2, "log.hashes".to_owned(), rusqlite::types::Type::Blob);
    let found = connection.prepare_cached(load)?.query_row([], |row| {
        let size: i64 = row.get(1)?;
        let range = Range::of(size.unsigned_abs(), row.get_ref(2)?.as_blob()?);
        Ok(Head { origin: row.get::<_, String>(0)?.into(), range: range.ok_or_else(wrong)? })
    });
    // Its row is made with the file.
    found.optional()?.ok_or_else(wrong)
}

/// Records that these rows have changed, as the only event of its transaction.
pub(super) fn note(connection: &Connection, what: &str, changed: &[(&str, String)]) -> rusqlite::Result<()> {
    let mut log = EventLog::load(connection)?;
    log.rows(connection, what, changed)?;
    log.save(connection)
}

/// `"rows":{…}` of an event: the rows that changed, by table and key. Those of a table come together.
#[derive(Default)]
struct ChangedRows {
    text: String,
    table: String,
}

impl ChangedRows {
    fn add(&mut self, name: &str, key: &str, row: &str) {
        if self.table == name {
            self.text.push(',');
        } else {
            self.text.push_str(if self.table.is_empty() { "" } else { "}," });
            // It is a table's name.
            let _ = write!(self.text, "\"{name}\":{{");
            name.clone_into(&mut self.table);
        }
        let _ = write!(self.text, "{}:{row}", serde_json::Value::from(key));
    }
}

impl std::fmt::Display for ChangedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = if self.table.is_empty() { "" } else { "}" };
        write!(f, "\"rows\":{{{}{end}}}", self.text)
    }
}
