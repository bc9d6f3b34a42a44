//! `btcloud-host ls`, on stores with many machines and troubles.

use std::fs;
use std::net::TcpListener;

use acceptance::{Lab, Outcome, PROBE, program};
use serde_json::{Value, json};

/// The rows as `ls --format json` tells them.
fn rows(outcome: &Outcome) -> Vec<Value> {
    let rows: Value = serde_json::from_str(outcome.ok()).unwrap();
    rows.as_array().unwrap().clone()
}

fn row<'r>(rows: &'r [Value], name: &str) -> &'r Value {
    let found = rows.iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {rows:?}"))
}

#[test]
fn machines_are_listed_with_what_they_do() {
    let lab = Lab::new();
    assert_eq!(
        lab.cli(&["ls"]).ok(),
        "NAME   ACTIVE   DRIVER   STATE   URL   ERROR"
    );
    lab.create("web-1", &[]);
    lab.create("web-2", &["--btcloud-zone", "uk-basic-1"]);
    lab.run(&["stop", "web-2"]).ok();
    let url = lab.run(&["url", "web-1"]).ok().to_owned();
    let mut host = lab.command(program("btcloud-host"));
    let listed = lab.finish(host.arg("ls").env("DOCKER_HOST", &url));
    let lines: Vec<_> = listed.ok().lines().map(str::to_owned).collect();
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words(&lines[1]),
        ["web-1", "*", "btcloud", "Running", url.as_str()]
    );
    assert_eq!(words(&lines[2]), ["web-2", "-", "btcloud", "Stopped"]);
    assert_eq!(lines.len(), 3);
    assert_eq!(listed.stderr, "");

    let rows = rows(&lab.cli(&["ls", "--format", "json"]));
    let first = row(&rows, "web-1");
    assert_eq!(first["state"], "Running");
    assert_eq!(first["url"], url);
    assert_eq!(first["error"], Value::Null);
    assert_eq!(row(&rows, "web-2")["url"], Value::Null);
}

#[test]
fn filters_narrow_by_kind_and_widen_within_one() {
    let lab = Lab::new();
    for name in ["web-1", "web-2", "db-1"] {
        lab.create(name, &[]);
    }
    lab.run(&["stop", "web-2"]).ok();
    let mut config = lab.config("db-1");
    config["HostOptions"]["EngineOptions"]["Labels"] = json!(["tier=data"]);
    lab.put_config("db-1", &config);
    let names = |filters: &[&str]| {
        let mut arguments = vec!["ls", "-q"];
        for filter in filters {
            arguments.extend(["--filter", filter]);
        }
        lab.cli(&arguments).ok().replace('\n', " ")
    };
    assert_eq!(names(&[]), "db-1 web-1 web-2");
    assert_eq!(names(&["name=^web"]), "web-1 web-2");
    assert_eq!(names(&["name=^web", "state=running"]), "web-1");
    assert_eq!(
        names(&["state=Running", "state=Stopped", "name=-1$"]),
        "db-1 web-1"
    );
    assert_eq!(names(&["driver=btcloud", "label=tier=data"]), "db-1");
    assert_eq!(names(&["driver=virtualbox"]), "");
    for (filter, expected) in [
        ("web", "is not KEY=VALUE"),
        ("colour=red", "none of driver, state, name and label"),
        ("name=(", "no regular expression"),
    ] {
        let outcome = lab.cli(&["ls", "--filter", filter]);
        assert!(outcome.fails(2).contains(expected), "{outcome:?}");
    }
    // Without a filter for the state the names are known here.
    lab.cloud.clear_requests();
    names(&["name=web"]);
    assert!(lab.cloud.requests().is_empty());
}

#[test]
fn a_thousand_machines_of_an_account_take_three_calls_at_most() {
    let lab = Lab::spacious();
    lab.create_many(1_000);
    lab.cloud.clear_requests();
    let rows = rows(&lab.cli(&["ls", "--format", "json"]));
    assert_eq!(rows.len(), 1_000);
    for row in &rows {
        assert_eq!(row["state"], "Running", "{row}");
    }
    let calls = lab.cloud.requests().len();
    assert!(calls <= 3, "{calls} calls");
}

