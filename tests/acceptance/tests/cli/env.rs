//! `btcloud-host env`: a shell that reads it finds a machine's engine.

use std::fs;

use acceptance::{Lab, program};

/// Puts the certificates there that Docker's set-up leaves.
fn provision(lab: &Lab, machine: &str) {
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        fs::write(lab.machine_directory(machine).join(file), "").unwrap();
    }
}

#[test]
fn a_shell_that_reads_env_finds_the_engine() {
    let lab = Lab::new();
    lab.create("web-1", &[]);
    let unprovisioned = lab.cli(&["env", "web-1"]);
    assert!(
        unprovisioned.fails(1).contains("provision web-1"),
        "{unprovisioned:?}"
    );
    provision(&lab, "web-1");
    let url = lab.cli(&["url", "web-1"]).ok().to_owned();
    let directory = lab.machine_directory("web-1").display().to_string();
    let expected = format!("1 {url} {directory} web-1");
    for (shell, read) in [
        ("sh", "eval \"$(btcloud-host env web-1)\""),
        ("bash", "eval \"$(btcloud-host env --shell bash web-1)\""),
        // As the users of docker-machine write it.
        ("bash", "eval $(btcloud-host env web-1)"),
    ] {
        let print = "echo $DOCKER_TLS_VERIFY $DOCKER_HOST $DOCKER_CERT_PATH $DOCKER_MACHINE_NAME";
        let mut command = lab.command(shell);
        command.args(["-c", &format!("{read}; {print}")]);
        assert_eq!(lab.finish(&mut command).ok(), expected, "{shell}");
        let unset = "eval \"$(btcloud-host env --unset)\"; echo ${DOCKER_HOST-none}";
        let mut command = lab.command(shell);
        command.args(["-c", &format!("{read}; {unset}")]);
        assert_eq!(lab.finish(&mut command).ok(), "none", "{shell}");
    }
    // The shell that the user has decides the words.
    for (shell, begins) in [
        ("/usr/bin/fish", "set -gx DOCKER_TLS_VERIFY \"1\";"),
        ("/bin/zsh", "export DOCKER_TLS_VERIFY=\"1\""),
        ("", "export DOCKER_TLS_VERIFY=\"1\""),
    ] {
        let mut host = lab.command(program("btcloud-host"));
        let outcome = lab.finish(host.args(["env", "web-1"]).env("SHELL", shell));
        assert!(outcome.ok().starts_with(begins), "{outcome:?}");
    }
    let ip = lab.cli(&["ip", "web-1"]).ok().to_owned();
    let mut host = lab.command(program("btcloud-host"));
    host.args(["env", "web-1", "--no-proxy"])
        .env("no_proxy", "localhost");
    let outcome = lab.finish(&mut host);
    assert!(
        outcome
            .ok()
            .contains(&format!("export no_proxy=\"localhost,{ip}\"")),
        "{outcome:?}"
    );
    // The comment is the command that was given.
    let store = lab.home().join("a store");
    std::os::unix::fs::symlink(lab.store(), &store).unwrap();
    let store = store.to_str().unwrap();
    let outcome = lab.cli(&["env", "--shell", "sh", "--no-proxy", "-s", store, "web-1"]);
    let comment = format!(
        "# eval \"$(btcloud-host env --shell sh --no-proxy --storage-path '{store}' web-1)\""
    );
    assert!(outcome.ok().ends_with(&comment), "{outcome:?}");
    lab.run(&["stop", "web-1"]).ok();
    assert!(
        lab.cli(&["env", "web-1"])
            .fails(1)
            .contains("Host is not running")
    );
}
