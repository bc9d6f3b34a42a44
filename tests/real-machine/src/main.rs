//! Real Linux machines behind the simulated cloud, as a program: for the tests, and for use by hand.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use cloudstack_simulator::{CloudConfig, Simulator};
use real_machine::{Image, Kind, Laboratory, keeper, supervisor};

/// Real Linux machines behind the simulated cloud
#[derive(Debug, Parser)]
#[command(name = "real-machine", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether this machine can run guests, and why not
    Check(Place),
    /// Build the image that guests are started from, unless it is there, and print its directory
    Image(Place),
    /// Run a simulated cloud with real machines until standard input ends, and print the variables that lead to it
    Cloud {
        #[command(flatten)]
        place: Place,
        /// The first of the ten public addresses, a loopback address
        #[arg(long, default_value = "127.0.100.10", value_name = "ADDRESS")]
        public_address: Ipv4Addr,
        /// Print each API call on standard error
        #[arg(long)]
        log: bool,
    },
    /// Run a laboratory, and tidy up after it
    #[command(hide = true)]
    Keeper {
        #[arg(long)]
        image: PathBuf,
        #[arg(long)]
        kind: Kind,
    },
    /// Supervise a laboratory, as its process 1
    #[command(hide = true)]
    Supervisor {
        #[arg(long)]
        image: PathBuf,
        #[arg(long)]
        kind: Kind,
        #[arg(long = "group")]
        groups: Vec<PathBuf>,
        #[arg(long = "hierarchy")]
        hierarchies: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Where images are kept
    #[arg(long, default_value = "target/real-machine", value_name = "DIRECTORY")]
    cache: PathBuf,
    /// What runs the guests
    #[arg(long, env = "REAL_MACHINE", default_value = "namespaces")]
    kind: Kind,
}

impl Place {
    /// The image, for a machine that can run it.
    fn image(&self) -> anyhow::Result<Image> {
        std::fs::create_dir_all(&self.cache)?;
        let cache = self.cache.canonicalize()?;
        real_machine::check(&Image::scratch_directory(&cache), self.kind)?;
        // Packages are installed on a build server, but on nobody's computer unasked.
        let variables = ["CI", "REAL_MACHINE_INSTALL"];
        let may_install = variables
            .iter()
            .any(|name| std::env::var_os(name).is_some());
        Ok(Image::provide(&cache, self.kind, may_install)?)
    }
}

fn cloud(place: &Place, public_address: Ipv4Addr, log: bool) -> anyhow::Result<()> {
    let laboratory = Laboratory::start(&std::env::current_exe()?, &place.image()?)?;
    let mut config = CloudConfig::default();
    for pool in &mut config.public_addresses {
        (pool.first, pool.count) = (public_address, 10);
    }
    let mut builder = Simulator::builder()
        .cloud(config)
        .job_time(Duration::from_millis(500))
        .hypervisor(Arc::new(laboratory));
    if log {
        // Standard error may be closed, and that is no reason to stop.
        builder = builder.on_request(|record| drop(writeln!(io::stderr(), "{record}")));
    }
    let simulator = builder.start()?;
    let mut output = io::stdout().lock();
    output.write_all(simulator.exports().as_bytes())?;
    output.flush()?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Check(place) => {
            std::fs::create_dir_all(&place.cache)?;
            let cache = place.cache.canonicalize()?;
            real_machine::check(&Image::scratch_directory(&cache), place.kind)?;
            println!("This machine can run real guests.");
        }
        Command::Image(place) => println!("{}", place.image()?.directory().display()),
        Command::Cloud {
            place,
            public_address,
            log,
        } => cloud(&place, public_address, log)?,
        Command::Keeper { image, kind } => return Ok(keeper::keep(&image, kind)?),
        Command::Supervisor {
            image,
            kind,
            groups,
            hierarchies,
        } => {
            let image = Image::at(image, kind);
            return Ok(supervisor::run(supervisor::Setup {
                image,
                groups,
                hierarchies,
            })?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            // There is nowhere else to tell it.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
