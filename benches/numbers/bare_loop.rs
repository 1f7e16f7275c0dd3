//! The cost of the HTTP client alone: sends each line of a file to a URL, and does nothing else. The client is
//! configured as in the program, and runs on one thread as there.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url, redirect, retry};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::IN_FLIGHT;

/// The argument that makes the bench this loop.
pub(crate) const WORD: &str = "bare-loop";
/// Precedes the number of places if there is no rate.
const UNCAPPED: &str = "places=";

/// Sends one request on each tick of a clock with this rate.
pub(crate) fn command(url: &str, bodies: &Path, rate: u32) -> Command {
    start(url, bodies, &rate.to_string())
}

/// Sends as fast as possible with this many requests in flight.
pub(crate) fn command_uncapped(url: &str, bodies: &Path, places: usize) -> Command {
    start(url, bodies, &format!("{UNCAPPED}{places}"))
}

fn start(url: &str, bodies: &Path, pace: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(WORD).arg(url).arg(bodies).arg(pace);
    command
}

pub(crate) fn run(mut words: impl Iterator<Item = String>) -> ExitCode {
    let url = Url::parse(&words.next().unwrap()).unwrap();
    let bodies = std::fs::read_to_string(words.next().unwrap()).unwrap();
    let bodies: Vec<String> = bodies.lines().map(str::to_owned).collect();
    let pace = words.next().unwrap();
    let places: Option<usize> = pace.strip_prefix(UNCAPPED).map(|places| places.parse().unwrap());
    let client = Client::builder()
        .user_agent("bare-loop")
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(places.unwrap_or(IN_FLIGHT))
        .tcp_user_timeout(Duration::from_secs(5))
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match places {
            Some(places) => as_fast_as_it_can(&client, &url, bodies, places).await,
            None => by_the_clock(&client, &url, bodies, pace.parse().unwrap()).await,
        }
    });
    ExitCode::SUCCESS
}

async fn as_fast_as_it_can(client: &Client, url: &Url, bodies: Vec<String>, places: usize) {
    let bodies = Arc::new(Mutex::new(bodies.into_iter()));
    let mut workers = JoinSet::new();
    for _ in 0..places {
        let (client, url, bodies) = (client.clone(), url.clone(), Arc::clone(&bodies));
        workers.spawn(async move {
            loop {
                let Some(body) = bodies.lock().unwrap().next() else { return };
                send(&client, &url, body).await;
            }
        });
    }
    workers.join_all().await;
}

async fn by_the_clock(client: &Client, url: &Url, bodies: Vec<String>, rate: u32) {
    let mut clock = interval(Duration::from_secs(1) / rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    for body in bodies {
        clock.tick().await;
        let (client, url) = (client.clone(), url.clone());
        requests.spawn(async move { send(&client, &url, body).await });
        while requests.try_join_next().is_some() {}
    }
    requests.join_all().await;
}

async fn send(client: &Client, url: &Url, body: String) {
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains(r#""ErrorCode":0"#), "{answer}");
}
