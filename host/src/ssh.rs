//! SSH to a machine, by the user's OpenSSH client.
//!
//! OpenSSH rather than a library: it is there wherever docker-machine is used, since that needs it too, it is kept up to date
//! by the system, and it brings neither an async runtime nor another implementation of the cryptography into a process that
//! holds keys. Nothing of the user's own configuration is taken over, as docker-machine does not either.
//!
//! The host key that a machine shows first is pinned in its own `known_hosts`, under the machine's name, so that a new
//! address or port makes no difference. docker-machine checks none.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::capability::clock::Cancel;
use crate::capability::text::clean;
use crate::machine::{self, Machine};

/// How long a connection may take, in seconds.
const CONNECT_TIMEOUT: u32 = 10;

/// The most bytes that are kept of what a command writes.
const MAX_OUTPUT: u64 = 1024 * 1024;

/// The most bytes of a command's errors that are told.
const MAX_ERROR: usize = 2_000;

/// Exit code of `ssh` for its own failures.
const OWN_FAILURE: i32 = 255;

/// How often a running client is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Where a machine is reached, and with what.
#[derive(Clone, Debug)]
pub struct Ssh {
    machine: String,
    user: String,
    host: String,
    port: u16,
    key: PathBuf,
    known_hosts: PathBuf,
}

/// Why something could not be done on a machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no client, or it cannot be started.
    #[error("the SSH client cannot be started: {0}")]
    NoClient(io::Error),
    /// The machine shows another key than before.
    #[error("{host} shows another SSH host key than the machine \"{machine}\" did before")]
    HostKey {
        /// The machine.
        machine: String,
        /// Where it is reached.
        host: String,
        /// Where the key that it showed before is kept.
        known_hosts: PathBuf,
    },
    /// The machine does not let the user in.
    #[error("{user}@{host} does not let the machine's SSH key in")]
    Denied {
        /// The user.
        user: String,
        /// Where it is reached.
        host: String,
    },
    /// Nobody answers, or not in SSH.
    #[error("{host} port {port} does not answer to SSH: {reason}")]
    Unreachable {
        /// Where it should be reached.
        host: String,
        /// The port.
        port: u16,
        /// The client's words.
        reason: String,
    },
    /// The connection broke while something was done.
    #[error("the SSH connection to {host} broke: {reason}")]
    Lost {
        /// Where it was reached.
        host: String,
        /// The client's words.
        reason: String,
    },
    /// It took too long.
    #[error("{host} has not finished within {} s", .limit.as_secs())]
    TimedOut {
        /// Where it is reached.
        host: String,
        /// How long it had.
        limit: Duration,
    },
    /// The command failed.
    #[error("{}", command_text(*.code, .output))]
    Failed {
        /// Its exit code.
        code: i32,
        /// The last of what it wrote about it.
        output: String,
    },
    /// The user wants to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoClient(_) => "install the OpenSSH client, `ssh`".to_owned(),
            Self::HostKey { known_hosts, .. } => format!(
                "somebody may be in between; if the machine was installed anew, remove {}",
                known_hosts.display()
            ),
            Self::Denied { .. } => {
                "the driver's option for the SSH user has to name one that the template lets in"
                    .to_owned()
            }
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                "look whether the machine runs and a firewall is in the way".to_owned()
            }
            Self::Lost { .. } | Self::Failed { .. } | Self::Cancelled => return None,
        })
    }

    /// Whether it may be otherwise soon: the machine is starting, or starts again.
    pub fn is_passing(&self) -> bool {
        // Until cloud-init has put the key there, a machine lets nobody in.
        matches!(
            self,
            Self::Denied { .. }
                | Self::Unreachable { .. }
                | Self::Lost { .. }
                | Self::TimedOut { .. }
        )
    }
}

fn command_text(code: i32, output: &str) -> String {
    match output {
        "" => format!("a command on the machine failed with exit code {code}"),
        output => output.to_owned(),
    }
}