#[test]
fn what_is_wrong_with_one_endpoint_or_file_hides_no_other_machine() {
    let lab = Lab::new();
    lab.create("good", &[]);
    // An endpoint that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}/client/api", silent.local_addr().unwrap());
    lab.copy("good", "silent", |config| {
        config["Driver"]["ApiURL"] = json!(silent_url);
        config["Driver"]["Endpoint"] = json!(silent_url);
    });
    lab.copy("good", "dead", |config| {
        config["Driver"]["ApiURL"] = json!("http://127.0.0.1:1/client/api");
        config["Driver"]["Endpoint"] = json!("http://127.0.0.1:1/client/api");
    });
    lab.copy("good", "broken", |_| ());
    fs::write(lab.machine_directory("broken").join("config.json"), "{").unwrap();
    lab.copy("good", "vb", |config| {
        *config = json!({"ConfigVersion": 3, "DriverName": "virtualbox", "Name": "vb",
            "Driver": {"MachineName": "vb", "IPAddress": "192.168.99.100", "VBoxManager": {}}});
    });
    lab.copy("good", "gone", |config| {
        config["Driver"]["VmId"] = json!("2b4cfa9e-7d3c-4b8c-8f5a-000000000000");
    });
    let mut host = lab.command(program("btcloud-host"));
    host.args(["ls", "--format", "json", "--timeout", "9"])
        // The keys in the environment are for all.
        .env_remove("BTCLOUD_API_KEY")
        .env_remove("BTCLOUD_SECRET_KEY");
    let rows = rows(&lab.finish(&mut host));
    let text =
        |name: &str, member: &str| row(&rows, name)[member].as_str().unwrap_or("").to_owned();
    assert_eq!(text("good", "state"), "Running");
    assert_eq!(text("gone", "state"), "Not Found");
    for (name, state, error) in [
        ("dead", "Unknown", "refuses connections"),
        ("silent", "Timeout", "no answer within 9 s"),
        ("broken", "Unknown", "config.json"),
        ("vb", "Unknown", "made by the driver \"virtualbox\""),
    ] {
        assert_eq!(text(name, "state"), state, "{rows:?}");
        assert!(text(name, "error").contains(error), "{rows:?}");
    }
    assert_eq!(text("vb", "driver"), "virtualbox");
    assert_eq!(text("vb", "ip"), "192.168.99.100");
    drop(silent);
}

#[test]
fn each_account_and_driver_is_asked_once() {
    let lab = Lab::new();
    for name in ["a1", "a2"] {
        lab.create(name, &["--btcloud-zone", "uk-basic-1"]);
    }
    let other = lab.cloud.credentials("other").unwrap().clone();
    for name in ["b1", "b2"] {
        let mut host = lab.host();
        host.args(["create", name])
            .args(acceptance::OPTIONS)
            .args(["--btcloud-zone", "uk-basic-1"])
            .env("BTCLOUD_API_KEY", &other.api_key)
            .env("BTCLOUD_SECRET_KEY", &other.secret_key);
        lab.finish(&mut host).ok();
    }
    lab.run(&["create", "p1", "--driver", PROBE]).ok();
    lab.cloud.clear_requests();
    let mut host = lab.command(program("btcloud-host"));
    host.args(["ls", "--format", "json", "--driver", PROBE])
        .env_remove("BTCLOUD_API_KEY")
        .env_remove("BTCLOUD_SECRET_KEY");
    let rows = rows(&lab.finish(&mut host));
    for row in &rows {
        assert_eq!(row["state"], "Running", "{row}");
    }
    assert_eq!(rows.len(), 5);
    assert_eq!(lab.cloud.requests().len(), 2, "one for each account");
}
