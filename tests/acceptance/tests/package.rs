//! The Debian package in a Debian with nothing but its essential packages: what is installed, a machine's life with the programs
//! from there, by the command line and by docker-machine, and that nothing stays when it is removed.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::engine::DockerEngine;
use acceptance::{Lab, OPTIONS, Outcome};
use tempfile::TempDir;

/// Runs a command in a root, with the user's home at its place there, in mounts of its own, which end with it. Arguments: the
/// root, the home, and the command.
const IN_ROOT: &str = r#"
set -eu
root=$1 home=$2
shift 2
mkdir -p "$root$home"
mount --bind "$home" "$root$home"
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot "$root" "$@"
"#;

/// A variable that `cargo xtask test` sets.
#[track_caller]
fn named_by(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    let path = path.unwrap_or_else(|| {
        panic!("{variable} is not set; `cargo xtask test` sets it, or skips this test")
    });
    path.into()
}

/// A user of a Debian with the package, or without it.
struct Debian {
    lab: Lab,
    root: TempDir,
}

impl Debian {
    /// One without the package. The public addresses begin with the test's own.
    fn new(address: Ipv4Addr) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut copy = Command::new("cp");
        copy.arg("--archive")
            .arg(named_by("TEST_CLEAN_ROOT").join("."))
            .arg(root.path());
        assert!(copy.status().unwrap().success());
        Self {
            lab: Lab::at(address),
            root,
        }
    }

    /// Runs a command there.
    fn run(&self, command: &[&str]) -> Outcome {
        let mut run = self.lab.command("unshare");
        run.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            IN_ROOT,
            "sh",
        ])
        .arg(self.root.path())
        .arg(self.lab.home())
        .args(command)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("XDG_CACHE_HOME", self.lab.home().join(".cache"))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env_remove("BTCLOUD_NO_PROVISION");
        self.lab.finish(&mut run)
    }

    fn install(&self) {
        let package = self.root.path().join("tmp/package.deb");
        fs::copy(named_by("TEST_PACKAGE"), &package).unwrap();
        let install = ["apt-get", "install", "--yes", "--no-install-recommends"];
        self.run(&[&install[..], &["/tmp/package.deb"]].concat())
            .ok();
        fs::remove_file(package).unwrap();
    }

    /// Adds a program that is not Debian's.
    fn add(&self, program: &Path) {
        let name = program.file_name().unwrap();
        let target = self.root.path().join("usr/local/bin").join(name);
        fs::copy(program, &target).unwrap();
        fs::set_permissions(target, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Adds what stands in for the client of SSH.
    fn add_fake_guest(&self) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/fake-guest");
        self.add(&directory.join("ssh"));
        self.add(&directory.join("scp"));
    }

    /// All files but those in which the package manager keeps its records.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut directories = vec![self.root.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                let path = entry.path();
                let place = path.strip_prefix(self.root.path()).unwrap().to_owned();
                let records = [
                    "var/lib/dpkg",
                    "var/lib/apt",
                    "var/cache",
                    "var/log",
                    "tmp",
                    "dev",
                    "proc",
                ];
                if records.iter().any(|records| place.starts_with(records)) {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    directories.push(path);
                }
                files.insert(place);
            }
        }
        files
    }
}

