//! Genuine docker-machine clients, through the plugin: what each of them shows for each thing that a user can do.
//! `docs/clients.md` has a row for each of these tests.

mod creation;
mod everyday;
mod removal;
mod takeover;

use std::net::{IpAddr, Ipv4Addr};

use acceptance::client::Client;
use acceptance::{Lab, OPTIONS, Outcome, project_root};

/// `create` with the usual options and these.
fn creation<'t>(name: &'t str, options: &[&'t str]) -> Vec<&'t str> {
    let create = ["create", "--driver", "btcloud"];
    [&create, OPTIONS.as_slice(), options, &[name]].concat()
}

/// Each test has addresses of its own, since the engine's port is the same for all.
fn lab(client: &Client, number: u8) -> (Lab, IpAddr) {
    let ip = Ipv4Addr::new(127, 0, 110 + client.number(), number);
    let lab = Lab::at(ip);
    (lab, IpAddr::V4(ip))
}

/// Makes a machine through the other door, which is quicker: nobody sets it up.
fn made(lab: &Lab, name: &str) {
    lab.run(&[&["create", name], OPTIONS.as_slice()].concat())
        .ok();
}

/// The standard output of a command that must succeed, in lines without the spaces around them.
#[track_caller]
fn lines(outcome: &Outcome) -> Vec<&str> {
    outcome.ok().lines().map(str::trim).collect()
}

/// The documentation's table has one row for each test, and no other.
#[test]
fn the_documentation_has_a_row_for_each_test() {
    let path = project_root().join("docs/clients.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let test = |row: &str| {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next()?.to_owned();
        Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned())
    };
    let mut told: Vec<_> = rows.filter_map(test).collect();
    let modules = [
        ("creation", creation::TESTS),
        ("everyday", everyday::TESTS),
        ("removal", removal::TESTS),
        ("takeover", takeover::TESTS),
    ];
    let mut there: Vec<_> = modules
        .iter()
        .flat_map(|(module, tests)| tests.iter().map(move |test| format!("{module}::{test}")))
        .collect();
    told.sort();
    there.sort();
    assert_eq!(told, there);
}
