//! Provisioning: makes a machine that was just created a Docker host, over SSH, as docker-machine does after `create`.
//!
//! Each step can be done again: what is as it should be stays as it is. So whatever breaks off, another run goes on.

mod certificates;
mod engine;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::capability::clock::Cancel;
use crate::capability::log::{Level, Reporter};
use crate::files;
use crate::machine::{self, Engine, Machine};
use crate::ssh::{self, Ssh, word};
use certificates::{Files, ServerFiles};

pub use certificates::Error as CertificateError;
pub use engine::Error as EngineError;

/// How long a machine may take until it lets somebody in, if that is not said: docker-machine's 60 attempts, 3 s apart.
pub const SSH_PATIENCE: Duration = Duration::from_secs(180);

/// How long one attempt may take: one that hangs, in a machine that has just begun to start, must not be all.
const SSH_ATTEMPT: Duration = Duration::from_secs(20);

/// How long it takes between two attempts.
const SSH_PAUSE: Duration = Duration::from_secs(1);

/// How long the installation of Docker may take.
const INSTALL_TIME: Duration = Duration::from_secs(20 * 60);

/// How long any other script may take.
const SCRIPT_TIME: Duration = Duration::from_secs(180);

/// How often a machine may be lost while it is provisioned: it may be restarted by its own user data.
const RESTARTS: u32 = 3;

/// The room that Docker's packages take, in KiB.
const ROOM: u64 = 600 * 1024;

/// How far the clocks may be apart before that is told, in seconds.
const CLOCK_SKEW: u64 = 60;

/// The steps that are shown.
const STEPS: u32 = 4;

/// Where it is noted that a machine is being provisioned, in its directory.
const MARK: &str = "unprovisioned";

/// The certificate of a machine's engine, in its directory.
const SERVER_CERTIFICATE: &str = "server.pem";

/// Why a machine is no Docker host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is stored of the machine does not do.
    #[error(transparent)]
    Machine(#[from] machine::Error),
    /// Something on the machine failed.
    #[error("{step}: {source}")]
    Ssh {
        /// What was being done.
        step: &'static str,
        /// What went wrong.
        source: ssh::Error,
    },
    /// The user may not become root.
    #[error("{0} may not use sudo without a password, which setting up Docker needs")]
    NoSudo(String),
    /// It cannot be set up in this way.
    #[error("{0} is not supported: its services are not run by systemd")]
    NoSystemd(String),
    /// Nobody knows how Docker is installed there.
    #[error("Docker is not installed, and cannot be on {0}")]
    UnknownSystem(String),
    /// Docker is missing and is not to be installed.
    #[error("Docker is not installed, and is not to be: the URL to install it from is \"none\"")]
    NotInstalled,
    /// There is too little room for Docker.
    #[error("only {0} MiB are free in /var/lib; Docker needs {needed} MiB", needed = ROOM / 1024)]
    NoRoom(u64),
    /// The certificates of the store cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The engine does not answer as it should.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It cannot be noted that the machine is being provisioned.
    #[error("cannot use {path}: {source}", path = .path.display())]
    Mark {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Machine(error) => return error.hint(),
            Self::Ssh { source, .. } => return source.hint().or_else(|| remedy(source)),
            Self::Certificates(error) => return error.hint(),
            Self::Engine(error) => return error.hint(),
            Self::NoSudo(_) => "choose another user, or a template whose user may",
            Self::NoSystemd(_) => "choose a template of Debian, Ubuntu, Alma, Rocky or Red Hat",
            Self::UnknownSystem(_) => "install Docker by user data, or choose another template",
            Self::NotInstalled => {
                "choose a template with Docker, or give --engine-install-url another value"
            }
            Self::NoRoom(_) => "choose a larger root disk",
            Self::Mark { .. } => return None,
        };
        Some(text.to_owned())
    }

    /// Whether the user wanted to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Ssh { source, .. } => matches!(source, ssh::Error::Cancelled),
            Self::Engine(error) => matches!(error, EngineError::Cancelled),
            _ => false,
        }
    }
}

