//! No connection, or an incomplete answer: a request that was sent may have taken effect.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::program::shim::Shim;
use crate::support::harness::{FAST, Place, Summary};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --json";

#[test]
fn a_service_out_of_reach_is_given_up_after_a_while() {
    let place = Place::with_list(3);
    // A port that nobody listens on: it was just released.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = place.runner(&format!("{JOB} --endpoint http://{address}")).credentials().exits(3);
    assert_eq!(ran.summary(), Summary { rows: 3, not_reached: 3, ..Summary::default() });
    assert!(ran.json()["reason"].as_str().unwrap().contains("cannot be reached"), "{ran:#?}");
    assert!(ran.json()["resume"].is_string());
}

/// An answer that settles nothing: every edit is in doubt, held, and not sent again. `edits` took effect.
fn check_in_doubt(fault: &str, meaning: &str, edits: u64) {
    let (place, service) = (Place::with_list(5), Service::start(&format!("{fault}=100%")));
    let job = format!("{JOB} {FAST} --in-doubt hold");
    let ran = place.runner(&job).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 5, in_doubt: 5, ..Summary::default() }, "{fault}");
    assert_eq!(ran.answers(meaning), 5, "{fault}: {ran:#?}");
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (edits, 5), "{fault}");
    assert_eq!(place.read("ledger.failed.csv").matches(",in doubt: ").count() + count_quoted(&place), 5, "{fault}");
    service.set_faults("none");
    place.runner(&job).at(&service).exits(1);
    assert_eq!(service.stats().requests(), 5, "{fault}");

    // Reading back settles each of them, and those that did not take effect are sent.
    let ran = place.runner(JOB).at(&service).exits(0);
    assert_eq!(ran.summary(), Summary { rows: 5, done: 5, ..Summary::default() }, "{fault}");
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (5, 10 - edits), "{fault}");
}

/// A meaning with a comma in it stands in quotes.
fn count_quoted(place: &Place) -> usize {
    place.read("ledger.failed.csv").matches(",\"in doubt: ").count()
}

#[test]
fn an_answer_that_tells_nothing_leaves_the_edit_in_doubt() {
    check_in_doubt("lost-after", "connection", 5);
    check_in_doubt("lost-before", "connection", 0);
    check_in_doubt("http-502", "502", 0);
    check_in_doubt("garbage", "answer", 5);
}

#[test]
fn no_answer_in_time_leaves_the_edit_in_doubt() {
    let (place, service) = (Place::with_list(3), Service::start("silent-after=100%"));
    let ran = place.runner(&format!("{JOB} --timeout 1s --in-doubt hold")).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, in_doubt: 3, ..Summary::default() });
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (3, 3));
}

/// With requests on many connections at once, a run against a service that only loses answers stops before the whole
/// list is in doubt, and once the service is back the same command finishes the job.
#[test]
fn a_service_that_loses_every_answer_is_given_up_after_a_while() {
    let place = Place::with_list(2_000);
    let service = Service::with_messages("lost-after=100%", &place);
    let ran = place.runner(JOB).at(&service).exits(3);
    let summary = ran.summary();
    assert!(ran.json()["reason"].as_str().unwrap().contains("nothing that came back is an answer"), "{ran:#?}");
    assert!((5..20).contains(&summary.in_doubt), "{summary:?}");
    assert_eq!(
        summary,
        Summary { rows: 2_000, in_doubt: summary.in_doubt, not_reached: summary.not_reached, ..Summary::default() }
    );
    service.set_faults("none");
    let resumed = place.runner(&format!("{JOB} {FAST}")).at(&service).exits(0);
    assert_eq!((resumed.summary().done, service.stats().edited_once()), (2_000, 2_000));
}

