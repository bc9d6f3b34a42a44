//! `btcloud-host context`: Docker's client has a context for a machine.

use std::fs;

use acceptance::{Lab, program};

#[test]
fn the_docker_client_has_a_context_for_a_machine() {
    let docker = std::env::var("TEST_DOCKER").expect("TEST_DOCKER names Docker's client");
    let lab = Lab::new();
    lab.create("web-1", &[]);
    // A certificate and its key, as Docker's client reads them.
    let certified = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
    let certificate = certified.cert.pem();
    let key = certified.signing_key.serialize_pem();
    for (file, pem) in [
        ("ca.pem", &certificate),
        ("cert.pem", &certificate),
        ("key.pem", &key),
    ] {
        fs::write(lab.machine_directory("web-1").join(file), pem).unwrap();
    }
    let path = |command: &mut std::process::Command| {
        let first = std::path::Path::new(&docker).parent().unwrap().to_owned();
        let all = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([first].into_iter().chain(std::env::split_paths(&all)));
        command.env("PATH", path.unwrap());
    };
    let context = |arguments: &[&str]| {
        let mut host = lab.command(program("btcloud-host"));
        host.arg("context").args(arguments);
        path(&mut host);
        lab.finish(&mut host)
    };
    let inspect = |name: &str| {
        let mut command = lab.command(&docker);
        let outcome = lab.finish(command.args(["context", "inspect", name]));
        serde_json::from_str::<serde_json::Value>(outcome.ok()).unwrap()[0].clone()
    };
    let url = lab.cli(&["url", "web-1"]).ok().to_owned();
    let made = context(&["web-1"]);
    assert_eq!(
        made.ok(),
        format!("Made the docker context web-1, for {url}")
    );
    let inspected = inspect("web-1");
    assert_eq!(inspected["Endpoints"]["docker"]["Host"], url);
    assert_eq!(inspected["Endpoints"]["docker"]["SkipTLSVerify"], false);
    let files = inspected["TLSMaterial"]["docker"].as_array().unwrap();
    assert_eq!(files.len(), 3, "{inspected}");

    // Made again it follows the machine, and can be the current one.
    assert!(
        context(&["web-1", "--use"])
            .ok()
            .starts_with("Updated the docker context web-1")
    );
    let mut show = lab.command(&docker);
    assert_eq!(lab.finish(show.args(["context", "show"])).ok(), "web-1");
    let mut back = lab.command(&docker);
    lab.finish(back.args(["context", "use", "default"])).ok();
    assert_eq!(
        context(&["web-1", "--rm"]).ok(),
        "Removed the docker context web-1"
    );
    assert!(
        context(&["web-1", "--rm"])
            .fails(4)
            .contains("no docker context")
    );

    // One that somebody else made is nobody's business.
    let mut other = lab.command(&docker);
    other.args([
        "context",
        "create",
        "web-1",
        "--docker",
        "host=tcp://192.0.2.9:2376",
    ]);
    lab.finish(&mut other).ok();
    for arguments in [["web-1"].as_slice(), &["web-1", "--rm"]] {
        assert!(
            context(arguments)
                .fails(1)
                .contains("made by somebody else")
        );
    }
    assert_eq!(
        inspect("web-1")["Endpoints"]["docker"]["Host"],
        "tcp://192.0.2.9:2376"
    );

    let mut without = lab.command(program("btcloud-host"));
    without.args(["context", "web-1"]).env("PATH", "/nowhere");
    let outcome = lab.finish(&mut without);
    assert!(
        outcome.fails(1).contains("hint: install Docker's client"),
        "{outcome:?}"
    );
}
