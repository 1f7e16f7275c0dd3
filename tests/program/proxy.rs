//! Through an HTTP proxy: every output names it, none shows its password, and what it refuses was not sent.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::program::certificate::{NAME, in_front_of};
use crate::support::harness::{FAST, Place, Summary, printed, wait_for};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db";
const PASSWORD: &str = "planted-password-4716";
/// `user:` and the password, as the proxy receives them.
const BASIC: &str = "dXNlcjpwbGFudGVkLXBhc3N3b3JkLTQ3MTY=";
const OPEN: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// Answers each CONNECT with this. It ends with the process.
struct Proxy {
    address: String,
    /// The whole requests that it received.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `service`: the address that the service's name leads to.
    fn start(answer: &'static str, service: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (asks, service) = (Arc::clone(&asked), service.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (asks, service) = (Arc::clone(&asks), service.clone());
                std::thread::spawn(move || serve(&client.unwrap(), answer, &asks, &service));
            }
        });
        Proxy { address, asked }
    }

    /// To the service, which is reached as [`NAME`]; the authority's certificate goes to `ca.pem`.
    fn to(service: &Service, place: &Place) -> Proxy {
        let (url, authority) = in_front_of(service);
        place.write("ca.pem", authority);
        Proxy::start(OPEN, &url.replace("https://localhost", "127.0.0.1"))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://user:{PASSWORD}@{}", self.address)
    }
}

fn serve(client: &TcpStream, answer: &str, asked: &Mutex<Vec<String>>, service: &str) -> std::io::Result<()> {
    let (mut head, mut lines) = (String::new(), BufReader::new(client.try_clone()?));
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    asked.lock().unwrap().push(head);
    let mut to_client = client.try_clone()?;
    to_client.write_all(answer.as_bytes())?;
    if answer == OPEN {
        let server = TcpStream::connect(service)?;
        let mut from_server = server.try_clone()?;
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut lines, &mut &server);
        let _ = server.shutdown(Shutdown::Both);
    }
    Ok(())
}

fn job() -> String {
    format!("{JOB} {FAST} --endpoint https://{NAME} --ca-cert ca.pem")
}

#[test]
fn a_proxy_is_named_by_plan_status_and_report_and_its_password_nowhere() {
    let (place, service) = (Place::with_list(20), Service::start("none"));
    let proxy = Proxy::to(&service, &place);
    let through = format!("through the proxy {}", proxy.address);
    let run = |flags: &str| {
        let call = place.runner(&format!("{} {flags}", job())).credentials();
        call.env("HTTPS_PROXY", proxy.url()).env("RUST_LOG", "trace")
    };

    let planned = run("--dry-run").exits(0);
    assert!(planned.out.contains(&through), "{planned:#?}");
    assert_eq!(run("--dry-run --json").exits(0).json()["proxy"], Value::from(proxy.address.as_str()));
    assert_eq!(proxy.asked().len(), 0, "a plan sends nothing");

    let ran = run("--report audit --log-file run.log -v -v").exits(0);
    assert!(ran.err.contains(&through), "{ran:#?}");
    assert_eq!(service.stats().edited_once(), 20);
    let asked = proxy.asked();
    assert!(asked.iter().all(|head| head.starts_with(&format!("CONNECT {NAME}:443 "))), "{asked:?}");
    assert!(asked.iter().all(|head| head.contains(&format!("-authorization: Basic {BASIC}\r\n"))), "{asked:?}");

    let status = place.runner("status ledger.db").exits(0);
    let status_json = place.runner("status ledger.db --json").exits(0);
    let report = place.runner("report ledger.db").exits(0);
    let chinese = place.runner("report ledger.db --lang zh").exits(0);
    for told in [&status, &report] {
        assert!(told.out.contains(&through), "{told:#?}");
    }
    assert!(chinese.out.contains(&format!("经由代理 {}", proxy.address)), "{chinese:#?}");
    assert_eq!(status_json.json()["runs"][0]["proxy"], Value::from(proxy.address.as_str()));
    assert!(place.read("audit/report.html").contains(&through));
    let summary: Value = serde_json::from_str(&place.read("audit/summary.json")).unwrap();
    assert_eq!(summary["runs"][0]["proxy"], Value::from(proxy.address.as_str()));

    let printed = [planned, ran, status, status_json, report, chinese].map(|ran| ran.out + &ran.err).concat()
        + &place.read("audit/report.html")
        + &place.read("audit/summary.json")
        + &printed(&place.files());
    for secret in [PASSWORD, BASIC] {
        assert!(!printed.contains(secret), "{secret} came out");
    }
}

