//! Ids that can be meant, but hardly are: warned about before anything is sent, each kind once, with its first line and
//! an example. A warning never stops a run, as the service documents no form of its keys.
//!
//! Some kinds are only told if the list itself speaks against them: a key of another form than the others' keys, say.
//! So all of them are counted, by each thread for itself, and told at the end. Memory is one example for each kind.

use std::fmt;

use jiff::Timestamp;
use memchr::{memchr, memrchr};

use super::plan::Warning;
use crate::edit::{Line, MessageId};
use crate::terminal::escape::Quoted;

/// The moment with which the times in keys are compared.
#[derive(Clone, Copy, Debug)]
pub struct AsOf {
    /// The current time.
    pub now: Timestamp,
    /// Whether the service keeps messages for a limited time. A stand-in keeps them for ever, so that a sample list stays
    /// what it is.
    pub messages_expire: bool,
}

/// The service keeps messages for 7 to 90 days, by plan.
const KEPT_SECONDS: u64 = 90 * 24 * 60 * 60;
/// 2015-01-01: the service is hardly older.
const BEGINNING: u64 = 1_420_070_400;
/// A key with a time further ahead is odd; the clocks of this machine and of the service differ by less.
const AHEAD_SECONDS: u64 = 24 * 60 * 60;
/// Numbers below are too short to be the second of a message (2001-09-09), and from here on too long.
const SECONDS_MIN: u64 = 1_000_000_000;
const MILLISECONDS_MIN: u64 = 100_000_000_000;

/// What the service allows or issues.
const ACCOUNT_BYTES_MAX: usize = 32;
const KEY_BYTES_MAX: usize = 50;
/// Digits of a number that a spreadsheet keeps.
const DIGITS_KEPT: usize = 15;
/// Digits of the shortest number whose zeros are looked at, and the zeros that are many for it. A telephone number that
/// was shown as `1.38E+10` ends in eight.
const NUMBER_DIGITS_MIN: usize = 10;
const ZEROS_MIN: usize = 5;
/// Many: at least one in so many. Of numbers with 16 digits, one in ten ends in a zero by chance.
const MANY: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    LongFrom,
    LongTo,
    LongKey,
    RoundedFrom,
    RoundedTo,
    RoundedKey,
    MonthFrom,
    MonthTo,
    SameAccounts,
    Swapped,
    OtherForm,
    MsgId,
    Negative,
    PastU32,
    ShortTime,
    Milliseconds,
    Future,
    Expired,
    Ancient,
}

impl Kind {
    const ALL: [Kind; 19] = [
        Kind::LongFrom,
        Kind::LongTo,
        Kind::LongKey,
        Kind::RoundedFrom,
        Kind::RoundedTo,
        Kind::RoundedKey,
        Kind::MonthFrom,
        Kind::MonthTo,
        Kind::SameAccounts,
        Kind::Swapped,
        Kind::OtherForm,
        Kind::MsgId,
        Kind::Negative,
        Kind::PastU32,
        Kind::ShortTime,
        Kind::Milliseconds,
        Kind::Future,
        Kind::Expired,
        Kind::Ancient,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONG: &str = "is longer than the 32 bytes that the service allows";
        const ROUNDED: &str = "ends in zeros in many rows, as numbers do whose last digits a spreadsheet dropped";
        const MONTH: &str = "looks like a month that a spreadsheet made of an id";
        match self {
            Kind::LongFrom => write!(f, "From_Account {LONG}"),
            Kind::LongTo => write!(f, "To_Account {LONG}"),
            Kind::LongKey => f.write_str("MsgKey is longer than the 50 characters that the service issues"),
            Kind::RoundedFrom => write!(f, "From_Account {ROUNDED}"),
            Kind::RoundedTo => write!(f, "To_Account {ROUNDED}"),
            Kind::RoundedKey => write!(f, "MsgKey {ROUNDED}"),
            Kind::MonthFrom => write!(f, "From_Account {MONTH}"),
            Kind::MonthTo => write!(f, "To_Account {MONTH}"),
            Kind::SameAccounts => f.write_str("From_Account and To_Account are the same"),
            Kind::Swapped => f.write_str(
                "MsgKey is that of an earlier row with From_Account and To_Account swapped; a message has one sender",
            ),
            Kind::OtherForm => f.write_str("MsgKey is not of the form number_number_time, as others in this list are"),
            Kind::MsgId => {
                f.write_str("MsgKey looks like the MsgId of a webhook, which is another id; take its MsgKey")
            }
            Kind::Negative => f.write_str(
                "MsgKey holds a number below zero, as programs write numbers past 2147483647; the service's are from 0 \
                 to 4294967295",
            ),
            Kind::PastU32 => f.write_str("MsgKey holds a number past 4294967295, the largest that the service issues"),
            Kind::ShortTime => f.write_str("MsgKey ends in a number that is too short for the second of a message"),
            Kind::Milliseconds => {
                f.write_str("MsgKey ends in a time of milliseconds or less; the service's keys have seconds")
            }
            Kind::Future => f.write_str("MsgKey ends in a time in the future"),
            Kind::Expired => f.write_str(
                "MsgKey ends in a time more than 90 days ago; the service keeps messages for 7 to 90 days, by plan",
            ),
            Kind::Ancient => f.write_str("MsgKey ends in a time before 2015, when there were hardly any such messages"),
        }
    }
}

