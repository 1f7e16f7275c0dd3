//! How many apps does one database carry? Each is a job of its own at 200 a second, played without a service: its commits,
//! beats and parts are those of a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use runner::edit::{Edit, MessageId};
use runner::ledger::{
    Beat, Change, JobIdentity, LedgerAddress, LostCommits, PART_ROWS, PostgresAddress, Progress, RunInfo, RunStore,
    SharedRun, SharedTerms, State, Taken, open_store, unix_ms,
};
use tokio::runtime;
use tokio::time::{sleep, sleep_until};

use super::RATE;
use super::server::Server;
use crate::Bench;
use crate::report::{Figure, Table};

const APPS: [u32; 2] = [10, 40];
/// As the writer of a ledger does: it waits so long for changes to share a commit, and no longer once it has so many.
const LINGER: Duration = Duration::from_millis(80);
const ENOUGH: u64 = 32;

/// An app's run.
struct App {
    number: u32,
    store: Box<dyn RunStore>,
    shared: SharedRun,
}

/// What it has done.
#[derive(Default)]
struct Did {
    edits: u64,
    commits_ms: Vec<f64>,
}

pub(crate) fn measure(bench: &Bench, server: &Server) -> Table {
    let window = Duration::from_secs(bench.either(6, 20));
    let mut table = Table::new(
        "several, apps",
        format!("Apps of {RATE}/s each over one database, a runner each"),
        &[
            "edits a second",
            "of what they ask",
            "transactions a second",
            "WAL a second",
            "a commit takes",
            "CPU of the server",
            "CPU of all runners' ledgers",
        ],
    );
    for apps in APPS {
        let database = server.database();
        let url = |app: u32| database.url(&format!("app{app}"));
        let apps: Vec<App> = (1..=apps).map(|app| begin(app, &url(app))).collect();
        let asked = f64::from(RATE) * f64::from(u32::try_from(apps.len()).unwrap());
        let name = format!("{} apps", apps.len());
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (cpu_before, before) = (own_cpu(), server.read(database));
        let until = Instant::now() + window;
        let did: Vec<Did> = runtime.block_on(async {
            let apps: Vec<_> = apps.into_iter().map(|app| tokio::spawn(work(app, until))).collect();
            let mut did = Vec::new();
            for app in apps {
                did.push(app.await.unwrap());
            }
            did
        });
        let (load, cpu) = (before.until(&server.read(database)), own_cpu().saturating_sub(cpu_before));
        let edits = f64::from(u32::try_from(did.iter().map(|did| did.edits).sum::<u64>()).unwrap()) / load.seconds;
        let figure = |value, unit| Figure::new([value], unit);
        let figures = [
            figure(edits, ""),
            figure(edits / asked, ""),
            figure(load.transactions, ""),
            figure(load.wal_kib, "KiB"),
            Figure::new(did.into_iter().flat_map(|did| did.commits_ms), "ms"),
            figure(load.cpu_percent, "% of a core"),
            figure(cpu.as_secs_f64() / load.seconds * 100.0, "% of a core"),
        ];
        table.row(name, figures.map(Into::into));
    }
    table.note(
        "Nothing is sent: the outcome of an edit goes into the commit after the one with its intent. All apps are in one \
         process here, whose connections share one thread.",
    );
    table
}

fn own_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(cpu_us.unsigned_abs())
}

fn begin(number: u32, url: &str) -> App {
    let address = LedgerAddress::Postgres(url.parse::<PostgresAddress>().unwrap());
    let job = JobIdentity {
        sdkappid: 1_400_000_000 + u64::from(number),
        service: "console.tim.qq.com:443".to_owned(),
        other_host: None,
        name: None,
    };
    let mut store = open_store(&address, &job, LostCommits::Refused).unwrap();
    let rows = 1_000_000;
    let info = RunInfo {
        input: "edits.csv".to_owned(),
        input_sha256: "07".repeat(32),
        input_rows: rows,
        lists: Vec::new(),
        duplicates: 0,
        planned: rows,
        new_edits: rows,
        rate: RATE,
        read_first: false,
        identifier: "administrator".to_owned(),
        job_sha256: None,
        proxy: None,
        command: "runner".to_owned(),
        directory: "/".to_owned(),
        shared: Some(SharedTerms { list: [7; 32], settings: Vec::new() }),
        known: Progress::default(),
    };
    store.begin_run(&info).unwrap();
    let shared = store.share().unwrap();
    App { number, store, shared }
}