/// A wrong address, or a proxy that passes nothing on, is named after a few requests.
#[test]
fn an_address_that_is_not_the_services_is_named_after_a_few_requests() {
    for status in ["302", "403", "404", "407"] {
        let (place, service) = (Place::with_list(2_000), Service::start(&format!("http-{status}=100%")));
        let ran = place.runner(JOB).at(&service).exits(3);
        let reason = ran.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(&format!("HTTP {status} instead")) && reason.contains("check the region"), "{reason}");
        assert_eq!((service.stats().requests(), ran.summary().in_doubt), (3, 3), "{ran:#?}");
        service.set_faults("none");
        let job = format!("{JOB} {FAST} --max-rows 20");
        assert_eq!(place.runner(&job).at(&service).exits(0).summary().done, 20);
    }
}

/// Gateways that give up after passing a request on: each such edit was once sent again, and made twice.
#[test]
fn an_edit_that_a_gateway_passed_on_before_it_gave_up_is_not_sent_again() {
    for statuses in ["408", "425", "404", "429"] {
        let faults = format!("edit.http-{statuses}-after=40%,read.http-{statuses}=10%");
        let (place, service) = (Place::with_list(20), Service::start(&faults));
        let ran = place.runner(&format!("{JOB} {FAST}")).at(&service).exits(0);
        assert_eq!(ran.summary(), Summary { rows: 20, done: 20, ..Summary::default() }, "{statuses}");
        assert_eq!((service.stats().edited_once(), service.stats().requests()), (20, 20), "{statuses}");
        assert!(ran.answers(statuses) > 0, "{statuses}: {ran:#?}");
    }
}

/// The kernel gives up requests that are in flight when the process ends after five seconds. Reading back relies on
/// that: without it an edit could arrive minutes later, after its message was read.
#[test]
fn the_kernel_gives_up_what_does_not_arrive() {
    let (place, service, shim) = (Place::with_list(20), Service::start("latency=50ms"), Shim::new());
    shim.under(place.runner(JOB)).at(&service).exits(0);
    let timeouts = shim.tcp_user_timeouts();
    assert!(!timeouts.is_empty() && timeouts.iter().all(|timeout| *timeout == 5_000), "{timeouts:?}");
    // Nor does it continue for longer than the answer is waited for.
    let (place, shim) = (Place::with_list(1), Shim::new());
    shim.under(place.runner(&format!("{JOB} --timeout 2s"))).at(&service).exits(0);
    assert_eq!(shim.tcp_user_timeouts(), [2_000]);
}

/// Answers every request with these bytes, and closes the connection. It ends with the process.
fn raw_service(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // A whole request has about 500 bytes; there is no need to find its end before closing.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn an_answer_cut_short_or_of_somebody_else_leaves_the_edit_in_doubt() {
    for (answer, meaning) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 73\r\n\r\n{\"ActionStatus\":\"OK\",\"ErrorCode\":0",
            "connection was lost",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n{\"ActionStatus\":\"OK\",\"ErrorCode\":0, ",
            "not the service's JSON",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "not the service's JSON"),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 36\r\n\r\n{\"ActionStatus\":\"OK\",\"ErrorCode\":0 }",
            "HTTP 502 instead",
        ),
        (
            "HTTP/1.1 408 Request Timeout\r\nContent-Length: 42\r\n\r\n{\"ActionStatus\":\"FAIL\",\"ErrorCode\":20026 }",
            "HTTP 408 instead",
        ),
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", "HTTP 202 instead"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204 instead"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n<p>Please log in.\r\n", "not the service's JSON"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "connection was lost"),
        ("", "connection was lost"),
    ] {
        let (place, url) = (Place::with_list(2), raw_service(answer));
        let ran = place.runner(&format!("{JOB} --endpoint {url} --in-doubt hold")).credentials().exits(1);
        assert_eq!(ran.summary(), Summary { rows: 2, in_doubt: 2, ..Summary::default() }, "{answer}");
        assert_eq!(ran.answers(meaning), 2, "{answer}: {ran:#?}");
    }
}
