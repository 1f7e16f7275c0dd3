//! The plan of a run: made, shown, and agreed to.

use std::io;
use std::time::Duration;

use jiff::Timestamp;

use super::Request;
use super::ledger::{self, JobLedger};
use crate::api::proxy::Proxy;
use crate::command::{CommandError, Exit, confirm, print};
use crate::job::{Job, ServiceChoice};
use crate::ledger::Records;
use crate::live::progress::Screen;
use crate::report::{self, format, plan::PlanTarget};
use crate::run::{self, AsOf, Plan, PlanError, UnderWay};
use crate::terminal::colour::TITLE;
use crate::terminal::excerpt;
use crate::terminal::fit;
use crate::words::Lang;

/// Problems of the list that are shown with an excerpt.
const EXCERPTS_MAX: usize = 10;

/// `--dry-run`: shows the plan. Nothing is sent, and no file is created or changed.
pub(super) fn dry_run(request: &Request<'_>) -> Result<Exit, CommandError> {
    let Request { args, job, .. } = request;
    let reader = match (args.resume.as_ref(), &job.identity) {
        (Some(path), Some(identity)) => ledger::open_untouched(path, identity, job)?,
        (_, _) => None,
    };
    let plan = plan(request, reader.as_deref())?;
    let target = target(request, under_way(job, reader.as_deref())?);
    let mut text = Vec::new();
    if args.json {
        format::write(&mut text, &report::plan::object(&plan, &target))?;
    } else {
        write_plan(&mut text, &plan, &target, fit::columns_of_stdout())?;
    }
    print(&text, args.json)?;
    Ok(Exit::Done)
}

/// Writes the plan in the language of the process, and in a terminal the new content as well.
fn write_plan(out: &mut Vec<u8>, plan: &Plan, target: &PlanTarget<'_>, columns: Option<usize>) -> io::Result<()> {
    let lang = Lang::of_process();
    let mut text = Vec::new();
    report::plan::write(&mut text, plan, target)?;
    out.extend_from_slice(lang.say_lines(&String::from_utf8_lossy(&text)).as_bytes());
    columns.map_or(Ok(()), |columns| report::content::write(out, plan, columns, lang))
}

/// Makes the plan of a run that continues what the ledger records.
pub(super) fn plan_run(request: &Request<'_>, ledger: &JobLedger<'_>) -> Result<(Plan, UnderWay), CommandError> {
    let reader = ledger.snapshot()?;
    Ok((plan(request, reader.as_deref())?, under_way(&request.job, reader.as_deref())?))
}

/// Shows the plan above the progress bar.
pub(super) fn show(
    request: &Request<'_>,
    plan: &Plan,
    under_way: UnderWay,
    screen: &Screen,
) -> Result<(), CommandError> {
    let mut text = Vec::new();
    write_plan(&mut text, plan, &target(request, under_way), fit::columns_of_stderr())?;
    Ok(fit::write(&mut screen.writer(), &text, fit::columns_of_stderr())?)
}

/// Reads and checks the list. Problems are listed on standard error before the error is returned.
fn plan(request: &Request<'_>, records: Option<&dyn Records>) -> Result<Plan, CommandError> {
    let Request { job, input, conditions, .. } = request;
    // The sample lists name messages of one day, for a stand-in that keeps messages for ever.
    let as_of = AsOf { now: Timestamp::now(), messages_expire: !job.is_stand_in };
    let plan =
        run::plan(input, &job.mapping, records, &job.policy, as_of).and_then(|plan| match &conditions.reviewed {
            Some(reviewed) => reviewed.check(input, &job.mapping).map(|()| plan),
            None => Ok(plan),
        });
    match plan {
        Ok(plan) => Ok(plan),
        Err(PlanError::Problems(problems)) => {
            // The list holds message text: it is shown in a terminal, and not written into a file of errors.
            let first = &problems.first[..problems.first.len().min(EXCERPTS_MAX)];
            let has_room = fit::columns_of_stderr().is_some_and(|columns| columns >= excerpt::COLUMNS);
            let excerpts = if has_room { input.excerpts(&job.mapping, first) } else { Ok(Vec::new()) };
            let mut text = Vec::new();
            report::plan::write_problems(
                &mut text,
                input.name(),
                &problems,
                &excerpts.unwrap_or_default(),
                Lang::of_process(),
            )?;
            fit::write(&mut anstream::stderr().lock(), &text, fit::columns_of_stderr())?;
            Err(CommandError::Problems(PlanError::Problems(problems)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the operator agrees to the plan. Without a terminal, the command line counts as agreement.
pub(super) fn consent(request: &Request<'_>, plan: &Plan) -> Result<bool, CommandError> {
    let Request { args, job, .. } = request;
    if args.yes {
        return Ok(true);
    }
    match confirm(format_args!("{TITLE}{}{TITLE:#}", report::plan::question(plan)))? {
        Some(answer) => Ok(answer),
        None if job.confirm_always => Err(CommandError::NobodyToAsk),
        None => Ok(true),
    }
}

/// How long a request may stay under way: longer if it passes through a proxy, or did so in an earlier run.
fn under_way(job: &Job, records: Option<&dyn Records>) -> Result<UnderWay, CommandError> {
    let before = records.map(Records::went_through_proxy).transpose()?.unwrap_or_default();
    Ok(UnderWay::by_way_of(job.proxy.is_some(), before))
}

fn target<'a>(request: &'a Request<'_>, under_way: UnderWay) -> PlanTarget<'a> {
    let Request { job, input, until, .. } = request;
    let identity = job.identity.as_ref();
    // The plan is made: if the list can no longer be read, the run will say so.
    let sheets = input.sheets(&job.mapping).unwrap_or_default();
    PlanTarget {
        input: input.name(),
        sheet: if let [sheet] = &*sheets { Some(sheet.name.clone()) } else { None },
        remarks: sheets.into_iter().filter_map(|sheet| sheet.remark).collect(),
        sdkappid: identity.map(|identity| identity.sdkappid),
        // The host that is called: the ledger has one name for both hosts of a region.
        service: match &job.service {
            Some(ServiceChoice::At { endpoint, .. }) => Some(endpoint.host_and_port()),
            Some(ServiceChoice::Sandbox(_)) | None => identity.map(|identity| identity.service.clone()),
        },
        job_name: identity.and_then(|identity| identity.name.clone()),
        proxy: job.proxy.as_ref().map(Proxy::address),
        rate: job.rate,
        read_back_rate: run::read_back_rate(job.rate, job.max_rate),
        until: until.as_ref(),
        now: Timestamp::now(),
        quiet_after: match job.service {
            // It is new, so no earlier request can still reach it.
            Some(ServiceChoice::Sandbox(_)) => Duration::ZERO,
            Some(ServiceChoice::At { .. }) | None => under_way.of_earlier_runs,
        },
    }
}
