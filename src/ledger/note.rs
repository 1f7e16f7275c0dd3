//! Why an edit is where it is, where no error code says it.

/// Why an edit is where it is, where no error code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// No answer came in time.
    TimedOut,
    /// The connection ended before the answer did.
    ConnectionLost,
    /// The service, or something in front of it, answered with this HTTP status, which is not 200.
    Http(u16),
    /// The answer came with status 200, and was not the service's JSON.
    NotTheService,
    /// The service said that it lost an answer inside itself.
    LostInside,
    /// The process ended while the request was under way.
    ProcessDied,
    /// Read back: the message holds what is wanted.
    ReadBack,
    /// Read back: the message holds something else, and no attempt is left.
    NotEdited,
    /// Read back: neither side's history has the message.
    NotInHistory,
    /// It cannot be read back: its key does not tell when it was sent.
    KeyWithoutTime,
    /// Read back: what the message holds is like what is wanted, but not the same.
    Alike,
    /// Read back: the message was recalled, and does not hold what is wanted.
    Recalled,
    /// Read before it was sent: the message holds what is wanted already.
    AlreadyThere,
    /// Read before it was sent: the message was recalled, so it is not sent.
    RecalledBefore,
    /// Read before it was sent: neither side's history has the message, so it is not sent.
    NotThere,
    /// It could not be read back: the service refused that.
    ReadBackRefused,
    /// It could not be read back: no try came to a page, or the pages broke off before their end.
    ReadBackFailed,
}

impl Note {
    /// The word that the ledger keeps.
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
            Note::AlreadyThere => "read first: already there".to_owned(),
            Note::RecalledBefore => "read first: recalled".to_owned(),
            Note::NotThere => "read first: not in the history".to_owned(),
            Note::ReadBackRefused => "read-back refused".to_owned(),
            Note::ReadBackFailed => "read-back failed".to_owned(),
        }
    }

    /// From the word that the ledger keeps.
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
            "read first: already there" => Note::AlreadyThere,
            "read first: recalled" => Note::RecalledBefore,
            "read first: not in the history" => Note::NotThere,
            "read-back refused" => Note::ReadBackRefused,
            "read-back failed" => Note::ReadBackFailed,
            _ => Note::Http(word.strip_prefix("http ")?.parse().ok()?),
        })
    }

    /// Whether it is what reading a message before sending showed.
    pub fn is_of_reading_first(self) -> bool {
        match self {
            Note::AlreadyThere | Note::RecalledBefore | Note::NotThere => true,
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
            | Note::ReadBackRefused
            | Note::ReadBackFailed => false,
        }
    }

    /// A sentence's worth for people.
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
            Note::AlreadyThere => "read before sending: the message holds what is wanted already".to_owned(),
            Note::RecalledBefore => {
                "read before sending: the message was recalled, so the edit was not sent".to_owned()
            }
            Note::NotThere => {
                "read before sending: the message is in neither side's history, so the edit was not sent".to_owned()
            }
            Note::ReadBackRefused => "the service refuses to have it read back".to_owned(),
            Note::ReadBackFailed => "reading it back came to nothing; resume later".to_owned(),
        }
    }
}