/// What may help with a script that failed, by what it wrote.
fn remedy(error: &ssh::Error) -> Option<String> {
    let ssh::Error::Failed { output, .. } = error else {
        return None;
    };
    let has = |words: &[&str]| words.iter().any(|words| output.contains(words));
    let text = if has(&["No space left on device", "not enough free space"]) {
        "the machine's disk is full"
    } else if has(&[
        "Could not resolve",
        "Temporary failure resolving",
        "Failed to connect",
    ]) {
        "the machine has no way to where packages come from: look at its network and name servers"
    } else if has(&[
        "Unable to locate package",
        "No match for argument",
        "has no installation candidate",
    ]) {
        "the machine's sources of packages do not have what is needed"
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// What there is to do.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How the engine is set up.
    pub engine: Engine,
    /// The name of the machine's driver, which its engine has as a label.
    pub driver_name: String,
    /// Whether the server's certificate is made anew, even if it is good.
    pub new_certificates: bool,
    /// How long the machine may take until it lets somebody in, such as [`SSH_PATIENCE`].
    pub ssh_patience: Duration,
}

/// A Docker host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// The engine's version, as it tells it.
    pub version: String,
    /// What is on the machine, such as `Debian GNU/Linux 12 (bookworm)`.
    pub system: String,
}

/// Notes that a machine of the store is to be provisioned.
///
/// # Errors
///
/// If that cannot be written.
pub fn mark(directory: &Path) -> Result<(), Error> {
    let path = directory.join(MARK);
    files::write_private(&path, b"").map_err(|source| Error::Mark { path, source })
}

/// Whether a machine waits to be provisioned: it was begun and not finished, and nobody else has done it since.
pub fn is_pending(directory: &Path) -> bool {
    let changed = |name: &str| {
        fs::metadata(directory.join(name))
            .and_then(|m| m.modified())
            .ok()
    };
    match (changed(MARK), changed(SERVER_CERTIFICATE)) {
        (None, _) => false,
        (Some(marked), Some(made)) => marked >= made,
        (Some(_), None) => true,
    }
}

/// Makes a machine a Docker host.
///
/// # Errors
///
/// What stands in the way. The machine is as far as it got; another run goes on.
pub fn provision(
    machine: &Machine,
    wishes: &Wishes,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<Provisioned, Error> {
    let directory = machine.directory();
    let directory = directory.ok_or_else(|| machine::Error::NoPlace(machine.name()))?;
    // What is set up already counts as such until it is touched: it may be that nobody reaches the machine just now. A mark that
    // is there may be from before the certificates of a run that was cut off.
    if directory.join(MARK).exists() || !directory.join(SERVER_CERTIFICATE).exists() {
        mark(&directory)?;
    }
    let run = Run {
        ssh: Ssh::to(machine)?,
        machine,
        wishes,
        reporter,
        cancel,
        files: Files::new(&machine.store_path(), &directory),
    };
    let mut restarts = 0;
    let provisioned = loop {
        match run.all(&directory) {
            Err(Error::Ssh { step, source })
                if matches!(source, ssh::Error::Lost { .. }) && restarts < RESTARTS =>
            {
                restarts += 1;
                let line = format!("{step}: {source}; going on when the machine answers again");
                reporter.log(Level::Warning, &line);
            }
            ended => break ended?,
        }
    };
    let mark = directory.join(MARK);
    fs::remove_file(&mark).map_err(|source| Error::Mark { path: mark, source })?;
    Ok(provisioned)
}

/// What was found on a machine.
#[derive(Debug, Default, PartialEq, Eq)]
struct Guest {
    id: String,
    like: String,
    name: String,
    has_sudo: bool,
    has_systemd: bool,
    has_docker: bool,
    time: Option<u64>,
    /// The room in `/var/lib`, in KiB
    free: Option<u64>,
}

impl Guest {
    fn parse(output: &str) -> Self {
        let mut guest = Self::default();
        for (name, value) in output.lines().filter_map(|line| line.split_once('=')) {
            match name {
                "id" => value.clone_into(&mut guest.id),
                "like" => value.clone_into(&mut guest.like),
                "name" => value.clone_into(&mut guest.name),
                "sudo" => guest.has_sudo = value == "yes",
                "systemd" => guest.has_systemd = value == "yes",
                "dockerd" => guest.has_docker = !value.is_empty(),
                "time" => guest.time = value.parse().ok(),
                "free" => guest.free = value.parse().ok(),
                _ => {}
            }
        }
        guest.name = crate::capability::text::clean(&guest.name, 100);
        if guest.name.is_empty() {
            "the machine's system".clone_into(&mut guest.name);
        }
        guest
    }

    /// Whether it is of a family whose packages are known.
    fn is_known(&self) -> bool {
        let known = [
            "debian",
            "ubuntu",
            "rhel",
            "centos",
            "fedora",
            "almalinux",
            "rocky",
            "ol",
        ];
        let mut words = self.like.split_whitespace().chain([self.id.as_str()]);
        words.any(|word| known.contains(&word))
    }
}

/// One run through all steps.
struct Run<'r> {
    ssh: Ssh,
    machine: &'r Machine,
    wishes: &'r Wishes,
    reporter: &'r dyn Reporter,
    cancel: &'r Cancel,
    files: Files,
}

