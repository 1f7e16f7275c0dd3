//! `runner man`: one page with a section for each subcommand.

use std::io::{self, Write, stdout};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{CommandError, Exit, exit_after_printing};
use crate::VERSION;
use crate::cli::{self, Cli};

pub(super) fn execute() -> Result<Exit, CommandError> {
    let page = page()?;
    exit_after_printing(stdout().write_all(&page).and_then(|()| stdout().flush()))
}

fn page() -> io::Result<Vec<u8>> {
    let mut program = Cli::command();
    program.build();
    let man = Man::new(program.clone()).source(format!("runner {VERSION}")).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    section("OPTIONS", &mut page)?;
    below(|part| man.render_options_section(part), &mut page)?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        subcommand(command, &mut page)?;
    }
    let sections = [("EXAMPLES", cli::EXAMPLES), ("ENVIRONMENT", cli::ENVIRONMENT), ("EXIT STATUS", cli::EXIT_CODES)];
    for (heading, lines) in sections {
        section(heading, &mut page)?;
        as_written(lines, &mut page)?;
    }
    Ok(page)
}

fn section(heading: &str, page: &mut Vec<u8>) -> io::Result<()> {
    Roff::new().control("SH", [heading]).to_writer(page)
}

fn subcommand(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    section(&name.to_uppercase(), page)?;
    // `--help` is documented once, in the program's own options.
    let man = Man::new(command.clone().mut_arg("help", |help| help.hide(true)));
    below(|part| man.render_description_section(part), page)?;
    below(|part| man.render_synopsis_section(part), page)?;
    if command.get_arguments().any(|argument| argument.get_id() != "help") {
        below(|part| man.render_options_section(part), page)?;
    }
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if let Some(examples) = help.strip_prefix("Examples:\n") {
        Roff::new().control("SS", ["EXAMPLES"]).to_writer(page)?;
        as_written(examples, page)?;
    }
    Ok(())
}

/// Renders sections as subsections of the current one.
fn below(render: impl FnOnce(&mut dyn Write) -> io::Result<()>, page: &mut Vec<u8>) -> io::Result<()> {
    let mut part = Vec::new();
    render(&mut part)?;
    page.extend(String::from_utf8_lossy(&part).replace("\n.SH ", "\n.SS ").into_bytes());
    Ok(())
}

/// Preformatted lines.
fn as_written(lines: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut section = Roff::new();
    section.control("nf", []);
    for line in lines.lines() {
        section.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    section.control("fi", []);
    section.to_writer(page)
}
