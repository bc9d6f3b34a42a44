//! The examples in the help and the manual pages. Each is run by a test, in a shell.

use clap::Command;

/// An example of a command.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The command that it is of, without the program's name: `run create`.
    pub command: &'static str,
    /// What a shell is told.
    pub line: &'static str,
    /// What it does.
    pub what: &'static str,
}

const fn example(command: &'static str, line: &'static str, what: &'static str) -> Example {
    Example {
        command,
        line,
        what,
    }
}

/// All examples. Those that begin with `run create` make their machines; all others have the machines `web-1` and `web-2`, which
/// run, and a driver in the file `their-driver.wasm`, which is installed as `their-driver` unless it is the one that installs it.
pub const EXAMPLES: &[Example] = &[
    example(
        "run create",
        "btcloud-host run create web-1 --btcloud-zone uk-london-1 \\\n      --btcloud-template \"Ubuntu 24.04 LTS\" --btcloud-service-offering Small",
        "A machine; the keys are in BTCLOUD_API_KEY and BTCLOUD_SECRET_KEY",
    ),
    example(
        "run create",
        "btcloud-host run create web --count 3 --parallel 2 --btcloud-zone uk-london-1 \\\n      --btcloud-template \"Ubuntu 24.04 LTS\" --btcloud-service-offering Small",
        "Three machines, web-1 to web-3, two at a time",
    ),
    example(
        "run start",
        "btcloud-host run start web-1",
        "Start one machine, without a word",
    ),
    example(
        "run stop",
        "btcloud-host run stop web-1",
        "Stop one machine, without a word",
    ),
    example("run kill", "btcloud-host run kill web-1", "Pull the plug"),
    example(
        "run restart",
        "btcloud-host run restart web-1",
        "Stop and start",
    ),
    example(
        "run remove",
        "btcloud-host run remove web-1",
        "Remove without being asked",
    ),
    example(
        "run status",
        "btcloud-host run status web-1 --json",
        "The state for a program",
    ),
    example("run ip", "btcloud-host run ip web-1", "The address"),
    example(
        "run url",
        "btcloud-host run url web-1",
        "Where the engine is",
    ),
    example(
        "run inspect",
        "btcloud-host run inspect web-1",
        "All that is stored",
    ),
    example("ls", "btcloud-host ls", "All machines"),
    example(
        "ls",
        "btcloud-host ls --filter state=Running --filter name=^web --format json",
        "Those that run and whose names begin with web, for a program",
    ),
    example(
        "ls",
        "btcloud-host ls -q",
        "The names alone; nobody is asked",
    ),
    example(
        "ip",
        "ping -c 1 \"$(btcloud-host ip web-1)\" || true",
        "Whether the machine is there",
    ),
    example("url", "btcloud-host url web-1", "Where the engine is"),
    example(
        "status",
        "btcloud-host status web-1",
        "The state, from the cloud",
    ),
    example(
        "inspect",
        "btcloud-host inspect web-1",
        "All that is stored",
    ),
    example(
        "start",
        "btcloud-host start web-1 web-2",
        "Both at the same time",
    ),
    example(
        "stop",
        "btcloud-host stop $(btcloud-host ls -q --filter state=Running)",
        "All that run",
    ),
    example("kill", "btcloud-host kill web-1", "Pull the plug"),
    example(
        "restart",
        "btcloud-host restart --parallel 1 web-1 web-2",
        "One after the other",
    ),
    example(
        "rm",
        "btcloud-host rm -y web-1 web-2",
        "Remove without being asked",
    ),
    example(
        "ssh",
        "btcloud-host ssh web-1 uptime",
        "Run one command; without it, log in",
    ),
    example(
        "scp",
        "btcloud-host scp -r web-1:/var/log ./logs-of-web-1",
        "Copy a directory from a machine",
    ),
    example(
        "provision",
        "btcloud-host provision web-1",
        "Set up Docker, or go on with it",
    ),
    example(
        "regenerate-certs",
        "btcloud-host regenerate-certs web-1",
        "A new certificate for the engine",
    ),
    example(
        "env",
        "eval \"$(btcloud-host env web-1)\"",
        "Point Docker's client at a machine",
    ),
    example(
        "env",
        "eval \"$(btcloud-host env --unset)\"",
        "Take it back",
    ),
    example(
        "env",
        "btcloud-host env --shell powershell web-1",
        "In the words of another shell",
    ),
    example(
        "context",
        "btcloud-host context web-1",
        "Make or update the context web-1",
    ),
    example(
        "context",
        "btcloud-host context web-1 --use && btcloud-host context web-1 --rm",
        "Make it the current one; remove it",
    ),
    example(
        "zones",
        "btcloud-host zones",
        "All zones that the account may use",
    ),
    example(
        "templates",
        "btcloud-host templates --btcloud-zone uk-london-1 --filter name=^Ubuntu",
        "Those of a zone whose names begin with Ubuntu",
    ),
    example(
        "offerings",
        "btcloud-host offerings --btcloud-zone uk-london-1 --format json",
        "The sizes of machines, for a program",
    ),
    example(
        "networks",
        "btcloud-host networks --btcloud-zone uk-london-1 -q",
        "The names alone",
    ),
    example(
        "candidates",
        "btcloud-host candidates",
        "The options for which names can be listed",
    ),
    example(
        "candidates",
        "btcloud-host candidates disk-offering --btcloud-zone uk-london-1",
        "What --btcloud-disk-offering can name",
    ),
    example(
        "gc",
        "btcloud-host gc",
        "What the account has that this store does not know",
    ),
    example(
        "config show",
        "btcloud-host config show --btcloud-zone uk-london-1",
        "Which options a new machine would have, and why",
    ),
    example("doctor", "btcloud-host doctor", "Whether all is there"),
    example(
        "doctor",
        "btcloud-host doctor --btcloud-zone uk-london-1 \\\n      --btcloud-template \"Ubuntu 24.04 LTS\" --btcloud-service-offering Small",
        "Whether a machine could be made like that",
    ),
    example(
        "completions",
        "source <(btcloud-host completions bash)",
        "In the file that bash reads when it starts",
    ),
    example(
        "man",
        "btcloud-host man --directory man/man1",
        "A page for each command",
    ),
    example(
        "driver install",
        "btcloud-host driver install their-driver.wasm --as their-driver --yes",
        "Install a driver, and grant what it asks for",
    ),
    example(
        "driver list",
        "btcloud-host driver list",
        "The drivers that are installed",
    ),
    example(
        "driver show",
        "btcloud-host driver show their-driver",
        "What a driver may do",
    ),
    example(
        "driver verify",
        "btcloud-host driver verify their-driver",
        "Whether it is still the same",
    ),
    example(
        "driver remove",
        "btcloud-host driver remove their-driver",
        "Remove a driver; its machines stay",
    ),
    example(
        "driver test",
        "btcloud-host driver test their-driver.wasm",
        "Whether a driver keeps the contract",
    ),
];

