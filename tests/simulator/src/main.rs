//! The simulator as a program.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cloudstack_simulator::{Behaviour, CloudConfig, Simulator};

/// A server on this machine that behaves like Apache CloudStack
///
/// It prints the variables with which the btcloud driver finds it, and runs until it is stopped. Machines are records:
/// nothing is started.
#[derive(Debug, Parser)]
#[command(name = "cloudstack-simulator", version)]
struct Arguments {
    /// Where to listen; only loopback addresses are taken, and port 0 is any free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// How long a job takes, such as 2s or 500ms
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = duration)]
    job_time: Duration,
    /// The API key; random if not given
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// The secret key; random if not given
    #[arg(long, value_name = "KEY")]
    secret_key: Option<String>,
    /// Behave as a server of 2016 (CloudStack 4.6)
    #[arg(long)]
    old: bool,
    /// Require POST and timestamps, as servers with enforce.post.requests.and.timestamps do
    #[arg(long)]
    enforce_post: bool,
    /// Let users expunge machines, as with allow.user.expunge.recover.vm
    #[arg(long)]
    allow_expunge: bool,
    /// Print each API call on standard error
    #[arg(long)]
    log: bool,
}

/// Reads a time with a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "a whole number and ms, s or m is expected".to_owned())?;
    match text.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("the unit has to be ms, s or m".to_owned()),
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    let mut behaviour = if arguments.old {
        Behaviour::cloudstack_4_6()
    } else {
        Behaviour::default()
    };
    behaviour.job_time = arguments.job_time;
    behaviour.enforce_post = arguments.enforce_post;
    behaviour.allow_user_expunge = arguments.allow_expunge;
    let mut cloud = CloudConfig::default();
    if let Some(account) = cloud.accounts.first_mut() {
        account.api_key = arguments.api_key;
        account.secret_key = arguments.secret_key;
    }
    let mut builder = Simulator::builder()
        .listen(arguments.listen)
        .behaviour(behaviour)
        .cloud(cloud);
    if arguments.log {
        // Standard error may be closed, and that is no reason to stop.
        builder = builder.on_request(|record| drop(writeln!(io::stderr(), "{record}")));
    }
    let simulator = builder.start()?;
    let mut output = io::stdout().lock();
    output.write_all(simulator.exports().as_bytes())?;
    output.flush()?;
    drop(output);
    loop {
        std::thread::park();
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere else to tell it.
            let _ = writeln!(io::stderr(), "cloudstack-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["", "2", "s", "2h", "-1s", "1.5s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