impl Ssh {
    /// SSH to a machine of a store.
    ///
    /// # Errors
    ///
    /// If the machine has no address yet, or no place in the store.
    pub fn to(machine: &Machine) -> Result<Self, machine::Error> {
        let name = machine.name();
        let Some(directory) = machine.directory() else {
            return Err(machine::Error::NoPlace(name));
        };
        Ok(Self {
            user: machine.ssh_username(),
            host: machine.ssh_hostname()?,
            port: machine.ssh_port(),
            key: machine.ssh_key_path(),
            known_hosts: directory.join("known_hosts"),
            machine: name,
        })
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The host name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `user@host`
    pub fn destination(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// The options that `ssh` and `scp` share.
    pub fn options(&self) -> Vec<OsString> {
        let mut options: Vec<OsString> = vec!["-F".into(), "/dev/null".into(), "-i".into()];
        options.push(self.key.clone().into());
        let mut known_hosts = OsString::from("UserKnownHostsFile=");
        known_hosts.push(quoted(&self.known_hosts));
        let alias = format!("HostKeyAlias={}", self.machine);
        let timeout = format!("ConnectTimeout={CONNECT_TIMEOUT}");
        let fixed = [
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=accept-new",
            "CheckHostIP=no",
            "HashKnownHosts=no",
            "UpdateHostKeys=no",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "ControlMaster=no",
            "ControlPath=none",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
            "LogLevel=ERROR",
            &timeout,
            &alias,
        ];
        for option in fixed.iter().map(OsString::from).chain([known_hosts]) {
            options.push("-o".into());
            options.push(option);
        }
        options
    }

    /// The client, which asks nobody for anything.
    fn client(&self) -> Command {
        let mut client = Command::new("ssh");
        client
            .args(self.options())
            .args(["-T", "-o", "BatchMode=yes", "-p"])
            .arg(self.port.to_string())
            .arg(self.destination())
            .env("LC_ALL", "C");
        client
    }

    /// Runs a script of `sh` on the machine, by `sudo` if `as_root` and the user is another, and tells what it wrote to its
    /// standard output. The script goes over the standard input, so that nothing of it is in a list of processes.
    ///
    /// # Errors
    ///
    /// If it cannot be run, fails, is not done within `limit`, or `cancel` is set.
    pub fn run(
        &self,
        script: &str,
        as_root: bool,
        limit: Duration,
        cancel: &Cancel,
    ) -> Result<String, Error> {
        let mut client = self.client();
        client.arg(match as_root && self.user != "root" {
            true => "sudo -n sh -s",
            false => "sh -s",
        });
        let mut client = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::NoClient)?;
        // All of it is read before any of it is run: what it starts must not read the rest.
        let script = format!("main() {{\n{script}\n}}\nmain </dev/null\n");
        let (stdin, stdout, stderr) = (
            client.stdin.take(),
            client.stdout.take(),
            client.stderr.take(),
        );
        let writer = thread::spawn(move || {
            // A client that fails tells why; that it does not read is no news.
            if let Some(mut stdin) = stdin {
                drop(stdin.write_all(script.as_bytes()));
            }
        });
        let readers = (collect(stdout), collect(stderr));
        let status = wait(&mut client, limit, cancel);
        let status = match status {
            Ok(Some(status)) => status,
            ended => {
                drop(client.kill());
                drop(client.wait());
                ended.map_err(Error::NoClient)?;
                return Err(match cancel.is_set() {
                    true => Error::Cancelled,
                    false => Error::TimedOut {
                        host: self.host.clone(),
                        limit,
                    },
                });
            }
        };
        drop(writer.join());
        let (output, errors) = (text(readers.0), text(readers.1));
        match status.code() {
            Some(0) => Ok(output),
            Some(OWN_FAILURE) | None => Err(self.own_failure(&errors)),
            Some(code) => Err(Error::Failed {
                code,
                output: last_of(&errors),
            }),
        }
    }

    /// What the client's own errors mean.
    fn own_failure(&self, errors: &str) -> Error {
        let has = |words: &[&str]| words.iter().any(|words| errors.contains(words));
        let host = self.host.clone();
        let reason = last_of(errors)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        if has(&[
            "Host key verification failed",
            "HOST IDENTIFICATION HAS CHANGED",
        ]) {
            return Error::HostKey {
                machine: self.machine.clone(),
                host,
                known_hosts: self.known_hosts.clone(),
            };
        }
        if has(&["Permission denied", "Too many authentication failures"]) {
            let user = self.user.clone();
            return Error::Denied { user, host };
        }
        let before = [
            "ssh: connect to host",
            "Could not resolve hostname",
            "Connection timed out during banner exchange",
            "kex_exchange_identification",
        ];
        match has(&before) || errors.trim().is_empty() {
            true => Error::Unreachable {
                host,
                port: self.port,
                reason,
            },
            false => Error::Lost { host, reason },
        }
    }
}

/// A path as a value in the language of `ssh_config(5)`, where spaces divide and `%` begins a token.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// Waits for the end; nothing if the time is over or the user wants to stop.
fn wait(client: &mut Child, limit: Duration, cancel: &Cancel) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = client.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() >= limit || cancel.is_set() {
            return Ok(None);
        }
        cancel.wait(POLL);
    }
}

