//! The examples in the help work, each in a shell.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;

use acceptance::engine::DockerEngine;
use acceptance::parallel::play_all;
use acceptance::{HETZNER, Lab, program};
use btcloud_host::cli::examples::{EXAMPLES, Example};

/// Plays an example in a home of its own.
fn play(example: &Example) -> Result<(), String> {
    // What sets Docker up speaks with the engine in the end, at an address that no other example's machine has.
    let engine_at = match example.command {
        "provision" => Some(Ipv4Addr::new(127, 0, 117, 1)),
        "regenerate-certs" => Some(Ipv4Addr::new(127, 0, 117, 51)),
        _ => None,
    };
    let lab = Lab::with(
        |_| (),
        |cloud| {
            for addresses in &mut cloud.public_addresses {
                addresses.first = engine_at.unwrap_or(addresses.first);
            }
        },
    );
    let engine = engine_at.map(|ip| DockerEngine::start(ip.into(), &lab.store(), "web-1"));
    let makes_machines = example.command == "run create";
    for name in ["web-1", "web-2"].iter().filter(|_| !makes_machines) {
        match engine_at {
            None => lab.create(name, &["--btcloud-zone", "uk-basic-1"]),
            Some(_) => lab.create(name, &[]),
        }
        let certified = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let directory = lab.machine_directory(name);
        let pem = certified.cert.pem();
        fs::write(directory.join("ca.pem"), &pem).unwrap();
        fs::write(directory.join("cert.pem"), &pem).unwrap();
        let key = certified.signing_key.serialize_pem();
        fs::write(directory.join("key.pem"), key).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(directory.join(file), private).unwrap();
        }
    }
    fs::copy(HETZNER, lab.home().join("their-driver.wasm")).unwrap();
    if !example.line.contains("driver install") {
        let mut install = lab.command(program("btcloud-host"));
        install
            .args([
                "driver",
                "install",
                "their-driver.wasm",
                "--as",
                "their-driver",
                "--yes",
            ])
            .current_dir(lab.home());
        lab.finish(&mut install).ok();
    }
    let mut shell = lab.command("bash");
    shell
        .args(["-euo", "pipefail", "-c", example.line])
        .current_dir(lab.home());
    let outcome = lab.finish(&mut shell);
    drop(engine);
    match outcome.code {
        0 => Ok(()),
        _ => Err(format!("{}\n{outcome:?}", example.line)),
    }
}

#[test]
fn every_example_works() {
    let examples = EXAMPLES
        .iter()
        .filter(|example| example.command != "context");
    let failures = play_all(examples, play);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_example_with_the_docker_client_works() {
    let examples = EXAMPLES
        .iter()
        .filter(|example| example.command == "context");
    let failures = play_all(examples, play);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
