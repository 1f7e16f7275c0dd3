//! Why an edit is where it is, where no error code says it.

/// Why an edit is where it is, where no error code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// No answer came in time.
    TimedOut,
    /// The connection ended before the answer did.
    ConnectionLost,
    /// The service, or something in front of it, answered with this HTTP status and without the service's JSON.
    Http(u16),
    /// The answer was not the service's JSON.
    NotTheService,
    /// The process ended while the request was under way.
    ProcessDied,
}

impl Note {
    /// The word that the ledger keeps.
    pub fn word(self) -> String {
        match self {
            Note::TimedOut => "timed out".to_owned(),
            Note::ConnectionLost => "connection lost".to_owned(),
            Note::Http(status) => format!("http {status}"),
            Note::NotTheService => "not the service's answer".to_owned(),
            Note::ProcessDied => "process died".to_owned(),
        }
    }

    /// From the word that the ledger keeps.
    pub fn from_word(word: &str) -> Option<Note> {
        Some(match word {
            "timed out" => Note::TimedOut,
            "connection lost" => Note::ConnectionLost,
            "not the service's answer" => Note::NotTheService,
            "process died" => Note::ProcessDied,
            _ => Note::Http(word.strip_prefix("http ")?.parse().ok()?),
        })
    }

    /// A sentence's worth for people.
    pub fn meaning(self) -> String {
        match self {
            Note::TimedOut => "no answer came in time; the edit may or may not have taken place".to_owned(),
            Note::ConnectionLost => {
                "the connection was lost before the answer; the edit may or may not have taken place".to_owned()
            }
            Note::Http(status @ 500..) => {
                format!("HTTP {status} instead of the service's answer; the edit may or may not have taken place")
            }
            Note::Http(status) => format!("HTTP {status} from something in front of the service"),
            Note::NotTheService => {
                "the answer was not the service's JSON; the edit may or may not have taken place".to_owned()
            }
            Note::ProcessDied => {
                "the process ended while this was being sent; the edit may or may not have taken place".to_owned()
            }
        }
    }
}
