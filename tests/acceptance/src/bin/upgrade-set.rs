//! `cargo xtask upgrade-set`: has the programs of this version write what a user keeps, for `tests/upgrade`.
//!
//! Arguments: a docker-machine client, and the directory of the set, which must not be there yet.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use acceptance::engine::DockerEngine;
use acceptance::{HETZNER, Lab, OPTIONS, program, upgrade};
use hetzner_simulator::Hetzner;

/// What a user writes: the file of profiles, as the documentation has it.
const CONFIG: &str = "\
profile = \"london\"

[profiles.london]
driver = \"btcloud\"
zone = \"uk-london-1\"
template = \"Ubuntu 24.04 LTS\"
service-offering = \"Small\"
open-port = [\"80\", \"443\"]
";

/// The first public address: it has an engine behind it, at a port that is the same for all tests.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 118, 1);

/// The address of a machine that is given one of its own.
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 118, 2);

fn failure(text: impl Into<String>) -> io::Error {
    io::Error::other(text.into())
}

/// The address of the third-party driver's machine.
const THIRD: &str = "127.0.118.3";

/// A user at work.
struct User {
    lab: Lab,
    cloud: Hetzner,
}

impl User {
    fn run(&self, command: &mut Command) -> io::Result<String> {
        let outcome = self.lab.finish(command);
        match outcome.code {
            0 => Ok(outcome.stdout),
            _ => Err(failure(format!(
                "{:?} {:?}: {outcome:?}",
                command.get_program(),
                command.get_args()
            ))),
        }
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.lab.command(program);
        command
            .env_remove("BTCLOUD_NO_PROVISION")
            .env("HETZNER_ENDPOINT", self.cloud.url())
            .env("HETZNER_TOKEN", self.cloud.token())
            .current_dir(self.lab.home());
        command
    }

    fn host(&self, arguments: &[&str]) -> io::Result<String> {
        self.run(self.command(program("btcloud-host")).args(arguments))
    }

    /// Signs a driver with a new key, which the user trusts, and installs it.
    fn install_driver(&self) -> io::Result<()> {
        let home = self.lab.home();
        fs::copy(HETZNER, home.join("hetzner.wasm"))?;
        for arguments in [
            "-G -W -p author.pub -s author.key",
            "-S -s author.key -m hetzner.wasm",
        ] {
            // It asks nothing, since the key has no password.
            self.run(
                self.command("minisign")
                    .args(arguments.split_ascii_whitespace()),
            )?;
        }
        let key = fs::read_to_string(home.join("author.pub"))?;
        let trusted = home.join(".config/btcloud-host/trusted-keys");
        fs::create_dir_all(trusted.parent().unwrap_or(home))?;
        fs::write(trusted, key.lines().last().unwrap_or_default())?;
        fs::remove_file(home.join("author.key"))?;
        self.host(&["driver", "install", "hetzner.wasm", "--yes"])?;
        Ok(())
    }

    fn make_machines(&self, client: &Path) -> io::Result<()> {
        let store = self.lab.store();
        let create = |name, options: &[&str]| {
            self.host(&[&["run", "create", name], options].concat())
                .map(drop)
        };
        let engine = DockerEngine::start(IpAddr::V4(FIRST), &store, "web-1");
        create(
            "web-1",
            &[OPTIONS.as_slice(), &["--btcloud-open-port", "80"]].concat(),
        )?;
        drop(engine);
        let engine = DockerEngine::start(IpAddr::V4(SECOND), &store, "web-2");
        let options = [
            OPTIONS.as_slice(),
            &["--btcloud-address", "static-nat", "web-2"],
        ]
        .concat();
        self.run(
            self.command(client)
                .args(["create", "--driver", "btcloud"])
                .args(options),
        )?;
        drop(engine);
        let basic = [
            "--btcloud-zone",
            "uk-basic-1",
            "--btcloud-cidr",
            "192.0.2.0/24",
            "--no-provision",
        ];
        create(
            "db-1",
            &[OPTIONS.get(2..).unwrap_or_default(), &basic].concat(),
        )?;
        self.host(&["stop", "db-1"])?;
        create("other-1", &["--driver", "hetzner", "--no-provision"])
    }
}

/// Copies what is below a directory, with `replaced` texts in the files that are texts. Modes are git's own: what has to be
/// private is made so by the tests.
fn copy(from: &Path, to: &Path, replaced: &[(&str, &str)]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, replaced)?;
        } else if entry.file_type()?.is_file() {
            let bytes = fs::read(entry.path())?;
            let bytes = match String::from_utf8(bytes) {
                Ok(text) => {
                    let replace = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
                    replaced.iter().fold(text, replace).into_bytes()
                }
                Err(error) => error.into_bytes(),
            };
            fs::write(&target, bytes)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

fn write(client: &Path, set: &Path) -> io::Result<()> {
    if set.exists() {
        return Err(failure(format!(
            "{} is there already: a set is written once, by the version that it is of",
            set.display()
        )));
    }
    let user = User {
        lab: Lab::with(
            |_| (),
            |cloud| {
                cloud
                    .public_addresses
                    .iter_mut()
                    .for_each(|p| p.first = FIRST)
            },
        ),
        cloud: Hetzner::start()?,
    };
    user.cloud.set_address(THIRD);
    let home = user.lab.home();
    user.install_driver()?;
    user.make_machines(client)?;
    let profiles = home.join(".config/btcloud/config.toml");
    fs::create_dir_all(profiles.parent().unwrap_or(home))?;
    fs::write(profiles, CONFIG)?;
    let path = home
        .to_str()
        .ok_or_else(|| failure("the home's path is no text"))?;
    let replaced = [
        (path, upgrade::HOME),
        (user.lab.cloud.url(), upgrade::ENDPOINT),
        (&user.cloud.url(), upgrade::OTHER_ENDPOINT),
    ];
    copy(home, set, &replaced)?;
    writeln!(io::stdout(), "{}", set.display())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let result = match (arguments.next(), arguments.next()) {
        (Some(client), Some(set)) => write(&client, &set),
        _ => Err(failure("upgrade-set CLIENT DIRECTORY")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere else to tell it.
            drop(writeln!(io::stderr(), "upgrade-set: {error}"));
            ExitCode::FAILURE
        }
    }
}
