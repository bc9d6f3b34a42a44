//! Creates and controls Docker hosts with sandboxed machine drivers.

use std::process::ExitCode;

fn main() -> ExitCode {
    btcloud_host::cli::main(std::env::args_os())
}
