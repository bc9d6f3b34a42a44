//! `btcloud-host completions`: the script that has a shell complete commands, options and the names of machines.

use clap::{Arg, ArgMatches, Command};
use clap_complete::env::Shells;

use super::completion::{VARIABLE, WORD};
use super::exit::Exit;
use super::failure::Failure;
use super::terminal::print;

const NAME: &str = "btcloud-host";

/// The command.
pub(super) fn command() -> Command {
    Command::new("completions")
        .about("Print the completion script for a shell")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(["bash", "elvish", "fish", "powershell", "zsh"])
                .help("The shell"),
        )
}

/// Runs `btcloud-host completions`.
pub(super) fn execute(matches: &ArgMatches) -> Result<(), Failure> {
    let shell = matches.get_one::<String>("shell").map(String::as_str);
    let shells = Shells::builtins();
    let Some(completer) = shell.and_then(|shell| shells.completer(shell)) else {
        return Err(Failure::silent(Exit::Usage));
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, NAME, NAME, NAME, &mut script)
        .map_err(Failure::failed)?;
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
