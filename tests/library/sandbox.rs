//! The sandbox over real sockets, as a client sees it.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::{Client, Response, StatusCode};
use runner::api::client::{ClientOptions, HttpService};
use runner::api::credentials::Credentials;
use runner::api::endpoint::{ApiMethod, Endpoint};
use runner::api::history::{AccountNames, HistoryQuery};
use runner::api::usersig::Signer;
use runner::api::{Outcome, Service as _};
use runner::edit::MessageId;
use runner::pace::{GATE_OPEN, Gate, Pace};
use runner::sandbox::{Faults, IDENTIFIER, Options, SDKAPPID, SECRET_KEY, Sandbox};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A sandbox and a client that may call it.
struct Rig {
    sandbox: Sandbox,
    client: Client,
    usersig: String,
}

impl Rig {
    async fn start(faults: &str, rate: u32) -> Rig {
        let options = Options { faults: faults.parse().unwrap(), rate, ..Options::well_known() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let signer = Signer::new(SDKAPPID, IDENTIFIER.into(), SECRET_KEY.into());
        let usersig = signer.sign(SystemTime::now()).text.expose_secret().to_owned();
        // No client retries, so that the sandbox counts exactly what a test sent.
        let client = Client::builder().retry(reqwest::retry::never()).build().unwrap();
        Rig { sandbox, client, usersig }
    }

    fn url(&self, call: ApiMethod) -> reqwest::Url {
        let mut url = Endpoint::parse(&self.sandbox.endpoint_url()).unwrap().url(call);
        url.query_pairs_mut()
            .append_pair("sdkappid", &SDKAPPID.to_string())
            .append_pair("identifier", IDENTIFIER)
            .append_pair("usersig", &self.usersig)
            .append_pair("random", "4294967295")
            .append_pair("contenttype", "json");
        url
    }

    async fn call(&self, call: ApiMethod, body: &Value) -> reqwest::Result<Response> {
        self.client.post(self.url(call)).body(body.to_string()).send().await
    }

    async fn modify(&self, key: &str) -> reqwest::Result<Response> {
        self.call(ApiMethod::ModifyC2cMsg, &body_of(key)).await
    }

    async fn code(&self, call: ApiMethod, body: &Value) -> i64 {
        code_of(self.call(call, body).await.unwrap()).await
    }

    fn edits(&self, key: &str) -> Option<u32> {
        self.sandbox.message(&id(key)).map(|held| held.edits)
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.sandbox.endpoint_url());
        self.client.get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }
}

fn id(key: &str) -> MessageId {
    MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: key.into() }
}