/// The rows of one kind.
#[derive(Clone, Debug)]
struct Seen {
    rows: u64,
    line: Line,
    /// The id of the first row.
    example: String,
    /// Whether another row has another id.
    is_varied: bool,
}

/// What is odd in the rows that one thread has read.
#[derive(Debug)]
pub(super) struct Suspicions {
    seen: [Option<Seen>; Kind::ALL.len()],
    /// Keys of the form that the service's keys have.
    keys_of_form: u64,
    /// Ids that are long numbers, by field.
    long_numbers: [u64; 3],
    now: u64,
    messages_expire: bool,
}

impl Suspicions {
    pub(super) fn new(as_of: AsOf) -> Suspicions {
        Suspicions {
            seen: std::array::from_fn(|_| None),
            keys_of_form: 0,
            long_numbers: [0; 3],
            now: as_of.now.as_second().try_into().unwrap_or_default(),
            messages_expire: as_of.messages_expire,
        }
    }

    /// Notes what is odd about a message. Rows are seen in the order in which they are read.
    pub(super) fn see(&mut self, id: &MessageId, line: &Line) {
        let MessageId { from_account, to_account, msg_key } = id;
        for (account, long, month) in
            [(from_account, Kind::LongFrom, Kind::MonthFrom), (to_account, Kind::LongTo, Kind::MonthTo)]
        {
            if account.len() > ACCOUNT_BYTES_MAX {
                self.note(long, line, account);
            }
            if is_month(account) {
                self.note(month, line, account);
            }
        }
        if from_account == to_account {
            self.note(Kind::SameAccounts, line, from_account);
        }
        let fields = [(from_account, Kind::RoundedFrom), (to_account, Kind::RoundedTo), (msg_key, Kind::RoundedKey)];
        for (field, (value, kind)) in fields.into_iter().enumerate() {
            if let Some(zeros) = zeros_of_long_number(value) {
                self.long_numbers[field] += 1;
                if zeros >= value.len().checked_sub(DIGITS_KEPT).filter(|dropped| *dropped > 0).unwrap_or(ZEROS_MIN) {
                    self.note(kind, line, value);
                }
            }
        }
        self.see_key(msg_key, line);
    }

    /// Notes that an earlier row names the same key with the accounts swapped.
    pub(super) fn see_swapped(&mut self, id: &MessageId, line: &Line) {
        self.note(Kind::Swapped, line, &id.msg_key);
    }

    fn see_key(&mut self, key: &str, line: &Line) {
        if key.len() > KEY_BYTES_MAX {
            self.note(Kind::LongKey, line, key);
        }
        let Some([seq, random, time]) = numbers(key) else {
            self.note(if is_msg_id(key) { Kind::MsgId } else { Kind::OtherForm }, line, key);
            return;
        };
        self.keys_of_form += 1;
        let is_past_u32 = |number: Number| number.size > u32::MAX.into();
        if [seq, random, time].iter().any(|number| number.is_negative) {
            self.note(Kind::Negative, line, key);
        } else if is_past_u32(seq) || is_past_u32(random) {
            self.note(Kind::PastU32, line, key);
        }
        if time.is_negative {
            return;
        }
        let time = time.size;
        let kind = if time < SECONDS_MIN {
            Kind::ShortTime
        } else if time >= MILLISECONDS_MIN {
            Kind::Milliseconds
        } else if time > self.now.saturating_add(AHEAD_SECONDS) {
            Kind::Future
        } else if time < BEGINNING {
            Kind::Ancient
        } else if self.messages_expire && time < self.now.saturating_sub(KEPT_SECONDS) {
            Kind::Expired
        } else {
            return;
        };
        self.note(kind, line, key);
    }

