//! The command line, as a user types it. Each module is about one command, or about one matter of several.

mod arguments;
mod completions;
mod config;
mod context;
mod create;
mod doctor;
mod driver;
mod env;
mod examples;
mod gc;
mod interruption;
mod inventory;
mod ls;
mod man;
mod profiles;
mod run;
mod short;
mod store;
mod tls;
mod together;

use std::collections::BTreeSet;
use std::process::Command;

use acceptance::{Lab, OPTIONS, Outcome};

const LONDON: [&str; 2] = ["--btcloud-zone", "uk-london-1"];

/// Creates a machine with the usual options and these.
fn create(lab: &Lab, name: &str, options: &[&str]) -> Outcome {
    lab.run(&[&["create", name], OPTIONS.as_slice(), options].concat())
}

/// `run create` of several, in a zone where each has an address of its own.
fn create_several(lab: &Lab, arguments: &[&str]) -> Command {
    let mut host = lab.host();
    host.arg("create")
        .args(arguments)
        .args(OPTIONS)
        .args(["--btcloud-zone", "uk-basic-1"]);
    host
}

/// The names of the machines that the cloud has.
fn in_cloud(lab: &Lab) -> BTreeSet<String> {
    let machines = lab.cloud.inventory().machines;
    machines.into_iter().map(|machine| machine.name).collect()
}

/// The names of the machines that the store has.
fn in_store(lab: &Lab) -> BTreeSet<String> {
    let names = lab.cli(&["ls", "-q"]);
    names.ok().lines().map(str::to_owned).collect()
}