impl Run<'_> {
    fn all(&self, directory: &Path) -> Result<Provisioned, Error> {
        self.show(1, "Waiting for SSH");
        let guest = self.wait_for_ssh()?;
        self.look_at(&guest)?;
        if guest.has_docker {
            self.show(2, &format!("Docker is there, on {}", guest.name));
        } else {
            self.show(2, &format!("Installing Docker on {}", guest.name));
            self.install(&guest)?;
        }
        self.show(3, "Setting up the Docker engine and its certificates");
        let ip = self.machine.ip()?;
        let names = &self.wishes.engine.names;
        let anew = self.wishes.new_certificates;
        let server = self.files.provide(ip, names, &organization(), anew)?;
        // The mark has to be younger than the certificates that it is about.
        mark(directory)?;
        self.configure(&server)?;
        self.show(4, "Checking the Docker engine");
        let url = self.machine.engine_url()?;
        let version = engine::version(&url, self.files.client_directory(), self.cancel)?;
        Ok(Provisioned {
            version,
            system: guest.name,
        })
    }

    fn show(&self, number: u32, step: &str) {
        self.reporter.progress(step, number, STEPS);
    }

    /// Runs a script with some variables set.
    fn script(
        &self,
        step: &'static str,
        (script, as_root): (&str, bool),
        variables: &[(&str, &str)],
        limit: Duration,
    ) -> Result<String, ssh::Error> {
        let set = |(name, value): &(&str, &str)| format!("{name}={}\n", word(value));
        let text: String = variables.iter().map(set).collect();
        let began = Instant::now();
        let result = self.ssh.run(&(text + script), as_root, limit, self.cancel);
        let how = match &result {
            Ok(_) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        let line = format!("{step}: {how}, {} ms", began.elapsed().as_millis());
        self.reporter.log(Level::Debug, &line);
        result
    }

    fn wait_for_ssh(&self) -> Result<Guest, Error> {
        let step = "waiting for SSH";
        let began = Instant::now();
        loop {
            let script = (include_str!("scripts/detect.sh"), false);
            match self.script(step, script, &[], SSH_ATTEMPT) {
                Ok(output) => return Ok(Guest::parse(&output)),
                Err(error) if error.is_passing() && began.elapsed() < self.wishes.ssh_patience => {
                    if self.cancel.wait(SSH_PAUSE) {
                        let source = ssh::Error::Cancelled;
                        return Err(Error::Ssh { step, source });
                    }
                }
                Err(source) => return Err(Error::Ssh { step, source }),
            }
        }
    }

    /// Whether it can be done there.
    fn look_at(&self, guest: &Guest) -> Result<(), Error> {
        if !guest.has_sudo {
            return Err(Error::NoSudo(self.ssh.destination()));
        }
        if !guest.has_systemd {
            return Err(Error::NoSystemd(guest.name.clone()));
        }
        let here = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let apart = guest.time.map_or(0, |there| there.abs_diff(here.as_secs()));
        if apart > CLOCK_SKEW {
            let line = format!(
                "the clocks of the machine and of this computer are {apart} s apart; certificates may seem expired, or \
                 not valid yet"
            );
            self.reporter.log(Level::Warning, &line);
        }
        Ok(())
    }

    fn install(&self, guest: &Guest) -> Result<(), Error> {
        let url = self.wishes.engine.options.install_url.as_str();
        if url == "none" {
            return Err(Error::NotInstalled);
        }
        if !guest.is_known() {
            return Err(Error::UnknownSystem(guest.name.clone()));
        }
        if let Some(free) = guest.free.filter(|free| *free < ROOM) {
            return Err(Error::NoRoom(free / 1024));
        }
        let url = if url.is_empty() {
            machine::INSTALL_URL
        } else {
            url
        };
        let step = "installing Docker";
        let script = (include_str!("scripts/install.sh"), true);
        let variables = [("url", url), ("id", &guest.id)];
        self.script(step, script, &variables, INSTALL_TIME)
            .map_err(|source| Error::Ssh { step, source })?;
        Ok(())
    }

    fn configure(&self, server: &ServerFiles) -> Result<(), Error> {
        let options = &self.wishes.engine.options;
        let step = "setting up the Docker engine";
        let variables = [
            ("hostname", self.machine.name()),
            ("port", self.machine.engine_port().to_string()),
            ("ca", server.ca.trim_end().to_owned()),
            ("certificate", server.certificate.trim_end().to_owned()),
            ("key", server.key.trim_end().to_owned()),
            (
                "arguments",
                engine::arguments(options, &self.wishes.driver_name),
            ),
            ("environment", engine::environment(options)),
        ];
        let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let script = (include_str!("scripts/configure.sh"), true);
        self.script(step, script, &variables, SCRIPT_TIME)
            .map_err(|source| Error::Ssh { step, source })?;
        Ok(())
    }
}

