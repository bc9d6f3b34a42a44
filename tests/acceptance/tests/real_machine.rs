//! Machines that are real: what a client makes of them, and that nothing stays of them.
//!
//! `cargo xtask test` builds the image that they are started from, and tells where this machine cannot run them.

use acceptance::tests_with_clients;

/// All tests here have this in their names, by which they are skipped where they cannot run.
mod real_machine {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::net::{SocketAddr, TcpStream};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use acceptance::client::Client;
    use acceptance::real::{RealLab, patience, public_address};
    use acceptance::{OPTIONS, Outcome, program, signal};
    use real_machine::Kind;
    use rustix::process::Signal;

    use super::tests_with_clients;

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

    /// Waits until something is so that a machine does by itself.
    #[track_caller]
    fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + patience();
        while !condition() {
            assert!(Instant::now() < end, "{what} has not come about");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A cloud with a machine in it, in a process that can be killed.
    struct Cloud {
        process: Child,
        home: tempfile::TempDir,
    }

    impl Cloud {
        fn start(image: &Path) -> Self {
            let mut process = Command::new(program("real-machine"))
                .arg("cloud")
                .arg("--cache")
                .arg(image.parent().unwrap())
                .args(["--public-address", &public_address(200).to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let home = tempfile::tempdir().unwrap();
            let mut create = Command::new("timeout");
            create
                .args(["--signal=KILL", "60"])
                .arg(program("btcloud-host"))
                .args(["run", "create", "m1"])
                .args(OPTIONS)
                .env("HOME", home.path())
                .env("MACHINE_STORAGE_PATH", home.path().join("store"))
                .env("XDG_CACHE_HOME", acceptance::cache_directory());
            let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
            for _ in 0..3 {
                let line = lines.next().unwrap().unwrap();
                let (name, value) = line
                    .trim_start_matches("export ")
                    .trim_end_matches(';')
                    .split_once('=')
                    .unwrap();
                create.env(name, value.trim_matches('\''));
            }
            let cloud = Self { process, home };
            assert!(
                create.output().unwrap().status.success(),
                "{}",
                cloud.home.path().display()
            );
            cloud
        }

        fn keeper(&self) -> u32 {
            let processes = Process::all();
            let own = |process: &&Process| process.parent == self.process.id();
            processes.iter().find(own).expect("a keeper").id
        }
    }

    impl Drop for Cloud {
        fn drop(&mut self) {
            // Dropping the pipe ends it if it has not been killed.
            drop(self.process.stdin.take());
            let _ = self.process.wait();
        }
    }

    struct Process {
        id: u32,
        parent: u32,
        is_dead: bool,
        namespaces: BTreeSet<String>,
    }

    impl Process {
        fn all() -> Vec<Self> {
            let entries = fs::read_dir("/proc").unwrap().flatten();
            entries
                .filter_map(|entry| Self::at(&entry.path()))
                .collect()
        }

        fn at(directory: &Path) -> Option<Self> {
            let id = directory.file_name()?.to_str()?.parse().ok()?;
            let stat = fs::read_to_string(directory.join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let is_dead = fields.next() == Some("Z");
            let parent = fields.next()?.parse().ok()?;
            let links = |below: &str| {
                let entries = fs::read_dir(directory.join(below)).into_iter().flatten();
                let targets = entries
                    .flatten()
                    .filter_map(|entry| fs::read_link(entry.path()).ok());
                let names = targets.map(|target| target.to_string_lossy().into_owned());
                // Those that descriptors keep count too.
                names
                    .filter(|name| name.ends_with(']') && !name.starts_with('/'))
                    .filter(|name| {
                        ["mnt:", "net:", "pid:", "cgroup:", "uts:", "ipc:"]
                            .iter()
                            .any(|kind| name.starts_with(kind))
                    })
                    .collect::<Vec<_>>()
            };
            let namespaces = ["ns", "fd"].iter().flat_map(|below| links(below)).collect();
            Some(Self {
                id,
                parent,
                is_dead,
                namespaces,
            })
        }
    }

    /// What there is of a laboratory as long as it runs.
    struct Traces {
        keeper: u32,
        processes: BTreeSet<(u32, String)>,
        namespaces: BTreeSet<String>,
        groups: Vec<PathBuf>,
    }

    impl Traces {
        /// What there is, once that is all that a guest has: only so does a look for what is left find it.
        fn of(keeper: u32) -> Self {
            let mut traces = Self::now(keeper);
            wait_for("a whole guest", || {
                traces = Self::now(keeper);
                traces.lacks().is_empty()
            });
            traces
        }

        fn now(keeper: u32) -> Self {
            let all = Process::all();
            let mut ids = BTreeSet::from([keeper]);
            loop {
                let children = all.iter().filter(|process| ids.contains(&process.parent));
                let more: BTreeSet<_> = children.map(|process| process.id).collect();
                if more.is_subset(&ids) {
                    break;
                }
                ids.extend(more);
            }
            let own = Process::at(Path::new("/proc/self")).map(|own| own.namespaces);
            let here = Process::at(&PathBuf::from(format!("/proc/{}", std::process::id())));
            let ours = own.or(here.map(|own| own.namespaces)).unwrap_or_default();
            let inside = all.iter().filter(|process| ids.contains(&process.id));
            let namespaces = inside.flat_map(|process| process.namespaces.clone());
            Self {
                keeper,
                namespaces: namespaces.filter(|name| !ours.contains(name)).collect(),
                processes: ids
                    .iter()
                    .filter_map(|id| Some((*id, start_time(*id)?)))
                    .collect(),
                groups: groups(keeper),
            }
        }

        /// Of what there are fewer than a guest has.
        fn lacks(&self) -> Vec<&'static str> {
            // Those of the laboratory, the router and the guest; a guest of QEMU is one process in them.
            let (processes, namespaces): (usize, &[(&'static str, usize)]) = match Kind::asked_for()
            {
                Kind::Namespaces => (10, &[("mnt:", 3), ("net:", 2), ("pid:", 2), ("cgroup:", 1)]),
                Kind::Qemu => (5, &[("mnt:", 2), ("net:", 1), ("pid:", 1)]),
            };
            let count = |kind| {
                let names = self.namespaces.iter();
                names.filter(|name| name.starts_with(kind)).count()
            };
            let few = namespaces
                .iter()
                .filter(|(kind, least)| count(*kind) < *least);
            let mut lacks: Vec<_> = few.map(|(kind, _)| *kind).collect();
            if self.processes.len() < processes {
                lacks.push("processes");
            }
            if self.groups.is_empty() {
                lacks.push("control groups");
            }
            lacks
        }

        /// What is left of it.
        fn left(&self) -> Vec<String> {
            let mut left = Vec::new();
            for process in Process::all() {
                // What is dead but not waited for by its parent, which is init's task here, holds nothing any more.
                if process.is_dead {
                    continue;
                }
                let time = start_time(process.id).unwrap_or_default();
                if self.processes.contains(&(process.id, time)) {
                    left.push(format!("process {}", process.id));
                }
                for namespace in process.namespaces.intersection(&self.namespaces) {
                    left.push(format!("namespace {namespace} of process {}", process.id));
                }
            }
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            for mount in mounts.lines() {
                let is_pinned = self
                    .namespaces
                    .iter()
                    .any(|name| mount.contains(name.as_str()));
                if is_pinned || mount.contains("/real-machine/") {
                    left.push(format!("mount {mount}"));
                }
            }
            let groups = groups(self.keeper);
            left.extend(
                groups
                    .iter()
                    .map(|group| format!("control group {}", group.display())),
            );
            left
        }

        /// Waits until nothing is left but what may be.
        #[track_caller]
        fn vanish(&self, may_stay: impl Fn(&str) -> bool) {
            let end = Instant::now() + Duration::from_secs(15);
            loop {
                let mut left = self.left();
                left.retain(|trace| !may_stay(trace));
                if left.is_empty() {
                    return;
                }
                assert!(Instant::now() < end, "{left:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn start_time(process: u32) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(19)
            .map(str::to_owned)
    }

    /// The control groups of a keeper, wherever they are.
    fn groups(keeper: u32) -> Vec<PathBuf> {
        let prefix = format!("real-machine.{keeper}.");
        let mut found = Vec::new();
        let mut directories = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if entry.file_name().to_string_lossy().starts_with(&prefix) {
                    found.push(entry.path());
                }
                directories.push(entry.path());
            }
        }
        found
    }
}
