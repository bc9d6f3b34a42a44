//! `btcloud-host config show`, of a path that is no text; where options come from is in `profiles`.

use std::os::unix::ffi::OsStrExt as _;

use acceptance::{Lab, program};
use serde_json::Value;

#[test]
fn a_path_that_is_no_text_can_be_shown_all_the_same() {
    let lab = Lab::new();
    let mut show = lab.command(program("btcloud-host"));
    let store = lab.home().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    show.args(["config", "show", "--json", "-s"]).arg(store);
    let shown: Value = serde_json::from_str(lab.finish(&mut show).ok()).unwrap();
    let store = shown["store"].as_str().unwrap();
    assert!(store.ends_with("caf\u{fffd}"), "{store}");
}
