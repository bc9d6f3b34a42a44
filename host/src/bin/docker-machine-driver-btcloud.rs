//! The Docker Machine driver for BT Cloud Compute; `docker-machine --driver btcloud` starts it.

use std::process::ExitCode;

use btcloud_host::{builtin, plugin};

fn main() -> ExitCode {
    plugin::main(builtin::NAME, builtin::driver())
}