#[test]
fn installed_package_has_what_the_documentation_says_and_leaves_nothing() {
    let debian = Debian::new(Ipv4Addr::new(127, 0, 119, 1));
    let before = debian.files();
    debian.install();
    let installed = debian.files();
    for place in [
        "usr/bin/btcloud-host",
        "usr/bin/docker-machine-driver-btcloud",
        "usr/share/man/man1/btcloud-host.1.gz",
        "usr/share/man/man1/btcloud-host-run-create.1.gz",
        "usr/share/man/man1/docker-machine-driver-btcloud.1.gz",
        "usr/share/bash-completion/completions/btcloud-host",
        "usr/share/fish/vendor_completions.d/btcloud-host.fish",
        "usr/share/zsh/vendor-completions/_btcloud-host",
        "usr/share/doc/btcloud-host/copyright",
        "usr/share/doc/btcloud-host/CHANGELOG.md",
        "usr/share/doc/btcloud-host/docs/cli.md",
        "usr/share/doc/btcloud-host/btcloud-host.cdx.json",
        "usr/share/doc/btcloud-host/btcloud-driver.cdx.json",
    ] {
        assert!(installed.contains(Path::new(place)), "{place}");
    }
    let read = |place: &str| fs::read_to_string(debian.root.path().join(place)).unwrap();
    let notices = read("usr/share/doc/btcloud-host/third-party-notices.txt");
    for part in ["  wasmtime 48", "  wit-bindgen 0.", "Copyright"] {
        assert!(notices.contains(part), "{part}");
    }
    let version = debian.run(&["btcloud-host", "--version"]);
    assert_eq!(
        version.ok(),
        format!("btcloud-host {}", env!("CARGO_PKG_VERSION"))
    );
    let page = debian.run(&["sh", "-c", "zcat /usr/share/man/man1/btcloud-host-rm.1.gz"]);
    assert!(page.ok().contains(".TH btcloud-host-rm 1"), "{page:?}");
    // As bash-completion, which is not here, would do.
    let completion =
        "source /usr/share/bash-completion/completions/btcloud-host; complete -p btcloud-host";
    let completion = debian.run(&["bash", "-c", completion]);
    assert!(completion.ok().contains("btcloud-host"), "{completion:?}");

    debian
        .run(&["apt-get", "remove", "--yes", "btcloud-host"])
        .ok();
    let after = debian.files();
    let left: Vec<_> = after.difference(&before).collect();
    let left: Vec<_> = left
        .into_iter()
        .filter(|place| !is_home(&debian, place))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(before.is_subset(&after));
    let known = debian.run(&["dpkg-query", "--show", "btcloud-host"]);
    known.fails(1);
}

/// Whether a place is where the user's home is put.
fn is_home(debian: &Debian, place: &Path) -> bool {
    Path::new("/").join(place).starts_with(debian.lab.home())
}

#[test]
fn installed_package_leads_a_machines_life() {
    let address = Ipv4Addr::new(127, 0, 119, 11);
    let debian = Debian::new(address);
    debian.install();
    debian.add_fake_guest();
    let run = |arguments: &[&str]| debian.run(&[&["btcloud-host"], arguments].concat());
    let engine = DockerEngine::start(IpAddr::V4(address), &debian.lab.store(), "web-1");
    let created = run(&[&["run", "create", "web-1"], OPTIONS.as_slice()].concat());
    assert!(
        created.ok().contains(&format!("web-1 runs at {address}")),
        "{created:?}"
    );
    drop(engine);
    for (operation, state) in [
        ("stop", "Stopped"),
        ("start", "Running"),
        ("restart", "Running"),
        ("kill", "Stopped"),
    ] {
        run(&["run", operation, "web-1"]).ok();
        assert_eq!(run(&["run", "status", "web-1"]).ok(), state, "{operation}");
    }
    run(&["rm", "-y", "web-1"]).ok();
    assert!(debian.lab.cloud.inventory().is_empty());
}

/// By its name in the search path, as docker-machine finds a plugin.
#[test]
fn installed_package_is_found_by_a_docker_machine_client() {
    let address = Ipv4Addr::new(127, 0, 119, 21);
    let debian = Debian::new(address);
    debian.install();
    debian.add_fake_guest();
    debian.add(&named_by("TEST_DOCKER_MACHINE"));
    let run = |arguments: &[&str]| debian.run(&[&["docker-machine"], arguments].concat());
    let engine = DockerEngine::start(IpAddr::V4(address), &debian.lab.store(), "web-1");
    let create = ["create", "--driver", "btcloud"];
    let created = run(&[&create, OPTIONS.as_slice(), &["web-1"]].concat());
    assert!(
        created.ok().contains("Docker is up and running!"),
        "{created:?}"
    );
    let format = ["--format", "{{.Name}} {{.State}} {{.Error}}"];
    let listed = run(&[&["ls"], &format[..]].concat());
    assert_eq!(listed.ok().trim_end(), "web-1 Running");
    for operation in ["stop", "start", "restart", "kill"] {
        run(&[operation, "web-1"]).ok();
    }
    run(&["rm", "-y", "web-1"]).ok();
    drop(engine);
    assert!(debian.lab.cloud.inventory().is_empty());
}
