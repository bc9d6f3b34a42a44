//! What must be known of a command line before it can be understood: a driver's options are flags too, and the driver is named
//! on that same line.

use std::ffi::{OsStr, OsString};

/// The flags that may stand before a command of a second level or a machine's name and that take the next word for their value.
const WITH_VALUE: [&str; 3] = ["--storage-path", "--driver", "--profile"];

/// Those that take none.
const SWITCHES: [&str; 2] = ["--verbose", "--help"];

/// The commands that have others below them.
const GROUPS: [&str; 3] = ["run", "config", "driver"];

/// A command line, read as far as that goes without the options of a driver.
pub(super) struct Early<'a> {
    /// The command, such as `run create` in two words; as much of it as is there.
    pub(super) path: Vec<&'a str>,
    /// Whether the user wants help rather than the command.
    pub(super) wants_help: bool,
    /// The arguments that are for this program, and for no command on a machine.
    own: &'a [OsString],
}

impl<'a> Early<'a> {
    /// Reads the arguments, the first of which is the program.
    pub(super) fn of(args: &'a [OsString]) -> Self {
        let args = args.get(1..).unwrap_or_default();
        let end = args.iter().position(|arg| arg == "--");
        let (args, _) = args.split_at(end.unwrap_or(args.len()));
        let mut path = Vec::new();
        let mut wants_help = false;
        let mut at = 0;
        while !is_complete(&path)
            && let Some((index, word)) = next_word(args, at)
        {
            at = index + 1;
            match word.to_str() {
                // Before the command that it is about, or in its place.
                Some("help") => wants_help = true,
                Some(word) => path.push(word),
                None => break,
            }
        }
        let own = match path.as_slice() {
            ["ssh"] => args.split_at(end_of_ssh(args, at)).0,
            _ => args,
        };
        let is_help = |arg: &OsString| arg == "-h" || arg == "--help";
        Self {
            path,
            wants_help: wants_help || own.iter().any(is_help),
            own,
        }
    }

    /// The value of a flag that takes one.
    pub(super) fn value(&self, flag: &str) -> Option<&'a OsStr> {
        let mut args = self.own.iter();
        while let Some(arg) = args.next() {
            if arg == flag {
                return args.next().map(OsString::as_os_str);
            }
            let rest = arg.to_str().and_then(|arg| arg.strip_prefix(flag));
            if let Some(value) = rest.and_then(|rest| rest.strip_prefix('=')) {
                return Some(OsStr::new(value));
            }
        }
        None
    }
}

/// Whether no word of a command can come any more.
fn is_complete(path: &[&str]) -> bool {
    match path {
        [] => false,
        [group] => !GROUPS.contains(group),
        _ => true,
    }
}

/// The first argument from `at` on that is neither a flag nor the value of one.
fn next_word(args: &[OsString], mut at: usize) -> Option<(usize, &OsString)> {
    loop {
        let arg = args.get(at)?;
        if !is_flag(arg) {
            return Some((at, arg));
        }
        at += width(arg);
    }
}

fn is_flag(arg: &OsString) -> bool {
    arg.as_encoded_bytes().starts_with(b"-")
}

/// How many arguments a flag is with its value.
fn width(flag: &OsString) -> usize {
    let takes_next = match letters(flag) {
        // The rest of the word is the value of `-s`, if there is a rest.
        Some(letters) => letters
            .split_once('s')
            .is_some_and(|(_, rest)| rest.is_empty()),
        None => WITH_VALUE.iter().any(|known| flag == known),
    };
    if takes_next { 2 } else { 1 }
}

/// The letters of `-vs`, which are flags of one letter each.
fn letters(flag: &OsString) -> Option<&str> {
    let letters = flag.to_str()?.strip_prefix('-')?;
    (!letters.starts_with('-')).then_some(letters)
}

/// Where the command on the machine begins in `ssh NAME COMMAND…`, whose name is sought from `at` on: flags of this program may
/// stand on either side of the name, and what else there is belongs to the client.
fn end_of_ssh(args: &[OsString], at: usize) -> usize {
    let Some((name, _)) = next_word(args, at) else {
        return args.len();
    };
    let is_own = |arg: &OsString| {
        if let Some(letters) = letters(arg) {
            let rest = letters.trim_start_matches(['v', 'h']);
            return !letters.is_empty() && (rest.is_empty() || rest.starts_with('s'));
        }
        let before_value = arg.to_str().and_then(|arg| arg.split('=').next());
        let flag = before_value.unwrap_or_default();
        WITH_VALUE.contains(&flag) || SWITCHES.contains(&flag)
    };
    let mut end = name + 1;
    while let Some(arg) = args.get(end).filter(|arg| is_own(arg)) {
        end += width(arg);
    }
    end.min(args.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command, whether help is wanted, and the driver that is named.
    fn read(line: &str) -> (String, bool, Option<String>) {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let early = Early::of(&args);
        let driver = early.value("--driver");
        let driver = driver.map(|driver| driver.to_string_lossy().into_owned());
        (early.path.join(" "), early.wants_help, driver)
    }

    #[test]
    fn a_command_is_known_by_its_place_and_not_by_a_word_somewhere() {
        for (line, path) in [
            ("x", ""),
            ("x run", "run"),
            ("x run create web-1", "run create"),
            ("x run -s run --driver stop create gc", "run create"),
            ("x run -vs dir create gc", "run create"),
            ("x run -sdir create gc", "run create"),
            ("x run -s=dir create gc", "run create"),
            ("x config show --json", "config show"),
            ("x stop gc", "stop"),
            ("x stop -v man help", "stop"),
            ("x ssh web-1 docker config ls", "ssh"),
            ("x ssh man ls", "ssh"),
            ("x -- gc", ""),
        ] {
            let (found, wants_help, _) = read(line);
            assert_eq!(found, path, "{line}");
            assert!(!wants_help, "{line}");
        }
    }

    #[test]
    fn help_is_wanted_by_the_command_or_a_flag_and_not_by_a_value() {
        for (line, path, wanted) in [
            ("x help", "", true),
            ("x help run create", "run create", true),
            ("x run help create", "run create", true),
            ("x gc --help", "gc", true),
            ("x run create help", "run create", false),
            ("x run create web-1 --x-group help", "run create", false),
            ("x ssh web-1 ls --help", "ssh", false),
            ("x ssh web-1 --help", "ssh", true),
        ] {
            let (found, wants_help, _) = read(line);
            assert_eq!((found.as_str(), wants_help), (path, wanted), "{line}");
        }
    }

    #[test]
    fn a_driver_is_named_by_a_flag_of_this_program_alone() {
        for (line, driver) in [
            ("x run create web-1", None),
            ("x run create web-1 --driver a", Some("a")),
            ("x run --driver=a create", Some("a")),
            ("x run create --driver", None),
            ("x run create --driver-x a", None),
            ("x ls -- --driver a", None),
            (
                "x ssh --driver a web-1 docker volume create --driver b v",
                Some("a"),
            ),
            ("x ssh web-1 -v --driver=a uptime --driver b", Some("a")),
            ("x ssh web-1 docker network create --driver overlay n", None),
            ("x ssh web-1 -L 80:here:80 --driver b", None),
            (
                "x ssh web-1 -s/x -vh --driver a uptime --driver b",
                Some("a"),
            ),
            ("x ssh -s web-0 web-1 uptime --driver b", None),
            ("x ssh web-1 --driver", None),
        ] {
            assert_eq!(read(line).2.as_deref(), driver, "{line}");
        }
    }
}