/// Works at the cap until then.
async fn work(app: App, until: Instant) -> Did {
    let App { number, mut store, shared } = app;
    let SharedRun { mut beats, mut work, .. } = shared;
    let beating = tokio::spawn(async move {
        sleep(Duration::from_millis(fastrand::u64(0..1_000))).await;
        loop {
            let beat = Beat { share: RATE, reads: RATE, wanted: RATE, ..Beat::default() };
            let begun = tokio::time::Instant::now();
            beats.beat(beat).await.unwrap();
            sleep_until(begun + Duration::from_secs(1)).await;
        }
    });
    let mut did = Did::default();
    sleep(Duration::from_millis(fastrand::u64(0..100))).await;
    let (start, mut intended) = (Instant::now(), 0_u64);
    let (mut part, mut left): (u64, Vec<Arc<Edit>>) = (0, Vec::new());
    let mut under_way: Vec<Change> = Vec::new();
    while Instant::now() < until {
        let begun = tokio::time::Instant::now();
        let due = u64::try_from(start.elapsed().as_millis()).unwrap() * u64::from(RATE) / 1_000 + 1;
        let new = due.saturating_sub(intended).min(ENOUGH);
        if left.is_empty() {
            if intended > 0 {
                work.finish(part, true).await.unwrap();
            }
            let Taken::Parts(taken) = work.take(1).await.unwrap() else { panic!("the list has ended") };
            part = taken[0];
            left = (0..PART_ROWS).map(|row| edit(number, part * PART_ROWS + row)).collect();
            let known = work.known(left.iter().map(|edit| edit.id().digest()).collect()).await.unwrap();
            assert!(known.iter().all(Option::is_none));
        }
        let intents: Vec<Change> = (0..new).map_while(|_| left.pop()).map(|edit| intent(edit, part)).collect();
        let outcomes = std::mem::replace(&mut under_way, intents.clone()).into_iter().map(done);
        let (outcomes, count) = (outcomes.collect::<Vec<_>>(), intents.len() as u64);
        intended += count;
        did.edits += outcomes.len() as u64;
        let committed = Instant::now();
        store.commit(outcomes.into_iter().chain(intents).collect(), Vec::new()).await.unwrap();
        did.commits_ms.push(committed.elapsed().as_secs_f64() * 1e3);
        // Whoever is behind does not wait.
        if count < ENOUGH {
            sleep_until(begun + LINGER).await;
        }
    }
    beating.abort();
    did
}

fn edit(app: u32, row: u64) -> Arc<Edit> {
    let id = MessageId {
        from_account: format!("user_{}", row % 5_000),
        to_account: format!("user_{}", row % 5_003),
        msg_key: format!("{row}_{app}_1790000000"),
    };
    Arc::new(Edit::new(id, None, Some("x".into())).unwrap())
}

fn intent(edit: Arc<Edit>, part: u64) -> Change {
    let (message, content) = (edit.id().digest(), edit.content_digest());
    Change {
        edit,
        message,
        content,
        line: 2.into(),
        from: None,
        to: Some(State::Sending),
        part: Some(part),
        attempts: 1,
        code: None,
        note: None,
        at: unix_ms(),
        took: None,
        original: None,
    }
}

fn done(intent: Change) -> Change {
    let took = Some(Duration::from_millis(70));
    Change { from: Some(State::Sending), to: Some(State::Done), code: Some(0), took, ..intent }
}
