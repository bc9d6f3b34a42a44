//! A driver for the Hetzner Cloud: servers with a public address, reached by an API with JSON and a bearer token.
//!
//! The crate is empty on any other target than WebAssembly: a component's exports have names that no native linker takes.

#![cfg(target_arch = "wasm32")]

#[allow(
    missing_docs,
    rust_2018_idioms,
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    reason = "generated; the documentation is in the WIT files"
)]
mod contract {
    wit_bindgen::generate!({
        world: "driver",
        path: "../../../wit",
        additional_derives: [PartialEq],
    });
    export!(Driver);
    use super::Driver;
}

mod api;
mod machine;

use contract::exports::machine::driver::lifecycle::Guest;
use contract::machine::driver::http::Method;
use contract::machine::driver::types::{
    Description, Error, FoundMachine, Machine, MachineStatus, OptionKind, OptionScope, OptionSpec,
    Value,
};
use machine::Server;

/// The options' names.
const ENDPOINT: &str = "hetzner-endpoint";
const TOKEN: &str = "hetzner-token";
const SERVER_TYPE: &str = "hetzner-server-type";
const IMAGE: &str = "hetzner-image";
const LOCATION: &str = "hetzner-location";

/// What is told when there is no token.
const NO_TOKEN: &str = "Please specify an API token (--hetzner-token)";

/// What the host instantiates.
struct Driver;

impl Guest for Driver {
    fn describe() -> Description {
        let option =
            |name: &str, env: &str, help: &str, default: Option<&str>, key: &str| OptionSpec {
                name: name.to_owned(),
                env: env.to_owned(),
                help: help.to_owned(),
                kind: OptionKind::Text,
                scope: OptionScope::Machine,
                required: None,
                default: default.map(str::to_owned),
                config_key: Some(key.to_owned()),
            };
        let account = |kind, option| OptionSpec {
            kind,
            scope: OptionScope::Account,
            ..option
        };
        let url = Some("https://api.hetzner.cloud/v1");
        let token = option(
            TOKEN,
            "HETZNER_TOKEN",
            "API token of the project",
            None,
            "Token",
        );
        let endpoint = option(
            ENDPOINT,
            "HETZNER_ENDPOINT",
            "URL of the API",
            url,
            "Endpoint",
        );
        Description {
            name: "hetzner".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: vec![
                OptionSpec {
                    required: Some(NO_TOKEN.to_owned()),
                    ..account(OptionKind::Secret, token)
                },
                account(OptionKind::Endpoint, endpoint),
                option(
                    SERVER_TYPE,
                    "HETZNER_SERVER_TYPE",
                    "Type of the server, which sets its size",
                    Some("cx22"),
                    "ServerType",
                ),
                option(
                    IMAGE,
                    "HETZNER_IMAGE",
                    "Image from which the server is made",
                    Some("ubuntu-24.04"),
                    "Image",
                ),
                option(
                    LOCATION,
                    "HETZNER_LOCATION",
                    "Location in which the server is made; without it the cloud chooses one",
                    None,
                    "Location",
                ),
            ],
            commands: [
                "GET /server_types",
                "GET /images",
                "GET /locations",
                "GET /ssh_keys",
                "POST /ssh_keys",
                "DELETE /ssh_keys/{id}",
                "GET /servers",
                "POST /servers",
                "DELETE /servers/{id}",
                "POST /servers/{id}/actions/{action}",
                "GET /actions/{id}",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }

    fn check(machine: Machine) -> Result<(), Error> {
        machine::check(&machine)
    }

    fn create(machine: Machine) -> Result<MachineStatus, Error> {
        machine::create(&machine)
    }

    fn start(machine: Machine) -> Result<(), Error> {
        let server = machine::existing(&machine)?;
        machine::start(&server)
    }

    fn stop(machine: Machine) -> Result<(), Error> {
        let server = machine::existing(&machine)?;
        machine::stop(&server)
    }

    fn kill(machine: Machine) -> Result<(), Error> {
        let server = machine::existing(&machine)?;
        machine::kill(&server)
    }

    fn restart(machine: Machine) -> Result<(), Error> {
        let server = machine::existing(&machine)?;
        match server.is_running() {
            true => server.act("reboot"),
            false => machine::start(&server),
        }
    }

    fn remove(machine: Machine) -> Result<(), Error> {
        machine::remove(&machine)
    }

    fn status(machines: Vec<Machine>) -> Vec<Result<MachineStatus, Error>> {
        let status = |machine: &Machine| {
            let server = machine::find(machine)?;
            Ok(server.as_ref().map_or_else(machine::gone, Server::status))
        };
        machines.iter().map(status).collect()
    }

    fn survey(_: Vec<(String, Value)>) -> Result<Vec<FoundMachine>, Error> {
        machine::survey()
    }
}

/// Sends a request, and reads the answer as JSON.
fn get<T: serde::de::DeserializeOwned>(path: &str, query: &[(&str, &str)]) -> Result<T, Error> {
    Ok(api::call(Method::Get, path, query, None)?)
}
