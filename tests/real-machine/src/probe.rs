//! Whether this machine can run guests.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cgroups::{self, ControlGroups};
use crate::{Error, Kind, run};

/// What the scripts call.
const PROGRAMS: [&str; 9] = [
    "sh",
    "unshare",
    "nsenter",
    "mount",
    "umount",
    "pivot_root",
    "ip",
    "chroot",
    "mknod",
];

/// Does what a guest's start does, in namespaces that end with it. The argument is a directory.
const TRIAL: &str = r#"
set -eu
mount -t tmpfs tmpfs "$1"
mkdir "$1/lower" "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mkdir "$1/root/proc"
mount -t proc proc "$1/root/proc"
mknod "$1/null" c 1 3
ip link add br0 type bridge
ip link add a0 type veth peer name b0
"#;

/// Looks whether this machine can run guests of that kind. `directory`, which is made, is where things are tried out, and
/// nothing stays in it.
///
/// # Errors
///
/// Says why it cannot.
pub fn check(directory: &Path, kind: Kind) -> Result<(), Error> {
    obstacle(directory, kind).map_err(Error::CannotRun)
}

fn obstacle(directory: &Path, kind: Kind) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("it is no Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("that takes root".to_owned());
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "ID=debian") {
        return Err(
            "the image is built from the machine's own Debian packages, and it is no Debian"
                .to_owned(),
        );
    }
    let mut programs = PROGRAMS.to_vec();
    if kind == Kind::Qemu {
        programs.push("mkfs.ext4");
        if !Path::new("/dev/net/tun").exists() {
            return Err("there is no /dev/net/tun, by which QEMU has its network".to_owned());
        }
    }
    if let Some(missing) = programs.iter().find(|program| !is_installed(program)) {
        return Err(format!("{missing} is not installed"));
    }
    let hierarchies = cgroups::hierarchies()?;
    let name = cgroups::own_name().map_err(|error| error.to_string())?;
    cgroups::sweep(&hierarchies);
    let parents = hierarchies.iter().map(|row| row.directory.as_path());
    ControlGroups::below(parents, &format!("{name}.probe"))
        .map_err(|error| format!("no control group can be made: {error}"))?;
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let namespaces = ["--pid", "--net", "--uts", "--ipc", "--cgroup"];
    run(Command::new("timeout")
        .args(["--signal=KILL", "20"])
        .args(["unshare", "--mount", "--propagation", "private"])
        .args(namespaces)
        .args(["--fork", "--kill-child=KILL", "sh", "-c", TRIAL, "sh"])
        .arg(directory))
    .map(drop)
    .map_err(|error| format!("a trial of its namespaces failed: {error}"))
}

/// Whether a program is in the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
