//! The one table of the service's error codes: what each of them says, and what it means for a run.
//!
//! Sources: the page of `v4/openim/modify_c2c_msg`, and for the rest the service's public lists of error codes. Codes
//! seen only in the lists of its client SDKs are here as well and say so: such a code fails the edit. A code that is
//! not in the table is *unknown*: the edit fails and the report names the code; nothing is guessed.

use std::ops::RangeInclusive;

/// What a code means for the run as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A transient fault inside the service: the edit is retried after a while.
    Passing,
    /// The service lost an answer internally and does not know what became of the edit: it is in doubt. (Timeouts of
    /// account or signature lookups happen before the edit, and are transient.)
    InDoubt,
    /// Too many requests: all of them slow down, then this edit is retried.
    SlowDown,
    /// The signature has expired: sign again once if the key is held and retry, otherwise stop.
    Signature,
    /// The signing account may not do this: no edit of this run can succeed.
    StopAccess,
    /// The app, its plan or the address of the service is wrong: no edit of this run can succeed.
    StopConfiguration,
    /// The service refuses this edit permanently; other edits are not affected.
    EditFails,
}

impl Class {
    /// Every class, in the order in which documents list them.
    pub const ALL: [Class; 7] = [
        Class::Passing,
        Class::InDoubt,
        Class::SlowDown,
        Class::Signature,
        Class::StopAccess,
        Class::StopConfiguration,
        Class::EditFails,
    ];

    /// What a run does about it, in a few words.
    pub fn verdict_word(self) -> &'static str {
        match self {
            Class::Passing => "retry",
            Class::InDoubt => "read back, retry",
            Class::SlowDown => "slow down, retry",
            Class::Signature => "sign anew, retry",
            Class::StopAccess | Class::StopConfiguration => "stop the run",
            Class::EditFails => "failed",
        }
    }

    /// What the operator should do about it, if the code has no advice of its own: one sentence.
    pub const fn advice(self) -> &'static str {
        match self {
            Class::Passing => "Nothing: the edit is tried again; if it persists, look at the service's status page.",
            Class::InDoubt => {
                "Nothing: the message is read back, and edited again where it was not; if it persists, look at the \
                 service's status page."
            }
            Class::SlowDown => "Nothing: the run slows down; if it persists, see who else calls this API.",
            Class::Signature => {
                "Check this machine's clock; and give the secret key instead of a ready-made UserSig, so that the run can sign."
            }
            Class::StopAccess => {
                "Check sdkappid, identifier and secret key against the console, then resume with the same command."
            }
            Class::StopConfiguration => {
                "Check the region or endpoint, and the app's state and plan in the console, then resume."
            }
            Class::EditFails => {
                "Correct the row or leave it out; --retry-failed takes up the ledger's failed edits again."
            }
        }
    }
}

/// One line of the table: a code, or a range of codes that mean the same.
#[derive(Clone, Debug)]
pub struct CodeEntry {
    /// The codes that it covers, usually a single one.
    pub codes: RangeInclusive<i64>,
    /// What the code says: a lower-case fragment without a full stop.
    pub meaning: &'static str,
    /// What the operator should do about it: a sentence.
    pub advice: &'static str,
    /// What it means for a run.
    pub class: Class,
}

/// The entry of `code`, or `None` if the table does not have it (nor 0, which is success).
pub fn lookup(code: i64) -> Option<&'static CodeEntry> {
    let after = TABLE.partition_point(|entry| *entry.codes.start() <= code);
    TABLE[..after].last().filter(|entry| entry.codes.contains(&code))
}

/// What a code says, even if it is not in the table.
pub fn meaning(code: i64) -> &'static str {
    lookup(code).map_or("which is not a known code", |entry| entry.meaning)
}

/// The whole table, in ascending order.
pub fn all() -> &'static [CodeEntry] {
    TABLE
}

