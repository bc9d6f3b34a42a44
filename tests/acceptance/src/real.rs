//! A laboratory in which machines are real: guests with systemd, sshd and Docker of their own behind the simulated cloud.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudstack_simulator::{CloudConfig, Simulator};
use real_machine::{Image, Kind, Laboratory};

use crate::{Lab, Outcome, program, program_directory};

/// The most seconds that a command may take in such a laboratory; QEMU is slow.
const LIMIT: &str = "600";

/// How long a machine may take until it can be logged in to, and until what it does by itself is done.
pub fn patience() -> Duration {
    match Kind::asked_for() {
        Kind::Namespaces => Duration::from_secs(60),
        Kind::Qemu => Duration::from_secs(400),
    }
}

/// A public address of real machines. Their ports are the usual ones, so that checkouts which are tested on the same computer
/// at the same time have different addresses, by where they are.
pub fn public_address(last: u8) -> Ipv4Addr {
    let place = env!("CARGO_MANIFEST_DIR").bytes();
    let place = place.fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let third = 130 + u8::try_from(place % 100).unwrap_or_default();
    Ipv4Addr::new(127, 0, third, last)
}

/// A [`Lab`] whose machines are real. The programs in it use the genuine `ssh`.
///
/// When it is dropped, or the test ends in any other way, its machines are gone.
pub struct RealLab {
    lab: Lab,
    image: PathBuf,
    ip: Ipv4Addr,
    keeper: u32,
}

impl Deref for RealLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl RealLab {
    /// Starts one. Laboratories that run at the same time have different numbers, since the ports of machines are the same.
    ///
    /// # Panics
    ///
    /// If `TEST_REAL_MACHINE` names no image. A test that needs a real machine must not pass without.
    pub fn start(number: u8) -> Self {
        let image = std::env::var_os("TEST_REAL_MACHINE").map(PathBuf::from);
        let image = image.unwrap_or_else(|| {
            panic!(
                "TEST_REAL_MACHINE names no image; `cargo xtask test` builds one, or skips this test"
            )
        });
        Self::with(number, &image, |builder| builder)
    }

    /// As [`Self::start`], with an image, and a cloud that is changed before it starts.
    pub fn with(
        number: u8,
        image: &Path,
        change: impl FnOnce(cloudstack_simulator::Builder) -> cloudstack_simulator::Builder,
    ) -> Self {
        let template = Image::at(image, Kind::asked_for());
        let laboratory = Laboratory::start(&program("real-machine"), &template)
            .unwrap_or_else(|error| panic!("{error}"));
        let keeper = laboratory.keeper();
        let ip = public_address(number.saturating_mul(10));
        let mut cloud = CloudConfig::default();
        for pool in &mut cloud.public_addresses {
            (pool.first, pool.count) = (ip, 10);
        }
        let builder = Simulator::builder()
            .job_time(Duration::from_millis(20))
            .cloud(cloud)
            .hypervisor(Arc::new(laboratory));
        let mut lab = Lab::of(change(builder));
        lab.wrapper = ["timeout", "--signal=KILL", LIMIT]
            .map(OsString::from)
            .into();
        lab.first_in_path = vec![program_directory()];
        Self {
            lab,
            image: image.to_owned(),
            ip,
            keeper,
        }
    }

    /// The cloud's first public address, which the first machine is reached at.
    pub fn ip(&self) -> IpAddr {
        self.ip.into()
    }

    /// The image that machines are started from.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// The process that tidies up after the laboratory.
    pub fn keeper(&self) -> u32 {
        self.keeper
    }

    /// Runs Debian's Docker client against a machine's engine, over TLS with the certificates that its client made.
    pub fn docker(&self, machine: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.docker_command(machine);
        self.finish(command.args(arguments))
    }

    /// Debian's Docker client, to be given arguments.
    pub fn docker_command(&self, machine: &str) -> std::process::Command {
        // The image's is for this system's Debian too.
        let mut command = self.command(self.image.join("root/usr/bin/docker"));
        let certificates = self.machine_directory(machine);
        command
            .env("DOCKER_HOST", self.run(&["url", machine]).ok())
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", certificates);
        command
    }

    /// Has a machine's engine import an image `tiny` that has Debian's static busybox at `/busybox`, there being no
    /// registry to pull one from.
    pub fn import_tiny_image(&self, machine: &str) {
        let archive = self.home().join("tiny.tar");
        let mut tar = self.command("tar");
        tar.arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(self.image.join("root/bin"))
            .arg("busybox");
        self.finish(&mut tar).ok();
        let mut import = self.docker_command(machine);
        import.arg("import").arg(&archive).arg("tiny");
        self.finish(&mut import).ok();
    }

    /// Runs a command in a machine as its SSH user, once it can be logged in to.
    pub fn ssh(&self, machine: &str, command: &str) -> Outcome {
        self.ssh_with(machine, &[], command)
    }

    /// As [`Self::ssh`], with further options.
    pub fn ssh_with(&self, machine: &str, options: &[&str], command: &str) -> Outcome {
        let config = self.config(machine);
        let driver = &config["Driver"];
        let text = |name: &str| driver[name].as_str().unwrap_or_default().to_owned();
        let end = Instant::now() + patience();
        loop {
            let mut ssh = self.command("ssh");
            ssh.args([
                "-F",
                "/dev/null",
                "-o",
                "BatchMode=yes",
                "-o",
                "LogLevel=ERROR",
            ])
            .args(["-o", "ConnectTimeout=10", "-o", "StrictHostKeyChecking=no"])
            .args([
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args(["-p", &driver["SSHPort"].to_string(), "-i"])
            .arg(self.machine_directory(machine).join("id_rsa"))
            .args(options)
            .arg(format!("{}@{}", text("SSHUser"), text("IPAddress")))
            .arg(command);
            let last = self.finish(&mut ssh);
            // That is ssh's own code.
            if last.code != 255 {
                return last;
            }
            // It may be starting.
            assert!(
                Instant::now() < end,
                "{machine} cannot be logged in to: {last:?}"
            );
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}
