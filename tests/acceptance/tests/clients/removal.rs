//! `rm`: what costs money is not forgotten.

use acceptance::client::Client;
use acceptance::tests_with_clients;
use cloudstack_simulator::Fault;

use super::{lab, lines, made};

tests_with_clients!([
    it_removes_all_after_a_question,
    a_second_one_finds_nothing,
    a_machine_that_is_gone_is_forgotten,
    one_that_fails_keeps_the_machine,
    no_answer_of_a_server_is_taken_for_a_machine_that_is_gone,
    a_forced_one_says_what_it_leaves,
]);

fn it_removes_all_after_a_question(client: &Client) {
    let (lab, _) = lab(client, 51);
    let before = lab.cloud.inventory();
    made(&lab, "m1");
    // Nobody answers.
    let asked = client.run(&lab, &["rm", "m1"]);
    assert!(asked.ok().ends_with("Are you sure? (y/n):"), "{asked:?}");
    assert!(lab.has_machine("m1"));
    let removed = client.run(&lab, &["rm", "-y", "m1"]);
    assert_eq!(
        lines(&removed),
        [
            "About to remove m1",
            "WARNING: This action will delete both local reference and remote instance.",
            "Successfully removed m1",
        ]
    );
    assert!(!lab.machine_directory("m1").exists());
    assert_eq!(lab.cloud.inventory(), before);
}

fn a_second_one_finds_nothing(client: &Client) {
    let (lab, _) = lab(client, 52);
    made(&lab, "m1");
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    for flag in ["-y", "-f"] {
        let again = client.run(&lab, &["rm", flag, "m1"]);
        let fails = flag == "-y" && !client.is_rancher;
        assert_eq!(again.code, i32::from(fails), "{again:?}");
        let shown = format!("{}{}", again.stdout, again.stderr);
        assert!(
            shown.contains("\"m1\" does not exist") || shown.contains("does not exists"),
            "{shown}"
        );
    }
}

fn a_machine_that_is_gone_is_forgotten(client: &Client) {
    let (lab, _) = lab(client, 53);
    let before = lab.cloud.inventory();
    made(&lab, "m1");
    lab.destroy_behind_our_back("m1");
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert!(!lab.machine_directory("m1").exists());
    assert_eq!(lab.cloud.inventory(), before);
}

fn one_that_fails_keeps_the_machine(client: &Client) {
    let (lab, _) = lab(client, 54);
    let before = lab.cloud.inventory();
    made(&lab, "m1");
    let fault = Fault::JobFails {
        code: 530,
        text: "The hypervisor is not found".to_owned(),
    };
    lab.cloud.fault("destroyVirtualMachine", 100, fault);
    let failed = client.run(&lab, &["rm", "-y", "m1"]);
    let error = failed.fails(1);
    for part in [
        "Error removing host \"m1\": ",
        "The hypervisor is not-found",
        "Left in the cloud: the virtual machine ",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(lab.machine_directory("m1").exists());
    lab.cloud.clear_faults();
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

/// rancher-machine takes each error with "not found" in it for that.
fn no_answer_of_a_server_is_taken_for_a_machine_that_is_gone(client: &Client) {
    let (lab, _) = lab(client, 55);
    made(&lab, "m1");
    for (status, body) in [
        (404, "<h1>404 Not Found</h1>"),
        (
            401,
            "{\"errorresponse\":{\"errorcode\":401,\"errortext\":\"User NOT FOUND\"}}",
        ),
    ] {
        let fault = Fault::Respond {
            status,
            content_type: "text/html".to_owned(),
            body: body.to_owned(),
        };
        lab.cloud.fault("*", 100, fault);
        let failed = client.run(&lab, &["rm", "-y", "m1"]);
        assert!(failed.fails(1).contains(&status.to_string()), "{failed:?}");
        assert!(lab.machine_directory("m1").exists());
        lab.cloud.clear_faults();
    }
    assert!(lab.has_machine("m1"));
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert!(!lab.has_machine("m1"));
}

fn a_forced_one_says_what_it_leaves(client: &Client) {
    let (lab, _) = lab(client, 56);
    made(&lab, "m1");
    let mut rm = client.command(&lab, &["rm", "-f", "m1"]);
    let forced = lab.finish(rm.env("BTCLOUD_SECRET_KEY", "wrong"));
    forced.ok();
    let id = &lab.cloud.inventory().machines[0].id;
    for part in ["error 401", "Left in the cloud: the virtual machine ", id] {
        assert!(
            forced.stderr.contains(part) || forced.stdout.contains(part),
            "{forced:?}"
        );
    }
    assert!(!lab.machine_directory("m1").exists());
}
