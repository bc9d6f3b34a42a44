//! Affinity groups.

use cloudstack_simulator::{AffinityGroupConfig, CloudConfig, ManualClock};
use serde_json::json;

use crate::client::{Client, builder, text};

#[test]
fn machines_are_put_in_affinity_groups_of_their_owner() {
    let mut cloud = CloudConfig::default();
    let owned = [
        ("apart", "demo"),
        ("far-apart", "demo"),
        ("theirs", "other"),
    ];
    cloud.affinity_groups = owned
        .map(|(name, owner)| AffinityGroupConfig {
            name: name.to_owned(),
            owner: owner.to_owned(),
        })
        .to_vec();
    let clock = ManualClock::new();
    let simulator = builder(&clock).cloud(cloud).start().unwrap();
    let (client, other) = (Client::new(&simulator), Client::of(&simulator, "other"));
    let list = client.ok("listAffinityGroups", &[]);
    assert_eq!(
        (&list["count"], &list["affinitygroup"][0]["type"]),
        (&json!(2), &json!("host anti-affinity"))
    );
    let id =
        |client: &Client<'_>, name| client.id("listAffinityGroups", "affinitygroup", name, &[]);
    let (apart, theirs) = (id(&client, "apart"), id(&other, "theirs"));

    let machine = client.deploy(&clock, "a", &[("affinitygroupids", &apart)]);
    assert_eq!(machine["affinitygroup"][0]["name"], "apart");
    let both = ("affinitygroupnames", "apart,far-apart");
    assert_eq!(
        client.deploy(&clock, "b", &[both])["affinitygroup"][1]["name"],
        "far-apart"
    );
    assert_eq!(
        simulator.inventory().machines[1].affinity_groups,
        ["apart", "far-apart"]
    );
    let machine = text(&machine["id"]);
    let of_machine = client.ok("listAffinityGroups", &[("virtualmachineid", machine)]);
    assert_eq!(of_machine["count"], 1);
    assert_eq!(
        of_machine["affinitygroup"][0]["virtualmachineIds"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );

    let never = "00000000-0000-4000-8000-000000000000";
    for (parameters, code, error) in [
        (
            vec![("affinitygroupids", never)],
            431,
            "Invalid parameter affinitygroupids value=",
        ),
        (
            vec![("affinitygroupids", theirs.as_str())],
            531,
            "does not have permission",
        ),
        (
            vec![("affinitygroupnames", "theirs")],
            431,
            "Unable to find affinity group by name theirs",
        ),
        (
            vec![("affinitygroupids", apart.as_str()), both],
            431,
            "mutually exclusive",
        ),
    ] {
        let refused = client.deploy_refused("c", &parameters);
        assert!(
            refused.0 == code && refused.1.contains(error),
            "{refused:?}"
        );
    }
    assert_eq!(simulator.inventory().machines.len(), 2);
}
