//! `btcloud-host man`: each command has a manual page, with its examples.

use std::fs;

use acceptance::Lab;
use btcloud_host::cli::examples::EXAMPLES;

#[test]
fn each_command_has_a_manual_page_with_its_examples() {
    let lab = Lab::new();
    let page = lab.cli(&["man"]);
    assert!(page.ok().contains(".TH btcloud-host 1"), "{page:?}");
    let directory = lab.home().join("man");
    lab.cli(&["man", "--directory", directory.to_str().unwrap()])
        .ok();
    for example in EXAMPLES {
        let name = example.command.replace(' ', "-");
        let page = fs::read_to_string(directory.join(format!("btcloud-host-{name}.1"))).unwrap();
        assert!(page.contains("Examples:"), "{name}");
        let what = example.what.replace('-', "\\-").replace('\'', "\\*(Aq");
        assert!(page.contains(&what), "{name}: {what}");
    }
    let create = fs::read_to_string(directory.join("btcloud-host-run-create.1")).unwrap();
    assert!(create.contains("btcloud\\-zone"));
}