fn body_of(key: &str) -> Value {
    json!({
        "From_Account": "a", "To_Account": "b", "MsgKey": key,
        "MsgBody": [{ "MsgType": "TIMTextElem", "MsgContent": { "Text": "new" } }],
        "CloudCustomData": "data",
    })
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn code_of(response: Response) -> i64 {
    json_of(response).await["ErrorCode"].as_i64().unwrap()
}

#[tokio::test]
async fn an_edit_takes_place_and_is_read_back() {
    let rig = Rig::start("none", 200).await;
    let done = json_of(rig.modify("1_2_1700000000").await.unwrap()).await;
    assert_eq!(done, json!({ "ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "succeed" }));
    let held = rig.sandbox.message(&id("1_2_1700000000")).unwrap();
    assert_eq!((held.edits, held.cloud_custom_data.as_deref()), (1, Some("data")));

    let window = json!({
        "Operator_Account": "b", "Peer_Account": "a",
        "MaxCnt": 100, "MinTime": 1_699_999_999, "MaxTime": 1_700_000_001,
    });
    let page = json_of(rig.call(ApiMethod::AdminGetRoamMsg, &window).await.unwrap()).await;
    assert_eq!((&page["Complete"], &page["MsgCnt"]), (&1.into(), &1.into()));
    assert_eq!(page["MsgList"][0]["MsgBody"], body_of("")["MsgBody"]);
    assert_eq!(page["MsgList"][0]["MsgTimeStamp"], 1_700_000_000);
}

#[tokio::test]
async fn a_refusal_is_http_200_with_the_services_json() {
    let rig = Rig::start("none", 200).await;
    let refusal = json_of(rig.call(ApiMethod::ModifyC2cMsg, &json!({ "From_Account": "a" })).await.unwrap()).await;
    assert_eq!((&refusal["ActionStatus"], &refusal["ErrorCode"]), (&"FAIL".into(), &90003.into()));
    assert!(!refusal["ErrorInfo"].as_str().unwrap().is_empty());

    let huge = json!({ "From_Account": "x".repeat(200_000) });
    assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &huge).await, 93000);

    let elsewhere = format!("{}/v4/openim/sendmsg", rig.sandbox.endpoint_url());
    assert_eq!(code_of(rig.client.post(elsewhere).body("{}").send().await.unwrap()).await, 60009);
    let got = rig.client.get(rig.url(ApiMethod::ModifyC2cMsg)).send().await.unwrap();
    assert_eq!(code_of(got).await, 60002);

    let mut unsigned = rig.url(ApiMethod::ModifyC2cMsg);
    unsigned.set_query(Some(&unsigned.query().unwrap().replace("usersig=", "usersig=x")));
    assert_eq!(code_of(rig.client.post(unsigned).body("{}").send().await.unwrap()).await, 70003);
}

#[tokio::test]
async fn a_lost_answer_closes_the_connection_before_or_after_the_edit() {
    for (faults, edits) in [("lost-before=100%", 0), ("lost-after=100%", 1)] {
        let rig = Rig::start(faults, 200).await;
        let error = rig.modify("1_1_1").await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
        assert_eq!(rig.edits("1_1_1"), Some(edits), "{faults}");
        // The next request opens another connection, and the sandbox serves it.
        rig.sandbox.set_faults(Faults::none());
        assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of("1_1_1")).await, 0);
    }
}

#[tokio::test]
async fn a_late_edit_takes_place_after_its_client_is_gone() {
    let rig = Rig::start("edit.lost-late=100%", 200).await;
    for i in 0..20 {
        let error = rig.modify(&format!("{i}_1_1")).await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
    }
    let stats = rig.sandbox.stats();
    assert_eq!(stats.messages.edits + stats.edits_to_come, 20);
    // Each of them is sent again, before or after its late edit: either way it has been edited twice by then.
    rig.sandbox.set_faults(Faults::none());
    for i in 0..20 {
        assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of(&format!("{i}_1_1"))).await, 0);
    }
    let all = async {
        while rig.sandbox.stats().edits_to_come > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all).await.unwrap();
    let stats = rig.sandbox.stats();
    assert_eq!((stats.messages.edits, stats.messages.edited_more_than_once), (40, 20));
    assert_eq!(stats.modify_c2c_msg.answers, [("0".to_owned(), 20), ("lost-late".to_owned(), 20)].into());
}

#[tokio::test]
async fn what_is_unknown_is_neither_edited_nor_read_back() {
    let rig = Rig::start("unknown=100%,history=older-names+one-sided", 200).await;
    assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of("1_2_1700000000")).await, 20026);
    let window = |names: [&str; 2], operator: &str, peer: &str| {
        let [first, second] = names;
        json!({ first: operator, second: peer, "MaxCnt": 100, "MinTime": 1_699_999_999, "MaxTime": 1_700_000_001 })
    };
    let (newer, older) = (["Operator_Account", "Peer_Account"], ["From_Account", "To_Account"]);
    assert_eq!(rig.code(ApiMethod::AdminGetRoamMsg, &window(newer, "b", "a")).await, 90008);
    let count = async |operator, peer| {
        let page = json_of(rig.call(ApiMethod::AdminGetRoamMsg, &window(older, operator, peer)).await.unwrap()).await;
        page["MsgCnt"].as_u64().unwrap()
    };
    assert_eq!((count("a", "b").await, count("b", "a").await), (0, 0));

    rig.sandbox.set_faults("history=older-names+one-sided".parse().unwrap());
    assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of("1_2_1700000000")).await, 0);
    assert_eq!((count("a", "b").await, count("b", "a").await), (0, 1));
}

