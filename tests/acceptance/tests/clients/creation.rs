//! `create`, as far as it goes.

use std::fs;
use std::io::{self, Read as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use acceptance::client::{Client, plugins_of};
use acceptance::engine::DockerEngine;
use acceptance::{Lab, OPTIONS, Outcome, signal, tests_with_clients, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use super::{creation, lab, lines, made};

tests_with_clients!([
    it_ends_in_an_engine_that_env_and_ls_tell,
    its_help_lists_the_options,
    a_missing_option_is_named,
    what_the_check_finds_is_told_before_anything_is_made,
    a_name_that_is_taken_is_refused,
    one_that_fails_leaves_nothing,
    one_whose_client_is_killed_leaves_nothing,
    one_whose_plugin_is_killed_is_removed_later,
    two_at_once_do_not_meet,
    options_come_by_argument_and_by_environment,
    lists_come_by_argument_and_by_environment,
    user_data_arrives,
    details_are_shown_with_debug_only,
]);

/// Fails early: the client does not get in, and gives up after a minute; nobody waits for that.
const NOBODY: (&str, &str) = ("FAKE_GUEST", "nobody@192.0.2.1:22");

fn it_ends_in_an_engine_that_env_and_ls_tell(client: &Client) {
    let (lab, ip) = lab(client, 11);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    let mut create = client.command(&lab, &creation("m1", &[]));
    let created = lab.finish(create.env("FAKE_GUEST", format!("root@{ip}:22")));
    let lines = lines(&created);
    let expected = [
        "Running pre-create checks...",
        "Creating machine...",
        "(m1) [1/5] Looking up what the options name",
        "(m1) [2/5] Registering the SSH key",
        "(m1) [3/5] Deploying the virtual machine",
        "(m1) [4/5] Waiting for the network's virtual router and the virtual machine to start",
        &format!("(m1) [5/5] Forwarding ports on {ip}"),
        "Waiting for machine to be running, this may take a few minutes...",
        "Detecting operating system of created instance...",
        "Waiting for SSH to be available...",
        "Detecting the provisioner...",
        "Provisioning with debian...",
        "Copying certs to the local machine directory...",
        "Copying certs to the remote machine...",
        "Setting Docker configuration on the remote daemon...",
        "Checking connection to Docker...",
        "Docker is up and running!",
    ];
    // The one says, besides, that it makes certificates, the other that it installs Docker.
    let of_ours: Vec<_> = lines
        .iter()
        .filter(|line| expected.contains(line))
        .collect();
    assert_eq!(of_ours, expected.iter().collect::<Vec<_>>(), "{created:?}");
    assert!(lines.len() <= expected.len() + 4, "{created:?}");
    assert_eq!(created.stderr, "");

    let run = |arguments: &[&str]| client.run(&lab, arguments);
    let env = run(&["env", "--shell", "bash", "m1"]);
    let directory = lab.machine_directory("m1");
    for export in [
        "export DOCKER_TLS_VERIFY=\"1\"",
        &format!("export DOCKER_HOST=\"tcp://{ip}:2376\""),
        &format!("export DOCKER_CERT_PATH=\"{}\"", directory.display()),
        "export DOCKER_MACHINE_NAME=\"m1\"",
    ] {
        assert!(env.ok().lines().any(|line| line == export), "{env:?}");
    }
    let config = run(&["config", "m1"]);
    assert!(config.ok().contains(&format!("-H=tcp://{ip}:2376")));
    let format = "{{.Name}} {{.DriverName}} {{.State}} {{.URL}} {{.DockerVersion}} {{.Error}}";
    assert_eq!(
        run(&["ls", "--format", format]).ok(),
        format!("m1 btcloud Running tcp://{ip}:2376 v20.10.24")
    );
    drop(engine);
}

fn its_help_lists_the_options(client: &Client) {
    let (lab, _) = lab(client, 12);
    let help = client.run(&lab, &["create", "--driver", "btcloud", "--help"]);
    let driver = btcloud_host::builtin::driver();
    for option in &driver.loaded().unwrap().description.options {
        let flag = format!("--{}", option.name);
        let line = help.ok().lines().find(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(&*flag)
        });
        let line = line.unwrap_or_else(|| panic!("{flag} is not there: {}", help.stdout));
        assert!(
            line.contains(&option.help) && line.contains(&format!("[${}]", option.env)),
            "{line}"
        );
    }
    // Nothing is called for that, and no machine is made.
    assert!(lab.cloud.requests().is_empty());
}

fn a_missing_option_is_named(client: &Client) {
    let (lab, _) = lab(client, 13);
    let outcome = client.run(&lab, &["create", "--driver", "btcloud", "m1"]);
    let words = "Please specify an availability zone (--btcloud-zone).";
    assert!(
        outcome.fails(1).to_lowercase().ends_with(
            &format!("error setting machine configuration from flags provided: {words}")
                .to_lowercase()
        ),
        "{outcome:?}"
    );
    assert!(!lab.machine_directory("m1").exists());
    assert!(lab.cloud.requests().is_empty());
}

fn what_the_check_finds_is_told_before_anything_is_made(client: &Client) {
    let (lab, _) = lab(client, 14);
    let before = lab.cloud.inventory();
    let mut arguments = creation("m1", &[]);
    arguments[4] = "uk-leeds-1";
    let outcome = client.run(&lab, &arguments);
    let error = outcome.fails(3);
    assert!(
        error.starts_with("Error with pre-create check: \""),
        "{error}"
    );
    for zone in ["uk-leeds-1", "uk-london-1"] {
        assert!(error.contains(zone), "{error}");
    }
    let mut create = client.command(&lab, &creation("m1", &[]));
    let outcome = lab.finish(create.env("BTCLOUD_SECRET_KEY", "wrong"));
    assert!(outcome.fails(3).contains("error 401"), "{outcome:?}");
    assert!(!lab.machine_directory("m1").exists());
    assert_eq!(lab.cloud.inventory(), before);
}

fn a_name_that_is_taken_is_refused(client: &Client) {
    let (lab, _) = lab(client, 15);
    made(&lab, "m1");
    let before = lab.cloud.inventory();
    let outcome = client.run(&lab, &creation("m1", &[]));
    let error = outcome.fails(1);
    assert!(
        error.ends_with("ocker machine \"m1\" already exists"),
        "{error}"
    );
    assert_eq!(lab.cloud.inventory(), before);
    assert_eq!(client.run(&lab, &["status", "m1"]).ok(), "Running");
}

fn one_that_fails_leaves_nothing(client: &Client) {
    let (lab, _) = lab(client, 16);
    let before = lab.cloud.inventory();
    lab.fail_job("deployVirtualMachine", 533, "No room for m1");
    let outcome = client.run(&lab, &creation("m1", &[]));
    let error = outcome.fails(1);
    assert!(error.contains("No room for m1"), "{error}");
    assert!(
        outcome.stdout.contains(
            "(m1) Warning: the machine could not be created; what had been made of it is removed again"
        ),
        "{outcome:?}"
    );
    assert_eq!(lab.cloud.inventory(), before);
    // The client keeps the machine in its store; removing that makes no trouble.
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert!(!lab.machine_directory("m1").exists());
}

fn one_whose_client_is_killed_leaves_nothing(client: &Client) {
    let (lab, _) = lab(client, 17);
    let before = lab.cloud.inventory();
    let mut create = start(client, &lab, &creation("m1", &[]));
    // The client can tell the plugin nothing.
    signal(&create, Signal::KILL);
    create.wait().unwrap();
    wait_until("the undoing", || lab.cloud.inventory() == before);
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
    assert!(!lab.machine_directory("m1").exists());
}

fn one_whose_plugin_is_killed_is_removed_later(client: &Client) {
    let (lab, _) = lab(client, 18);
    let before = lab.cloud.inventory();
    let create = start(client, &lab, &creation("m1", &[]));
    let id = i32::try_from(create.id()).unwrap();
    // The one that looks up the options is killed too; what it was asked has been answered.
    for plugin in plugins_of(id, false) {
        kill_process(Pid::from_raw(plugin).unwrap(), Signal::KILL).unwrap();
    }
    let outcome = finished(create, &lab).unwrap();
    let error = outcome.fails(1);
    assert!(
        error.contains("rror in driver during machine creation: unexpected EOF"),
        "{error}"
    );
    assert!(lab.has_machine("m1"));
    assert_eq!(
        lines(&client.run(&lab, &["rm", "-y", "m1"])).last(),
        Some(&"Successfully removed m1")
    );
    assert_eq!(lab.cloud.inventory(), before);
}

/// Starts a creation, and waits until its virtual machine is being deployed, which takes some time.
fn start(client: &Client, lab: &Lab, arguments: &[&str]) -> Child {
    lab.slow_down("deployVirtualMachine", Duration::from_secs(3));
    let mut command = client.command(lab, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let create = command.spawn().unwrap();
    wait_until("the deployment", || lab.has_machine("m1"));
    create
}

fn finished(process: Child, lab: &Lab) -> io::Result<Outcome> {
    Ok(lab.outcome(process.wait_with_output()?))
}

fn two_at_once_do_not_meet(client: &Client) {
    let (lab, _) = lab(client, 19);
    let before = lab.cloud.inventory();
    // As anybody does who has made a machine before: neither of the two makes the certificates.
    client
        .run(&lab, &creation("m0", &["--btcloud-zone", "none"]))
        .fails(3);
    let names = ["m1", "m2"];
    let processes = names.map(|name| {
        let arguments = creation(name, &["--btcloud-address", "static-nat"]);
        let mut command = client.command(&lab, &arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    // The engines answer where the two have got their addresses.
    let engines = names.map(|name| {
        let mut ip = None;
        wait_until("its address", || {
            let Ok(text) = fs::read(lab.machine_directory(name).join("config.json")) else {
                return false;
            };
            let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let stored = &config["Driver"]["PublicIpAddress"];
            ip = stored.as_str().and_then(|ip| ip.parse().ok());
            ip.is_some()
        });
        let ip = ip.unwrap();
        (ip, DockerEngine::start(ip, &lab.store(), name))
    });
    for process in processes {
        let outcome = finished(process, &lab).unwrap();
        assert!(
            outcome.ok().contains("Docker is up and running!"),
            "{outcome:?}"
        );
    }
    let ls = client.run(&lab, &["ls", "--format", "{{.Name}} {{.State}} {{.URL}}"]);
    let expected: Vec<_> = names
        .iter()
        .zip(&engines)
        .map(|(name, (ip, _))| format!("{name} Running tcp://{ip}:2376"))
        .collect();
    assert_eq!(lines(&ls), expected);
    assert_ne!(engines[0].0, engines[1].0);
    client.run(&lab, &["rm", "-y", "m1", "m2"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

/// The parameters with which a machine is deployed by a client with these arguments and variables, and the client's end
/// without waiting for the guest.
fn deployed(
    client: &Client,
    lab: &Lab,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Vec<(String, String)> {
    let mut command = client.command(lab, arguments);
    command
        .envs(variables.iter().copied())
        .env(NOBODY.0, NOBODY.1);
    let output = fs::File::create(lab.home().join("output")).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let mut process = command.spawn().unwrap();
    let shown = || {
        let mut text = String::new();
        let file = fs::File::open(lab.home().join("output"));
        file.unwrap().read_to_string(&mut text).unwrap();
        text
    };
    wait_until("the machine", || {
        assert!(process.try_wait().unwrap().is_none(), "{}", shown());
        shown().contains("Waiting for machine to be running")
    });
    process.kill().unwrap();
    process.wait().unwrap();
    let requests = lab.cloud.requests();
    let mut deployments = requests
        .iter()
        .filter(|request| request.command == "deployVirtualMachine");
    deployments.next().unwrap().parameters.clone()
}

fn options_come_by_argument_and_by_environment(client: &Client) {
    let (lab, _) = lab(client, 20);
    let variables = [
        ("BTCLOUD_ZONE", "uk-leeds-1"),
        ("BTCLOUD_TEMPLATE", OPTIONS[3]),
        ("BTCLOUD_SERVICE_OFFERING", OPTIONS[5]),
        ("BTCLOUD_DISPLAY_NAME", "by variable"),
        ("BTCLOUD_GROUP", "by variable"),
        ("BTCLOUD_ROOT_DISK_SIZE", "20"),
    ];
    let arguments = [
        "create",
        "--driver=btcloud",
        "--btcloud-zone=uk-london-1",
        "--btcloud-display-name",
        "by argument",
        "m1",
    ];
    let parameters = deployed(client, &lab, &arguments, &variables);
    for expected in [
        ("displayname", "by argument"),
        ("group", "by variable"),
        ("rootdisksize", "20"),
    ] {
        let expected = (expected.0.to_owned(), expected.1.to_owned());
        assert!(parameters.contains(&expected), "{parameters:?}");
    }
    client.run(&lab, &["rm", "-y", "m1"]).ok();
}

/// Clients hand over no variable of a list's; the plugin looks itself.
fn lists_come_by_argument_and_by_environment(client: &Client) {
    let (lab, _) = lab(client, 21);
    let tags = || -> Vec<String> {
        let tags = lab.cloud.inventory().tags.into_iter();
        let of_user = |tag: &String| tag.contains("team") || tag.contains("stage");
        tags.filter(of_user).collect()
    };
    let by_argument = ["--btcloud-tag", "team=ci", "--btcloud-tag", "stage=a,b"];
    deployed(client, &lab, &creation("m1", &by_argument), &[]);
    let given = tags();
    assert_eq!(given.len(), 2, "{given:?}");
    for tag in ["team=ci", "stage=a,b"] {
        assert!(given.iter().any(|given| given.ends_with(tag)), "{given:?}");
    }
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert_eq!(tags(), Vec::<String>::new());

    let by_variable = [("BTCLOUD_TAG", "team=ci,stage=a")];
    deployed(client, &lab, &creation("m2", &[]), &by_variable);
    assert_eq!(tags().len(), 2, "{:?}", tags());
    client.run(&lab, &["rm", "-y", "m2"]).ok();
}

fn user_data_arrives(client: &Client) {
    use base64::Engine as _;
    let (lab, _) = lab(client, 22);
    let file = lab.home().join("user-data");
    fs::write(&file, "#cloud-config\nruncmd: [touch /here]\n").unwrap();
    let script = lab.home().join("install.sh");
    fs::write(&script, "#!/bin/sh\ntouch /installed\n").unwrap();
    let mut options = vec!["--btcloud-userdata", file.to_str().unwrap()];
    if client.is_rancher {
        options.extend(["--custom-install-script", script.to_str().unwrap()]);
        let create = client.command(&lab, &creation("m1", &options)).output();
        let outcome = lab.outcome(create.unwrap());
        // It does not provision a machine that its user data sets up.
        assert_eq!(outcome.code, 0, "{outcome:?}");
    } else {
        deployed(client, &lab, &creation("m1", &options), &[]);
    }
    let requests = lab.cloud.requests();
    let deploy = requests
        .iter()
        .find(|request| request.command == "deployVirtualMachine");
    let encoded = deploy.unwrap().parameter("userdata").unwrap();
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
    let text = String::from_utf8(decoded.unwrap()).unwrap();
    if client.is_rancher {
        // The script, packed, and the commands of both.
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        for part in ["touch /here", "install.sh", "write_files"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    } else {
        assert_eq!(text, "#cloud-config\nruncmd: [touch /here]\n");
    }
    client.run(&lab, &["rm", "-y", "m1"]).ok();
}

fn details_are_shown_with_debug_only(client: &Client) {
    let (lab, _) = lab(client, 23);
    made(&lab, "m1");
    let plain = client.run(&lab, &["stop", "m1"]);
    assert!(!plain.ok().contains("listVirtualMachines"), "{plain:?}");
    assert_eq!(plain.stderr, "");
    let detailed = client.run(&lab, &["-D", "start", "m1"]);
    let is_detail = |line: &&str| {
        line.starts_with("(m1) DBG | startVirtualMachine: 200, ") && line.ends_with(" ms")
    };
    let shown = format!("{}{}", detailed.ok(), detailed.stderr);
    assert_eq!(shown.lines().filter(is_detail).count(), 1, "{detailed:?}");
}
