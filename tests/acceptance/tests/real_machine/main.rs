//! Machines that are real: what a client makes of them, and that nothing stays of them.
//!
//! `cargo xtask test` builds the image that they are started from, and tells where this machine cannot run them.

mod cloud;
mod traces;

use acceptance::tests_with_clients;

/// All tests here have this in their names, by which they are skipped where they cannot run.
mod real_machine {
    use std::fs;
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpStream};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use acceptance::client::Client;
    use acceptance::real::RealLab;
    use acceptance::{OPTIONS, Outcome, program, signal};
    use real_machine::Kind;
    use rustix::process::Signal;

    use super::tests_with_clients;
    use crate::cloud::Cloud;
    use crate::traces::{Traces, wait_for};

    tests_with_clients!(
        docker_machine_client,
        "TEST_DOCKER_MACHINE",
        [a_client_makes_a_docker_host_and_controls_it]
    );

    fn a_client_makes_a_docker_host_and_controls_it(client: &Client) {
        let lab = RealLab::start(1);
        let before = lab.cloud.inventory();
        let run = |arguments: &[&str]| client.run(&lab, arguments);
        let create = [
            &["create", "--driver", "btcloud"],
            OPTIONS.as_slice(),
            &["m1"],
        ];
        let created = run(&create.concat());
        assert!(
            created.ok().contains("Docker is up and running!"),
            "{created:?}"
        );
        let ls = run(&[
            "ls",
            "--format",
            "{{.State}} {{.URL}} {{.DockerVersion}} {{.Error}}",
        ]);
        let server = lab.docker("m1", &["version", "--format", "{{.Server.Version}}"]);
        let url = format!("tcp://{}:2376", lab.ip());
        assert_eq!(ls.ok(), format!("Running {url} v{}", server.ok()), "{ls:?}");
        let name = lab.docker("m1", &["info", "--format", "{{.Name}} {{.Driver}}"]);
        assert_eq!(name.ok(), "m1 overlay2");

        lab.import_tiny_image("m1");
        let uname = lab.docker("m1", &["run", "--rm", "tiny", "/busybox", "uname", "-s"]);
        assert_eq!(uname.ok(), "Linux");
        if Kind::asked_for() == Kind::Qemu {
            // What only a kernel of its own can do: have another version, and let a container do anything.
            let own = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
            let script = "/busybox uname -r && /busybox mount -t tmpfs tmpfs /dev/shm";
            let run = [
                "run",
                "--rm",
                "--privileged",
                "tiny",
                "/busybox",
                "sh",
                "-c",
                script,
            ];
            let release = lab.docker("m1", &run);
            assert_ne!(release.ok(), own.trim_end());
        }
        let forever = [
            "run",
            "--detach",
            "--name=forever",
            "--restart=always",
            "--stop-timeout=1",
        ];
        lab.docker(
            "m1",
            &[&forever[..], &["tiny", "/busybox", "sleep", "1000"]].concat(),
        )
        .ok();
        assert_eq!(run(&["ssh", "m1", "hostname"]).ok(), "m1");
        let boot = || run(&["ssh", "m1", "stat -c %Y /proc/1"]).ok().to_owned();
        let first_boot = boot();

        let is_reached = |port| {
            let address = SocketAddr::new(lab.ip(), port);
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            // The guest's sshd greets; what leads nowhere is closed.
            matches!((&stream).read(&mut [0; 4]), Ok(4))
        };
        run(&["stop", "m1"]).ok();
        assert_eq!(run(&["status", "m1"]).ok(), "Stopped");
        assert!(!is_reached(22));
        run(&["start", "m1"]).ok();
        assert!(is_reached(22));
        assert_ne!(boot(), first_boot);
        // What was written before is there, and Docker has started what it is to start.
        let names = || lab.docker("m1", &["ps", "--format", "{{.Names}}"]);
        wait_for("Docker", || names().stdout.trim_end() == "forever");

        let second_boot = boot();
        run(&["restart", "m1"]).ok();
        assert_ne!(boot(), second_boot);
        wait_for("Docker", || names().stdout.trim_end() == "forever");

        run(&["kill", "m1"]).ok();
        assert_eq!(run(&["status", "m1"]).ok(), "Stopped");
        assert!(!is_reached(22));
        run(&["rm", "-y", "m1"]).ok();
        assert_eq!(lab.cloud.inventory(), before);
        let address = SocketAddr::new(lab.ip(), 22);
        assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err());
    }

    /// `btcloud-host` with these arguments, which sets up Docker as it does for any user.
    fn host(lab: &RealLab, arguments: &[&str]) -> Outcome {
        let mut host = lab.command(program("btcloud-host"));
        host.env_remove("BTCLOUD_NO_PROVISION").args(arguments);
        lab.finish(&mut host)
    }

    tests_with_clients!(
        docker_machine_client_and_host,
        "TEST_DOCKER_MACHINE",
        [btcloud_host_makes_a_docker_host_which_either_tool_controls]
    );

    fn btcloud_host_makes_a_docker_host_which_either_tool_controls(client: &Client) {
        let lab = RealLab::start(2);
        let before = lab.cloud.inventory();
        let create = [&["run", "create", "m1", "-v"], OPTIONS.as_slice()];
        let created = host(&lab, &create.concat());
        assert!(created.ok().contains("  Docker  tcp://"), "{created:?}");
        println!("{}", created.stderr);
        lab.import_tiny_image("m1");
        let tiny = ["run", "--rm", "tiny", "/busybox", "echo", "from inside"];
        assert_eq!(lab.docker("m1", &tiny).ok(), "from inside");
        // Without a certificate of this store nobody is let in.
        let mut stranger = lab.docker_command("m1");
        stranger
            .env_remove("DOCKER_CERT_PATH")
            .env_remove("DOCKER_TLS_VERIFY");
        assert_ne!(lab.finish(stranger.arg("version")).code, 0);

        // Nothing is to be done twice, and what runs goes on running.
        let forever = ["run", "--detach", "--name=forever", "tiny"];
        let sleep = ["/busybox", "sleep", "1000"];
        lab.docker("m1", &[&forever[..], &sleep].concat()).ok();
        host(&lab, &["provision", "m1"]).ok();
        let names = || lab.docker("m1", &["ps", "--format", "{{.Names}}"]);
        assert_eq!(names().ok(), "forever");

        // The genuine client finds an engine that it can use, and can set it up itself.
        let run = |arguments: &[&str]| client.run(&lab, arguments);
        let ls = run(&["ls", "--format", "{{.State}} {{.DockerVersion}} {{.Error}}"]);
        let server = lab.docker("m1", &["version", "--format", "{{.Server.Version}}"]);
        assert_eq!(ls.ok(), format!("Running v{}", server.ok()));
        let env = run(&["env", "--shell", "bash", "m1"]);
        assert!(env.ok().contains("DOCKER_HOST="), "{env:?}");
        assert_eq!(run(&["ssh", "m1", "hostname"]).ok(), "m1");
        run(&["provision", "m1"]).ok();
        assert_eq!(lab.docker("m1", &tiny).ok(), "from inside");
        host(&lab, &["provision", "m1"]).ok();
        assert_eq!(lab.docker("m1", &tiny).ok(), "from inside");
        assert_eq!(host(&lab, &["ssh", "m1", "hostname"]).ok(), "m1");
        let file = lab.home().join("name");
        let there = file.to_str().unwrap();
        host(&lab, &["scp", "m1:/etc/hostname", there]).ok();
        assert_eq!(fs::read_to_string(&file).unwrap(), "m1\n");

        run(&["stop", "m1"]).ok();
        run(&["start", "m1"]).ok();
        wait_for("Docker", || lab.docker("m1", &tiny).code == 0);
        run(&["rm", "-y", "m1"]).ok();
        assert_eq!(lab.cloud.inventory(), before);
    }

    tests_with_clients!(
        docker_machine_client_first,
        "TEST_DOCKER_MACHINE",
        [btcloud_host_controls_what_a_client_has_made]
    );

    fn btcloud_host_controls_what_a_client_has_made(client: &Client) {
        let lab = RealLab::start(3);
        let before = lab.cloud.inventory();
        let create = [
            &["create", "--driver", "btcloud"],
            OPTIONS.as_slice(),
            &["m1"],
        ];
        client.run(&lab, &create.concat()).ok();
        lab.import_tiny_image("m1");
        let tiny = ["run", "--rm", "tiny", "/busybox", "echo", "from inside"];
        assert_eq!(host(&lab, &["ssh", "m1", "hostname"]).ok(), "m1");
        // The authority is docker-machine's.
        host(&lab, &["regenerate-certs", "m1"]).ok();
        assert_eq!(lab.docker("m1", &tiny).ok(), "from inside");
        for command in ["stop", "start", "restart"] {
            host(&lab, &[command, "m1"]).ok();
        }
        wait_for("Docker", || lab.docker("m1", &tiny).code == 0);
        host(&lab, &["rm", "-y", "m1"]).ok();
        // The next one gets the address of the one before.
        let next = [&["create", "m2"], OPTIONS.as_slice()];
        lab.run(&next.concat()).ok();
        assert_eq!(lab.ssh("m2", "hostname").ok(), "m2");
        host(&lab, &["rm", "-y", "m2"]).ok();
        assert_eq!(lab.cloud.inventory(), before);
    }

    /// What can be wrong with a guest, and what is told of it; each is mended, and another run does it.
    #[test]
    fn troubles_of_a_guest_are_told_and_pass() {
        let lab = RealLab::start(4);
        lab.run(&[&["create", "m1"], OPTIONS.as_slice()].concat())
            .ok();
        let troubled = |what: &str, told: &[&str]| {
            lab.ssh("m1", what).ok();
            let outcome = host(&lab, &["provision", "m1"]);
            let error = outcome.fails(1);
            for part in told {
                assert!(error.contains(part), "{part}: {error}");
            }
        };
        // The disk is full where the engine's configuration is.
        troubled(
            "mount -t tmpfs -o size=4k none /etc/docker && \
             dd if=/dev/zero of=/etc/docker/x bs=4k count=1 status=none",
            &["setting up the Docker engine", "the machine's disk is full"],
        );
        lab.ssh("m1", "umount /etc/docker").ok();
        // Its configuration has what the command line has too.
        troubled(
            "mkdir -p /etc/docker && echo '{\"hosts\": [\"fd://\"]}' >/etc/docker/daemon.json",
            &["the Docker engine does not start:", "hosts"],
        );
        lab.ssh("m1", "rm /etc/docker/daemon.json").ok();
        // Docker is missing, and there is no way to where it comes from.
        troubled(
            "mv /usr/sbin/dockerd /root/ && rm -f /usr/bin/dockerd",
            &["installing Docker: "],
        );
        lab.ssh("m1", "mv /root/dockerd /usr/sbin/").ok();
        // Another host key: somebody may be in between.
        let known = lab.machine_directory("m1").join("known_hosts");
        let key = fs::read_to_string(&known).unwrap();
        troubled(
            "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null && systemctl restart ssh",
            &["shows another SSH host key than the machine \"m1\" did before"],
        );
        fs::remove_file(&known).unwrap();
        let provisioned = host(&lab, &["provision", "m1"]);
        assert!(
            provisioned.ok().starts_with("m1 runs Docker "),
            "{provisioned:?}"
        );
        assert_ne!(fs::read_to_string(&known).unwrap(), key);
        lab.run(&["remove", "m1"]).ok();
    }

    /// A guest that starts again in the middle, as user data may have it.
    #[test]
    fn a_guest_that_restarts_while_it_is_set_up_is_set_up() {
        let lab = RealLab::start(5);
        lab.run(&[&["create", "m1"], OPTIONS.as_slice()].concat())
            .ok();
        // The restart comes while Docker is being installed.
        lab.ssh(
            "m1",
            "mv /usr/sbin/dockerd /root/ && rm -f /usr/bin/dockerd && \
             printf '#!/bin/sh\nmv /root/dockerd /usr/sbin/; rm /usr/local/bin/curl; reboot; sleep 100\n' \
             >/usr/local/bin/curl && chmod +x /usr/local/bin/curl",
        )
        .ok();
        let provisioned = host(&lab, &["provision", "m1"]);
        assert!(
            provisioned.ok().starts_with("m1 runs Docker "),
            "{provisioned:?}"
        );
        assert!(
            provisioned
                .stderr
                .contains("going on when the machine answers again"),
            "{provisioned:?}"
        );
        lab.run(&["remove", "m1"]).ok();
    }

    #[test]
    fn machines_of_a_network_have_their_own_data_and_see_each_other() {
        let lab = RealLab::start(6);
        let script = lab.home().join("script");
        fs::write(
            &script,
            "#!/bin/sh\necho \"from $(hostname)\" >/root/made\n",
        )
        .unwrap();
        let config =
            "#cloud-config\nwrite_files:\n- {path: /root/made, content: 'from cloud-config'}\n";
        for (name, data) in [("m1", script.to_str().unwrap()), ("m2", config)] {
            let data = ["create", name, "--btcloud-userdata", data];
            lab.run(&[&data[..], OPTIONS.as_slice()].concat()).ok();
        }
        let wait = "cloud-init status --wait >/dev/null; cat /root/made; echo; hostname";
        assert_eq!(lab.ssh("m1", wait).ok(), "from m1\n\nm1");
        assert_eq!(lab.ssh("m2", wait).ok(), "from cloud-config\nm2");
        assert_ne!(
            lab.config("m1")["Driver"]["SSHPort"],
            lab.config("m2")["Driver"]["SSHPort"]
        );
        let id = lab.config("m1")["Driver"]["VmId"]
            .as_str()
            .unwrap()
            .to_owned();
        let get = "curl -s --max-time 5 http://10.1.1.1/latest/meta-data";
        assert_eq!(lab.ssh("m1", &format!("{get}/vm-id")).ok(), id);
        let password =
            "curl -s -H 'DomU_Request: send_my_password' --max-time 5 http://10.1.1.1:8080/";
        assert_eq!(lab.ssh("m1", password).ok(), "saved_password");
        let other = lab.ssh("m2", "hostname -I | cut -d' ' -f1").ok().to_owned();
        lab.ssh("m1", &format!("ping -c 1 -W 5 {other}")).ok();
        // Docker is there, but nobody else's keys are.
        lab.ssh("m1", "systemctl is-active docker").ok();
        let keys = lab.ssh("m1", "grep -c . /root/.ssh/authorized_keys");
        assert_eq!(keys.ok(), "1");
    }

    #[test]
    fn static_nat_leads_to_a_machine_and_the_firewall_keeps_others_out() {
        let lab = RealLab::start(7);
        let own = [
            "--btcloud-address",
            "static-nat",
            "--btcloud-cidr",
            "127.0.0.9/32",
        ];
        lab.run(&[&["create", "m1"], OPTIONS.as_slice(), &own].concat())
            .ok();
        assert_eq!(
            lab.ssh_with("m1", &["-b", "127.0.0.9"], "hostname").ok(),
            "m1"
        );
        let ip = lab.config("m1")["Driver"]["IPAddress"]
            .as_str()
            .unwrap()
            .to_owned();
        let address: SocketAddr = format!("{ip}:22").parse().unwrap();
        let other = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        other
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        assert!(!matches!((&other).read(&mut [0; 4]), Ok(4)));
        lab.run(&["remove", "m1"]).ok();
        assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err());
    }

    #[test]
    fn nothing_stays_of_a_laboratory_that_ends() {
        let lab = RealLab::start(8);
        lab.run(&[&["create", "m1"], OPTIONS.as_slice()].concat())
            .ok();
        lab.ssh("m1", "true").ok();
        let traces = Traces::of(lab.keeper());
        drop(lab);
        assert_eq!(traces.left(), Vec::<String>::new());
    }

    #[test]
    fn nothing_stays_of_a_laboratory_whose_test_is_killed() {
        let image = std::env::var("TEST_REAL_MACHINE").expect("TEST_REAL_MACHINE names the image");
        let mut cloud = Cloud::start(Path::new(&image));
        let traces = Traces::of(cloud.keeper());
        signal(&cloud.process, Signal::KILL);
        cloud.process.wait().unwrap();
        traces.vanish(|_| false);

        // Nobody is left to remove the control groups here; the next one does.
        let mut cloud = Cloud::start(Path::new(&image));
        let keeper = cloud.keeper();
        let traces = Traces::of(keeper);
        let pid = rustix::process::Pid::from_raw(i32::try_from(keeper).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        signal(&cloud.process, Signal::KILL);
        cloud.process.wait().unwrap();
        traces.vanish(|trace| trace.starts_with("control group"));
        let mut check = Command::new(program("real-machine"));
        check
            .arg("check")
            .arg("--cache")
            .arg(Path::new(&image).parent().unwrap());
        assert!(check.status().unwrap().success());
        traces.vanish(|_| false);
    }
}
