//! What messages held before their edits: kept encrypted before anything is sent, found again whatever happens, and the way back;
//! and edits that are made only where a message still reads as it was reviewed.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::harness::{Call, FAST, Place, Ran, Running, has, list, row, sqlite, wait_for};
use crate::support::postgres::Cluster;
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --yes --json --no-progress --read-first";
const ENCRYPT: &str = "openssl enc -aes-256-cbc -pbkdf2 -iter 10 -pass pass:secret";
const DECRYPT: &str = "openssl enc -d -aes-256-cbc -pbkdf2 -iter 10 -pass pass:secret";

fn keeping<'a>(place: &'a Place, more: &str) -> Call<'a> {
    place.runner(&format!("{JOB} {more} --originals originals.bin --encrypt-with")).arg(ENCRYPT)
}

/// What the messages of the service hold, by their keys.
fn held(service: &Service) -> BTreeMap<String, Value> {
    let messages = service.messages().into_iter();
    messages.map(|message| (message["MsgKey"].as_str().unwrap().to_owned(), message["MsgBody"].clone())).collect()
}

/// What was kept, by keys. No message is in it twice.
fn kept(place: &Place, file: &str) -> BTreeMap<String, Value> {
    by_keys(&place.runner(&format!("originals {file} --decrypt-with")).arg(DECRYPT).exits(0))
}

/// The lines of a list, by their keys.
fn by_keys(ran: &Ran) -> BTreeMap<String, Value> {
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept = lines.iter().map(|line| (line["MsgKey"].as_str().unwrap().to_owned(), line["MsgBody"].clone()));
    let kept: BTreeMap<_, _> = kept.collect();
    assert_eq!(kept.len(), lines.len());
    kept
}

#[test]
fn what_messages_held_is_kept_encrypted_and_can_be_given_back() {
    if !has("openssl", "openssl") {
        return;
    }
    let place = Place::with_list(40);
    let service = Service::with_messages("20004=10%", &place);
    let before = held(&service);
    let ran = keeping(&place, FAST).at(&service).exits(0);
    // One that is read again after a wait is kept again.
    let count = ran.json()["originals"]["kept"].as_u64().unwrap();
    assert!(count >= 40, "{count}");
    assert!(held(&service) != before);
    assert_eq!(kept(&place, "originals.bin"), before);
    let file = std::fs::read(place.path("originals.bin")).unwrap();
    let holds = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds("ciphertext 1 ") && !holds("user_") && !holds("TIMTextElem"));
    assert_eq!(crate::support::harness::mode(&place.path("originals.bin")), 0o600);
    let told = place.runner("originals originals.bin --ledger ledger.db").exits(0).out;
    let holds_all = format!("originals.bin holds all that the ledger records of it: {count} originals in ");
    assert!(told.starts_with(&holds_all), "{told}");
    place.runner("verify ledger.db").exits(0);

    let other_key =
        place.runner("originals originals.bin --decrypt-with").arg(DECRYPT.replace("secret", "other")).exits(2);
    // One in some hundred ciphertexts is decrypted to something else.
    let told = ["the ciphertext ", " of originals.bin ", "decrypted", "right "];
    assert!(other_key.out.is_empty() && told.iter().all(|told| other_key.err.contains(told)), "{other_key:#?}");

    // The way back, only where nobody has edited it again since.
    let back = place.runner("originals originals.bin --ledger ledger.db --decrypt-with").arg(DECRYPT).exits(0).out;
    place.write("back.jsonl", back);
    // The command may hold a secret.
    assert!(!std::fs::read(place.path("ledger.db")).unwrap().windows(11).any(|bytes| bytes == b"pass:secret"));
    let digests =
        "SELECT lower(hex(message)) AS message, lower(hex(content)) AS content FROM edit WHERE state = 'done'";
    let digests = std::process::Command::new("sqlite3")
        .args(["-csv", "-header"])
        .arg(place.path("ledger.db"))
        .arg(digests)
        .output()
        .unwrap();
    place.write("redacted.csv", digests.stdout);
    place.write("touched.csv", list([7], "edited by its sender"));
    place.runner(&format!("--input touched.csv --resume touched.db --yes {FAST}")).at(&service).exits(0);
    let undo = format!("--input back.jsonl --resume back.db --yes --json {FAST} --read-first --only-if redacted.csv");
    let ran = place.runner(&undo).at(&service).exits(1);
    assert_eq!((ran.summary().done, ran.summary().failed), (39, 1), "{ran:#?}");
    assert_eq!(ran.json()["this_run"]["found_unfit"], 1);
    let (now, touched) = (held(&service), "7_7_1773188576");
    assert!(before.iter().all(|(key, body)| (key == touched) != (now[key] == *body)));
    assert!(now[touched].to_string().contains("edited by its sender"));
    assert!(place.read("back.failed.jsonl").contains("does not read as it was reviewed"));
}

