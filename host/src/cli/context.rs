//! `btcloud-host context`: a `docker context` for a machine.
//!
//! Docker's own client writes it. The files of its contexts have a layout that is its own, in a directory that its own
//! configuration names, and whoever uses contexts has it.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command as Process, Output};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::arguments::{common, machine_name, store};
use super::driver::Choice;
use super::exit::Exit;
use super::failure::Failure;
use super::task;
use super::terminal::print;
use crate::capability::text::clean;
use crate::machine::{Error, is_machine_name};

/// How the descriptions begin of contexts that this command has made, and may change and remove.
const MARK: &str = "Machine of btcloud-host in ";

const DETAILS: &str = "\
Docker's own client, `docker`, is called for it. It keeps a copy of the certificates and of the client's key: do this again \
when they or the machine's address have changed, and remove the context with the machine.";

/// The command.
pub(super) fn command() -> Command {
    Command::new("context")
        .about("Make or update a docker context of the machine's name, or remove it")
        .after_help(DETAILS)
        .args(common())
        .arg(machine_name("name"))
        .arg(
            Arg::new("use")
                .long("use")
                .action(ArgAction::SetTrue)
                .help("Make it the current one"),
        )
        .arg(
            Arg::new("rm")
                .long("rm")
                .action(ArgAction::SetTrue)
                .conflicts_with("use")
                .help("Remove it; the machine need not be there any more"),
        )
}

/// Runs `btcloud-host context`.
pub(super) fn execute(choice: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let name = matches
        .get_one::<String>("name")
        .cloned()
        .unwrap_or_default();
    let store = store(matches)?;
    // It may not be there any more.
    if !is_machine_name(&name) {
        return Err(Error::Name(name).into());
    }
    if matches.get_flag("rm") {
        if !is_there(&name)? {
            let error = format!("there is no docker context \"{name}\"");
            return Err(Failure::new(Exit::NotFound, error));
        }
        docker(["context", "rm", "--force", &name].map(OsString::from))?;
        return print(&format!("Removed the docker context {name}"));
    }
    let url = task::stored(choice, &store, &name, matches)?.url()?;
    let certificates = store.certificates(&name)?;
    let (verb, done) = match is_there(&name)? {
        true => ("update", "Updated"),
        false => ("create", "Made"),
    };
    let endpoint = [
        field("host", Path::new(&url)),
        field("ca", &certificates.join("ca.pem")),
        field("cert", &certificates.join("cert.pem")),
        field("key", &certificates.join("key.pem")),
    ];
    let endpoint = endpoint.join(OsString::from(",").as_os_str());
    let description = format!("{MARK}{}", store.path().display());
    let mut arguments = ["context", verb, &name, "--description", &description]
        .map(OsString::from)
        .to_vec();
    arguments.extend(["--docker".into(), endpoint]);
    docker(arguments)?;
    print(&format!("{done} the docker context {name}, for {url}"))?;
    match matches.get_flag("use") {
        true => docker(["context", "use", &name].map(OsString::from)).map(drop),
        false => Ok(()),
    }
}

/// Whether there is a context of that name, which must be one of ours.
fn is_there(name: &str) -> Result<bool, Failure> {
    let arguments = ["context", "ls", "--format", "{{json .}}"];
    let output = docker(arguments.map(OsString::from))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let mut contexts = listed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    match contexts.find(|context| context.get("Name").and_then(Value::as_str) == Some(name)) {
        None => Ok(false),
        Some(context) => {
            let description = context.get("Description").and_then(Value::as_str);
            if description.is_some_and(|text| text.starts_with(MARK)) {
                return Ok(true);
            }
            let error = format!(
                "the docker context \"{name}\" was made by somebody else, and stays as it is"
            );
            let hint = format!("`docker context rm {name}` removes it");
            Err(Failure::failed(error).with_hint(hint))
        }
    }
}

/// A field of a list with commas, as the client reads it (RFC 4180).
fn field(key: &str, value: &Path) -> OsString {
    match value.to_str() {
        Some(text) if text.contains([',', '"', '\n']) => {
            format!("\"{key}={}\"", text.replace('"', "\"\"")).into()
        }
        _ => {
            let mut field = OsString::from(format!("{key}="));
            field.push(value);
            field
        }
    }
}

/// Calls the client.
fn docker(arguments: impl IntoIterator<Item = OsString>) -> Result<Output, Failure> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let output = Process::new("docker").args(&arguments).output();
    let output = output.map_err(|e| {
        let failure = Failure::failed(format!("cannot call docker: {e}"));
        match e.kind() {
            io::ErrorKind::NotFound => {
                failure.with_hint("install Docker's client, or use `btcloud-host env`")
            }
            _ => failure,
        }
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = clean(String::from_utf8_lossy(&output.stderr).trim(), 2_000);
    let command: Vec<_> = arguments
        .iter()
        .take(2)
        .map(|a| a.display().to_string())
        .collect();
    let error = format!("`docker {}` failed: {said}", command.join(" "));
    Err(Failure::failed(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_commas_and_quotation_marks_stays_one_field() {
        assert_eq!(field("ca", Path::new("/a b/ca.pem")), "ca=/a b/ca.pem");
        assert_eq!(field("ca", Path::new("/a,\"b\"")), "\"ca=/a,\"\"b\"\"\"");
    }
}
