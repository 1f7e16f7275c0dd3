//! Runs that end before anything is sent: exit 2, and every file is unchanged, byte for byte.

use crate::support::harness::{PROGRAM, Place, sqlite};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db";

/// Checks that these flags are refused in these words; the files in `place` are unchanged, and nothing reaches the
/// service.
fn check(place: &Place, service: &Service, flags: &str, environment: &[(&str, &str)], says: &str) {
    let (files, requests) = (place.files(), service.stats().requests());
    let mut call = place.runner(flags).credentials().env("TIM_ENDPOINT", &service.url);
    for (name, value) in environment {
        call = call.env(name, value);
    }
    let ran = call.exits(2);
    assert!(ran.err.contains(says), "{flags}: {says:?} is not in {ran:#?}");
    assert_eq!(ran.out, "", "{flags}");
    assert!(place.files() == files, "{flags}: files were changed, made or taken away");
    assert_eq!(service.stats().requests(), requests, "{flags}");
}

#[test]
fn a_ledger_of_something_else_is_left_alone() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    let check = |flags: &str, environment: &[(&str, &str)], says: &str| {
        check(&place, &service, flags, environment, says);
        check(&place, &service, &format!("{flags} --dry-run"), environment, says);
    };
    place.write("job.toml", "name = \"another\"\n");
    place.runner(JOB).at(&service).exits(0);
    let (app, other) = ("1400000000", "but this job is app 1400000001 at 127.0.0.1:");
    check(JOB, &[("TIM_SDKAPPID", "1400000001")], other);
    check(&format!("{JOB} --sandbox"), &[], &format!("but this job is app {app} at sandbox; name that job's own"));
    check(&format!("{JOB} --job job.toml"), &[], "but this job is the job \"another\" of app 1400000000 at");

    sqlite(&place.path("ledger.db"), "PRAGMA user_version = 99");
    check(JOB, &[], "ledger.db was written by a newer runner (ledger version 99, this one knows 7); use that one");
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    let check = |ledger: &str, says: &str| {
        let flags = format!("--input edits.csv --resume {ledger}");
        check(&place, &service, &flags, &[], &format!("{ledger} is not a ledger of runner: {says}"));
    };
    place.write("notes.txt", "not a ledger\n");
    check("notes.txt", "it is not an SQLite database");
    place.write("long.txt", "not a ledger\n".repeat(1_000));
    check("long.txt", "it is not an SQLite database");
    sqlite(&place.path("other.db"), "CREATE TABLE edit (state TEXT); INSERT INTO edit VALUES ('done')");
    check("other.db", "it is another program's SQLite database");
    sqlite(&place.path("wal.db"), "PRAGMA journal_mode = WAL; CREATE TABLE job (sdkappid INTEGER)");
    check("wal.db", "it is another program's SQLite database");
    check(".", "it is a directory or a device, not a file");
}

#[test]
fn a_ledger_that_is_worked_on_is_left_to_who_has_it() {
    let (place, service) = (Place::with_list(5), Service::start("silent-before=100%"));
    let run = place.runner(&format!("{JOB} --timeout 60s")).at(&service).start();
    // From the first request on nothing is written, since it is not answered, and the others follow its answer.
    service.wait_for_requests(1);
    check(&place, &service, JOB, &[], &format!("ledger.db is in use by process {};", run.id()));
    // A plan costs nothing and disturbs nobody.
    let files = place.files();
    let plan = place.runner(&format!("{JOB} --dry-run --json")).at(&service).exits(0).json();
    assert_eq!((&plan["to_read_back"], place.files() == files), (&1.into(), true));
    run.kill();
}

#[test]
fn what_is_missing_is_asked_for() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    let check = |flags: &str, environment: &[(&str, &str)], says: &str| {
        check(&place, &service, flags, environment, says);
    };
    // An empty variable is one that is not set.
    check(JOB, &[("TIM_ENDPOINT", "")], "the service is not given: say where the app's data is with --region");
    check(JOB, &[("TIM_SDKAPPID", "")], "the app is not given: set TIM_SDKAPPID");
    check(JOB, &[("TIM_IDENTIFIER", "")], "the admin account is not given: set TIM_IDENTIFIER");
    check(JOB, &[("TIM_SECRET_KEY", "")], "the secret is not given: set TIM_SECRET_KEY");
    let file = ("TIM_SECRET_KEY_FILE", "key.txt");
    let no_key = ("TIM_SECRET_KEY", "");
    for (key, says) in [
        ("", "TIM_SECRET_KEY_FILE odd.txt is empty"),
        ("TIM_SECRET_KEY=planted\n", "TIM_SECRET_KEY_FILE odd.txt looks like a line NAME=value; give the value alone"),
        ("planted\nplanted\n", "TIM_SECRET_KEY_FILE odd.txt has several lines"),
    ] {
        place.write("odd.txt", key);
        check(JOB, &[no_key, ("TIM_SECRET_KEY_FILE", "odd.txt")], says);
    }
    check(JOB, &[("TIM_SECRET_KEY", "\"planted")], "TIM_SECRET_KEY has a quotation mark at one end only");
    check(JOB, &[no_key, ("TIM_USERSIG", "plan ted")], "TIM_USERSIG has white space inside (character 5)");
    check(JOB, &[("TIM_SECRET_KEY", ""), file], "TIM_SECRET_KEY_FILE key.txt cannot be read");
    check(JOB, &[file], "TIM_SECRET_KEY and TIM_SECRET_KEY_FILE: are both set");
    check(JOB, &[("TIM_SECRET_KEY", ""), ("TIM_USERSIG", "eJw")], "TIM_USERSIG: ");
    check("--input nowhere.csv --resume ledger.db", &[], "cannot open the list \"nowhere.csv\": No such file");
    check("--input . --resume ledger.db", &[], "is a directory");
    check(&format!("{JOB} --job nowhere.toml"), &[], "cannot read the job file nowhere.toml: ");
    check(&format!("{JOB} --ca-cert nowhere.pem --rate 1"), &[], "cannot read the certificate nowhere.pem: ");
    check("--input edits.csv", &[], "--resume <LEDGER>");
    check("--input edits.csv --resume=", &[], "a value is required for '--resume <LEDGER>'");
    check("--resume ledger.db", &[], "--input <FILE>");
}