const fn entry(code: i64, class: Class, meaning: &'static str, advice: Option<&'static str>) -> CodeEntry {
    span(code, code, class, meaning, advice)
}

const fn span(first: i64, last: i64, class: Class, meaning: &'static str, advice: Option<&'static str>) -> CodeEntry {
    // `Option::unwrap_or_else` with a method is not const, and only this function needs the class's advice.
    let advice = match advice {
        Some(advice) => advice,
        None => class.advice(),
    };
    CodeEntry { codes: first..=last, meaning, advice, class }
}

const CHECK_REGION: &str = "Check --region or --endpoint: an app exists in one data centre only; then resume.";
const CHECK_KEY: &str = "Check that the secret key is the one of this sdkappid, then resume.";
const CORRECT_THE_ROW: &str = "Correct the row's content and put it in a new list.";
const CHECK_THE_ACCOUNT: &str = "Check the account's spelling, and that it was imported into this app.";
const NO_SUCH_MESSAGE: &str =
    "The message may be past its storage time, recalled, or another's: check From_Account, To_Account and MsgKey.";
const BE_AN_ADMIN: &str = "Make the identifier an app admin in the console, or use one that is; then resume.";
const SHORTEN: &str = "Shorten the row's content: the limit is 8 KB on older pages, 12 KB on newer ones.";

/// For codes of which the public lists say nothing but that they exist.
const SEEN: &str = "seen in client lists, not documented for this call";
const OLDER: &str = "an internal trouble of the service, in an older list";
const SEND_ONLY: &str = "It is known from other calls only: ask the service's support why an edit gets it.";
const RECALLED: &str = "A recalled message cannot be edited: leave the row out.";