#[test]
fn a_crash_loses_no_original() {
    if !has("openssl", "openssl") {
        return;
    }
    let place = Place::with_list(300);
    let service = Service::with_messages("edit.lost-after=3%", &place);
    let before = held(&service);
    let edited = || service.stats().edited_once();
    for until in [40, 120, 200] {
        let running = keeping(&place, "--rate 400 --max-rate 400").at(&service).start();
        wait_for("edits", || (edited() >= until).then_some(()));
        running.kill();
        // Whatever was edited can be given back.
        let (now, kept) = (
            held(&service),
            // As far as the file goes: it may break off.
            by_keys(&place.runner("originals originals.bin --decrypt-with").arg(DECRYPT).run()),
        );
        let lost = before.iter().filter(|(key, body)| now[*key] != **body && kept.get(*key) != Some(body));
        assert_eq!(lost.count(), 0);
    }
    // What the dying run has not written to its end.
    let mut file = std::fs::OpenOptions::new().append(true).open(place.path("originals.bin")).unwrap();
    std::io::Write::write_all(&mut file, b"ciphertext 999 1000000 00\nhalf").unwrap();
    drop(file);
    let torn = place.runner("originals originals.bin --decrypt-with").arg(DECRYPT).exits(2);
    assert!(torn.err.contains("makes no sense after its ciphertext "), "{torn:#?}");
    service.set_faults("none");
    keeping(&place, FAST).at(&service).exits(0);
    assert_eq!(edited(), 300);
    assert_eq!(kept(&place, "originals.bin"), before);
    place.runner("originals originals.bin --ledger ledger.db").exits(0);
    place.runner("verify ledger.db").exits(0);
}

/// A command that fails in the middle stops the run before anything of that commit is sent, and the next run goes on.
#[test]
fn nothing_is_sent_whose_original_could_not_be_kept() {
    let place = Place::with_list(60);
    let service = Service::with_messages("none", &place);
    let before = held(&service);
    let refused = |flags: &str, command: &str, told: &str| {
        let ran = place.runner(&format!("{JOB} {FAST} {flags} --originals originals.bin --encrypt-with")).arg(command);
        let ran = ran.at(&service).exits(2);
        assert!(ran.err.contains(told), "{ran:#?}");
    };
    refused("", "cat", "--encrypt-with gives back what it got");
    refused("", "exit 3", "--encrypt-with: the command ended with exit status: 3");
    refused("", "true", "--encrypt-with: the command gave nothing back");
    assert!(!Path::new(&place.path("ledger.db")).exists(), "the command is tried before anything is made");
    place.write("other.bin", "something else\n");
    let other = format!("{JOB} --originals other.bin --encrypt-with");
    let ran = place.runner(&other).arg("tr a-z0-9 b-za1-90").at(&service).exits(2);
    assert!(ran.err.contains("holds something else than originals") && place.read("other.bin") == "something else\n");
    let first = JOB.replace(" --read-first", "");
    let ran = place.runner(&format!("{first} --originals o.bin --encrypt-with")).arg("x").at(&service).exits(2);
    assert!(ran.err.contains("--originals needs --read-first"), "{ran:#?}");
    assert_eq!(service.stats().requests(), 0);

    // Good for the trial and two commits; then it fails.
    let command = "echo >> calls; test $(wc -l < calls) -le 3 && tr a-z0-9 b-za1-90";
    let ran =
        place.runner(&format!("{JOB} {FAST} --concurrency 4 --originals originals.bin --encrypt-with")).arg(command);
    let ran = ran.at(&service).exits(3);
    let reason =
        "the original contents could not be kept in originals.bin: --encrypt-with: the command ended with exit";
    assert!(ran.json()["reason"].as_str().unwrap().starts_with(reason), "{ran:#?}");
    let now = held(&service);
    let changed = before.iter().filter(|(key, body)| now[*key] != **body).count() as u64;
    let kept = ran.json()["originals"]["kept"].as_u64().unwrap();
    assert!(changed > 0 && changed <= kept && kept < 60, "{changed} of {kept}");
    let going_on = place.runner(&format!("{JOB} {FAST} --originals originals.bin --encrypt-with"));
    let ran = going_on.arg("tr a-z0-9 b-za1-90").at(&service).exits(0);
    assert!(ran.json()["originals"]["kept"].as_u64() >= Some(60));
    assert_eq!(service.stats().edited_once(), 60);
}

