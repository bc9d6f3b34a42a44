//! The process that runs a laboratory and tidies up after it.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::{Error, Kind, cgroups};

/// Runs a laboratory until its standard input ends, and removes its control groups then.
///
/// # Errors
///
/// If the machine does not let it.
pub fn keep(image: &Path, kind: Kind) -> Result<ExitCode, Error> {
    let hierarchies = cgroups::hierarchies().map_err(Error::CannotRun)?;
    cgroups::sweep(&hierarchies);
    let name = cgroups::own_name().map_err(Error::file("/proc"))?;
    let mut groups = Vec::new();
    let result = hierarchies.iter().try_for_each(|hierarchy| {
        let made = cgroups::make(&hierarchy.directory, &name);
        groups.push(made.map_err(Error::file(&hierarchy.directory))?);
        Ok(())
    });
    let result = result.and_then(|()| {
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
            .args(["lab", "--kind", kind.name(), "--image"])
            .arg(image);
        for (hierarchy, group) in hierarchies.iter().zip(&groups) {
            laboratory.arg("--group").arg(group);
            let name = hierarchy.name.as_deref().unwrap_or_default();
            laboratory
                .arg("--hierarchy")
                .arg(format!("{name} {}", hierarchy.options));
        }
        laboratory.status().map_err(Error::program("unshare"))
    });
    for group in &groups {
        if !cgroups::remove(group) {
            eprintln!("real-machine: {} is still in use", group.display());
        }
    }
    let code = result?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
