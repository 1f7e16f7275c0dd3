//! What must never be revealed: the key, signatures, and message content; and where it must never be sent.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::SystemTime;

use runner::api::usersig::Signer;
use runner::sandbox::{IDENTIFIER, SDKAPPID, SECRET_KEY};
use runner::terminal::escape::escape_control;
use secrecy::ExposeSecret as _;

use crate::program::certificate::in_front_of;
use crate::support::harness::{FAST, Place, Ran, Running, Summary, mode, printed, wait_for};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db";

const TEXT: &str = "planted-text-4711";
const DATA: &str = "planted-data-4712";
const JOBS_TEXT: &str = "planted-text-of-the-job-4713";
const KEY: &str = "planted-key-4714";

/// Every way of logging.
const LOGS: [&str; 4] = ["", "--log-format json", "--log-file run.log", "--log-file run.log --log-format json"];

/// A list with text to search for.
fn list() -> String {
    let mut list = "from_account,to_account,msg_key,msg_body,cloud_custom_data\n".to_owned();
    for number in 1..=60 {
        let body = r#"[{""MsgType"":""TIMTextElem"",""MsgContent"":{""Text"":""TEXT""}}]"#.replace("TEXT", TEXT);
        writeln!(list, "user_{number},user_0,{number}_7_1773188576,\"{body}\",{DATA}").unwrap();
    }
    list
}

fn usersig() -> String {
    let signer = Signer::new(SDKAPPID, IDENTIFIER.into(), SECRET_KEY.into());
    signer.sign(SystemTime::now()).text.expose_secret().to_owned()
}