/// Whatever was edited can be given back, also if the file is removed in the middle of the run, or just before its end.
#[test]
fn a_file_that_is_removed_while_the_run_goes_on_is_rescued() {
    let place = Place::with_list(60);
    let service = Service::with_messages("none", &place);
    let before = held(&service);
    let file = place.path("originals.bin");
    let rescued = place.path("originals.bin.rescued");
    for calls in [6, 14] {
        // The command itself does it. What it was called for is not kept, and so not sent.
        let command =
            format!("echo >> calls; test $(wc -l < calls) -ne {calls} || rm originals.bin; tr a-z0-9 b-za1-90");
        let run = place.runner(&format!("{JOB} {FAST} --concurrency 2 --originals originals.bin --encrypt-with"));
        let ran = run.arg(command).at(&service).exits(3);
        let told = "originals.bin was removed while this run went on; what it held is in originals.bin.rescued";
        assert!(ran.json()["reason"].as_str().unwrap().contains(told), "{ran:#?}");
        assert!(!Path::new(&file).exists());
        std::fs::rename(&rescued, &file).unwrap();
        let whole = place.runner("originals originals.bin --ledger ledger.db").exits(0);
        assert!(whole.out.contains("holds all that the ledger records of it"), "{whole:#?}");
        let kept = by_keys(&place.runner("originals originals.bin --decrypt-with").arg("tr b-za1-90 a-z0-9").exits(0));
        let now = held(&service);
        assert!(before.iter().all(|(key, body)| now[key] == *body || kept[key] == *body));
    }
    let run = |place: &Place, service: &Service| {
        let call = place.runner(&format!("{JOB} {FAST} --originals originals.bin --encrypt-with"));
        call.arg("tr a-z0-9 b-za1-90").at(service).start()
    };
    run(&place, &service).exits(0);
    assert_eq!(service.stats().edited_once(), 60);

    // After the last original was kept, and with something in the way.
    let place = Place::with_list(1);
    let service = Service::with_messages("latency=2s", &place);
    let running = run(&place, &service);
    service.wait_for_requests(1);
    place.write("originals.bin.rescued", "an earlier one\n");
    std::fs::remove_file(place.path("originals.bin")).unwrap();
    let ran = running.exits(3);
    let told = "originals.bin was removed while this run went on; what it held is in originals.bin.rescued-2";
    assert!(ran.err.contains(told), "{ran:#?}");
    std::fs::rename(place.path("originals.bin.rescued-2"), place.path("originals.bin")).unwrap();
    place.runner("originals originals.bin --ledger ledger.db").exits(0);
    assert_eq!(service.stats().edited_once(), 1);
}