/// Ascending and without overlap, because [`lookup`] does a binary search.
static TABLE: &[CodeEntry] = {
    use Class::{EditFails, InDoubt, Passing, Signature, SlowDown, StopAccess, StopConfiguration};
    &[
        entry(20001, EditFails, "the request is not valid, or nothing in it can be changed", Some(CHECK_THE_ACCOUNT)),
        entry(20002, Signature, "the UserSig is no longer valid", None),
        entry(
            20003,
            EditFails,
            "the sender's or the recipient's UserID is invalid or does not exist",
            Some(CHECK_THE_ACCOUNT),
        ),
        entry(20004, Passing, "a network fault inside the service", None),
        entry(20005, Passing, "an internal error of the service", None),
        entry(
            20006,
            EditFails,
            "the customer's own webhook forbade it",
            Some("Ask whoever runs the app's webhook server why it refuses."),
        ),
        entry(20007, EditFails, "the recipient has blocked the sender", Some(SEND_ONLY)),
        entry(20009, EditFails, "the two accounts are no friends", Some(SEND_ONLY)),
        entry(20010, EditFails, "the sender is no friend of the recipient's", Some(SEND_ONLY)),
        entry(20011, EditFails, "the recipient is no friend of the sender's", Some(SEND_ONLY)),
        entry(20012, EditFails, "the sender is muted", Some(SEND_ONLY)),
        entry(20016, EditFails, "the time in which the message could be recalled is over", Some(SEND_ONLY)),
        entry(20018, EditFails, "an internal error while roaming messages were deleted", Some(SEND_ONLY)),
        entry(20022, EditFails, "there is no such message", Some(NO_SUCH_MESSAGE)),
        entry(20023, EditFails, "the message was recalled already", Some(RECALLED)),
        entry(20026, EditFails, "there is no such message", Some(NO_SUCH_MESSAGE)),
        entry(20028, Passing, "the message was being changed by someone else at the same time", None),
        entry(22006, SlowDown, "requests of this kind come too often", None),
        entry(23001, EditFails, SEEN, Some(SEND_ONLY)),
        span(23004, 23009, EditFails, SEEN, Some(SEND_ONLY)),
        entry(60002, StopConfiguration, "the HTTP request or its URL could not be parsed", None),
        entry(60003, EditFails, "the service could not parse the request's JSON", Some(CORRECT_THE_ROW)),
        entry(60004, StopAccess, "the account or its signature, in the URL or the body, is wrong", None),
        entry(60005, StopAccess, "the account or its signature, in the URL or the body, is wrong", None),
        entry(
            60006,
            StopConfiguration,
            "the sdkappid is not valid",
            Some("Check the sdkappid in the console, and that the app was not deleted; then resume."),
        ),
        entry(60007, SlowDown, "this API was called more often than its limit allows", None),
        entry(60008, InDoubt, "the service timed out on the request", None),
        entry(60009, StopConfiguration, "the URL names nothing that the service has", Some(CHECK_REGION)),
        entry(60010, StopAccess, "the call needs an admin account of the app", Some(BE_AN_ADMIN)),
        entry(60011, SlowDown, "the app as a whole sends too many requests", None),
        entry(60012, StopConfiguration, "the request carries no sdkappid", None),
        entry(60013, InDoubt, "the service could not make sense of an answer inside itself", None),
        entry(60014, Passing, "the service timed out looking an account up", None),
        entry(60015, EditFails, "an account in the request is not a string", Some(CORRECT_THE_ROW)),
        entry(
            60016,
            StopConfiguration,
            "the app is disabled",
            Some("Find out in the console why the app is disabled; then resume."),
        ),
        entry(
            60017,
            StopConfiguration,
            "the call is forbidden for this app",
            Some("Ask the service's support why the call is forbidden for this app."),
        ),
        entry(60018, SlowDown, "requests come too often", None),
        entry(60019, SlowDown, "requests come too often", None),
        entry(
            60020,
            StopConfiguration,
            "the app's plan has run out, or is not active yet",
            Some("Renew the plan; it takes effect after about five minutes; then resume."),
        ),
        entry(
            60021,
            StopConfiguration,
            "calls are not allowed from this IP address",
            Some("Add this machine's address to the app's allow list in the console; then resume."),
        ),
        entry(70001, Signature, "the UserSig has expired", None),
        entry(70002, StopAccess, "the UserSig is empty", None),
        entry(70003, StopAccess, "the UserSig could not be parsed; it may have been cut short", None),
        entry(70005, StopAccess, "the UserSig did not pass verification", Some(CHECK_KEY)),
        entry(70009, StopAccess, "the UserSig does not match the app's key", Some(CHECK_KEY)),
        entry(
            70013,
            StopAccess,
            "the UserSig was made for another identifier",
            Some("Give the identifier that the UserSig was made for, or the secret key; then resume."),
        ),
        entry(
            70014,
            StopAccess,
            "the UserSig was made for another sdkappid",
            Some("Give the sdkappid that the UserSig was made for, or the secret key; then resume."),
        ),
        entry(70016, StopAccess, "the app has no key here to verify the UserSig with", Some(CHECK_REGION)),
        entry(70020, StopAccess, "the sdkappid does not exist here", Some(CHECK_REGION)),
        entry(
            70050,
            StopAccess,
            "verification failed too often, and is blocked for a while",
            Some("Check the secret key, wait at least a minute, then resume."),
        ),
        entry(
            70051,
            StopAccess,
            "the account is on a block list",
            Some("Take the account off the block list; then resume."),
        ),
        entry(
            70052,
            StopAccess,
            "the UserSig has been revoked",
            Some("Make a new UserSig, or give the secret key; then resume."),
        ),
        entry(70107, EditFails, "the account does not exist in this app", Some(CHECK_THE_ACCOUNT)),
        entry(
            70114,
            StopAccess,
            "the account is restricted for security reasons",
            Some("Ask the service's support about the restriction."),
        ),
        entry(70169, Passing, "a timeout inside the service", None),
        entry(70201, Passing, OLDER, None),
        entry(70202, Passing, "a timeout inside the service", None),
        entry(70203, Passing, OLDER, None),
        entry(70207, Passing, OLDER, None),
        entry(70208, Passing, OLDER, None),
        entry(70222, Passing, OLDER, None),
        entry(70308, Passing, OLDER, None),
        entry(70346, StopAccess, "the account or its signature was refused", None),
        entry(70347, Signature, "the UserSig has expired", None),
        entry(70348, Passing, OLDER, None),
        entry(70362, Passing, OLDER, None),
        entry(
            70398,
            StopConfiguration,
            "the app has more accounts than its plan allows",
            Some("Upgrade the plan, or remove accounts; then resume."),
        ),
        entry(70401, Passing, OLDER, None),
        entry(70402, EditFails, "a parameter is missing or not valid", Some(CORRECT_THE_ROW)),
        entry(70403, StopAccess, "the call needs an admin account of the app", Some(BE_AN_ADMIN)),
        entry(70500, Passing, "an internal error of the service", None),
        entry(72000, StopConfiguration, "the app's configuration or plan does not allow the call", None),
        entry(80001, EditFails, "the text did not pass the service's content check", Some(CORRECT_THE_ROW)),
        entry(80002, EditFails, "the message is too long", Some(SHORTEN)),
        entry(80004, EditFails, "the content did not pass the service's content check", Some(CORRECT_THE_ROW)),
        entry(90001, EditFails, "the request's JSON could not be parsed", Some(CORRECT_THE_ROW)),
        entry(
            90002,
            EditFails,
            "MsgBody is no array, or an element of it breaks the message format",
            Some(CORRECT_THE_ROW),
        ),
        entry(90003, EditFails, "To_Account is missing or not a string", Some(CORRECT_THE_ROW)),
        entry(90005, EditFails, "MsgRandom is missing or not an integer", None),
        entry(90006, EditFails, "MsgTimeStamp is missing or not an integer", None),
        entry(90007, EditFails, "MsgBody is not an array", Some(CORRECT_THE_ROW)),
        entry(90008, EditFails, "From_Account is missing or not valid", Some(CHECK_THE_ACCOUNT)),
        entry(90009, StopAccess, "the call needs an admin account of the app", Some(BE_AN_ADMIN)),
        entry(90010, EditFails, "the request breaks the message format", Some(CORRECT_THE_ROW)),
        entry(90011, EditFails, "more than 500 recipients are named", Some(SEND_ONLY)),
        entry(90012, EditFails, "To_Account is not registered or does not exist", Some(CHECK_THE_ACCOUNT)),
        entry(90026, EditFails, "the time for which a message is kept is longer than 7 days", Some(SEND_ONLY)),
        entry(90030, EditFails, SEEN, Some(SEND_ONLY)),
        entry(90031, EditFails, "SyncOtherMachine is not an integer", Some(SEND_ONLY)),
        entry(90033, EditFails, SEEN, Some(SEND_ONLY)),
        entry(90034, EditFails, SEEN, Some(SEND_ONLY)),
        entry(90040, EditFails, SEEN, Some(SEND_ONLY)),
        entry(90043, EditFails, SEEN, Some(SEND_ONLY)),
        entry(90044, EditFails, "MsgLifeTime is not an integer", Some(SEND_ONLY)),
        entry(90045, EditFails, SEEN, Some(SEND_ONLY)),
        entry(90047, EditFails, SEEN, Some(SEND_ONLY)),
        entry(90048, EditFails, "an account in the request does not exist", Some(CHECK_THE_ACCOUNT)),
        entry(90054, EditFails, "the MsgKey is not valid", Some("Check the MsgKey against where the list came from.")),
        entry(90055, EditFails, "the service does not accept the request's content", Some(CORRECT_THE_ROW)),
        entry(
            90992,
            Passing,
            "an internal error, or the customer's own webhook server fails",
            Some("If every request gets it, look at the app's webhook server: it must answer the service."),
        ),
        entry(90994, Passing, "an internal error of the service", None),
        entry(90995, Passing, "an internal error of the service", None),
        entry(91000, Passing, "an internal error of the service", None),
        entry(91101, EditFails, "too many web clients of the account poll at once", Some(SEND_ONLY)),
        entry(93000, EditFails, "the request is too long", Some(SHORTEN)),
        span(
            120_001,
            130_000,
            EditFails,
            "the customer's own webhook refused it, with a code of its own",
            Some("Ask whoever runs the app's webhook server what the code means."),
        ),
    ]
};