/// The ways in which the secret is given: the environment, and what to search for besides text.
fn ways() -> [(Vec<(&'static str, String)>, String); 4] {
    let usersig = usersig();
    [
        (vec![], SECRET_KEY.to_owned()),
        (vec![("TIM_SECRET_KEY", KEY.to_owned())], KEY.to_owned()),
        (vec![("TIM_SECRET_KEY", String::new()), ("TIM_SECRET_KEY_FILE", "key.txt".to_owned())], KEY.to_owned()),
        (vec![("TIM_SECRET_KEY", String::new()), ("TIM_USERSIG", usersig.clone())], usersig),
    ]
}

/// With everything logged, neither a secret nor message content is in the output, the log, the ledger or the command
/// line. If the service cannot be reached, the run is stopped once its log says `until`.
fn check(url: &str, log: &str, environment: &[(&str, String)], secret: &str, until: Option<&str>) {
    let place = Place::new();
    place.write("edits.csv", list());
    place.write("key.txt", format!("{KEY}\n"));
    let flags = format!("{JOB} {log} -v -v {FAST} --timeout 1s --max-attempts 2 --max-failures 100% --endpoint {url}");
    let mut call = place.runner(&flags).credentials().env("RUST_LOG", "trace");
    for (name, value) in environment {
        call = call.env(name, value);
    }
    let run = call.start();
    let command = std::fs::read(format!("/proc/{}/cmdline", run.id())).unwrap_or_default();
    let ran = end(run, &place, until);

    let mut files = place.files();
    let given = ["edits.csv", "key.txt"].map(|name| files.remove(name));
    assert_eq!(given, [Some(list().into_bytes()), Some(format!("{KEY}\n").into_bytes())]);
    // The rows that failed hold what the list holds.
    let failed = files.remove("ledger.failed.csv").map(|rows| String::from_utf8(rows).unwrap());
    assert!(failed.as_ref().is_none_or(|rows| rows.contains(TEXT) && !rows.contains(secret)), "{failed:?}");
    let printed = format!("{}{}{}{}", ran.out, ran.err, String::from_utf8_lossy(&command), printed(&files));
    assert!(printed.contains(until.unwrap_or("answered")), "nothing was logged: {ran:#?}");
    let context = |at: usize| printed[..at].chars().rev().take(200).collect::<String>();
    for secret in [secret, TEXT, DATA, "usersig="] {
        let before = printed.find(secret).map(context);
        assert!(before.is_none(), "{secret} is in it ({url}, {log}), after (backwards) {before:?}");
    }
    let signature = printed.match_indices("eJ").find(|(at, _)| is_signature(&printed[*at..]));
    assert!(signature.is_none(), "a signature is in it ({url}, {log}): {signature:?}");
}

/// Each begins with `eJ`, as zlib data does in base64; but so do some bytes of a ledger, by chance.
fn is_signature(text: &str) -> bool {
    let length = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(byte)).count();
    length > 40
}

#[test]
fn a_signature_is_known_when_it_is_seen() {
    assert!(is_signature(&usersig()) && usersig().starts_with("eJ"));
}

fn end(run: Running, place: &Place, until: Option<&str>) -> Ran {
    if let Some(until) = until {
        let log = || run.err() + &std::fs::read_to_string(place.path("run.log")).unwrap_or_default();
        wait_for(until, || log().contains(until).then_some(()));
        run.signal("TERM");
    }
    run.wait()
}

/// With each way of logging and each kind of secret, all at once.
fn check_all(url: &str, until: Option<&str>) {
    let ways = ways();
    std::thread::scope(|scope| {
        for (log, (environment, secret)) in LOGS.iter().zip(&ways) {
            scope.spawn(move || check(url, log, environment, secret, until));
        }
    });
}

#[test]
fn nothing_comes_out_where_all_goes_well() {
    check_all(&Service::start("none").url, None);
}

#[test]
fn nothing_comes_out_where_everything_fails() {
    let some_of_each = "lost-after=10%,lost-before=5%,20004=15%,20022=15%,60007=1%,http-502=10%,http-429=1%,garbage=10%,\
                        silent-before=5%,silent-after=5%,70001=1%";
    // The others are refusals of everything.
    for faults in [some_of_each, "70003=100%", "60006=100%", "http-404=100%", "garbage=100%"] {
        check_all(&Service::start(faults).url, None);
    }
}

#[test]
fn nothing_comes_out_where_the_service_is_out_of_reach() {
    let trying = Some("; trying again");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_all(&format!("http://{nobody}"), trying);
    check_all("https://nowhere.invalid", trying);
    let service = Service::start("none");
    check_all(&in_front_of(&service).0, trying);
    assert_eq!(service.stats().requests(), 0);
    // What speaks no HTTP at all.
    check_all(&Server::start(b"\x15\x03\x01\x00\x02\x02\x16", b"").url, None);
}

/// A job's own text is as sensitive as a message's.
#[test]
fn what_the_job_writes_does_not_come_out() {
    let (place, service) = (Place::new(), Service::start("20022=50%"));
    place.write("edits.csv", "from_account,to_account,msg_key,case\nuser_1,user_0,1_7_1773188576,planted-case-4715\n");
    for content in [
        format!("text = '{JOBS_TEXT} {{{{ case }}}}'"),
        format!(
            "msg_body = '[{{\"MsgType\":\"TIMTextElem\",\"MsgContent\":{{\"Text\":\"{JOBS_TEXT} {{{{ case }}}}\"}}}}]'"
        ),
        format!("cloud_custom_data = '{JOBS_TEXT}'\ntext = '{{{{ case | round }}}}'"),
        format!("text = '{JOBS_TEXT} {{{{ case }}}}'\ncloud_custom_data = '{{{{ 1 / 0 }}}}'"),
        format!("msg_body = '{JOBS_TEXT} {{{{ case }}}}'"),
    ] {
        place.write("job.toml", format!("[input]\nignore = ['case']\n[content]\n{content}\n"));
        let ran =
            place.runner(&format!("{JOB} --job job.toml -v -v {FAST}")).at(&service).env("RUST_LOG", "trace").run();
        let mut files = place.files();
        for name in ["edits.csv", "job.toml", "ledger.failed.csv"] {
            files.remove(name);
        }
        let printed = format!("{}{}{}", ran.out, ran.err, printed(&files));
        for secret in [JOBS_TEXT, "planted-case"] {
            assert!(!printed.contains(secret), "{content}: {secret} is in {printed}");
        }
    }
}

#[test]
fn what_it_writes_is_for_its_owner_only() {
    for umask in ["022", "000"] {
        let (place, service) = (Place::with_list(3), Service::start("20022=100%"));
        let run = |flags: &str| {
            let program = env!("CARGO_BIN_EXE_runner");
            let line = format!("umask {umask}; exec '{program}' --endpoint {} --input edits.csv {flags}", service.url);
            place.shell(&line).credentials()
        };
        run("--resume ledger.db --log-file run.log --report out").exits(1);
        for name in ["ledger.db", "run.log", "ledger.failed.csv", "out/failed.csv", "out/report.html"] {
            assert_eq!(mode(&place.path(name)), 0o600, "{name} under {umask}");
        }
        service.set_faults("silent-before=100%");
        let run = run("--resume second.db --timeout 60s").start();
        service.wait_for_requests(4);
        for name in ["second.db", "second.db-wal", "second.db-shm"] {
            assert_eq!(mode(&place.path(name)), 0o600, "{name} under {umask}");
        }
        drop(run);
    }
}

/// Answers every request with the same bytes. It ends with the process.
struct Server {
    url: String,
}

impl Server {
    /// After `answer` it sends `more` repeatedly, for as long as the client reads.
    fn start(answer: impl Into<Vec<u8>>, more: impl Into<Vec<u8>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answer, more) = (answer.into(), more.into());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, more) = (answer.clone(), more.clone());
                // A client that closes the connection has read enough.
                std::thread::spawn(move || serve(&stream.unwrap(), &answer, &more).unwrap_or_default());
            }
        });
        Server { url }
    }
}

fn serve(mut stream: &TcpStream, answer: &[u8], more: &[u8]) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        std::io::copy(&mut requests.by_ref().take(length), &mut std::io::sink())?;
        stream.write_all(answer)?;
        while !more.is_empty() {
            stream.write_all(more)?;
        }
    }
}

