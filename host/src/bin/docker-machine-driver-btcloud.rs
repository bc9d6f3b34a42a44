//! The Docker Machine driver for BT Cloud Compute; `docker-machine --driver btcloud` starts it. Under another name, by a link
//! `docker-machine-driver-NAME`, it serves the third-party driver that is installed as NAME.

use std::process::ExitCode;

use btcloud_host::{builtin, plugin};

fn main() -> ExitCode {
    let program = std::env::args_os().next();
    let name = plugin::driver_name(program.as_deref());
    let name = name.as_deref().unwrap_or(builtin::NAME);
    plugin::main(name, builtin::driver_named(name))
}