/// Returns once a request to edit has arrived.
async fn arrival(sandbox: &Sandbox) {
    while sandbox.stats().modify_c2c_msg.requests == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn silence_lasts_until_the_client_leaves() {
    for (faults, edits) in [("silent-before=100%", 0), ("silent-after=100%", 1)] {
        let rig = Rig::start(faults, 200).await;
        let mut request = std::pin::pin!(rig.modify("1_1_1"));
        tokio::select! {
            biased;
            answer = &mut request => panic!("{answer:?}"),
            () = arrival(&rig.sandbox) => {}
        }
        // It has arrived, and its effect is done by now; an answer could come at any moment.
        assert!(tokio::time::timeout(Duration::from_millis(50), request).await.is_err(), "{faults}");
        assert_eq!(rig.edits("1_1_1"), Some(edits), "{faults}");
    }
}

#[tokio::test]
async fn http_faults_and_garbage_are_html() {
    let rig = Rig::start("http-502=100%", 200).await;
    let answer = rig.modify("1_1_1").await.unwrap();
    assert_eq!((answer.status(), rig.edits("1_1_1")), (StatusCode::BAD_GATEWAY, Some(0)));
    assert!(answer.headers().get("retry-after").is_none());

    rig.sandbox.set_faults("http-429=100%".parse().unwrap());
    let answer = rig.modify("1_1_1").await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["retry-after"], "1");

    rig.sandbox.set_faults("garbage=100%".parse().unwrap());
    let answer = rig.modify("1_1_1").await.unwrap();
    assert_eq!((answer.status(), rig.edits("1_1_1")), (StatusCode::OK, Some(1)));
    assert!(answer.text().await.unwrap().starts_with("<html>"));
}

#[tokio::test]
async fn latency_delays_every_answer() {
    let rig = Rig::start("latency=60ms", 200).await;
    let before = std::time::Instant::now();
    assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of("1_1_1")).await, 0);
    assert!(before.elapsed() >= Duration::from_millis(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_lets_through_no_more_than_it_says() {
    const RATE: u32 = 20;
    let rig = Arc::new(Rig::start("none", RATE).await);
    // However long the machine takes for these: the rate limits what is admitted in a second, so with this many at
    // once the sandbox's statistics must match what the clients received.
    let mut requests = tokio::task::JoinSet::new();
    for i in 0..RATE * 3 {
        let rig = Arc::clone(&rig);
        requests.spawn(async move { rig.code(ApiMethod::ModifyC2cMsg, &body_of(&format!("{i}_1_1"))).await });
    }
    let codes = requests.join_all().await;
    let done = codes.iter().filter(|code| **code == 0).count() as u64;
    let refused = codes.iter().filter(|code| **code == 60007).count() as u64;
    let stats = rig.sandbox.stats();
    assert_eq!(done + refused, u64::from(RATE) * 3);
    assert_eq!((stats.messages.edits, stats.modify_c2c_msg.over_cap), (done, refused));
    assert_eq!(stats.modify_c2c_msg.requests, u64::from(RATE) * 3);
    let span = stats.modify_c2c_msg.last_arrival_ms.unwrap() - stats.modify_c2c_msg.first_arrival_ms.unwrap();
    if span < 1_000.0 {
        assert_eq!((done, stats.modify_c2c_msg.worst_second), (u64::from(RATE), u64::from(RATE) * 3));
    }
}

#[tokio::test]
async fn the_numbers_and_the_messages_can_be_asked_for() {
    let rig = Rig::start("none", 10_000).await;
    for _ in 0..2 {
        assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of("twice")).await, 0);
    }
    // More than one chunk of the listing.
    for i in 0..1_200 {
        assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of(&format!("{i}_1_1"))).await, 0);
    }
    let stats: Value = serde_json::from_str(&rig.get("/sandbox/stats").await).unwrap();
    assert_eq!(stats["messages_known"], 1_201);
    assert_eq!(stats["messages_edited"], 1_201);
    assert_eq!(stats["edited_more_than_once"], 1);
    assert_eq!(stats["edits"], 1_202);
    assert_eq!(stats["modify_c2c_msg"]["requests"], 1_202);
    assert_eq!(stats["modify_c2c_msg"]["answers"], json!({ "0": 1_202 }));
    assert_eq!(stats["admin_getroammsg"]["requests"], 0);
    assert!(stats["modify_c2c_msg"]["mean_rate"].as_f64().unwrap() > 0.0);

    let listing = rig.get("/sandbox/messages").await;
    let messages: Vec<Value> = listing.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages.len(), 1_201);
    assert_eq!((&messages[0]["MsgKey"], &messages[0]["edits"]), (&"twice".into(), &2.into()));
    assert_eq!(messages[1_200]["MsgBody"], body_of("")["MsgBody"]);
}

