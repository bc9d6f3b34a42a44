//! Every command in the documentation is run as it stands there, or is among the exceptions, with a reason; every link leads
//! somewhere; limits and lists of tests are those of the sources.
//!
//! A scene is what stands in one block, or in several of a page that go on from each other: one shell runs it, and what the page
//! shows as an answer has to be answered.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use acceptance::documentation::{bytes, check_limits};
use acceptance::engine::DockerEngine;
use acceptance::parallel::play_all;
use acceptance::{CLOUDSTACK, HETZNER, Lab, OPTIONS, cache_directory, program};
use hetzner_simulator::Hetzner;

/// A command that is not run here.
struct Exception {
    /// The command, without a comment.
    command: &'static str,
    reason: Reason,
}

/// Why a command is not run here.
enum Reason {
    /// `.ci/run` runs it; that is looked up.
    Ci,
    /// What else it is.
    Because(&'static str),
}

use Reason::{Because, Ci};

const fn except(command: &'static str, reason: Reason) -> Exception {
    Exception { command, reason }
}

const EXCEPTIONS: &[Exception] = &[
    except("cargo xtask lint", Ci),
    except("cargo xtask audit", Ci),
    except("cargo xtask test", Ci),
    except("cargo xtask demo", Ci),
    except(
        "cargo xtask build",
        Because("the tests have the components that it makes"),
    ),
    except(
        "cargo xtask bench",
        Because("a release build, and its verdicts are this machine's"),
    ),
    except("cargo xtask fuzz 60 gob_decode", Because(FUZZING)),
    except("cargo xtask fuzz 600", Because(FUZZING)),
    except("cargo xtask fuzz 600 config_json", Because(FUZZING)),
    except(
        "target/fuzz/*/release/gob_decode -merge=1 fuzz/corpus/gob_decode target/fuzz-corpus/gob_decode",
        Because(FUZZING),
    ),
    except(
        "cargo xtask package",
        Because("a release build; package.rs tries the same out with other programs"),
    ),
    except(
        "sudo apt install ./target/release/package/btcloud-host_0.1.0-1_amd64.deb",
        Because("package.rs does it in a root of its own"),
    ),
    except(
        "sudo apt remove btcloud-host",
        Because("package.rs does it in a root of its own"),
    ),
    except(
        "rustup target add wasm32-wasip2",
        Because("it changes the toolchain; without the target no test was built"),
    ),
    except(
        "cargo install --locked --path host",
        Because("a release build into the user's home"),
    ),
    except(
        "git clone https://github.com/TUB4/docker-machine-driver-btcloud",
        Because("the network"),
    ),
    except(
        "go build -C tests/clients/docker-machine -mod=readonly -buildvcs=false -o ~/.local/bin/docker-machine .",
        Because(CLIENTS),
    ),
    except(
        "go build -C tests/clients/docker-machine -mod=readonly -buildvcs=false -o /tmp/docker-machine .",
        Because(CLIENTS),
    ),
    except(
        "go build -C tests/clients/rancher-machine -mod=readonly -buildvcs=false -o /tmp/rancher-machine github.com/rancher/machine/cmd/rancher-machine",
        Because(CLIENTS),
    ),
    except(
        "go build -C tests/clients/gob-peer -mod=readonly -buildvcs=false -o /tmp/gob-peer .",
        Because(CLIENTS),
    ),
    except(
        "docker run hello-world",
        Because("an engine; real_machine.rs runs containers"),
    ),
    except(
        "btcloud-host env web-1 | source",
        Because("fish; cli/env.rs looks at its words"),
    ),
    except(
        "& btcloud-host env web-1 | Invoke-Expression",
        Because("PowerShell; cli/env.rs looks at its words"),
    ),
    except(
        "cargo xtask test real_machine",
        Because("a part of `cargo xtask test`"),
    ),
    except(
        "cargo xtask demo --real",
        Because("root on a Debian, and minutes; real_machine.rs does the same"),
    ),
    except(
        "REAL_MACHINE=qemu cargo xtask test real_machine",
        Because("root on a Debian, and most of an hour"),
    ),
    except(
        "sleep infinity | target/debug/real-machine cloud --log > variables &",
        Because("root on a Debian; real_machine.rs has such clouds"),
    ),
    except(". ./variables", Because("see the line above it")),
    except(
        "btcloud-host run create web-1 --btcloud-zone uk-london-1 --btcloud-template \"Debian 12\" --btcloud-service-offering Small",
        Because("see two lines above it"),
    ),
    except(
        "ssh -i ~/.docker/machine/machines/web-1/id_rsa root@127.0.100.10",
        Because("see three lines above it"),
    ),
    except(
        "cargo run -p cloudstack-simulator -- --log --job-time 2s > variables &",
        Because("the tests have that simulator as a library"),
    ),
    except(
        "cargo run -p hetzner-simulator &",
        Because("the scene has that simulator at a port of its own"),
    ),
    except(
        "cargo run --quiet --manifest-path ../docker-machine-driver-btcloud/Cargo.toml -p hetzner-simulator &",
        Because("the scene has that simulator at a port of its own"),
    ),
    except("python3 -m venv target/python", Because(PYTHON)),
    except(
        "target/python/bin/pip install componentize-py==0.25.1",
        Because(PYTHON),
    ),
    except(
        "target/python/bin/componentize-py --wit-path wit --world driver componentize hetzner_py --python-path tests/drivers/python --output target/hetzner_py.wasm",
        Because(PYTHON),
    ),
    except(
        "btcloud-host driver test target/hetzner_py.wasm",
        Because(PYTHON),
    ),
];

const PYTHON: &str = "`cargo xtask test` does it, where Python is, for author_kit.rs";
const CLIENTS: &str = "`cargo xtask test` builds the tests' clients in the same way";
const FUZZING: &str = "it runs for as long as it is told; CI replays the corpus";

/// What a page shows, played.
struct Scene {
    /// The page.
    page: &'static str,
    /// The first command of each block that belongs to it, or its beginning.
    blocks: &'static [&'static str],
    /// Sets it.
    set: fn(&mut Stage),
    /// Whether each command is for a user of its own.
    each_alone: bool,
}

