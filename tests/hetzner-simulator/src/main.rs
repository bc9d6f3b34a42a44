//! `hetzner-simulator [ADDRESS:PORT]`: runs until it is ended.

use std::process::ExitCode;

use hetzner_simulator::Hetzner;

fn main() -> ExitCode {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8090");
    match Hetzner::at(address) {
        Ok(cloud) => {
            // Servers are records. Whoever wants to speak with one must not find somebody else's machine.
            cloud.set_address("127.0.0.1");
            println!("{} with the token {}", cloud.url(), cloud.token());
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            eprintln!("cannot listen at {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
