//! The driver's options, as the help and the README have them.

use acceptance::documentation::check_options;
use acceptance::{Lab, PROBE, program};

#[test]
fn help_shows_the_drivers_options() {
    let lab = Lab::new();
    let help = lab.run(&["create", "--help"]);
    for option in [
        "--btcloud-zone",
        "BTCLOUD_SECRET_KEY",
        "https://cloud.bt.com/client/api",
        "--json",
    ] {
        assert!(help.ok().contains(option), "{option} in {}", help.stdout);
    }
    let mut host = lab.command(program("btcloud-host"));
    let help = lab.finish(host.args(["help", "run", "create"]));
    assert!(help.ok().contains("--btcloud-zone"), "{help:?}");
    let mut host = lab.command(program("btcloud-host"));
    let help = lab.finish(host.arg("--help"));
    assert!(help.ok().contains("Exit codes:"), "{help:?}");
    let probe = lab.run(&["create", "--driver", PROBE, "--help"]);
    assert!(probe.ok().contains("--probe-mode"), "{probe:?}");
    assert!(!probe.stdout.contains("--btcloud-zone <"), "{probe:?}");
}

#[test]
fn the_readme_has_the_options() {
    let driver = btcloud_host::builtin::driver().loaded().unwrap();
    check_options("README.md", &driver.description);
}