/// In whose name certificates are made: docker-machine's is the user's too.
fn organization() -> String {
    let user = std::env::var("USER").unwrap_or_default();
    let is_usable = !user.is_empty() && user.len() <= 64 && user.is_ascii();
    if is_usable { user } else { "docker".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_known_by_itself_or_its_family() {
        let guest = |text: &str| Guest::parse(text);
        assert!(guest("id=debian\nlike=\nname=Debian GNU/Linux 12\n").is_known());
        assert!(guest("id=almalinux\nlike=rhel centos fedora\n").is_known());
        assert!(guest("id=mint\nlike=ubuntu debian\n").is_known());
        assert!(!guest("id=alpine\nlike=\n").is_known());
        let all = guest(
            "id=debian\nname=D\u{1b}[1m\nsudo=yes\nsystemd=no\ndockerd=/usr/sbin/dockerd\ntime=5\nfree=x\nzzz\n",
        );
        assert_eq!(
            all,
            Guest {
                id: "debian".to_owned(),
                name: "D".to_owned(),
                has_sudo: true,
                has_docker: true,
                time: Some(5),
                ..Guest::default()
            }
        );
        assert_eq!(guest("").name, "the machine's system");
    }

    #[test]
    fn a_machine_waits_until_it_or_somebody_else_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(!is_pending(path));
        mark(path).unwrap();
        assert!(is_pending(path));
        fs::write(path.join("server.pem"), "x").unwrap();
        let later =
            fs::metadata(path.join(MARK)).unwrap().modified().unwrap() + Duration::from_secs(2);
        let file = fs::File::options()
            .append(true)
            .open(path.join("server.pem"))
            .unwrap();
        file.set_modified(later).unwrap();
        // docker-machine has provisioned it meanwhile.
        assert!(!is_pending(path));
    }
}