#[test]
fn a_file_that_lacks_what_the_ledger_records_is_noticed() {
    let place = Place::with_list(20);
    let service = Service::with_messages("none", &place);
    let run = |flags: &str| {
        let call = place.runner(&format!("{JOB} {FAST} {flags} --originals originals.bin --encrypt-with"));
        call.arg("tr a-z0-9 b-za1-90").at(&service)
    };
    run("--max-rows 10").exits(0);
    let (path, copy) = (place.path("originals.bin"), place.path("copy.bin"));
    std::fs::copy(&path, &copy).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut changed = whole.clone();
    let at = changed.len() - 30;
    changed[at] ^= 1;
    let mut changed_before = whole.clone();
    changed_before[whole.len() / 2] ^= 1;
    for (altered, told) in [
        (whole[..at].to_vec(), "lacks the ciphertext"),
        (changed, "is not as it was written"),
        (changed_before, "originals.bin"),
    ] {
        std::fs::write(&path, &altered).unwrap();
        for refused in [run("").exits(2), place.runner("originals originals.bin --ledger ledger.db").exits(2)] {
            assert!(refused.err.contains(told), "{told}: {refused:#?}");
        }
        assert!(std::fs::read(&path).unwrap() == altered, "it was changed");
    }
    std::fs::write(&path, "").unwrap();
    let refused = run("").exits(2);
    assert!(refused.err.contains("originals.bin is empty, and the ledger records originals"), "{refused:#?}");
    // Another file is as good, but for one of another ledger.
    std::fs::remove_file(&path).unwrap();
    let ran = run("").exits(0);
    assert!(ran.err.contains("this ledger records originals in another file than originals.bin"), "{ran:#?}");
    let refused =
        place.runner(&format!("{} --originals originals.bin --encrypt-with", JOB.replace("ledger.db", "other.db")));
    let refused = refused.arg("tr a-z0-9 b-za1-90").at(&service).exits(2);
    assert!(refused.err.contains("keeps the originals of another ledger (runner/"), "{refused:#?}");
    let more = place.read("edits.csv") + &row(21, "new");
    place.write("edits.csv", more);
    let without = place.runner(JOB).at(&service).run();
    assert!(without.err.contains("and this run keeps none (--originals)"), "{without:#?}");
    std::fs::rename(&path, place.path("second.bin")).unwrap();
    for (file, originals) in [("copy.bin", 10), ("second.bin", 10)] {
        let told = place.runner(&format!("originals {file} --ledger ledger.db")).exits(0).out;
        assert!(
            told.contains(&format!(": {originals} originals in ")) && told.contains("records 10 more in"),
            "{told}"
        );
    }
    sqlite(&place.path("ledger.db"), "UPDATE ciphertext SET sha256 = lower(hex(zeroblob(32)))");
    let altered = place.runner("verify ledger.db").exits(1).out;
    assert!(altered.contains("table ciphertext is not what event"), "{altered}");
}

#[test]
fn an_edit_is_made_only_where_the_message_reads_as_it_was_reviewed() {
    let place = Place::with_list(30);
    let service = Service::with_messages("20004=5%", &place);
    let before = held(&service);
    let mut reviewed = list([], "");
    for number in 1..=30 {
        let text = before[&format!("{number}_7_1773188576")][0]["MsgContent"]["Text"].as_str().unwrap();
        reviewed += &row(number, if number % 10 == 0 { "what it held then" } else { text });
    }
    place.write("reviewed.csv", &reviewed);
    let job = format!("{JOB} {FAST} --only-if reviewed.csv");
    let ran = place.runner(&job).at(&service).exits(1);
    assert_eq!((ran.summary().done, ran.summary().failed), (27, 3), "{ran:#?}");
    assert_eq!(ran.json()["this_run"]["found_unfit"], 3);
    let untouched = held(&service).iter().filter(|(key, body)| before[*key] == **body).count();
    assert_eq!((untouched, place.read("ledger.failed.csv").matches("not read as it was reviewed").count()), (3, 3));
    // Looked at again, and made where it reads so by now.
    place.write("reviewed.csv", reviewed.replace("what it held then", "something"));
    place.runner(&format!("{job} --retry-failed")).at(&service).exits(1);
    let told = "the last run edited only what was reviewed";
    let whatever = place.runner(&format!("{JOB} {FAST} --retry-failed")).at(&service).exits(0);
    assert!(whatever.err.contains(told), "{whatever:#?}");

    // Nothing is sent of a list of which a message was not reviewed.
    place.write("more.csv", list(29..=32, "new"));
    let more = job.replace("edits.csv", "more.csv").replace("ledger.db", "more.db");
    let refused = place.runner(&more).at(&service).exits(2);
    assert!(refused.err.contains("line 4: its message is not in the file of --only-if"), "{refused:#?}");
    assert!(!Path::new(&place.path("more.db")).exists());
    for (content, told) in [
        ("message,content\n12,34\n", "--only-if: line 2 of reviewed.csv: a digest is 32 hexadecimal digits"),
        (
            "from_account,to_account,msg_key\na,b,1_2_3\n",
            "--only-if: \"reviewed.csv\", line 1: there is nothing to change",
        ),
        (
            "from_account,to_account,msg_key,cloud_custom_data\na,b,1_2_3,one\na,b,1_2_3,one\na,b,1_2_3,two\n",
            "--only-if: line 4 of reviewed.csv: it says otherwise than line 3 what its message held",
        ),
        (
            &format!("message,content\n{0},{0}\n{1},{0}\n{0},{1}\n", "1".repeat(32), "2".repeat(32)),
            "--only-if: line 4 of reviewed.csv: it says otherwise than line 2 what its message held",
        ),
    ] {
        place.write("reviewed.csv", content);
        let refused = place.runner(&job).at(&service).exits(2);
        assert!(refused.err.contains(told), "{refused:#?}");
    }
}