/// Adds the examples to the help of a command and of those below it. `path` is its name without the program's.
pub(super) fn add(command: Command, path: &str) -> Command {
    let command = command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name();
        let path = match path {
            "" => name.to_owned(),
            path => format!("{path} {name}"),
        };
        add(subcommand, &path)
    });
    let examples = EXAMPLES.iter().filter(|example| example.command == path);
    let lines: Vec<_> = examples
        .map(|example| format!("  # {}\n  {}", example.what, example.line))
        .collect();
    if lines.is_empty() {
        return command;
    }
    let before = match command.get_after_help() {
        Some(text) => format!("{text}\n\n"),
        None => String::new(),
    };
    command.after_help(format!("{before}Examples:\n{}", lines.join("\n\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn paths(command: &Command, path: &str, found: &mut Vec<String>) {
        let mut is_leaf = true;
        for subcommand in command.get_subcommands() {
            is_leaf = false;
            paths(
                subcommand,
                &format!("{path} {}", subcommand.get_name()),
                found,
            );
        }
        if is_leaf {
            found.push(path.trim().to_owned());
        }
    }

    #[test]
    fn every_command_has_an_example_and_every_example_a_command() {
        let args = ["btcloud-host", "run", "create"].map(OsString::from);
        let choice = super::super::choice(&args).unwrap();
        let command = super::super::command(&choice);
        let mut commands = Vec::new();
        paths(&command, "", &mut commands);
        for path in &commands {
            assert!(EXAMPLES.iter().any(|e| e.command == path), "{path}");
        }
        for example in EXAMPLES {
            assert!(
                commands.iter().any(|path| path == example.command),
                "{example:?}"
            );
            let call = format!("btcloud-host {}", example.command);
            assert!(example.line.contains(&call), "{example:?}");
        }
    }
}
