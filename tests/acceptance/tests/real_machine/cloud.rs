//! A cloud with a real machine in it, in a process that can be killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use acceptance::real::public_address;
use acceptance::{OPTIONS, program};

use crate::traces::Process;

/// A cloud with a machine in it, in a process that can be killed.
pub(crate) struct Cloud {
    pub(crate) process: Child,
    home: tempfile::TempDir,
}

impl Cloud {
    pub(crate) fn start(image: &Path) -> Self {
        let mut process = Command::new(program("real-machine"))
            .arg("cloud")
            .arg("--cache")
            .arg(image.parent().unwrap())
            .args(["--public-address", &public_address(200).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut create = Command::new("timeout");
        create
            .args(["--signal=KILL", "60"])
            .arg(program("btcloud-host"))
            .args(["run", "create", "m1"])
            .args(OPTIONS)
            .env("HOME", home.path())
            .env("MACHINE_STORAGE_PATH", home.path().join("store"))
            .env("XDG_CACHE_HOME", acceptance::cache_directory());
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            let line = lines.next().unwrap().unwrap();
            let (name, value) = line
                .trim_start_matches("export ")
                .trim_end_matches(';')
                .split_once('=')
                .unwrap();
            create.env(name, value.trim_matches('\''));
        }
        let cloud = Self { process, home };
        assert!(
            create.output().unwrap().status.success(),
            "{}",
            cloud.home.path().display()
        );
        cloud
    }

    pub(crate) fn keeper(&self) -> u32 {
        let processes = Process::all();
        let own = |process: &&Process| process.parent == self.process.id();
        processes.iter().find(own).expect("a keeper").id
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // Dropping the pipe ends it if it has not been killed.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
