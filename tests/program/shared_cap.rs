//! Jobs of one app on one machine share its cap, as the service sees it.

use crate::support::harness::{Call, PROGRAM, Place, Ran, Running, list, wait_for};
use crate::support::service::Service;

const RATE: u32 = 200;

/// Lists of their own for jobs `a`, `b` and `c`.
fn place(rows: u32) -> Place {
    let place = Place::new();
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        let first = 1 + u32::try_from(index).unwrap() * rows;
        place.write(format!("{name}.csv"), list(first..first + rows, "new"));
    }
    place
}

fn job<'a>(place: &'a Place, service: &Service, name: &str, flags: &str) -> Call<'a> {
    place.runner(&format!("--input {name}.csv --resume {name}.db --json --no-progress {flags}")).at(service)
}

/// Entries of jobs that run, or died.
fn entries(place: &Place) -> usize {
    let entries = std::fs::read_dir(place.state()).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "job")).count()
}

/// The refusal, without the parts that vary.
fn refusal(place: &Place, service: &Service, refused: &Ran) -> String {
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{refused:#?}");
    let directory = place.path("").canonicalize().unwrap();
    // Printed commands name the program as it was called.
    let text = refused.err.replace(PROGRAM, "runner").replace(service.address(), "ADDRESS");
    let text = text.replace(&format!("{}/", directory.display()), "");
    let mut words: Vec<&str> = text.split(' ').collect();
    for index in 1..words.len() {
        if words[index - 1] == "(process" {
            words[index] = "N)";
        }
    }
    words.join(" ")
}

fn done(run: Running) -> u64 {
    let ran = run.exits(0);
    assert_eq!(ran.answers(60007), 0, "{ran:#?}");
    ran.summary().done
}

/// Allows for requests that arrive bunched on a machine where many tests run at once: departures are counted exactly,
/// but the sum of two processes cannot be separated from that here. (Without a shared cap it would be hundreds.)
const LATE: u32 = 20;

/// Each at 200 a second, two ledgers of one app made 400 in a second.
#[test]
fn two_jobs_of_an_app_share_its_cap_and_a_third_one_is_refused() {
    let (place, service) = (place(400), Service::with_rate("latency=5ms", RATE + LATE));
    let start = |name| job(&place, &service, name, "--rate 100").start();
    let (a, b) = (start("a"), start("b"));
    service.wait_for_requests(20);
    wait_for("both", || (entries(&place) == 2).then_some(()));
    let refused = refusal(&place, &service, &job(&place, &service, "c", "--rate 100").run());
    let (first, second) = if refused.find("a.db") < refused.find("b.db") { ("a", "b") } else { ("b", "a") };
    assert_eq!(
        refused,
        format!(
            "error: other jobs of app 1400000000 at ADDRESS on this machine: {first}.db (process N) at 100 a second, \
             {second}.db (process N) at 100 a second; with 100 a second of this one that makes 300, and the app's cap is \
             200; wait until they have ended, or run each at 66: runner ctl {first}.db rate 66, runner ctl {second}.db rate \
             66, then --rate 66 here\n"
        )
    );
    assert!(!place.path("c.db").exists());
    // The stand-in inside is not concerned, nor is what only looks.
    place.runner("--input c.csv --resume rehearsal.db --sandbox --max-rows 1").exits(0);
    job(&place, &service, "c", "--dry-run").exits(0);
    place.runner("status a.db").exits(0);
    assert_eq!((done(a), done(b), service.stats().edited_once()), (400, 400, 800));
    assert!(service.stats().worst_second() <= u64::from(RATE + LATE), "{:?}", service.stats());
    assert_eq!(entries(&place), 0);
}

/// A run that starts when the other one has ended, however that was, waits until its last second is over.
#[test]
fn a_job_that_follows_another_adds_nothing_to_its_last_second() {
    let (place, service) = (place(300), Service::with_rate("latency=5ms", RATE + LATE));
    let a = job(&place, &service, "a", "").start();
    service.wait_for_requests(150);
    assert!(
        refusal(&place, &service, &job(&place, &service, "b", "").run())
            .contains("wait until it has ended, or run each at 100: runner ctl a.db rate 100, then --rate 100 here")
    );
    assert!(a.kill());
    assert_eq!(entries(&place), 1, "which nobody holds any more");
    assert_eq!(done(job(&place, &service, "b", "").start()), 300);
    assert_eq!(done(job(&place, &service, "c", "").start()), 300);
    assert!(service.stats().worst_second() <= u64::from(RATE + LATE), "{:?}", service.stats());
    assert_eq!(entries(&place), 0);
    // Finished jobs need no capacity, and jobs that cannot be tracked are not sent.
    let c = job(&place, &service, "a", "--max-rows 100").start();
    wait_for("it", || (entries(&place) == 1).then_some(()));
    job(&place, &service, "b", "").exits(0);
    drop(c);
    let refused = job(&place, &service, "a", "").env("RUNNER_STATE_DIR", "/dev/null/state").exits(2);
    assert!(refused.err.contains("set RUNNER_STATE_DIR to one that this user can write to"), "{refused:#?}");
}

#[test]
fn a_rate_that_is_lowered_makes_room_and_cannot_be_raised_into_what_others_have() {
    let (place, service) = (place(3_000), Service::with_rate("latency=5ms", RATE + LATE));
    let a = job(&place, &service, "a", "").start();
    let ctl = |words: &str| place.runner(&format!("ctl {words}"));
    service.wait_for_requests(200);
    refusal(&place, &service, &job(&place, &service, "b", "--rate 100").run());
    ctl("a.db rate 100").exits(0);
    let b = job(&place, &service, "b", "--rate 80").start();
    wait_for("both", || (entries(&place) == 2).then_some(()));
    assert!(refusal(&place, &service, &ctl("a.db rate 121").run()).ends_with(
        "b.db (process N) at 80 a second; with 121 a second of this one that makes 201, and the app's cap is 200; this one \
         may go up to 120\n"
    ));
    assert_eq!(ctl("a.db status --json").exits(0).json()["rate"], 100);
    ctl("a.db rate 120").exits(0);
    let arrived = service.stats().requests();
    service.wait_for_requests(arrived + 400);
    ctl("b.db stop --yes").exits(0);
    b.exits(3);
    ctl("a.db rate 200").exits(0);
    let arrived = service.stats().requests();
    service.wait_for_requests(arrived + 400);
    ctl("a.db stop --yes").exits(0);
    a.exits(3);
    assert!(service.stats().worst_second() <= u64::from(RATE + LATE), "{:?}", service.stats());
    assert_eq!(service.stats().edited_once(), service.stats().requests());
}
