//! The command line that somebody is typing, as a shell tells it: what it means so far, and how a word of it is completed.

use std::ffi::OsString;

use crate::cli::shell;
use crate::contract::{OptionKind, OptionSpec};
use crate::machine::{Flag, Flags};

/// The words of a command line that is being typed, as the shell has them.
pub(in crate::cli) struct Words {
    /// The words themselves, the first of which is the program.
    pub(in crate::cli) words: Vec<OsString>,
    /// The shell's name.
    shell: String,
    /// The quote before the word that is being typed, if the shell leaves that out.
    quote: Option<char>,
}

/// A word that is being typed: what it means so far, and how it is quoted in `bash`, which leaves that to those that complete.
pub(super) struct Typed {
    text: String,
    quoting: Quoting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// The shell does it.
    Shells,
    /// By backslashes.
    Bare,
    /// Between these.
    Between(char),
    /// In PowerShell, which wants the whole word.
    Whole,
}

impl Words {
    pub(super) fn new(words: &[OsString]) -> Self {
        Self {
            words: words.to_vec(),
            shell: std::env::var(super::VARIABLE).unwrap_or_default(),
            quote: std::env::var(super::WORD)
                .ok()
                .and_then(|word| word.chars().next())
                .filter(|c| ['"', '\''].contains(c)),
        }
    }

    /// The words as arguments of the program: in bash a `=` is a word of its own.
    pub(in crate::cli) fn arguments(&self) -> Vec<OsString> {
        let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"--");
        let mut arguments: Vec<OsString> = Vec::new();
        let mut words = self.words.iter().peekable();
        while let Some(word) = words.next() {
            arguments.push(word.clone());
            if is_flag(word)
                && let Some(flag) = arguments.last_mut()
                && words.next_if(|next| *next == "=").is_some()
            {
                flag.push("=");
                flag.push(words.next().map(OsString::as_os_str).unwrap_or_default());
            }
        }
        arguments
    }

    /// What the flags of options are by these words, as far as they can be understood.
    pub(super) fn flags(&self, specs: &[OptionSpec]) -> Flags {
        let mut flags = Flags::new();
        let arguments = self.arguments();
        for spec in specs {
            let flag = format!("--{}", spec.name);
            if matches!(spec.kind, OptionKind::Boolean | OptionKind::Insecure) {
                let is_on = arguments.iter().any(|argument| *argument == *flag);
                flags.insert(spec.name.clone(), Flag::Boolean(is_on));
                continue;
            }
            let values = arguments.iter().enumerate().filter_map(|(i, argument)| {
                let value = match argument.to_str()?.strip_prefix(&flag)? {
                    "" => arguments.get(i + 1)?.to_str()?,
                    rest => rest.strip_prefix('=')?,
                };
                Some(unquoted(value))
            });
            let values: Vec<_> = values.filter(|value| !value.starts_with("--")).collect();
            let Some(last) = values.last().cloned() else {
                continue;
            };
            let value = match spec.kind {
                OptionKind::TextList => Flag::TextList(values),
                _ => Flag::Text(last),
            };
            flags.insert(spec.name.clone(), value);
        }
        flags
    }

    /// The word that is being typed.
    pub(super) fn typed(&self, word: &str) -> Typed {
        let quoting = match (self.shell.as_str(), self.quote) {
            ("bash", Some(quote)) => Quoting::Between(quote),
            ("bash", None) => Quoting::Bare,
            ("powershell", _) => Quoting::Whole,
            _ => Quoting::Shells,
        };
        let quote = self.quote.map(String::from).unwrap_or_default();
        Typed {
            text: unquoted(&(quote + word)),
            quoting,
        }
    }
}

impl Typed {
    /// How the shell has to be told that this word is meant to be `value`, if it can be.
    pub(super) fn complete(&self, value: &str) -> Option<String> {
        // A line break would end the candidate, and with it the command.
        if !value.starts_with(&self.text) || value.contains(char::is_control) {
            return None;
        }
        let escaped = |special: fn(char) -> bool| shell::escaped(value, special);
        Some(match self.quoting {
            Quoting::Shells => value.to_owned(),
            Quoting::Bare => escaped(|c| !is_plain(c)),
            // An earlier command would be put in its place, and a backslash before it would stay.
            Quoting::Between('"') if value.contains('!') => return None,
            Quoting::Between('"') => escaped(|c| "\"\\$`".contains(c)),
            // Nothing can stand for itself there but what is no quote.
            Quoting::Between(quote) if value.contains(quote) => return None,
            Quoting::Between(_) => value.to_owned(),
            Quoting::Whole
                if value
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_./".contains(c)) =>
            {
                value.to_owned()
            }
            Quoting::Whole => shell::quoted_for_powershell(value),
        })
    }
}

/// Whether bash takes a character for itself.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_./,@%+=".contains(c)
}

/// What a shell would make of a word without variables and the like, be it finished or not.
fn unquoted(word: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None | Some('"'), '\\') => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str], shell: &str, quote: Option<char>) -> Words {
        Words {
            words: words.iter().map(OsString::from).collect(),
            shell: shell.to_owned(),
            quote,
        }
    }

    #[test]
    fn a_word_is_completed_as_its_shell_wants_it() {
        let complete = |shell: &str, quote, typed: &str, value: &str| {
            words(&[], shell, quote).typed(typed).complete(value)
        };
        let cases = [
            ("bash", None, "a", "a b", Some("a\\ b")),
            ("bash", None, "a\\ ", "a b", Some("a\\ b")),
            ("bash", None, "", "$(rm)", Some("\\$\\(rm\\)")),
            ("bash", None, "", "a;b'c", Some("a\\;b\\'c")),
            ("bash", Some('"'), "a", "a $b", Some("a \\$b")),
            ("bash", Some('\''), "a", "a $b", Some("a $b")),
            ("bash", Some('\''), "a", "a 'b", None),
            ("zsh", None, "a", "a b", Some("a b")),
            ("powershell", None, "a", "a 'b", Some("'a ''b'")),
            ("powershell", None, "a", "ab", Some("ab")),
            ("bash", None, "b", "a b", None),
            // It would be a line, and in the end a command, of its own.
            ("bash", None, "a", "a\nb", None),
        ];
        for (shell, quote, typed, value, expected) in cases {
            let completed = complete(shell, quote, typed, value);
            assert_eq!(completed.as_deref(), expected, "{shell} {typed} {value}");
        }
    }

    #[test]
    fn options_are_read_from_a_line_that_is_not_finished() {
        let spec = OptionSpec::of_kind;
        let specs = [
            spec("a-zone", OptionKind::Text),
            spec("a-zone-id", OptionKind::Text),
            spec("a-list", OptionKind::TextList),
            spec("a-switch", OptionKind::Boolean),
            spec("a-last", OptionKind::Text),
        ];
        let line = [
            "x",
            "--a-zone",
            "=",
            "\"uk 1\"",
            "--a-list=1",
            "--a-list",
            "2\\ 3",
            "--a-switch",
            "--a-zone-id",
            "id",
            "--a-last",
        ];
        let flags = words(&line, "bash", None).flags(&specs);
        let text = |text: &str| Flag::Text(text.to_owned());
        let list = Flag::TextList(vec!["1".to_owned(), "2 3".to_owned()]);
        assert_eq!(flags.get("a-zone"), Some(&text("uk 1")));
        assert_eq!(flags.get("a-zone-id"), Some(&text("id")));
        assert_eq!(flags.get("a-list"), Some(&list));
        assert_eq!(flags.get("a-switch"), Some(&Flag::Boolean(true)));
        assert_eq!(flags.get("a-last"), None);
    }
}
