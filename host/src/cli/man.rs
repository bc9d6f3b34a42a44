//! `btcloud-host man`: manual pages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};

use super::failure::Failure;
use super::terminal::print_bytes;

/// The command.
pub(super) fn command() -> Command {
    Command::new("man")
        .about("Print the manual page, or write those of all commands")
        .arg(
            Arg::new("directory")
                .long("directory")
                .value_name("DIRECTORY")
                .value_parser(value_parser!(PathBuf))
                .help("Write a page for each command there"),
        )
}

/// Runs `btcloud-host man`, which describes `whole`, the whole command line.
pub(super) fn execute(mut whole: Command, matches: &ArgMatches) -> Result<(), Failure> {
    // What clap adds by itself, such as the flags of all commands in each of them.
    whole.build();
    match matches.get_one::<PathBuf>("directory") {
        None => print_bytes(&page(whole)?),
        Some(directory) => write_pages(&whole, whole.get_name(), directory),
    }
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(Failure::failed)?;
    Ok(page)
}

/// Writes the page of a command under its name, `btcloud-host-run-create`, and those of the commands below it.
fn write_pages(command: &Command, name: &str, directory: &Path) -> Result<(), Failure> {
    let page = page(command.clone().name(name.to_owned()))?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(directory.join(format!("{name}.1")), page))
        .with_context(|| format!("cannot write to {}", directory.display()))
        .map_err(Failure::failed)?;
    let subcommands = command.get_subcommands().filter(|c| c.get_name() != "help");
    for subcommand in subcommands {
        let name = format!("{name}-{}", subcommand.get_name());
        write_pages(subcommand, &name, directory)?;
    }
    Ok(())
}
