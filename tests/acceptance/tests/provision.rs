//! `btcloud-host provision`, and what `run create` does after the creation, against a stand-in for the guest's SSH: what is
//! told of each trouble, and that another run goes on. `real_machine` has the same with real guests.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use acceptance::engine::DockerEngine;
use acceptance::{Lab, OPTIONS, Outcome, program, signal, wait_until};

/// What the stand-in for the guest does at each step, by variables.
type Guest = &'static [(&'static str, &'static str)];

/// The address of a test's machine, which is its own since the engine's port is the same for all.
fn lab(number: u8) -> (Lab, IpAddr) {
    let ip = Ipv4Addr::new(127, 0, 115, number);
    let lab = Lab::at(ip);
    (lab, IpAddr::V4(ip))
}

/// Runs `btcloud-host` with these arguments, on a guest that does as these variables say.
fn host(lab: &Lab, guest: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let mut host = lab.command(program("btcloud-host"));
    host.env_remove("BTCLOUD_NO_PROVISION")
        .envs(guest.iter().copied())
        .args(arguments);
    lab.finish(&mut host)
}

fn create<'t>(options: &[&'t str]) -> Vec<&'t str> {
    [&["run", "create", "m1"], OPTIONS.as_slice(), options].concat()
}

/// A machine that waits to be provisioned.
fn made(number: u8) -> (Lab, IpAddr) {
    let (lab, ip) = lab(number);
    lab.run(&[&["create", "m1"], OPTIONS.as_slice()].concat())
        .ok();
    (lab, ip)
}