/// Reads to the end, on a thread of its own, and keeps the first [`MAX_OUTPUT`] bytes.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            drop(pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut kept));
            drop(io::copy(&mut pipe, &mut io::sink()));
        }
        kept
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

/// The last lines, without what could fool a terminal.
fn last_of(text: &str) -> String {
    let mut lines = Vec::new();
    let mut size = 0_usize;
    for line in text.lines().rev().map(str::trim_end) {
        size = size.saturating_add(line.len() + 1);
        if size > MAX_ERROR {
            break;
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines.reverse();
    clean(&lines.join("\n"), MAX_ERROR)
}

/// A text as one word of a shell's.
pub(crate) fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh() -> Ssh {
        Ssh {
            machine: "m1".to_owned(),
            user: "root".to_owned(),
            host: "203.0.113.1".to_owned(),
            port: 22,
            key: PathBuf::from("/store/machines/m1/id_rsa"),
            known_hosts: PathBuf::from("/store/machines/m1/known_hosts"),
        }
    }

    #[test]
    fn the_clients_own_errors_are_told_apart() {
        type Is = fn(&Error) -> bool;
        let cases: [(&str, Is); 9] = [
            ("Host key verification failed.", |e| {
                matches!(e, Error::HostKey { .. })
            }),
            ("root@h: Permission denied (publickey).", |e| {
                matches!(e, Error::Denied { .. })
            }),
            (
                "Received disconnect: Too many authentication failures",
                |e| matches!(e, Error::Denied { .. }),
            ),
            ("ssh: connect to host h port 22: Connection refused", |e| {
                matches!(e, Error::Unreachable { .. })
            }),
            ("ssh: Could not resolve hostname h: Name not known", |e| {
                matches!(e, Error::Unreachable { .. })
            }),
            ("kex_exchange_identification: read: reset by peer", |e| {
                matches!(e, Error::Unreachable { .. })
            }),
            ("", |e| matches!(e, Error::Unreachable { .. })),
            (
                "client_loop: send disconnect: Broken pipe",
                |e| matches!(e, Error::Lost { reason, .. } if reason.ends_with("Broken pipe")),
            ),
            (
                "something before\nTimeout, server h not responding.\n\n",
                |e| matches!(e, Error::Lost { reason, .. } if reason.starts_with("Timeout")),
            ),
        ];
        for (errors, is_told) in cases {
            let error = ssh().own_failure(errors);
            assert!(is_told(&error), "{errors}: {error:?}");
        }
    }

    #[test]
    fn the_last_lines_are_kept_whole_and_clean() {
        assert_eq!(last_of("a\n\n b\u{1b}[31m \n"), "a\n b");
        let long = "x".repeat(MAX_ERROR);
        assert_eq!(last_of(&format!("{long}\nthe end")), "the end");
        assert_eq!(last_of(""), "");
    }

    #[test]
    fn what_a_shell_or_the_client_would_take_apart_is_quoted() {
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(Path::new("/a b/%h")), "\"/a b/%%h\"");
    }
}
