//! The numbers of a run in the text format of Prometheus: counters since it began, gauges of this moment. They are made
//! from one view at the moment they are asked for, so they fit together, and a run that nobody asks counts nothing twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::View;
use super::page::ledger_cache::LedgerView;
use crate::ledger::{Cause, Latency, Runner, RunnerState, SharedJob, Totals};
use crate::report::format::RunState;
use crate::run::{Activity, HoldReason};

/// The format's name.
pub(super) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// Every metric, at one moment.
#[derive(Debug)]
struct Numbers {
    view: Arc<View>,
    planned: u64,
    cap: u32,
    started_at: i64,
    known: Arc<LedgerView>,
}

/// All metrics in the text format; `known` is what the ledger knew a moment ago.
pub(super) fn text(shared: &super::LiveShared, known: Arc<LedgerView>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("runner");
    registry.register_collector(Box::new(Numbers {
        view: shared.view(),
        planned: shared.facts.planned,
        cap: shared.facts.cap.get(),
        started_at: shared.facts.started_at,
        known,
    }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Numbers {
    fn encode(&self, out: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(out);
        self.messages(&mut out)?;
        self.edits(&mut out)?;
        self.requests(&mut out)?;
        self.pace(&mut out)?;
        self.times(&mut out)?;
        match &self.known.shared {
            Some(job) => runners(job, &mut out),
            None => Ok(()),
        }
    }
}

impl Numbers {
    fn messages(&self, out: &mut Out<'_>) -> fmt::Result {
        let Totals { messages, done, failed, in_doubt, in_flight, not_reached } = self.view.totals;
        out.gauge("messages", "Messages of the list.", None, &[], messages)?;
        let states = [
            ("done", done),
            ("failed", failed),
            ("in_doubt", in_doubt),
            ("in_flight", in_flight),
            ("not_reached", not_reached),
        ];
        let help = "Messages of the list by state, those of earlier runs included; they add up to runner_messages.";
        out.gauges("messages_by_state", help, None, "state", &states)
    }

    fn edits(&self, out: &mut Out<'_>) -> fmt::Result {
        let tally = &self.view.tally;
        out.gauge("build_info", "The program.", None, &[("version", crate::VERSION)], 1_u64)?;
        let outcomes = [("done", tally.done), ("failed", tally.failed), ("in_doubt", tally.in_doubt)];
        let outcomes = outcomes.map(|(outcome, edits)| ([("outcome", outcome.to_owned())], edits));
        out.counters("edits", "Edits that were settled in this run.", &outcomes)?;
        out.gauge("edits_planned", "Edits that this run set out to settle.", None, &[], self.planned)?;
        let left = self.planned.saturating_sub(tally.settled());
        out.gauge("edits_left", "Edits of this run that are not settled yet.", None, &[], left)?;
        let under_way = tally.under_way as u64;
        out.gauge("edits_under_way", "Edits whose intent is durable and whose outcome is not.", None, &[], under_way)?;
        out.gauge("edits_to_read_back", "Edits in doubt that wait to be read back.", None, &[], tally.to_read_back)
    }

    fn requests(&self, out: &mut Out<'_>) -> fmt::Result {
        let tally = &self.view.tally;
        let requests = [("edit", tally.attempts), ("read_back", tally.read_backs)];
        let requests = requests.map(|(call, requests)| ([("call", call.to_owned())], requests));
        out.counters("requests", "Requests that were sent.", &requests)?;
        let others: u64 = tally.causes.values().sum();
        let code = |cause: &Cause| match cause {
            Cause::Code(code) => code.to_string(),
            Cause::Note(note) => note.word().replace(' ', "_"),
        };
        let answers: Vec<_> = [("0".to_owned(), tally.attempts.saturating_sub(others))]
            .into_iter()
            .chain(tally.causes.iter().map(|(cause, answers)| (code(cause), *answers)))
            .map(|(code, answers)| ([("code", code)], answers))
            .collect();
        let help = "Answers to edits, by the service's ErrorCode (0: success), or by what came instead of one.";
        out.counters("answers", help, &answers)?;
        out.counters::<0>("slow_downs", "Slow-downs that were obeyed.", &[([], tally.slow_downs)])
    }

    fn pace(&self, out: &mut Out<'_>) -> fmt::Result {
        let pace = self.view.tally.pace;
        let rate = Unit::Other("requests_per_second".to_owned());
        let rate = Some(&rate);
        out.gauge("cap", "The most that this run may send.", rate, &[], u64::from(self.cap))?;
        out.gauge("rate", "Requests a second at most, as set last.", rate, &[], u64::from(pace.cap))?;
        out.gauge(
            "pace",
            "What requests leave at: the rate, or less after a slow-down.",
            rate,
            &[],
            u64::from(pace.rate),
        )?;
        out.gauge("paused", "1 while the run is paused.", None, &[], u64::from(self.view.tally.paused))?;
        let stopping = u64::from(self.view.is_stopping());
        out.gauge("stopping", "1 once nothing new is sent any more.", None, &[], stopping)?;
        let held = pace.held.as_secs_f64();
        out.gauge("held", "For how long everything is still held.", Some(&Unit::Seconds), &[], held)?;
        self.activity(out)
    }

    fn activity(&self, out: &mut Out<'_>) -> fmt::Result {
        let now = self.view.state();
        let states = RunState::ALL.map(|state| (state.word(), u64::from(state == now)));
        out.gauges("state", "1 for what the run is doing, 0 for all else.", None, "state", &states)?;
        let hold = self.view.activity().hold();
        let left = |reason| hold.filter(|hold| hold.reason == reason).map_or(0.0, |hold| hold.left.as_secs_f64());
        let holds = HoldReason::ALL.map(|reason| (reason.word(), left(reason)));
        let help = "Why nothing is sent, and for how much longer; in an outage, until the next try.";
        out.gauges("hold", help, Some(&Unit::Seconds), "reason", &holds)?;
        let lasted = match self.view.activity() {
            Activity::Outage(outage) => outage.lasted,
            _ => Duration::ZERO,
        };
        let help = "For how long the service has been out of reach; 0 while it answers.";
        out.gauge("outage", help, Some(&Unit::Seconds), &[], lasted.as_secs_f64())?;
        // Not a number where it is not known, as while the run is paused.
        let left = self.view.tally.time_left.map_or(f64::NAN, |left| left.as_secs_f64());
        let help = "How long the rest of this run takes; NaN where that is not known.";
        out.gauge("time_left", help, Some(&Unit::Seconds), &[], left)
    }

    fn times(&self, out: &mut Out<'_>) -> fmt::Result {
        let tally = &self.view.tally;
        out.histogram("answer", "From the permit to the answer of an edit.", &tally.latency)?;
        out.histogram("pace_wait", "How long edits whose intent was durable waited for a permit.", &tally.waits)?;
        out.histogram("ledger_commit", "How long commits of the ledger took.", &tally.commits)?;
        let seconds = |at: i64| Duration::from_millis(at.unsigned_abs()).as_secs_f64();
        out.gauge("start_timestamp", "When this run began.", Some(&Unit::Seconds), &[], seconds(self.started_at))?;
        // The start counts where nothing is done yet, so that one rule finds a run that never gets anywhere.
        let last = if tally.last_done_at > 0 { tally.last_done_at } else { self.started_at };
        let help = "When an edit was last confirmed, or when the run began.";
        out.gauge("last_success_timestamp", help, Some(&Unit::Seconds), &[], seconds(last))
    }
}

/// Every runner of a job that several work on, as the ledger had it last.
fn runners(job: &SharedJob, out: &mut Out<'_>) -> fmt::Result {
    let rate = Unit::Other("requests_per_second".to_owned());
    let help = "The most that all runs of the app may send together; 0 while none is live.";
    out.gauge("app_cap", help, Some(&rate), &[], u64::from(job.cap))?;
    let help = "What of it the shares of all live runs of the app make together.";
    out.gauge("app_shares", help, Some(&rate), &[], u64::from(job.shares))?;
    let name = |runner: &Runner| [("run", runner.run.to_string()), ("host", runner.host.clone())];
    let shares: Vec<_> = job.runners.iter().map(|runner| (name(runner), u64::from(runner.share))).collect();
    out.labelled("job_share", "The share of the cap that each runner of the job has.", Some(&rate), &shares)?;
    let renewed: Vec<_> = job.live().map(|runner| (name(runner), runner.renewed.as_secs_f64())).collect();
    let help = "Since when each live runner has not renewed its lease, by the database's clock.";
    out.labelled("job_since_renewal", help, Some(&Unit::Seconds), &renewed)?;
    let states = [RunnerState::Live, RunnerState::Silent, RunnerState::Lost, RunnerState::Ended];
    let states: Vec<_> = job
        .runners
        .iter()
        .flat_map(|runner| states.map(|state| (runner, state)))
        .map(|(runner, state)| {
            let [run, host] = name(runner);
            ([run, host, ("state", state.word().to_owned())], u64::from(runner.state == state))
        })
        .collect();
    out.labelled("job_state", "1 for how each runner of the job is, 0 for all else.", None, &states)?;
    let holding: Vec<_> = job.live().map(|runner| (name(runner), u64::from(runner.progress.held))).collect();
    out.labelled("job_held", "1 for each live runner that sends nothing at the moment.", None, &holding)?;
    let edits: Vec<_> = job
        .runners
        .iter()
        .flat_map(|runner| {
            let progress = runner.progress;
            let outcomes = [("done", progress.done), ("failed", progress.failed), ("in_doubt", progress.in_doubt)];
            outcomes.map(|(outcome, edits)| {
                let [run, host] = name(runner);
                ([run, host, ("outcome", outcome.to_owned())], edits)
            })
        })
        .collect();
    out.counters("job_edits", "Edits that each runner of the job settled.", &edits)?;
    let slow_downs: Vec<_> = job.runners.iter().map(|runner| (name(runner), runner.progress.slow_downs)).collect();
    out.counters("job_slow_downs", "Slow-downs that each runner of the job obeyed.", &slow_downs)
}

struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: &[([(&str, String); N], u64)],
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            let counter = ConstCounter::new(*count);
            if N == 0 {
                return counter.encode(metric);
            }
            counter.encode(metric.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn gauges<V: EncodeGaugeValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        label: &str,
        values: &[(&str, V)],
    ) -> fmt::Result
    where
        ConstGauge<V>: EncodeMetric,
    {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (value_of, value) in values {
            ConstGauge::new(*value).encode(metric.encode_family(&[(label, *value_of)])?)?;
        }
        Ok(())
    }

    fn labelled<V: EncodeGaugeValue + Copy, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: &[([(&str, String); N], V)],
    ) -> fmt::Result
    where
        ConstGauge<V>: EncodeMetric,
    {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(*value).encode(metric.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        labels: &[(&str, &str)],
        value: V,
    ) -> fmt::Result
    where
        ConstGauge<V>: EncodeMetric,
    {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        let gauge = ConstGauge::new(value);
        match labels {
            [] => gauge.encode(metric),
            labels => gauge.encode(metric.encode_family(&labels.to_vec())?),
        }
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Latency) -> fmt::Result {
        let up_to = |ms: Option<u32>| ms.map_or(f64::INFINITY, |ms| f64::from(ms) / 1_000.0);
        let slots: Vec<(f64, u64)> = times.coarse_slots().into_iter().map(|(ms, count)| (up_to(ms), count)).collect();
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(times.sum().as_secs_f64(), times.count(), &slots, None)
    }
}