    fn note(&mut self, kind: Kind, line: &Line, id: &str) {
        match &mut self.seen[kind as usize] {
            Some(seen) => {
                seen.rows += 1;
                seen.is_varied = seen.is_varied || seen.example != id;
            }
            none => *none = Some(Seen { rows: 1, line: line.clone(), example: id.to_owned(), is_varied: false }),
        }
    }

    /// Merges what another thread has seen.
    pub(super) fn add(&mut self, other: Suspicions) {
        let Suspicions { seen, keys_of_form, long_numbers, now: _, messages_expire: _ } = other;
        self.keys_of_form += keys_of_form;
        for (ours, theirs) in self.long_numbers.iter_mut().zip(long_numbers) {
            *ours += theirs;
        }
        for (ours, theirs) in self.seen.iter_mut().zip(seen) {
            let Some(mut theirs) = theirs else { continue };
            if let Some(ours) = ours.take() {
                theirs.rows += ours.rows;
                theirs.is_varied = theirs.is_varied || ours.is_varied || ours.example != theirs.example;
                if ours.line < theirs.line {
                    (theirs.line, theirs.example) = (ours.line, ours.example);
                }
            }
            *ours = Some(theirs);
        }
    }

    /// What is to be told, in no order.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Warning> {
        Kind::ALL.into_iter().filter_map(|kind| {
            let Seen { rows, line, example, is_varied } = self.seen[kind as usize].as_ref()?;
            // One account in every row may well be a round number.
            let is_many = |field: usize| *is_varied && rows.saturating_mul(MANY) >= self.long_numbers[field];
            let is_told = match kind {
                Kind::RoundedFrom => is_many(0),
                Kind::RoundedTo => is_many(1),
                Kind::RoundedKey => is_many(2),
                Kind::OtherForm => self.keys_of_form > 0,
                _ => true,
            };
            is_told.then(|| Warning { what: format!("{kind}: {}", Quoted(example)), line: line.clone(), rows: *rows })
        })
    }
}

/// `Mar-24`, written as spreadsheets do. An account may be called so: it is not refused, as `24-Mar` is.
fn is_month(account: &str) -> bool {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    matches!(account.as_bytes(), [_, _, _, b'-', b'0'..=b'9', b'0'..=b'9'])
        && MONTHS.iter().any(|month| account.starts_with(month))
}

/// The zeros at the end of an id, if it is a number as long as spreadsheets show in short.
fn zeros_of_long_number(id: &str) -> Option<usize> {
    let is_number = id.len() >= NUMBER_DIGITS_MIN && id.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| id.bytes().rev().take_while(|byte| *byte == b'0').count())
}

#[derive(Clone, Copy)]
struct Number {
    is_negative: bool,
    /// Without its sign; the largest `u64` if it has too many digits.
    size: u64,
}

/// The numbers of a key of the form `number_number_number`.
fn numbers(key: &str) -> Option<[Number; 3]> {
    let key = key.as_bytes();
    let first = memchr(b'_', key)?;
    let last = memrchr(b'_', key).filter(|last| *last > first)?;
    Some([number(&key[..first])?, number(&key[first + 1..last])?, number(&key[last + 1..])?])
}

fn number(text: &[u8]) -> Option<Number> {
    /// So many always fit.
    const DIGITS_MAX: usize = 19;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    let (mut size, mut are_digits) = (0_u64, true);
    // Without an early exit, which takes longer for the few bytes that there are.
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        are_digits &= digit <= 9;
        size = size.wrapping_mul(10).wrapping_add(digit.into());
    }
    let size = if digits.len() <= DIGITS_MAX { size } else { u64::MAX };
    are_digits.then_some(Number { is_negative: digits.len() < text.len(), size })
}

/// `144115233406643804-1786000000-4026038300`: an account's number within the service, a time and a random number.
fn is_msg_id(key: &str) -> bool {
    const ACCOUNT_DIGITS_MIN: usize = 15;
    let mut parts = key.split('-').map(|part| part.bytes().all(|byte| byte.is_ascii_digit()).then_some(part.len()));
    let sizes = [parts.next(), parts.next(), parts.next()].map(Option::flatten);
    matches!(sizes, [Some(ACCOUNT_DIGITS_MIN..), Some(9..=10), Some(1..)]) && parts.next().is_none()
}

#[cfg(test)]
mod tests;
