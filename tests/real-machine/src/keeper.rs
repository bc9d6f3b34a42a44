//! The process that runs a laboratory and tidies up after it.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cgroups::{self, ControlGroups};
use crate::{Error, Kind};

/// Runs a laboratory until its standard input ends, and removes its control groups then.
///
/// # Errors
///
/// If the machine does not let it.
pub fn keep(image: &Path, kind: Kind) -> Result<ExitCode, Error> {
    let hierarchies = cgroups::hierarchies().map_err(Error::CannotRun)?;
    cgroups::sweep(&hierarchies);
    let name = cgroups::own_name().map_err(Error::file("/proc"))?;
    let parents = hierarchies.iter().map(|row| row.directory.as_path());
    let groups = ControlGroups::below(parents, &name)
        .map_err(|error| Error::CannotRun(format!("no control group: {error}")))?;
    let program = std::env::current_exe().map_err(Error::program("itself"))?;
    let mut laboratory = Command::new("unshare");
    laboratory
        .args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--mount-proc",
        ])
        .args(["--fork", "--kill-child=KILL"])
        .arg(program)
        .args(["supervisor", "--kind", kind.name(), "--image"])
        .arg(image);
    for (hierarchy, group) in hierarchies.iter().zip(groups.directories()) {
        laboratory.arg("--group").arg(group);
        let name = hierarchy.name.as_deref().unwrap_or_default();
        laboratory
            .arg("--hierarchy")
            .arg(format!("{name} {}", hierarchy.options));
    }
    let status = laboratory.status().map_err(Error::program("unshare"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
