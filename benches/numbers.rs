//! What the job costs, measured on this machine against a stand-in for the service: `cargo bench`.
//!
//! Takes about two minutes. Nothing here fails: it prints figures, and what they should stay under.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made shall say so and end")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runner::sandbox::{IDENTIFIER, SDKAPPID, SECRET_KEY};

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let list = |rows: u32| {
        let path = dir.path().join(format!("{rows}.csv"));
        let mut text = String::from("from_account,to_account,msg_key,msg_body\n");
        for row in 0..rows {
            let (from, to, key) = (row % 5_000, row % 5_003, row.wrapping_mul(2_654_435_761));
            let body = r#"[{""MsgType"":""TIMTextElem"",""MsgContent"":{""Text"":""已删除"#;
            writeln!(text, "user_{from},user_{to},{row}_{key}_1790000000,\"{body} {row}\"\"}}}}]\"").unwrap();
        }
        std::fs::write(&path, text).unwrap();
        path
    };
    println!("| measured | figure | should stay under |");
    println!("|---|---|---|");
    let plan = measure(runner(dir.path()).arg("--dry-run").arg("--input").arg(list(100_000)));
    println!("| plan of 100,000 rows | {:.2} s | 1 s |", plan.took.as_secs_f64());
    let plan = measure(runner(dir.path()).arg("--dry-run").arg("--input").arg(list(1_000_000)));
    println!("| memory for 1,000,000 rows | {} MiB | 64 MiB |", plan.memory_kib / 1_024);

    for (name, faults) in [("fast answers", "none"), ("answers after 300 to 500 ms", "latency=300ms..500ms")] {
        let (mut sandbox, url) = sandbox(faults);
        let ledger = dir.path().join(format!("{}.db", faults.len()));
        let run = measure(
            runner(dir.path()).args(["--endpoint", &url]).arg("--input").arg(list(6_000)).arg("--resume").arg(ledger),
        );
        let share = run.cpu.as_secs_f64() / run.took.as_secs_f64() * 100.0;
        println!("| of a core at 200/s, {name} | {share:.1} % | 5 % |");
        let stats = stats(&url);
        println!("| mean as the service sees it, {name} | {:.1}/s | (at least 198/s) |", stats.0);
        println!("| worst sliding second, {name} | {} | 201 |", stats.1);
        sandbox.kill().unwrap();
        sandbox.wait().unwrap();
    }
}

fn runner(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command
        .current_dir(directory)
        .env("TIM_SDKAPPID", SDKAPPID.to_string())
        .env("TIM_IDENTIFIER", IDENTIFIER)
        .env("TIM_SECRET_KEY", SECRET_KEY);
    command
}

/// A stand-in that only measures: its own cap is out of the way.
fn sandbox(faults: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_runner"))
        .args(["sandbox", "--listen", "127.0.0.1:0", "--rate", "1000000", "--faults", faults])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let url = first.split_whitespace().find_map(|word| word.strip_prefix("http://")).unwrap();
    (child, format!("http://{}", url.trim_end_matches('.')))
}

/// Mean rate and worst second.
fn stats(url: &str) -> (f64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = runtime.block_on(async {
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("{url}/sandbox/stats"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    });
    let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    let modify = &stats["modify_c2c_msg"];
    (modify["mean_rate"].as_f64().unwrap(), modify["worst_second"].as_u64().unwrap())
}

struct Measured {
    took: Duration,
    cpu: Duration,
    memory_kib: u64,
}

/// Runs it to the end. The kernel's own counts are read until the process is gone.
fn measure(command: &mut Command) -> Measured {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut measured = Measured { took: Duration::ZERO, cpu: Duration::ZERO, memory_kib: 0 };
    while child.try_wait().unwrap().is_none() {
        measured.took = start.elapsed();
        if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", child.id())) {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
            measured.memory_kib = peak.unwrap_or(measured.memory_kib);
        }
        if let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", child.id())) {
            let ticks: Vec<u64> = stat.split_whitespace().skip(13).take(2).filter_map(|n| n.parse().ok()).collect();
            // A tick of the kernel's is a hundredth of a second.
            measured.cpu = Duration::from_millis(ticks.iter().sum::<u64>() * 10).max(measured.cpu);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    measured
}