/// Each runner keeps what it edits itself, in a file of its own.
#[test]
fn runners_that_share_a_list_keep_all_originals_together() {
    let Some(cluster) = Cluster::shared() else { return };
    let place = Place::with_list(400);
    let service = Service::with_messages("none", &place);
    let (before, ledger) = (held(&service), cluster.database().url("job"));
    let flags = "--input edits.csv --yes --json --no-progress --read-first --rate 100 --originals";
    let start = |number: usize| -> Running {
        let call = place.runner(flags).arg(format!("o{number}.bin")).arg("--encrypt-with").arg(ENCRYPT);
        let state = place.state().join(number.to_string());
        call.arg("--resume").arg(&ledger).env("RUNNER_STATE_DIR", state).at(&service).start()
    };
    let running = [start(0), start(1)];
    for runner in running {
        runner.exits(0);
    }
    let mut all = kept(&place, "o0.bin");
    assert!(!all.is_empty());
    all.extend(kept(&place, "o1.bin"));
    assert_eq!(all, before);
    for file in ["o0.bin", "o1.bin"] {
        place.runner(&format!("originals {file} --ledger")).arg(&ledger).exits(0);
    }
    assert_eq!(service.stats().edited_once(), 400);
}

/// Not even a file that is damaged loses more than what is damaged.
#[test]
fn a_damaged_file_is_left_as_it_is_and_all_that_can_be_read_is_given_back() {
    if !has("openssl", "openssl") {
        return;
    }
    let place = Place::with_list(30);
    let service = Service::with_messages("edit.20026=20%", &place);
    let ran = keeping(&place, "--rate 60 --max-rate 60 --concurrency 6 --max-failures 100%").at(&service).exits(1);
    let path = place.path("originals.bin");
    let whole = std::fs::read(&path).unwrap();
    let at: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(b"ciphertext ")).collect();
    assert!(at.len() > 3, "{} ciphertexts", at.len());
    let all = kept(&place, "originals.bin").len();
    // The header of the second, and the content of the last one.
    for damaged in [at[1] + 3, whole.len() - 5] {
        let mut bytes = whole.clone();
        bytes[damaged] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        let given = place.runner("originals originals.bin --decrypt-with").arg(DECRYPT).exits(2);
        assert!((1..all).contains(&given.out.lines().count()), "{given:#?}");
        keeping(&place, "--retry-failed").at(&service).exits(2);
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "it was changed");
    }
    std::fs::write(&path, &whole).unwrap();
    // Failed edits need no way back.
    let of_done = place.runner("originals originals.bin --ledger ledger.db --decrypt-with").arg(DECRYPT).exits(0).out;
    assert_eq!((of_done.lines().count() as u64, all), (ran.summary().done, 30), "{ran:#?}");
}

/// A part of a message that nobody has reviewed is not replaced.
#[test]
fn what_the_review_says_nothing_of_is_refused() {
    let place = Place::with_list(3);
    let service = Service::with_messages("none", &place);
    place.write("reviewed.csv", list(1..=3, "something"));
    let job = format!("{JOB} {FAST} --only-if reviewed.csv --custom-data x");
    let refused = place.runner(&job).at(&service).exits(2);
    assert!(refused.err.contains("line 2: it replaces a part of its message"), "{refused:#?}");
}