/// A port at which nobody may call.
fn nobody_calls(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().map_err(|error| error.kind()).unwrap_err(), ErrorKind::WouldBlock);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let to = elsewhere.local_addr().unwrap();
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: http://{to}/v4/openim/modify_c2c_msg\r\ncontent-length: 0\r\n\r\n");
        let (place, server) = (Place::with_list(3), Server::start(answer, ""));
        let ran = place.runner(&format!("{JOB} --json --endpoint {}", server.url)).credentials().exits(3);
        assert!(ran.json()["reason"].as_str().unwrap().contains(&status[..3]), "{ran:#?}");
        // A server that answers so may have passed the request on before.
        assert_eq!(ran.summary(), Summary { rows: 3, in_doubt: 3, ..Summary::default() });
    }
    nobody_calls(&elsewhere);
}

/// A proxy on the way would be shown the signature.
#[test]
fn a_proxy_gets_nothing_that_is_meant_for_this_machine() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let (place, service) = (Place::with_list(3), Service::start("none"));
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut call = place.runner(JOB).at(&service);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        call = call.env(name, &address);
    }
    call.exits(0);
    nobody_calls(&proxy);
}

#[test]
fn plain_http_leaves_this_machine_under_no_name() {
    let place = Place::with_list(3);
    for url in [
        "http://192.0.2.1",
        "http://example.com",
        "http://localhost.example.com",
        "http://0.0.0.0",
        "http://[::ffff:127.0.0.1]",
    ] {
        let ran = place.runner(&format!("{JOB} --endpoint {url}")).credentials().exits(2);
        assert!(ran.err.contains("plain http would show the signature to everyone on the way"), "{ran:#?}");
        assert_eq!(place.files().len(), 1, "a ledger was made");
    }
}

/// An endless answer is cut off: whether the edit took effect is unknown, and memory stays bounded.
#[test]
fn an_answer_without_an_end_is_cut() {
    let body = "x".repeat(1 << 16);
    let chunk = format!("10000\r\n{body}\r\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for (answer, more, meaning) in [
        (format!("{head}\r\n"), body.as_str(), "not the service's"),
        (format!("{head}content-length: 999999999999\r\n\r\n"), &body, "not the service's"),
        (format!("{head}transfer-encoding: chunked\r\n\r\n"), &chunk, "not the service's"),
        (head.to_owned(), &format!("x-{}: {body}\r\n", "y".repeat(100)), "connection was lost"),
        (format!("{head}x: "), &body, "connection was lost"),
    ] {
        let (place, server) = (Place::with_list(3), Server::start(answer.clone(), more));
        let program = env!("CARGO_BIN_EXE_runner");
        let line = format!("ulimit -v 262144; exec '{program}' {JOB} --json --in-doubt hold --endpoint {}", server.url);
        let ran = place.shell(&line).credentials().exits(1);
        assert_eq!(ran.summary(), Summary { rows: 3, in_doubt: 3, ..Summary::default() }, "{answer}");
        assert_eq!(ran.answers(meaning), 3, "{answer}: {ran:#?}");
    }
}

#[test]
fn what_the_service_says_cannot_steer_a_terminal() {
    let info = r"\u001b]0;mine\u0007\u001b[2J\u009b31m\u202egnp \r\n\u0008";
    let body = format!(r#"{{"ActionStatus":"FAIL","ErrorCode":20026,"ErrorInfo":"{info}"}}"#);
    let refusal = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let raw = "HTTP/1.1 500 mine\u{1b}[2J\r\nretry-after: \u{1b}[2J\r\ncontent-length: 6\r\n\r\n\u{1b}[2J\u{9b}";
    for log in LOGS {
        for (answer, says) in [(refusal.as_str(), r"mine\"), (raw, "answered")] {
            let (place, server) = (Place::with_list(3), Server::start(answer, ""));
            let flags = format!("{JOB} -v -v {log} --max-failures 100% --in-doubt hold --endpoint {}", server.url);
            let ran = place.runner(&flags).credentials().exits(1);
            let logged = std::fs::read_to_string(place.path("run.log")).unwrap_or_default();
            assert!(format!("{}{logged}", ran.err).contains(says), "{says:?} is not in {ran:#?}, {logged}");
            for text in [&ran.out, &ran.err, &logged] {
                assert_eq!(escape_control(text), text.as_str(), "{log}");
            }
        }
    }
}

/// A notification command often has a token in it.
#[test]
fn what_on_finish_calls_is_kept_nowhere() {
    const TOKEN: &str = "planted-token-4715";
    for (number, form) in
        [["--on-finish", TOKEN].as_slice(), &["--on-finish=: planted-token-4715"]].into_iter().enumerate()
    {
        let (place, service) = (Place::with_list(5), Service::start("none"));
        let mut call = place.runner(&format!("{JOB} --report out")).at(&service);
        for word in form {
            call = call.arg(word);
        }
        call.exits(0);
        let ledger = std::fs::read(place.path("ledger.db")).unwrap();
        let kept = [
            String::from_utf8_lossy(&ledger).into_owned(),
            place.read("out/report.html"),
            place.read("out/summary.json"),
        ];
        assert!(kept.iter().all(|kept| kept.contains("--on-finish") && !kept.contains(TOKEN)), "{number}: {}", kept[2]);
    }
}
