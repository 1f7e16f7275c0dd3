//! Reasons for the state of an edit.

/// The reason for the state of an edit where no error code gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// The answer timed out.
    TimedOut,
    /// The connection was lost before the answer was complete.
    ConnectionLost,
    /// The service, or something in front of it, answered with this HTTP status, which is not 200.
    Http(u16),
    /// The status was 200, but the body was not the service's JSON.
    NotTheService,
    /// The service reported that it lost an answer internally.
    LostInside,
    /// The process ended while the request was in flight.
    ProcessDied,
    /// Read back: the message has the wanted content.
    ReadBack,
    /// Read back: the message has other content, and no attempt is left.
    NotEdited,
    /// Read back: the message is in neither account's history.
    NotInHistory,
    /// It cannot be read back: its key does not contain the time of sending.
    KeyWithoutTime,
    /// Read back: the content is similar to the wanted content, but not the same.
    Alike,
    /// Read back: the message was recalled, and does not have the wanted content.
    Recalled,
    /// Read back: the message has neither the wanted content nor that which is a condition of the run.
    ReadsOtherwise,
    /// Read first: the message already has the wanted content.
    AlreadyThere,
    /// Read first: the message was recalled, so the edit is not sent.
    RecalledBefore,
    /// Read first: the message is in neither account's history, so the edit is not sent.
    NotThere,
    /// Read first: the message does not read as it was reviewed, so the edit is not sent.
    NotAsReviewed,
    /// Read first: the history does not show what the message holds, so that cannot be kept, and the edit is not sent.
    NotShown,
    /// The service refused to have it read back.
    ReadBackRefused,
    /// Reading it back failed: no attempt returned a page, or the pages ended early.
    ReadBackFailed,
}

impl Note {
    /// Its name in the ledger.
    pub fn word(self) -> String {
        match self {
            Note::TimedOut => "timed out".to_owned(),
            Note::ConnectionLost => "connection lost".to_owned(),
            Note::Http(status) => format!("http {status}"),
            Note::NotTheService => "not the service's answer".to_owned(),
            Note::LostInside => "lost inside the service".to_owned(),
            Note::ProcessDied => "process died".to_owned(),
            Note::ReadBack => "read back".to_owned(),
            Note::NotEdited => "read back: not edited".to_owned(),
            Note::NotInHistory => "read back: not in the history".to_owned(),
            Note::KeyWithoutTime => "key without time".to_owned(),
            Note::Alike => "read back: alike".to_owned(),
            Note::Recalled => "read back: recalled".to_owned(),
            Note::ReadsOtherwise => "read back: reads otherwise".to_owned(),
            Note::AlreadyThere => "read first: already there".to_owned(),
            Note::RecalledBefore => "read first: recalled".to_owned(),
            Note::NotThere => "read first: not in the history".to_owned(),
            Note::NotAsReviewed => "read first: not as reviewed".to_owned(),
            Note::NotShown => "read first: content not shown".to_owned(),
            Note::ReadBackRefused => "read-back refused".to_owned(),
            Note::ReadBackFailed => "read-back failed".to_owned(),
        }
    }

    /// Parses its name in the ledger.
    pub fn from_word(word: &str) -> Option<Note> {
        Some(match word {
            "timed out" => Note::TimedOut,
            "connection lost" => Note::ConnectionLost,
            "not the service's answer" => Note::NotTheService,
            "lost inside the service" => Note::LostInside,
            "process died" => Note::ProcessDied,
            "read back" => Note::ReadBack,
            "read back: not edited" => Note::NotEdited,
            "read back: not in the history" => Note::NotInHistory,
            "key without time" => Note::KeyWithoutTime,
            "read back: alike" => Note::Alike,
            "read back: recalled" => Note::Recalled,
            "read back: reads otherwise" => Note::ReadsOtherwise,
            "read first: already there" => Note::AlreadyThere,
            "read first: recalled" => Note::RecalledBefore,
            "read first: not in the history" => Note::NotThere,
            "read first: not as reviewed" => Note::NotAsReviewed,
            "read first: content not shown" => Note::NotShown,
            "read-back refused" => Note::ReadBackRefused,
            "read-back failed" => Note::ReadBackFailed,
            _ => Note::Http(word.strip_prefix("http ")?.parse().ok()?),
        })
    }

    /// Whether it is the result of reading the message before sending.
    pub fn is_of_reading_first(self) -> bool {
        match self {
            Note::AlreadyThere | Note::RecalledBefore | Note::NotThere | Note::NotAsReviewed | Note::NotShown => true,
            Note::TimedOut
            | Note::ConnectionLost
            | Note::Http(_)
            | Note::NotTheService
            | Note::LostInside
            | Note::ProcessDied
            | Note::ReadBack
            | Note::NotEdited
            | Note::NotInHistory
            | Note::KeyWithoutTime
            | Note::Alike
            | Note::Recalled
            | Note::ReadsOtherwise
            | Note::ReadBackRefused
            | Note::ReadBackFailed => false,
        }
    }

    /// An explanation for people.
    pub fn meaning(self) -> String {
        match self {
            Note::TimedOut => "no answer came in time; the edit may or may not have taken place".to_owned(),
            Note::ConnectionLost => {
                "the connection was lost before the answer; the edit may or may not have taken place".to_owned()
            }
            Note::Http(status) => {
                format!("HTTP {status} instead of the service's answer; the edit may or may not have taken place")
            }
            Note::NotTheService => {
                "the answer was not the service's JSON; the edit may or may not have taken place".to_owned()
            }
            Note::LostInside => {
                "the service lost an answer inside itself; the edit may or may not have taken place".to_owned()
            }
            Note::ProcessDied => {
                "the process ended while this was being sent; the edit may or may not have taken place".to_owned()
            }
            Note::ReadBack => "read back: the message holds what is wanted".to_owned(),
            Note::NotEdited => "no attempt was answered, and read back, the message was not edited".to_owned(),
            Note::NotInHistory => {
                "its answer was lost, and read back, the message is in neither side's history; look at it on a phone"
                    .to_owned()
            }
            Note::KeyWithoutTime => {
                "its MsgKey does not tell when it was sent, so it cannot be read back; look at it on a phone".to_owned()
            }
            Note::Alike => {
                "read back, the message is like the wanted one but not the same; look at it on a phone".to_owned()
            }
            Note::Recalled => "its answer was lost, and read back, the message was recalled".to_owned(),
            Note::ReadsOtherwise => {
                "its answer was lost, and read back, the message reads neither as wanted nor as it was reviewed; look at it on a phone"
                    .to_owned()
            }
            Note::AlreadyThere => "read before sending: the message holds what is wanted already".to_owned(),
            Note::RecalledBefore => {
                "read before sending: the message was recalled, so the edit was not sent".to_owned()
            }
            Note::NotThere => {
                "read before sending: the message is in neither side's history, so the edit was not sent".to_owned()
            }
            Note::NotAsReviewed => {
                "read before sending: the message does not read as it was reviewed, so the edit was not sent".to_owned()
            }
            Note::NotShown => {
                "read before sending: the history does not show what the message holds, so the edit was not sent"
                    .to_owned()
            }
            Note::ReadBackRefused => "the service refuses to have it read back".to_owned(),
            Note::ReadBackFailed => "reading it back came to nothing; resume later".to_owned(),
        }
    }
}

/// The result of an attempt: the service's code, or a note where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The service's `ErrorCode`.
    Code(i64),
    /// There was no code, for this reason.
    Note(Note),
}
