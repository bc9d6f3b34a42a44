//! `cargo xtask demo`: the life of a machine, as a user types it, beside the API calls that it causes.
//!
//! The commands are run as they are shown, against a simulated cloud on loopback. If a genuine docker-machine client is
//! given as an argument, it lives a machine's life too. If the image of real machines is given as well, the machine is one.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::engine::DockerEngine;
use acceptance::real::RealLab;
use acceptance::{Lab, OPTIONS, program};
use cloudstack_simulator::{Builder, RequestRecord, Simulator};

/// How long the simulated cloud takes over a job: long enough to be seen.
const JOB_TIME: Duration = Duration::from_millis(400);

/// What the stage shows.
enum Line {
    /// The output of the command.
    Output(String),
    /// A call of the API.
    Call(String),
}

/// Where the user works.
enum Room {
    Simulated(Lab),
    Real(RealLab),
}

impl Deref for Room {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        match self {
            Self::Simulated(lab) => lab,
            Self::Real(lab) => lab,
        }
    }
}

/// The user at work.
struct Stage {
    lab: Room,
    lines: Receiver<Line>,
    sender: Sender<Line>,
    styled: bool,
}

impl Stage {
    /// A stage with records for machines, or with real ones of an image.
    fn new(image: Option<&Path>) -> Self {
        let (sender, lines) = channel();
        let calls = sender.clone();
        // The stage may end before the cloud does.
        let watch = move |call: &RequestRecord| drop(calls.send(Line::Call(call.to_string())));
        let configure = |builder: Builder| builder.job_time(JOB_TIME).on_request(watch);
        let lab = match image {
            Some(image) => Room::Real(RealLab::with(9, image, configure)),
            None => Room::Simulated(Lab::of(configure(Simulator::builder()))),
        };
        let styled = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            lab,
            lines,
            sender,
            styled,
        }
    }

    /// Text in one of the terminal's styles.
    fn style(&self, code: u8, text: &str) -> String {
        if self.styled {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn heading(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "\n{}", self.style(1, text))
    }

    fn show(&self, line: &Line) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match line {
            Line::Output(line) => writeln!(stdout, "{line}"),
            Line::Call(call) => writeln!(stdout, "{}", self.style(2, &format!("    API  {call}"))),
        }
    }

    /// Shows a command line, runs it, and shows what it writes and calls as that comes.
    fn run(&self, mut command: Command, name: &str, arguments: &[&str]) -> io::Result<()> {
        let words: Vec<_> = [name]
            .iter()
            .chain(arguments)
            .map(|word| quoted(word))
            .collect();
        let prompt = format!("$ {}", words.join(" "));
        writeln!(io::stdout(), "\n{}", self.style(1, &prompt))?;
        let started = Instant::now();
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let readers = [
            child.stdout.take().map(|pipe| self.forward(pipe)),
            child.stderr.take().map(|pipe| self.forward(pipe)),
        ];
        loop {
            // Lines keep their order only if they are shown as they come.
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(10)) {
                self.show(&line)?;
            }
            if readers
                .iter()
                .flatten()
                .all(thread::JoinHandle::is_finished)
            {
                break;
            }
        }
        while let Ok(line) = self.lines.try_recv() {
            self.show(&line)?;
        }
        let status = child.wait()?;
        if status.success() {
            if matches!(self.lab, Room::Real(_)) {
                let took = format!("    took {:.1} s", started.elapsed().as_secs_f32());
                writeln!(io::stdout(), "{}", self.style(2, &took))?;
            }
            return Ok(());
        }
        Err(io::Error::other(format!("{name} failed ({status})")))
    }

    /// Sends the lines of a program's output to the stage.
    fn forward(&self, pipe: impl io::Read + Send + 'static) -> thread::JoinHandle<()> {
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(Line::Output(line)).is_err() {
                    return;
                }
            }
        })
    }

    /// Runs `btcloud-host run`.
    fn host(&self, arguments: &[&str]) -> io::Result<()> {
        let arguments = [&["run"], arguments].concat();
        let command = self.lab.command(program("btcloud-host"));
        self.run(command, "btcloud-host", &arguments)
    }

    /// What the account has; an error if that is anything.
    fn inventory(&self) -> io::Result<()> {
        let inventory = self.lab.cloud.inventory();
        writeln!(io::stdout(), "\nIn the account now: {inventory}")?;
        if inventory.is_empty() {
            Ok(())
        } else {
            Err(io::Error::other("something was left in the cloud"))
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A machine's life by the command line.
fn life_by_command_line(stage: &Stage) -> io::Result<()> {
    stage.heading("1. btcloud-host: a machine's life at a shell")?;
    stage.host(&[&["create", "web-1"], OPTIONS.as_slice()].concat())?;
    for operation in ["status", "ip", "url"] {
        stage.host(&[operation, "web-1"])?;
    }
    for operation in ["stop", "start", "restart", "kill"] {
        stage.host(&[operation, "web-1"])?;
        stage.host(&["status", "web-1"])?;
    }
    stage.host(&["remove", "web-1"])?;
    stage.inventory()
}

/// The same life by a genuine client.
fn life_by_client(stage: &Stage, client: &PathBuf) -> io::Result<()> {
    let name = client
        .file_name()
        .unwrap_or(client.as_os_str())
        .to_string_lossy();
    stage.heading(&format!(
        "2. {name}: the same through the Docker Machine plugin"
    ))?;
    writeln!(
        io::stdout(),
        "The simulated machine has no system to log in to: a stand-in for ssh and for the Docker engine's\n\
         port plays it, so that the client can provision it."
    )?;
    let engine = DockerEngine::start(IpAddr::from([127, 0, 100, 10]), &stage.lab.store(), "web-2");
    let run = |arguments: &[&str]| {
        let mut command = stage.lab.command(client);
        // rancher-machine keeps its machines elsewhere by default.
        command.env("MACHINE_STORAGE_PATH", stage.lab.store());
        stage.run(command, &name, arguments)
    };
    run(&[
        &["create", "--driver", "btcloud"],
        OPTIONS.as_slice(),
        &["web-2"],
    ]
    .concat())?;
    run(&["ls"])?;
    for operation in ["stop", "start", "restart", "kill"] {
        run(&[operation, "web-2"])?;
    }
    run(&["ls"])?;
    run(&["rm", "-y", "web-2"])?;
    drop(engine);
    stage.inventory()
}

/// The life of a machine with an operating system and Docker of its own.
fn life_of_real_machine(stage: &Stage, lab: &RealLab, client: &Path) -> io::Result<()> {
    writeln!(
        io::stdout(),
        "Behind it are real machines: what it deploys is a Debian in namespaces of its own, with systemd, sshd and\n\
         Docker, started from {}.",
        lab.image().display()
    )?;
    let name = client.file_name().unwrap_or(client.as_os_str());
    let name = name.to_string_lossy();
    let run = |arguments: &[&str]| {
        let mut command = lab.command(client);
        // rancher-machine keeps its machines elsewhere by default.
        command.env("MACHINE_STORAGE_PATH", lab.store());
        stage.run(command, &name, arguments)
    };
    let docker_of = |machine: &str, arguments: &[&str]| {
        stage.run(lab.docker_command(machine), "docker", arguments)
    };
    let docker = |arguments: &[&str]| docker_of("web-1", arguments);
    stage.heading(&format!("1. {name} makes a Docker host"))?;
    run(&[
        &["create", "--driver", "btcloud"],
        OPTIONS.as_slice(),
        &["web-1"],
    ]
    .concat())?;
    run(&["ls"])?;
    run(&[
        "ssh",
        "web-1",
        "hostname; cat /etc/debian_version; systemctl is-active ssh docker",
    ])?;
    stage.heading("2. docker, over TLS with the certificates that the client made")?;
    docker(&["version"])?;
    lab.import_tiny_image("web-1");
    writeln!(
        io::stdout(),
        "\nThere is no registry: an image with nothing but busybox has been imported as `tiny`."
    )?;
    docker(&["run", "--rm", "tiny", "/busybox", "uname", "-a"])?;
    let forever = [
        "run",
        "--detach",
        "--restart=always",
        "--stop-timeout=1",
        "--name=forever",
    ];
    docker(&[&forever[..], &["tiny", "/busybox", "sleep", "3600"]].concat())?;
    stage.heading(&format!("3. {name} controls it"))?;
    for operation in ["stop", "start", "restart"] {
        run(&[operation, "web-1"])?;
    }
    docker(&["ps", "--format", "{{.Names}} {{.Status}}"])?;
    run(&["kill", "web-1"])?;
    run(&["ls"])?;
    run(&["rm", "-y", "web-1"])?;
    stage.heading("4. btcloud-host does the same alone, and the other manages what it made")?;
    let host = |arguments: &[&str]| {
        let mut command = lab.command(program("btcloud-host"));
        command.env_remove("BTCLOUD_NO_PROVISION");
        stage.run(command, "btcloud-host", arguments)
    };
    host(&[&["run", "create", "web-2"], OPTIONS.as_slice()].concat())?;
    lab.import_tiny_image("web-2");
    docker_of("web-2", &["run", "--rm", "tiny", "/busybox", "uname", "-a"])?;
    host(&["ls"])?;
    run(&["ls"])?;
    host(&["ssh", "web-2", "uptime"])?;
    run(&["stop", "web-2"])?;
    host(&["start", "web-2"])?;
    host(&["rm", "-y", "web-2"])?;
    stage.inventory()
}

fn play() -> io::Result<()> {
    let started = Instant::now();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (client, image) = (arguments.next(), arguments.next());
    let stage = Stage::new(image.as_deref());
    writeln!(
        io::stdout(),
        "A simulated CloudStack, {}, with an account that has nothing yet. Its address and keys are in\n\
         BTCLOUD_ENDPOINT, BTCLOUD_API_KEY and BTCLOUD_SECRET_KEY. Lines with API are its calls, as it sees them.",
        stage.lab.cloud.url()
    )?;
    if let (Room::Real(lab), Some(client)) = (&stage.lab, &client) {
        life_of_real_machine(&stage, lab, client)?;
    } else {
        life_by_command_line(&stage)?;
        match &client {
            Some(client) => life_by_client(&stage, client)?,
            None => writeln!(
                io::stdout(),
                "\nNo genuine client was found to do the same with: DOCKER_MACHINE_BIN may name one, and\n\
                 `cargo xtask test` builds some, which the next demo uses."
            )?,
        }
    }
    drop(stage);
    writeln!(
        io::stdout(),
        "\nDone in {:.1} s, and nothing is left in the cloud.",
        started.elapsed().as_secs_f32()
    )
}

fn main() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere else to tell it.
            drop(writeln!(io::stderr(), "demo: {error}"));
            ExitCode::FAILURE
        }
    }
}