#[test]
fn what_cannot_be_is_refused() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    place.write("unknown.toml", "[service]\nregion = \"sgp\"\n\n[pace]\nrat = 5\n");
    place.write("secret.toml", "[service]\nsecret_key = \"x\"\n");
    place.write("strange.csv", "from_account,to_account,msg_key,colour\na,b,1_2_3,red\n");
    place.write("edits.ods", "from_account,to_account,msg_key\n");
    let check = |flags: &str, says: &str| check(&place, &service, flags, &[], says);
    check(&format!("{JOB} --rate 201"), "the rate 201 is above the most that is allowed, 200");
    check(&format!("{JOB} --rate 0"), "--rate <N>");
    check(&format!("{JOB} --concurrency 18446744073709551615"), "write a whole number from 1 to 65535");
    check(&format!("{JOB} --endpoint http://192.0.2.1"), "plain http");
    check(&format!("{JOB} --endpoint ftp://127.0.0.1"), "ftp");
    check(&format!("{JOB} --region mars"), "--region <REGION>");
    check(&format!("{JOB} --region sgp --sandbox"), "cannot be used with");
    check(&format!("{JOB} --job unknown.toml"), "the job file unknown.toml: line 5, column 1: unknown field");
    check(&format!("{JOB} --job unknown.toml"), "unknown field `rat`");
    check(&format!("{JOB} --job secret.toml"), "unknown field `secret_key`");
    check(&format!("{JOB} --faults 20004=1%"), "--sandbox");
    check(&format!("{JOB} --sandbox --faults sometimes"), "not understood; allowed are none");
    check(&format!("{JOB} --max-failures many"), "many");
    check(&format!("{JOB} --timeout soon"), "write a time such as 10s");
    check(&format!("{JOB} --colour"), "unexpected argument '--colour'");
    check(&format!("{JOB} status"), "status");
    check("--input strange.csv --resume ledger.db", "colour");
    check("--input edits.ods --resume ledger.db", "\"edits.ods\" is a spreadsheet in another format");
    check("--input - --resume ledger.db", "--input-format");
    check("sandbox --listen 0.0.0.0:0", "is no loopback address");
}

/// SQLite does not treat some names as files: the ledger would be stored nowhere, or elsewhere.
#[test]
fn a_ledger_may_have_a_name_that_means_something_to_sqlite() {
    for name in [":memory:", "file:ledger.db", "file::memory:", "file:ledger.db?mode=memory", "50%25.db"] {
        let (place, service) = (Place::with_list(3), Service::start("none"));
        let call = |flags: &str| place.runner(&format!("--input edits.csv --json {flags}")).arg("--resume").arg(name);
        assert_eq!(call("--max-rows 2").at(&service).exits(0).summary().done, 2, "{name}");
        let files = place.files();
        assert!(files.len() == 2 && files.contains_key(name), "{name}: {:?}", files.keys());
        assert_eq!(call("--dry-run").at(&service).exits(0).json()["done"], 2, "{name}");
        assert_eq!(call("").at(&service).exits(0).summary().done, 3, "{name}");
        assert_eq!((service.stats().edited_once(), service.stats().requests()), (3, 3), "{name}");
    }
}

/// A killed process left a ledger and its log, and both are another app's.
#[test]
fn what_a_killed_process_left_of_another_app_is_left_alone() {
    let (place, service) = (Place::with_list(5), Service::start("silent-before=100%"));
    let run = place.runner(&format!("{JOB} --timeout 60s")).at(&service).start();
    service.wait_for_requests(1);
    run.kill();
    assert!(place.files().contains_key("ledger.db-wal"));
    check(&place, &service, JOB, &[("TIM_SDKAPPID", "1400000001")], "but this job is app 1400000001 at");
}

/// A ledger cannot be created: reported before anything is sent.
#[test]
fn a_ledger_that_cannot_be_made_ends_it() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    check(&place, &service, "--input edits.csv --resume no/such/ledger.db", &[], "no/such/ledger.db");
}

#[test]
fn more_requests_in_flight_than_file_handles_are_refused() {
    let place = Place::with_list(1);
    let service = Service::start("none");
    let line = format!("ulimit -n 256; exec '{PROGRAM}' {JOB} --concurrency 1000 --endpoint {}", service.url);
    let refused = place.shell(&line).credentials().exits(2);
    assert!(refused.err.contains("take more file handles than this machine gives (ulimit -n: 256)"), "{refused:#?}");
}