#[cfg(test)]
mod tests {
    use Class::{EditFails, InDoubt, Passing, Signature, SlowDown, StopAccess, StopConfiguration};

    use super::*;

    fn codes_of(class: Class) -> Vec<i64> {
        let of_class = all().iter().filter(|entry| entry.class == class);
        // The customer's own codes are too many to list.
        of_class.filter(|entry| *entry.codes.start() != 120_001).flat_map(|entry| entry.codes.clone()).collect()
    }

    fn check(class: Class, codes: &[&[i64]]) {
        let mut codes = codes.concat();
        codes.sort_unstable();
        assert_eq!(codes_of(class), codes, "{class:?}");
        assert!(codes.iter().all(|code| lookup(*code).is_some_and(|entry| entry.class == class)), "{class:?}");
    }

    /// Every known code, class by class, and no other.
    #[test]
    fn every_known_code_is_here_with_what_it_means_for_a_run() {
        check(
            Passing,
            &[
                &[20004, 20005, 91000, 90992],
                &[20028, 60014, 70169, 70202, 70500, 90994, 90995],
                &[70201, 70203, 70207, 70208, 70222, 70308, 70348, 70362, 70401],
            ],
        );
        check(InDoubt, &[&[60008, 60013]]);
        check(SlowDown, &[&[60007, 60011, 60018, 60019, 22006]]);
        check(Signature, &[&[70001, 70347, 20002]]);
        check(
            StopAccess,
            &[
                &[60004, 60005, 60010, 70002, 70003, 70005, 70009, 70013, 70014, 70016, 70020, 70050],
                &[70051, 70052, 70114, 70346, 70403, 90009],
            ],
        );
        check(StopConfiguration, &[&[60002, 60006, 60009, 60012, 60016, 60017, 60020, 60021, 70398, 72000]]);
        check(
            EditFails,
            &[
                &[20001, 20003, 20006, 20022, 20026, 60003, 60015, 70107, 70402, 80001, 80002, 80004],
                &[90001, 90002, 90003, 90005, 90006, 90007, 90008, 90010, 90012, 90048, 90054, 90055, 93000],
                // Seen in client lists.
                &[20007, 20009, 20010, 20011, 20012, 20016, 20018, 20023, 23001],
                &[23004, 23005, 23006, 23007, 23008, 23009, 90011, 90026, 90030, 90031, 90033, 90034, 90040],
                &[90043, 90044, 90045, 90047, 91101],
            ],
        );
        for code in [120_001, 125_000, 130_000] {
            assert_eq!(lookup(code).map(|entry| entry.class), Some(EditFails), "{code}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_unknown() {
        for code in [i64::MIN, -1, 0, 20008, 23003, 23010, 90004, 120_000, 130_001, i64::MAX] {
            assert!(lookup(code).is_none(), "{code}");
        }
    }

    #[test]
    fn entries_ascend_and_do_not_overlap() {
        for pair in all().windows(2) {
            assert!(pair[0].codes.end() < pair[1].codes.start(), "{:?} and {:?}", pair[0].codes, pair[1].codes);
        }
    }

    #[test]
    fn texts_have_the_form_that_messages_rely_on() {
        for entry in all() {
            assert!(!entry.meaning.ends_with('.') && !entry.meaning.is_empty(), "{:?}", entry.codes);
            assert!(entry.advice.ends_with('.') && entry.advice.starts_with(char::is_uppercase), "{:?}", entry.codes);
        }
    }
}