/// A proxy's answer, and the message with which the run then ends.
fn check_refused(proxy: &str, says: &str) {
    let (place, url) = (Place::with_list(3), format!("http://user:{PASSWORD}@{proxy}"));
    let call = place.runner(&format!("{JOB} --json -v -v --endpoint https://{NAME}")).credentials();
    let ran = call.env("HTTPS_PROXY", url).env("RUST_LOG", "trace").exits(3);
    let reason = ran.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with(&format!("the proxy {proxy} {says}")), "{reason}");
    // Nothing was sent, and so nothing is in doubt.
    assert_eq!(ran.summary(), Summary { rows: 3, not_reached: 3, ..Summary::default() });
    assert!(!(ran.err + &printed(&place.files())).contains(PASSWORD));
}

#[test]
fn a_proxys_refusal_is_named_as_such_and_nothing_was_sent() {
    let refusals = [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "refuses to connect to the service: it wants a user name",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "refuses to connect to the service;"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "refuses to connect to the service;"),
        ("", "broke off before there was a connection to the service"),
    ];
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::thread::scope(|scope| {
        for (answer, says) in refusals {
            scope.spawn(move || {
                let proxy = Proxy::start(answer, "");
                check_refused(&proxy.address, says);
                assert!(!proxy.asked().is_empty());
            });
        }
        scope.spawn(move || check_refused(&nobody.to_string(), "cannot be reached (Connection refused"));
    });
}

#[test]
fn a_proxy_can_be_refused() {
    let (place, proxy) = (Place::with_list(3), Proxy::start(OPEN, ""));
    let job = format!("{JOB} --endpoint https://nowhere.invalid");
    for (name, value) in [("NO_PROXY", "invalid"), ("no_proxy", "*"), ("HTTPS_PROXY", "")] {
        let run = |flags: &str| {
            let call = place.runner(&format!("{job} {flags}")).credentials();
            call.env("https_proxy", proxy.url()).env("ALL_PROXY", proxy.url()).env(name, value)
        };
        let planned = run("--dry-run --json").exits(0).json();
        assert_eq!((&planned["proxy"], &planned["planned"]), (&Value::Null, &Value::from(3)), "{name}={value}");
        let run = run("").start();
        wait_for("a try", || run.err().contains("; trying again").then_some(()));
        run.signal("TERM");
        let ran = run.exits(143);
        assert!(!ran.err.contains("proxy"), "{ran:#?}");
    }
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_by_its_variable() {
    let place = Place::with_list(3);
    for (name, value, says) in [
        ("https_proxy", format!("http://user:{PASSWORD}@:3128"), "https_proxy: it is not the URL of an HTTP proxy"),
        ("ALL_PROXY", format!("socks5://user:{PASSWORD}@127.0.0.1:1080"), "ALL_PROXY: a SOCKS proxy cannot be used"),
    ] {
        for flags in ["", "--dry-run"] {
            let call = place.runner(&format!("{JOB} --endpoint https://{NAME} {flags}")).credentials();
            let ran = call.env(name, &value).exits(2);
            assert!(ran.err.contains(says) && !ran.err.contains(PASSWORD), "{ran:#?}");
            assert_eq!(place.files().len(), 1, "a ledger was made");
        }
    }
}

/// The proxy may still hold requests of an earlier run, even if the next run does not use it.
#[test]
fn what_an_earlier_run_sent_by_way_of_a_proxy_is_left_alone_for_longer() {
    let (place, service) = (Place::with_list(3), Service::start("lost-before=100%"));
    let proxy = Proxy::to(&service, &place);
    let held = format!("{} --in-doubt hold", job());
    let ran = place.runner(&format!("{held} --json")).credentials().env("HTTPS_PROXY", proxy.url()).exits(1);
    assert_eq!(ran.summary().in_doubt, 3);
    let seconds = |place: &Place| {
        let planned = place.runner(&format!("{} --dry-run --json", job())).credentials().exits(0).json();
        assert_eq!((&planned["to_read_back"], &planned["proxy"]), (&Value::from(3), &Value::Null));
        planned["seconds_left"].as_u64().unwrap()
    };
    // Ten seconds for the network and the service, two minutes for the proxy, and one second for reading back.
    assert_eq!(seconds(&place), 131);
}