#[tokio::test]
async fn faults_can_be_changed_while_it_runs() {
    let rig = Rig::start("none", 200).await;
    let url = format!("{}/sandbox/faults", rig.sandbox.endpoint_url());
    let changed = rig.client.post(&url).body("20004=100%").send().await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);
    assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of("1_1_1")).await, 20004);

    let refused = rig.client.post(&url).body("oops=1%").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("\"oops=1%\""));
    assert_eq!(rig.sandbox.stats().faults, "20004=100%");

    assert_eq!(rig.client.get(&url).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    let nowhere = rig.client.get(format!("{}/sandbox", rig.sandbox.endpoint_url())).send().await.unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_listens_on_this_machine_only_and_stops() {
    let open = Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::well_known() };
    assert!(Sandbox::start(open).await.unwrap_err().to_string().contains("0.0.0.0"));

    let rig = Rig::start("none", 200).await;
    assert_eq!(rig.code(ApiMethod::ModifyC2cMsg, &body_of("1_1_1")).await, 0);
    let url = rig.url(ApiMethod::ModifyC2cMsg);
    rig.sandbox.stop().await;
    assert!(rig.client.post(url).body("{}").send().await.is_err());
}

/// As when a runner's lease is not renewed while its request waits for a connection.
#[tokio::test]
async fn a_request_that_may_not_go_out_any_more_does_not_reach_it() {
    let rig = Rig::start("none", 200).await;
    let endpoint = Endpoint::parse(&rig.sandbox.endpoint_url()).unwrap();
    let options = ClientOptions {
        endpoint: &endpoint,
        proxy: None,
        timeout: Duration::from_secs(10),
        ca_cert: None,
        concurrency: 1,
    };
    let credentials = Credentials::with_key(SDKAPPID, IDENTIFIER, SECRET_KEY.into());
    let service = HttpService::new(&options, Arc::new(credentials)).unwrap();
    let (operator, peer) = ("a".to_owned(), "b".to_owned());
    let names = AccountNames::Newer;
    let query = HistoryQuery { operator, peer, min_time: 1, max_time: 2, last_msg_key: None, names };

    let gate = Gate::by_boot_time();
    let pace = Pace::with_gate(NonZeroU32::MIN, Instant::now(), gate.clone());
    gate.extend(gate.now() + GATE_OPEN);
    let permit = pace.permit().await.unwrap();
    let answer = service.history(&query, permit).await;
    assert!(answer.is_ok(), "{answer:?}");
    gate.extend(gate.now() + GATE_OPEN);
    let permit = pace.permit().await.unwrap();
    gate.shut();
    let answer = service.history(&query, permit).await;
    assert!(matches!(answer, Err(Outcome::HeldBack)), "{answer:?}");
    let answer = service.history(&query, Pace::new(NonZeroU32::MIN, Instant::now()).permit().await.unwrap()).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn the_banner_says_what_to_type() {
    let rig = Rig::start("none", 200).await;
    let (banner, url) = (rig.sandbox.banner(&[]), rig.sandbox.endpoint_url());
    for line in [
        format!("  export TIM_SDKAPPID={SDKAPPID}\n"),
        format!("  export TIM_IDENTIFIER={IDENTIFIER}\n"),
        format!("  export TIM_SECRET_KEY={SECRET_KEY}\n"),
        format!("  runner --endpoint {url} --resume rehearsal.db\n"),
    ] {
        assert!(banner.contains(&line), "{banner}");
    }
    assert!(url.ends_with(&rig.sandbox.address().port().to_string()));

    let options = Options { key: "a real key".into(), ..Options::well_known() };
    let sandbox = Sandbox::start(options).await.unwrap();
    assert!(!sandbox.banner(&[]).contains("a real key") && !format!("{sandbox:?}").contains("a real key"));
}