const fn scene(page: &'static str, blocks: &'static [&'static str], set: fn(&mut Stage)) -> Scene {
    Scene {
        page,
        blocks,
        set,
        each_alone: false,
    }
}

const SCENES: &[Scene] = &[
    scene("README.md", &["git clone"], |stage| {
        stage.project("docker-machine-driver-btcloud");
    }),
    scene(
        "README.md",
        &["btcloud-host run create web-1 --btcloud-zone"],
        |stage| stage.sets_docker_up("web-1"),
    ),
    scene("README.md", &["btcloud-host ls"], |stage| {
        stage.provisioned("web-1");
        stage.lab.create("web-2", &["--btcloud-zone", "uk-basic-1"]);
    }),
    Scene {
        each_alone: true,
        ..scene(
            "docs/cli.md",
            &["btcloud-host run create web --count"],
            // Without Docker: each of the twenty would need an engine.
            |stage| {
                stage.replace("…", &as_words(&OPTIONS));
            },
        )
    },
    scene("docs/ci.md", &["export BTCLOUD_ZONE="], |stage| {
        stage.sets_docker_up("ci-1");
        stage.variables.push(("CI_JOB_ID", "1".to_owned()));
    }),
    scene("docs/ci.md", &["btcloud-host gc --json"], |_| ()),
    scene(
        "docs/cli.md",
        &["btcloud-host offerings --btcloud-zone uk-london-1"],
        |_| (),
    ),
    scene(
        "docs/cli.md",
        &["eval \"$(btcloud-host env web-1)\""],
        |stage| {
            stage.provisioned("web-1");
        },
    ),
    scene(
        "docs/writing-a-driver.md",
        &[
            "rustup target add wasm32-wasip2",
            "cargo run -p hetzner-simulator &",
        ],
        |stage| {
            stage.enter("project");
            stage.use_cargo("../my-driver/");
            stage.use_hetzner();
        },
    ),
];

/// Scenes with docker-machine.
const CLIENT_SCENES: &[Scene] = &[
    scene("README.md", &["export BTCLOUD_API_KEY="], |stage| {
        stage.engine("web-1", 0);
        stage.replace(
            "BTCLOUD_API_KEY=… BTCLOUD_SECRET_KEY=…",
            "BTCLOUD_API_KEY BTCLOUD_SECRET_KEY",
        );
    }),
    scene(
        "docs/third-party-drivers.md",
        &["btcloud-host driver install their-driver.wasm"],
        |stage| {
            fs::copy(HETZNER, stage.lab.home().join("their-driver.wasm")).unwrap();
            stage.use_hetzner();
            // Nobody is there to be asked, and the driver has another name.
            stage.replace(
                "install their-driver.wasm",
                "install their-driver.wasm --as their-driver --yes",
            );
            stage.replace(" …", "");
            stage.engine("web-2", 0);
        },
    ),
    scene("docs/cloudstack.md", &["cargo xtask build"], |stage| {
        stage.replace(
            "target/components/cloudstack.wasm",
            &format!("{CLOUDSTACK} --yes"),
        );
        let url = stage.lab.cloud.url().to_owned();
        stage.replace("https://cloud.example/client/api", &url);
        stage.replace(
            "CLOUDSTACK_API_KEY=… CLOUDSTACK_SECRET_KEY=…",
            "CLOUDSTACK_API_KEY=$BTCLOUD_API_KEY CLOUDSTACK_SECRET_KEY=$BTCLOUD_SECRET_KEY",
        );
        stage.replace("zone01", "uk-london-1");
        // The network has the first address, and the machine the second.
        stage.engine("web-1", 1);
    }),
    scene(
        "docs/tutorial-driver.md",
        &[
            "git clone",
            "cargo install",
            "cp -RL templates/driver ../acme",
            "btcloud-host driver install",
            "cargo run --quiet",
        ],
        |stage| {
            stage.project("docker-machine-driver-btcloud");
            stage.use_cargo("");
            stage.use_hetzner();
        },
    ),
];

/// Where a scene is played.
struct Stage {
    lab: Lab,
    address: Ipv4Addr,
    replaced: Vec<(String, String)>,
    variables: Vec<(&'static str, String)>,
    directory: PathBuf,
    engines: Vec<DockerEngine>,
    other: Option<Hetzner>,
}

impl Stage {
    /// An empty one. Each has an address of its own, since the engine's port is the same for all.
    fn new(number: u8) -> Self {
        let address = Ipv4Addr::new(127, 0, 121, number);
        let lab = Lab::with(|_| (), |cloud| cloud.public_addresses[0].first = address);
        Self {
            directory: lab.home().to_owned(),
            lab,
            address,
            replaced: Vec::new(),
            variables: Vec::new(),
            engines: Vec::new(),
            other: None,
        }
    }

    fn replace(&mut self, from: &str, to: &str) {
        self.replaced.push((from.to_owned(), to.to_owned()));
    }

    /// An engine answers for a machine, at the first address or a later one.
    fn engine(&mut self, machine: &str, later: u32) {
        let ip = Ipv4Addr::from(u32::from(self.address) + later);
        let engine = DockerEngine::start(IpAddr::V4(ip), &self.lab.store(), machine);
        self.engines.push(engine);
    }

    /// Commands set Docker up on the machines that they create, as outside of tests; the first one is called so.
    fn sets_docker_up(&mut self, machine: &str) {
        self.engine(machine, 0);
        self.variables.push(("BTCLOUD_NO_PROVISION", String::new()));
    }

    /// A machine is there, and Docker is set up on it.
    fn provisioned(&mut self, machine: &str) {
        self.engine(machine, 0);
        self.lab.create(machine, &[]);
        self.lab.cli(&["provision", machine]).ok();
    }

    /// The sources are in a directory of that name.
    fn project(&mut self, name: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()
            .unwrap();
        let project = self.lab.home().join(name);
        fs::create_dir(&project).unwrap();
        for part in ["templates", "tests", "wit"] {
            symlink(root.join(part), project.join(part)).unwrap();
        }
        project
    }

    /// The shell is in them.
    fn enter(&mut self, name: &str) {
        self.directory = self.project(name);
    }

    /// Cargo is the tests' own, and builds where the dependencies of the template are built already. `before` is how the page gets to
    /// the driver's directory.
    fn use_cargo(&mut self, before: &str) {
        let target = cache_directory()
            .ancestors()
            .nth(2)
            .unwrap()
            .join("template");
        let built = "target/wasm32-wasip2";
        self.replace(
            &format!("{before}{built}"),
            "$CARGO_TARGET_DIR/wasm32-wasip2",
        );
        self.replace(&format!(" {built}"), " $CARGO_TARGET_DIR/wasm32-wasip2");
        self.variables
            .push(("CARGO_TARGET_DIR", target.display().to_string()));
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        for (variable, directory) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let set = std::env::var_os(variable).map(PathBuf::from);
            let path = set.unwrap_or_else(|| home.join(directory));
            self.variables.push((variable, path.display().to_string()));
        }
        // The copy is beside the sources, and has the template's own file of it.
        if let Ok(toolchain) = std::env::var("RUSTUP_TOOLCHAIN") {
            self.variables.push(("RUSTUP_TOOLCHAIN", toolchain));
        }
    }

    /// The other cloud is there.
    fn use_hetzner(&mut self) {
        let cloud = Hetzner::start().unwrap();
        cloud.set_address(&self.address.to_string());
        self.replace("http://127.0.0.1:8090/v1", &cloud.url());
        self.replace("LRK9…", cloud.token());
        self.variables.push(("HETZNER_ENDPOINT", cloud.url()));
        self.variables
            .push(("HETZNER_TOKEN", cloud.token().to_owned()));
        self.other = Some(cloud);
    }

    /// Runs commands in one shell, and compares what they answer.
    fn play(&self, commands: &[&Shown]) -> Result<(), String> {
        let mut script = "set -euo pipefail\nexec 2>&1\n".to_owned();
        for command in commands {
            let replace = |text: String, (from, to): &(String, String)| text.replace(from, to);
            let line = self.replaced.iter().fold(command.line.clone(), replace);
            script.push_str(&format!("printf '\\n{MARK}\\n'\n{line}\n"));
        }
        let mut shell = self.lab.command("bash");
        let path = shell
            .get_envs()
            .find_map(|(name, value)| value.filter(|_| name == "PATH"));
        let path = path.unwrap().to_owned();
        let links = self.lab.home().join(".local/bin");
        let client = std::env::var_os("TEST_DOCKER_MACHINE").map(PathBuf::from);
        let client = client.and_then(|client| Some(client.parent()?.to_owned()));
        let first = [links].into_iter().chain(client);
        let path = std::env::join_paths(first.chain(std::env::split_paths(&path))).unwrap();
        shell
            .args(["-c", &script])
            .env("PATH", path)
            .env("SHELL", "/bin/bash")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory);
        let outcome = self.lab.finish(&mut shell);
        if outcome.code != 0 {
            return Err(format!(
                "{script}\nends with {}:\n{}",
                outcome.code, outcome.stdout
            ));
        }
        let answers = outcome.stdout.split(MARK).skip(1);
        for (command, answer) in commands.iter().zip(answers) {
            let mut lines = answer.lines().map(settled);
            for shown in command.answer.iter().filter(|line| *line != "…") {
                let shown = settled(shown);
                if !lines.any(|line| line == shown) {
                    return Err(format!(
                        "{}\nis to answer \"{shown}\":\n{answer}",
                        command.line
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Stands before what each command answers.
const MARK: &str = "@@ next command @@";

/// A line without what differs from one cloud and terminal to the next: addresses, ids, of which a page shows the beginning, and
/// how much room there is.
fn settled(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_id = word.len() == 36 && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
        if is_id || word.ends_with('…') {
            return "ID".to_owned();
        }
        let is_address = |part: &str| part.parse::<Ipv4Addr>().is_ok();
        let parts = word.split(['/', ':']);
        let address = parts.into_iter().find(|part| is_address(part));
        address.map_or_else(
            || word.to_owned(),
            |address| word.replace(address, "ADDRESS"),
        )
    });
    words.collect::<Vec<_>>().join(" ")
}

fn as_words(options: &[&str]) -> String {
    let quoted = options.iter().map(|option| match option.contains(' ') {
        true => format!("\"{option}\""),
        false => (*option).to_owned(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// A command that a page shows, and what it shows as its answer.
#[derive(Clone, Debug)]
struct Shown {
    line: String,
    answer: Vec<String>,
}

impl Shown {
    /// The command in one line, without a comment.
    fn plain(&self) -> String {
        let joined = self.line.replace("\\\n", " ");
        let plain = joined.split("  # ").next().unwrap_or_default();
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn exception(&self) -> Option<&'static Exception> {
        let plain = self.plain();
        EXCEPTIONS
            .iter()
            .find(|exception| exception.command == plain)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All pages of the project, by their paths in it.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    let mut directories = vec![root()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_str().unwrap();
            // A link leads to what is looked at where it is.
            let is_directory = entry.file_type().unwrap().is_dir();
            if is_directory && name != "target" && !name.starts_with('.') {
                directories.push(path);
            } else if name.ends_with(".md") {
                let page = path.strip_prefix(root()).unwrap();
                pages.push(page.to_str().unwrap().to_owned());
            }
        }
    }
    pages.sort();
    pages
}

/// The blocks of a page with commands.
fn blocks(page: &str) -> Vec<Vec<Shown>> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks = Vec::new();
    for part in text.split("```console\n").skip(1) {
        let block = part.split("\n```").next().unwrap();
        let mut shown: Vec<Shown> = Vec::new();
        for line in block.lines() {
            let goes_on = shown
                .last()
                .is_some_and(|last| last.answer.is_empty() && last.line.ends_with('\\'));
            match (line.strip_prefix("$ "), shown.last_mut()) {
                (Some(line), _) => shown.push(Shown {
                    line: line.to_owned(),
                    answer: Vec::new(),
                }),
                (None, Some(last)) if goes_on => last.line.push_str(&format!("\n{line}")),
                (None, Some(last)) => last.answer.push(line.to_owned()),
                (None, None) => panic!("{page}: a block begins with an answer: {line}"),
            }
        }
        assert!(!shown.is_empty(), "{page}: a block without a command");
        blocks.push(shown);
    }
    blocks
}

/// The commands of a scene that are run.
fn commands(scene: &Scene) -> Vec<Shown> {
    let blocks = blocks(scene.page);
    let mut commands = Vec::new();
    for begin in scene.blocks {
        let mut found = blocks
            .iter()
            .filter(|block| block[0].line.starts_with(begin));
        let block = found
            .next()
            .unwrap_or_else(|| panic!("{}: no block begins with {begin}", scene.page));
        assert!(
            found.next().is_none(),
            "{}: two blocks begin with {begin}",
            scene.page
        );
        commands.extend(block.iter().cloned());
    }
    commands.retain(|command| command.exception().is_none());
    commands
}

/// Plays scenes; the first number is that of the addresses.
fn play(scenes: &'static [Scene], first: u8) {
    let numbers = (first..).step_by(4);
    let failures = play_all(scenes.iter().zip(numbers), |(scene, number)| {
        let commands = commands(scene);
        let all: Vec<_> = commands.iter().collect();
        let parts: Vec<&[&Shown]> = match scene.each_alone {
            true => all.chunks(1).collect(),
            false => vec![&all],
        };
        for part in parts {
            let mut stage = Stage::new(number);
            (scene.set)(&mut stage);
            stage
                .play(part)
                .map_err(|reason| format!("{}: {reason}", scene.page))?;
        }
        Ok(())
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_command_is_run_or_is_an_exception() {
    let scenes = || SCENES.iter().chain(CLIENT_SCENES);
    let mut used = BTreeSet::new();
    for page in pages() {
        for block in blocks(&page) {
            let exceptions = block.iter().filter_map(Shown::exception);
            used.extend(exceptions.map(|exception| exception.command));
            let first = &block[0].line;
            let is_played = scenes().any(|scene| {
                scene.page == page && scene.blocks.iter().any(|begin| first.starts_with(begin))
            });
            let left = block.iter().find(|command| command.exception().is_none());
            if let (false, Some(command)) = (is_played, left) {
                panic!(
                    "{page}: \"{}\" is in no scene, and no exception",
                    command.plain()
                );
            }
        }
    }
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    let lines = ci.lines().filter(|line| !line.starts_with('#'));
    let is_run = |command: &str| lines.clone().any(|line| line.contains(command));
    for exception in EXCEPTIONS {
        let command = exception.command;
        assert!(used.contains(command), "no page has \"{command}\"");
        match exception.reason {
            Ci => assert!(is_run(command), ".ci/run does not run \"{command}\""),
            Because(reason) => assert!(!reason.is_empty()),
        }
    }
    // What is said of Python is what is done.
    let chore = fs::read_to_string(root().join("xtask/src/clients.rs")).unwrap();
    assert!(chore.contains("\"componentize-py==0.25.1\""));
}

#[test]
fn what_the_pages_show_is_what_happens() {
    play(SCENES, 1);
}

#[test]
fn what_the_pages_show_of_a_docker_machine_client_is_what_happens() {
    // A test that needs the client must not pass without.
    assert!(program("btcloud-host").is_file() && std::env::var_os("TEST_DOCKER_MACHINE").is_some());
    play(CLIENT_SCENES, 101);
}

/// The anchors of a page, as GitHub makes them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    // Every second part is a block of code.
    let prose = text.split("\n```").step_by(2);
    let headings = prose
        .flat_map(str::lines)
        .filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    for page in pages() {
        let path = root().join(&page);
        for link in read(&path).split("](").skip(1) {
            let link: String = link.split(')').next().unwrap().split_whitespace().collect();
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{page}: {link}");
            let has = anchor.is_empty() || anchors(&read(&target)).contains(anchor);
            assert!(has, "{page}: {link}");
        }
    }
}

#[test]
fn the_limits_of_a_driver_are_the_programs() {
    check_limits("docs/architecture.md");
}

#[test]
fn the_limits_of_a_peer_are_the_programs() {
    let netrpc::rpc::Settings {
        limits,
        connections,
        calls,
        greeting,
        request,
        answer,
    } = netrpc::rpc::Settings::default();
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    let bytes = |number: usize| bytes(number.try_into().unwrap());
    let expected = [
        ("connections", connections.to_string()),
        ("greeting", seconds(greeting)),
        ("from one call to the end of the next", seconds(request)),
        (
            "message; value with its types",
            format!("{}; {}", bytes(limits.message), bytes(limits.value)),
        ),
        ("memory of a value", bytes(limits.memory)),
        ("nesting", limits.depth.to_string()),
        (
            "types of a connection",
            // As the page writes a thousand.
            format!(
                "{},{:03} in {}",
                limits.types / 1_000,
                limits.types % 1_000,
                bytes(limits.definitions)
            ),
        ),
        (
            "calls of a connection at once",
            format!("{calls}, with {}", bytes(limits.memory)),
        ),
        ("reading an answer", seconds(answer)),
    ];
    let page = fs::read_to_string(root().join("docs/clients.md")).unwrap();
    for (what, value) in expected {
        let row = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {what} | ")));
        let row = row.unwrap_or_else(|| panic!("no row for {what}"));
        assert!(row.contains(&value), "{what}: {value} is not in {row}");
    }
}

#[test]
fn every_file_of_end_to_end_tests_is_listed() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    for entry in fs::read_dir(root().join("tests/acceptance/tests")).unwrap() {
        let name = entry.unwrap().file_name();
        let name = name.to_str().unwrap();
        let is_listed = page.contains(&format!("`{name}`"));
        assert!(is_listed || name == "snapshots", "{name} is not listed");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let outcome = Lab::new().cli(&["--help"]);
    let help = outcome
        .ok()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let page = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let (_, table) = page
        .split_once("| code | meaning |\n|---|---|\n")
        .expect("the table of exit codes");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let codes: Vec<_> = rows
        .map(|row| row.trim_matches(['|', ' ']).replace(" | ", " "))
        .collect();
    assert!(help.contains(&codes.join(" ")), "{codes:?}\n{help}");
}
