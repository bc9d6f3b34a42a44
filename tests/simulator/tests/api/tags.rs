//! Tags.

use serde_json::json;

use crate::client::{Client, simulator, text};

#[test]
fn tags_are_put_on_found_by_and_taken_off() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    client.deploy(&clock, "b", &[]);
    let id = text(&machine["id"]);
    let tags = [
        ("resourceids", id),
        ("resourcetype", "uservm"),
        ("tags[0].key", "Role"),
        ("tags[0].value", "web"),
        ("tags[1].key", "owner"),
        ("tags[1].value", "me"),
    ];
    client.run(&clock, "createTags", &tags);
    assert_eq!(client.err("createTags", &tags).0, 431);
    let found = client.ok(
        "listVirtualMachines",
        &[("tags[0].key", "Role"), ("tags[0].value", "web")],
    );
    assert_eq!(
        (&found["count"], &found["virtualmachine"][0]["name"]),
        (&json!(1), &json!("a"))
    );
    assert_eq!(
        client.ok("listTags", &[("resourceid", id), ("key", "owner")])["tag"][0]["value"],
        "me"
    );
    client.run(
        &clock,
        "deleteTags",
        &[
            ("resourceids", id),
            ("resourcetype", "UserVm"),
            ("tags[0].key", "owner"),
        ],
    );
    assert_eq!(
        simulator.inventory().tags,
        [format!("UserVm {id} Role=web")]
    );
}
