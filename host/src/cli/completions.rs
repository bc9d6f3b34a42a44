//! `btcloud-host completions` and `btcloud-host man`.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::{env, fs};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use super::exit::Exit;
use super::{Failure, print};
use crate::machine::Store;

/// The variable by which a shell asks for completions.
pub(super) const VARIABLE: &str = "BTCLOUD_COMPLETE";

/// The variable in which bash tells the word that is being typed with the quote that it begins with, if it does.
pub(super) const WORD: &str = "BTCLOUD_COMPLETE_WORD";

const NAME: &str = "btcloud-host";

/// The commands.
pub(super) fn commands() -> [Command; 2] {
    [
        Command::new("completions")
            .about("Print the completion script for a shell")
            .arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(["bash", "elvish", "fish", "powershell", "zsh"])
                    .help("The shell"),
            ),
        Command::new("man")
            .about("Print the manual page, or write those of all commands")
            .arg(
                Arg::new("directory")
                    .long("directory")
                    .value_name("DIRECTORY")
                    .value_parser(value_parser!(PathBuf))
                    .help("Write a page for each command there"),
            ),
    ]
}

/// Prints the script that a shell reads.
pub(super) fn completions(matches: &ArgMatches) -> Result<(), Failure> {
    let shell = matches.get_one::<String>("shell").map(String::as_str);
    let shells = Shells::builtins();
    let Some(completer) = shell.and_then(|shell| shells.completer(shell)) else {
        return Err(Failure::shown(Exit::Usage));
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, NAME, NAME, NAME, &mut script)
        .map_err(|e| Failure::new(Exit::Failed, e))?;
    let script = String::from_utf8_lossy(&script);
    // By itself it tells the word without the quote, and what completes it has to be quoted otherwise then.
    let call = format!("{VARIABLE}=\"bash\" \\\n");
    let with_word = format!("{WORD}=\"${{COMP_WORDS[COMP_CWORD]}}\" {call}");
    let script = script.replace(&call, &with_word);
    print(&(script.trim_end().to_owned() + &at_once(&script)))
}

/// What a script for zsh needs besides: where the shell finds it in its search path, as a package has it, the shell runs it as the
/// function that completes. The first time that would only define one.
fn at_once(script: &str) -> String {
    let mut lines = script.lines().rev();
    let registered = lines.find_map(|line| line.strip_prefix("compdef ")?.split(' ').next());
    registered.map_or_else(String::new, |function| {
        format!("\n\nif [ \"$funcstack[1]\" = \"_{NAME}\" ]; then\n    {function} \"$@\"\nfi")
    })
}

/// The words of the command line that a shell wants completed, if it does: they come after `--`.
pub(super) fn words(args: &[OsString]) -> Option<&[OsString]> {
    env::var_os(VARIABLE)?;
    let at = args.iter().position(|arg| arg == "--")?;
    args.get(at.checked_add(1)?..)
}

/// Answers a shell that asks for completions; tells whether one has.
pub(super) fn answer(args: &[OsString], command: impl Fn() -> Command) -> Result<bool, Failure> {
    if env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let directory = env::current_dir().ok();
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(args.iter(), directory.as_deref())
        .map_err(|e| Failure::new(Exit::Usage, anyhow::Error::msg(e.render().to_string())))
}

/// The machines of the user's store whose names begin like that. Which store another flag names is not known here.
pub(super) fn machines(begin: &OsStr) -> Vec<CompletionCandidate> {
    let store = match env::var_os("MACHINE_STORAGE_PATH").filter(|path| !path.is_empty()) {
        Some(path) => Some(Store::at(path.into())),
        None => Store::of_user(),
    };
    let names = store.and_then(|store| store.names().ok());
    let begin = begin.to_string_lossy();
    let names = names.into_iter().flatten();
    names
        .filter(|name| name.starts_with(&*begin))
        .map(CompletionCandidate::new)
        .collect()
}

/// Prints or writes manual pages.
pub(super) fn man(mut command: Command, matches: &ArgMatches) -> Result<(), Failure> {
    // Defaults that are the user's own belong to no page.
    command.build();
    match matches.get_one::<PathBuf>("directory") {
        None => {
            let page = page(command)?;
            match io::stdout().write_all(&page) {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                    Err(Failure::new(Exit::Failed, e))
                }
                _ => Ok(()),
            }
        }
        Some(directory) => write_pages(&command, NAME, directory),
    }
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|e| Failure::new(Exit::Failed, e))?;
    Ok(page)
}

fn write_pages(command: &Command, name: &str, directory: &PathBuf) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .and_then(|()| {
            let named = command.clone().name(name.to_owned());
            let path = directory.join(format!("{name}.1"));
            let page = page(named).map_err(|_| io::ErrorKind::InvalidData)?;
            fs::write(path, page)
        })
        .with_context(|| format!("cannot write to {}", directory.display()))
        .map_err(|e| Failure::new(Exit::Failed, e))?;
    let subcommands = command.get_subcommands().filter(|c| c.get_name() != "help");
    for subcommand in subcommands {
        write_pages(
            subcommand,
            &format!("{name}-{}", subcommand.get_name()),
            directory,
        )?;
    }
    Ok(())
}