#[test]
fn a_creation_ends_in_an_engine_that_answers_over_tls() {
    let (lab, ip) = lab(1);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    let log = lab.home().join("log");
    let log = log.to_str().unwrap();
    let options = ["--engine-label", "stage=a b", "--tls-san", "m1.example"];
    let created = host(&lab, &[("FAKE_GUEST_LOG", log)], &create(&options));
    let url = format!("tcp://{ip}:2376");
    assert!(
        created
            .ok()
            .ends_with(&format!("  Docker  {url}, version 20.10.24")),
        "{created:?}"
    );
    for step in [
        "[1/4] Waiting for SSH",
        "[2/4] Docker is there, on Debian GNU/Linux 12 (bookworm)",
        "[3/4] Setting up the Docker engine and its certificates",
        "[4/4] Checking the Docker engine",
    ] {
        assert!(
            created.stderr.lines().any(|line| line == step),
            "{created:?}"
        );
    }
    let done = fs::read_to_string(log).unwrap();
    assert!(done.contains(r#""--label" "provider=btcloud" "--label" "stage=a b""#));
    // What docker-machine would have in its place, with the options that were given.
    let config = lab.config("m1");
    let options = &config["HostOptions"];
    assert_eq!(options["EngineOptions"]["Labels"][0], "stage=a b");
    assert_eq!(options["AuthOptions"]["ServerCertSANs"][0], "m1.example");
    for file in [
        "ca.pem",
        "cert.pem",
        "key.pem",
        "server.pem",
        "server-key.pem",
    ] {
        assert!(lab.machine_directory("m1").join(file).is_file(), "{file}");
    }
    assert!(!lab.machine_directory("m1").join("unprovisioned").exists());

    // Once more, from what is stored: nothing is made anew.
    let before = fs::read(lab.machine_directory("m1").join("server.pem")).unwrap();
    let again = host(&lab, &[], &["provision", "m1"]);
    assert_eq!(
        again.ok(),
        format!("m1 runs Docker 20.10.24 at {url} on Debian GNU/Linux 12 (bookworm)")
    );
    let server = || fs::read(lab.machine_directory("m1").join("server.pem")).unwrap();
    assert_eq!(server(), before);
    host(&lab, &[], &["regenerate-certs", "m1"]).ok();
    assert_ne!(server(), before);
    drop(engine);
}

#[test]
fn docker_is_installed_where_it_is_missing() {
    let (lab, ip) = made(2);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    let log = lab.home().join("log");
    let guest = [
        (
            "FAKE_GUEST_DETECT",
            "detect | sed 's/^dockerd=.*/dockerd=/'",
        ),
        ("FAKE_GUEST_LOG", log.to_str().unwrap()),
    ];
    host(&lab, &guest, &["provision", "m1"]).ok();
    let done = fs::read_to_string(&log).unwrap();
    let steps: Vec<_> = done
        .lines()
        .filter(|line| ["detect", "install", "configure"].contains(line))
        .collect();
    assert_eq!(steps, ["detect", "install", "configure"]);
    assert!(done.contains("url='https://get.docker.com'"));
    drop(engine);
}

/// Each trouble, what the guest does then, and what the user reads.
#[test]
fn each_trouble_is_told_with_what_helps_and_can_be_tried_again() {
    const MISSING: &str = "detect | sed 's/^dockerd=.*/dockerd=/'";
    let troubles: [(Guest, &[&str]); 9] = [
        (
            &[("FAKE_GUEST_DETECT", "detect | sed s/sudo=yes/sudo=no/")],
            &[
                "root@127.0.115.3 may not use sudo without a password",
                "hint: choose another user",
            ],
        ),
        (
            &[(
                "FAKE_GUEST_DETECT",
                "detect | sed s/systemd=yes/systemd=no/",
            )],
            &["its services are not run by systemd"],
        ),
        (
            &[(
                "FAKE_GUEST_DETECT",
                "printf '%s\\n' id=alpine name=Alpine sudo=yes systemd=yes dockerd=",
            )],
            &["Docker is not installed, and cannot be on Alpine"],
        ),
        (
            &[(
                "FAKE_GUEST_DETECT",
                "detect | sed 's/^dockerd=.*/dockerd=/; s/^free=.*/free=102400/'",
            )],
            &[
                "only 100 MiB are free in /var/lib; Docker needs 600 MiB",
                "hint: choose a larger root disk",
            ],
        ),
        (
            &[
                ("FAKE_GUEST_DETECT", MISSING),
                (
                    "FAKE_GUEST_INSTALL",
                    "echo 'curl: (6) Could not resolve host: get.docker.com' >&2; exit 6",
                ),
            ],
            &[
                "installing Docker: curl: (6)",
                "no way to where packages come from",
            ],
        ),
        (
            &[
                ("FAKE_GUEST_DETECT", MISSING),
                (
                    "FAKE_GUEST_INSTALL",
                    "echo 'E: Unable to locate package curl' >&2; exit 100",
                ),
            ],
            &["Unable to locate package curl", "sources of packages"],
        ),
        (
            &[(
                "FAKE_GUEST_CONFIGURE",
                "echo 'mv: /etc/docker/ca.pem: No space left on device' >&2; exit 1",
            )],
            &[
                "setting up the Docker engine: mv:",
                "the machine's disk is full",
            ],
        ),
        (
            &[(
                "FAKE_GUEST_CONFIGURE",
                "printf '%s\\n' 'the Docker engine does not start:' 'unknown flag: --zzz' >&2; exit 10",
            )],
            &["the Docker engine does not start:\nunknown flag: --zzz"],
        ),
        (
            &[(
                "FAKE_GUEST_DETECT",
                "printf '%s\\n' '@@@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!' \
                 'Host key verification failed.' >&2; exit 255",
            )],
            &[
                "shows another SSH host key than the machine \"m1\" did before",
                "known_hosts",
            ],
        ),
    ];
    let (lab, ip) = made(3);
    for (guest, told) in troubles {
        let outcome = host(&lab, guest, &["provision", "m1"]);
        let error = outcome.fails(1);
        for part in told.iter().chain(&[
            "the machine \"m1\" is there, but not set up: ",
            "`btcloud-host provision m1` goes on, `btcloud-host run remove m1` removes it",
        ]) {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(lab.machine_directory("m1").join("unprovisioned").exists());
        assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    }
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    host(&lab, &[], &["provision", "m1"]).ok();
    drop(engine);
    lab.run(&["remove", "m1"]).ok();
    assert!(lab.cloud.inventory().is_empty());
}

#[test]
fn docker_is_not_installed_against_the_users_will() {
    let (lab, _) = lab(4);
    let guest = [(
        "FAKE_GUEST_DETECT",
        "detect | sed 's/^dockerd=.*/dockerd=/'",
    )];
    let outcome = host(&lab, &guest, &create(&["--engine-install-url", "none"]));
    let error = outcome.fails(1);
    assert!(
        error.contains("Docker is not installed, and is not to be"),
        "{error}"
    );
    assert!(lab.has_machine("m1"));
}

/// The connection breaks at each step, as when user data restarts the guest.
#[test]
fn a_guest_that_restarts_meanwhile_is_waited_for() {
    let (lab, ip) = made(5);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    let lost = |step: &str, then: &str| {
        format!(
            "[ -e {0}/{step} ] || {{ touch {0}/{step}; echo 'Connection to {ip} closed by remote host.' >&2; exit 255; }}; {then}",
            lab.home().display()
        )
    };
    let guest = [
        (
            "FAKE_GUEST_DETECT",
            lost("detect", "detect | sed 's/^dockerd=.*/dockerd=/'"),
        ),
        ("FAKE_GUEST_INSTALL", lost("install", "true")),
        ("FAKE_GUEST_CONFIGURE", lost("configure", "true")),
    ];
    let guest: Vec<_> = guest
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let outcome = host(&lab, &guest, &["provision", "m1"]);
    outcome.ok();
    for step in ["installing Docker", "setting up the Docker engine"] {
        let told = format!(
            "warning: {step}: the SSH connection to {ip} broke: Connection to {ip} closed by remote host.; going on when \
             the machine answers again"
        );
        assert!(outcome.stderr.contains(&told), "{told}: {outcome:?}");
    }
    drop(engine);
}

/// A user whom the template does not let in, and a guest where nobody answers: the patience ends.
#[test]
fn a_guest_that_lets_nobody_in_is_given_up() {
    let (lab, ip) = made(12);
    let provision = ["provision", "m1", "--ssh-timeout", "1"];
    let denied = "echo 'root@guest: Permission denied (publickey).' >&2; exit 255";
    let outcome = host(&lab, &[("FAKE_GUEST_DETECT", denied)], &provision);
    let error = outcome.fails(1);
    let told = format!("waiting for SSH: root@{ip} does not let the machine's SSH key in");
    assert!(error.contains(&told), "{error}");
    assert!(
        error.contains("hint: the driver's option for the SSH user"),
        "{error}"
    );

    let refused =
        format!("echo 'ssh: connect to host {ip} port 22: Connection refused' >&2; exit 255");
    let outcome = host(&lab, &[("FAKE_GUEST_DETECT", &refused)], &provision);
    let error = outcome.fails(1);
    assert!(
        error.contains(&format!(
            "waiting for SSH: {ip} port 22 does not answer to SSH: "
        )),
        "{error}"
    );
    assert!(
        error.contains("hint: look whether the machine runs"),
        "{error}"
    );
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let (lab, ip) = made(13);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    let guest = [(
        "FAKE_GUEST_DETECT",
        "detect | sed 's/^time=.*/time=1000000000/'",
    )];
    let outcome = host(&lab, &guest, &["provision", "m1"]);
    outcome.ok();
    assert!(
        outcome
            .stderr
            .contains("warning: the clocks of the machine and of this computer are "),
        "{outcome:?}"
    );
    drop(engine);
}

/// Until cloud-init has put the key there, nobody gets in.
#[test]
fn a_guest_that_does_not_let_in_yet_is_waited_for() {
    let (lab, ip) = made(6);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    let once = lab.home().join("once");
    let script = format!(
        "[ -e {0} ] || {{ touch {0}; echo 'root@127.0.115.6: Permission denied (publickey).' >&2; exit 255; }}; detect",
        once.display()
    );
    host(
        &lab,
        &[("FAKE_GUEST_DETECT", &script)],
        &["provision", "m1"],
    )
    .ok();
    drop(engine);
}

#[test]
fn an_engine_that_cannot_be_reached_is_told_from_one_that_does_not_run() {
    let (lab, ip) = made(7);
    let outcome = host(&lab, &[], &["provision", "m1"]);
    let error = outcome.fails(1);
    let told = format!("the Docker engine runs, but tcp://{ip}:2376 cannot be reached from here");
    assert!(error.contains(&told), "{error}");
    assert!(
        error.contains("a firewall or a rule of the network"),
        "{error}"
    );
}

/// An engine with certificates of somebody else.
#[test]
fn an_engine_of_somebody_else_is_not_trusted() {
    let (lab, ip) = made(8);
    let (other, _) = made(9);
    let engine = DockerEngine::start(ip, &other.store(), "m1");
    host(
        &other,
        &[("FAKE_GUEST_CONFIGURE", "exit 3")],
        &["provision", "m1"],
    )
    .fails(1);
    let outcome = host(&lab, &[], &["provision", "m1"]);
    let error = outcome.fails(1);
    assert!(
        error.contains("do not trust each other's certificates"),
        "{error}"
    );
    assert!(error.contains("regenerate-certs"), "{error}");
    drop(engine);
}

#[test]
fn an_interrupted_provisioning_says_how_it_goes_on() {
    let (lab, _) = made(10);
    let begun = lab.home().join("begun");
    let script = format!("touch {}; sleep 60", begun.display());
    let mut host = lab.command(program("btcloud-host"));
    let mut host = host
        .args(["provision", "m1"])
        .env("FAKE_GUEST_CONFIGURE", script)
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the setting up", || begun.exists());
    let asked = std::time::Instant::now();
    signal(&host, rustix::process::Signal::INT);
    assert_eq!(host.wait().unwrap().code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(10));
    let outcome = lab.outcome(host.wait_with_output().unwrap());
    assert!(
        outcome
            .stderr
            .contains("interrupted\n  hint: `btcloud-host provision m1` goes on"),
        "{outcome:?}"
    );
}

#[test]
fn ssh_and_scp_use_the_machines_key_and_address() {
    let (lab, ip) = made(11);
    let log = lab.home().join("log");
    let guest = format!("root@{ip}:22");
    let variables = [
        ("FAKE_GUEST", guest.as_str()),
        ("FAKE_GUEST_LOG", log.to_str().unwrap()),
    ];
    host(&lab, &variables, &["ssh", "m1", "uptime"]).ok();
    assert_eq!(fs::read_to_string(&log).unwrap(), "uptime\n");
    let outcome = host(&lab, &[], &["scp", "a", "b"]);
    assert!(outcome.fails(2).contains("neither path is on a machine"));
    let outcome = host(&lab, &[], &["ssh", "m2"]);
    assert!(outcome.fails(4).contains("machine \"m2\" not found"));
}

#[test]
fn everything_after_the_machine_belongs_to_the_remote_command() {
    let (lab, ip) = made(14);
    let guest = format!("root@{ip}:22");
    // The usual profile is for another driver, and would decide if any of these words counted.
    let config = lab.home().join(".config/btcloud/config.toml");
    lab.plant(
        &config,
        "profile = \"mine\"\n\n[profiles.mine]\ndriver = \"hetzner\"\n",
    );
    for command in [
        "docker network create --driver overlay n",
        "docker volume create --driver=local v",
        "docker compose --profile dev config",
        "docker config ls",
        "man ls",
    ] {
        let words: Vec<_> = ["ssh", "m1"]
            .into_iter()
            .chain(command.split(' '))
            .collect();
        host(&lab, &[("FAKE_GUEST", guest.as_str())], &words).ok();
    }
    // Before it they are this program's.
    let words = ["ssh", "--driver", "overlay", "m1", "uptime"];
    let outcome = host(&lab, &[], &words);
    assert!(outcome.fails(1).contains("overlay"), "{outcome:?}");
}

#[test]
fn a_certificate_that_could_not_be_renewed_leaves_a_docker_host() {
    let (lab, ip) = made(15);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    host(&lab, &[], &["provision", "m1"]).ok();
    let denied = "echo 'root@guest: Permission denied (publickey).' >&2; exit 255";
    let renew = ["regenerate-certs", "m1", "--ssh-timeout", "1"];
    let outcome = host(&lab, &[("FAKE_GUEST_DETECT", denied)], &renew);
    let error = outcome.fails(1);
    assert!(
        error.contains("the certificate of \"m1\" was not renewed: "),
        "{error}"
    );
    assert!(
        error.contains("`btcloud-host regenerate-certs m1` tries again"),
        "{error}"
    );
    assert!(!error.contains("remove"), "{error}");
    let listed = lab.cli(&["ls"]);
    assert!(!listed.ok().contains("not set up"), "{listed:?}");
    drop(engine);
}

#[test]
fn of_several_each_is_provisioned_once_whatever_becomes_of_the_others() {
    let (lab, ip) = made(16);
    let engine = DockerEngine::start(ip, &lab.store(), "m1");
    let outcome = host(&lab, &[], &["provision", "m2", "m1", "m1"]);
    assert!(
        outcome.fails(4).contains("m2: machine \"m2\" not found"),
        "{outcome:?}"
    );
    assert_eq!(
        outcome.stdout,
        format!("m1 runs Docker 20.10.24 at tcp://{ip}:2376 on Debian GNU/Linux 12 (bookworm)\n")
    );
    drop(engine);
}

#[test]
fn a_name_that_no_certificate_can_have_is_refused_before_anything_is_made() {
    let (lab, _) = lab(17);
    let refused = host(&lab, &[], &create(&["--tls-san", "b\u{fc}cher.example"]));
    assert!(
        refused.fails(2).contains("write it in Punycode"),
        "{refused:?}"
    );
    assert!(lab.cloud.requests().is_empty());
    assert!(!lab.machine_directory("m1").exists());
}
