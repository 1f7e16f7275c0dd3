//! The entry point of `runner`: arguments, logging, command, exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use runner::cli::{Cli, Command, LogArgs, LogFormat};
use runner::command::{self, Exit};
use runner::live::progress::Screen;
use runner::log::{LogFile, TimeOfDay};
use runner::words::Lang;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => refuse(&error),
    };
    let asked_for = match Lang::asked_for(cli.lang, |name| std::env::var_os(name)) {
        Ok(asked_for) => asked_for,
        Err(error) => {
            command::tell(format_args!("error: {error}"));
            return Exit::NothingSent.into();
        }
    };
    asked_for.unwrap_or_else(|| Lang::of_locale(|name| std::env::var_os(name))).speak();
    // Before logging starts: the log's first line could already overwrite a file.
    if let Err(conflict) = command::check_files(&cli) {
        command::tell(format_args!("error: {conflict}"));
        return Exit::NothingSent.into();
    }
    let screen = Screen::default();
    let log = match &cli.command {
        Some(Command::Audit(args)) => &args.log,
        Some(Command::Sandbox(args)) => &args.log,
        Some(
            Command::Codes { .. }
            | Command::Copy(_)
            | Command::Ctl(_)
            | Command::Status(_)
            | Command::Report(_)
            | Command::Completions { .. }
            | Command::Verify(_)
            | Command::Prove(_)
            | Command::Originals(_)
            | Command::Man,
        )
        | None => &cli.job.log,
    };
    if let Err(error) = start_log(log, &screen) {
        command::tell(format_args!("error: cannot write the log: {error}"));
        return Exit::NothingSent.into();
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command::execute(&cli, asked_for, &screen)).into(),
        Err(error) => {
            command::tell(format_args!("error: cannot start: {error}"));
            Exit::NothingSent.into()
        }
    }
}

/// Ends the program with the help that was asked for, or with what is wrong with the arguments.
fn refuse(error: &clap::Error) -> ! {
    let variable = |name: &str| std::env::var_os(name);
    let word = std::env::args_os().skip_while(|word| word != "--lang").nth(1);
    let flag = word.and_then(|word| Lang::from_str(&word.to_string_lossy(), true).ok());
    let asked_for = Lang::asked_for(flag, variable).unwrap_or_default();
    if error.use_stderr() && asked_for.unwrap_or_else(|| Lang::of_locale(variable)) == Lang::Zh {
        let _ = write!(io::stderr(), "{}", Lang::Zh.say_lines(&error.render().to_string()));
        std::process::exit(error.exit_code());
    }
    error.exit()
}

fn start_log(args: &LogArgs, screen: &Screen) -> io::Result<()> {
    let level = match (args.quiet, args.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let wanted = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    // Only our own lines: those of the HTTP client would contain the signature, which is part of the URL.
    let ours = tracing_subscriber::filter::filter_fn(|line| line.target().starts_with("runner"));
    let (writer, colours) = match &args.log_file {
        Some(path) => (BoxMakeWriter::new(LogFile::open(path)?), false),
        None => (BoxMakeWriter::new(screen.writer()), screen.has_colours()),
    };
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let layer = match args.log_format.unwrap_or_default() {
        LogFormat::Text if args.log_file.is_none() && io::stderr().is_terminal() => {
            lines.with_target(false).with_timer(TimeOfDay).boxed()
        }
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(wanted)).with(ours).init();
    Ok(())
}
