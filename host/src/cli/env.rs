//! `btcloud-host env`: the variables by which a Docker client finds a machine's engine, in the words of a shell.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::arguments::{common, machine_name, store};
use super::driver::Choice;
use super::exit::Exit;
use super::failure::Failure;
use super::shell::{escaped, quoted_for_powershell};
use super::task;
use super::terminal::print;

const ABOUT: &str = "Print the commands that point Docker's client at a machine";

const VARIABLES: [&str; 4] = [
    "DOCKER_TLS_VERIFY",
    "DOCKER_HOST",
    "DOCKER_CERT_PATH",
    "DOCKER_MACHINE_NAME",
];

/// A family of shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    /// All that POSIX describes: sh, bash, zsh, dash, ksh.
    Posix,
    Fish,
    /// PowerShell.
    Power,
    Cmd,
}

/// The names of shells, as `--shell` takes them.
const SHELLS: [(&str, Shell); 9] = [
    ("bash", Shell::Posix),
    ("zsh", Shell::Posix),
    ("sh", Shell::Posix),
    ("dash", Shell::Posix),
    ("ksh", Shell::Posix),
    ("fish", Shell::Fish),
    ("powershell", Shell::Power),
    ("pwsh", Shell::Power),
    ("cmd", Shell::Cmd),
];

/// The command.
pub(super) fn command() -> Command {
    Command::new("env")
        .about(ABOUT)
        .args(common())
        .arg(
            machine_name("name")
                .required(false)
                .required_unless_present("unset")
                .help("The machine's name"),
        )
        .arg(
            Arg::new("shell")
                .long("shell")
                .value_name("SHELL")
                .value_parser(SHELLS.map(|(name, _)| name))
                .help("The shell that reads it [default: the one that SHELL names, or sh]"),
        )
        .arg(
            Arg::new("unset")
                .short('u')
                .long("unset")
                .action(ArgAction::SetTrue)
                .conflicts_with("no-proxy")
                .help("Print commands that unset the variables"),
        )
        .arg(
            Arg::new("no-proxy")
                .long("no-proxy")
                .action(ArgAction::SetTrue)
                .help("Add the machine's address to NO_PROXY"),
        )
}

/// Runs `btcloud-host env`.
pub(super) fn execute(choice: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let given = matches.get_one::<String>("shell");
    let name = given.cloned().unwrap_or_else(shell_of_user);
    let known = SHELLS.iter().find(|(known, _)| *known == name);
    let shell = known.map_or(Shell::Posix, |(_, shell)| *shell);
    let mut again = vec!["btcloud-host".to_owned(), "env".to_owned()];
    if let Some(given) = given {
        again.extend(["--shell".to_owned(), given.clone()]);
    }
    let mut lines = Vec::new();
    if matches.get_flag("unset") {
        lines.extend(VARIABLES.map(|variable| shell.unset(variable)));
        again.push("--unset".to_owned());
    } else {
        let Some(machine) = matches.get_one::<String>("name") else {
            return Err(Failure::silent(Exit::Usage));
        };
        let store = store(matches)?;
        let stored = task::stored(choice, &store, machine, matches)?;
        let url = stored.url()?;
        let certificates = store.certificates(machine)?;
        let values = ["1", &url, utf8(&certificates)?, machine];
        for (variable, value) in VARIABLES.iter().zip(values) {
            lines.push(shell.set(variable, value)?);
        }
        if matches.get_flag("no-proxy") {
            let (variable, value) = no_proxy(&stored.ip()?.to_string());
            lines.push(shell.set(variable, &value)?);
            again.push("--no-proxy".to_owned());
        }
        let is_given = matches.value_source("storage-path") == Some(ValueSource::CommandLine);
        let path = is_given.then(|| store.path());
        let driver = matches.get_one::<PathBuf>("driver").map(PathBuf::as_path);
        for (flag, value) in [("--storage-path", path), ("--driver", driver)] {
            let value = value.map(utf8).transpose()?;
            // A line break would end the comment, and what is after it would be run.
            if let Some(value) = value.filter(|value| !value.contains(char::is_control)) {
                again.extend([flag.to_owned(), shell.word(value)]);
            }
        }
        again.push(machine.clone());
    }
    lines.push(shell.usage(&again.join(" ")));
    // All at once: half of it would point the client at nothing.
    print(&lines.join("\n"))
}

fn utf8(path: &Path) -> Result<&str, Failure> {
    path.to_str()
        .ok_or_else(|| Failure::failed(format!("the path {} is not UTF-8", path.display())))
}

/// The name of the user's shell.
fn shell_of_user() -> String {
    let shell = std::env::var_os("SHELL").unwrap_or_default();
    let name = Path::new(&shell).file_name();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The variable that keeps hosts from the proxy, in the spelling that is in use, with one more.
fn no_proxy(ip: &str) -> (&'static str, String) {
    let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (variable, value) = match value("no_proxy") {
        Some(value) => ("no_proxy", value),
        None => ("NO_PROXY", value("NO_PROXY").unwrap_or_default()),
    };
    let has_it = value.split(',').any(|item| item.trim() == ip);
    let value = match (value.as_str(), has_it) {
        ("", _) => ip.to_owned(),
        (value, true) => value.to_owned(),
        (value, false) => format!("{value},{ip}"),
    };
    (variable, value)
}

impl Shell {
    /// What sets a variable for all that is started later.
    fn set(self, variable: &str, value: &str) -> Result<String, Failure> {
        Ok(match self {
            Self::Posix => format!(
                "export {variable}=\"{}\"",
                escaped(value, |c| "\\\"$`".contains(c))
            ),
            Self::Fish => format!(
                "set -gx {variable} \"{}\";",
                escaped(value, |c| "\\\"$".contains(c))
            ),
            Self::Power => format!("$Env:{variable} = {}", quoted_for_powershell(value)),
            Self::Cmd => {
                if value.contains(['"', '%', '\n', '\r']) {
                    let error =
                        format!("cmd has no way to write \"{value}\", the value of {variable}");
                    let hint = "use PowerShell, or another --storage-path";
                    return Err(Failure::failed(error).with_hint(hint));
                }
                format!("SET \"{variable}={value}\"")
            }
        })
    }

    /// A word of a command, in quotes if it needs any.
    fn word(self, text: &str) -> String {
        let is_plain = |c: char| c.is_alphanumeric() || "-_./".contains(c);
        match self {
            _ if text.chars().all(is_plain) => text.to_owned(),
            Self::Posix => format!("'{}'", text.replace('\'', "'\\''")),
            Self::Fish => format!("'{}'", escaped(text, |c| "'\\".contains(c))),
            Self::Power => quoted_for_powershell(text),
            Self::Cmd => format!("\"{text}\""),
        }
    }

    fn unset(self, variable: &str) -> String {
        match self {
            Self::Posix => format!("unset {variable}"),
            Self::Fish => format!("set -e {variable};"),
            Self::Power => format!("Remove-Item -ErrorAction Ignore Env:\\{variable}"),
            Self::Cmd => format!("SET {variable}="),
        }
    }

    /// A comment that tells how to have the shell read it.
    fn usage(self, command: &str) -> String {
        match self {
            Self::Posix => format!("# Have your shell read this:\n# eval \"$({command})\""),
            Self::Fish => format!("# Have your shell read this:\n# {command} | source"),
            Self::Power => {
                format!("# Have your shell read this:\n# & {command} | Invoke-Expression")
            }
            Self::Cmd => format!(
                "REM Have your shell read this:\nREM @FOR /f \"tokens=*\" %i IN ('{command}') DO @%i"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command as Process;

    /// What a path can have in it that means something to some shell.
    const NASTY: &str = "/home/o'Neil ‘x’/a \"b\" $HOME `id` $(id) \\n !! *;&|<>#~%PATH%\t/é";

    #[test]
    fn the_shells_read_what_was_meant() {
        for shell in ["sh", "bash"] {
            let set = Shell::Posix.set("X", NASTY).unwrap();
            // Without quotation marks around $(…), as many are used to it.
            let script = format!("{set}\nprintf %s \"$X\"");
            let output = Process::new(shell).args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), NASTY, "{shell}");
        }
    }

    #[test]
    fn each_shell_has_its_own_words() {
        let set = |shell: Shell| shell.set("X", "a'b \"c\" $d `e` \\f").unwrap();
        assert_eq!(set(Shell::Posix), r#"export X="a'b \"c\" \$d \`e\` \\f""#);
        assert_eq!(set(Shell::Fish), r#"set -gx X "a'b \"c\" \$d `e` \\f";"#);
        assert_eq!(set(Shell::Power), r#"$Env:X = 'a''b "c" $d `e` \f'"#);
        assert_eq!(Shell::Power.set("X", "it’s").unwrap(), "$Env:X = 'it’’s'");
        assert_eq!(
            Shell::Cmd.set("X", "C:\\my files&more").unwrap(),
            "SET \"X=C:\\my files&more\""
        );
        for unspeakable in ["50%", "a\"b", "a\nb"] {
            Shell::Cmd.set("X", unspeakable).unwrap_err();
        }
        let unset = [Shell::Posix, Shell::Fish, Shell::Power, Shell::Cmd];
        assert_eq!(
            unset.map(|shell| shell.unset("X")),
            [
                "unset X",
                "set -e X;",
                "Remove-Item -ErrorAction Ignore Env:\\X",
                "SET X="
            ]
        );
    }
}
