//! A third-party driver through a genuine docker-machine, by a link of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use acceptance::client::Client;
use acceptance::engine::DockerEngine;
use acceptance::{HETZNER, Lab, prepend_path, program, tests_with_clients};
use hetzner_simulator::{Hetzner, Inventory};

tests_with_clients!([
    a_machine_of_another_kind_of_cloud,
    what_is_wrong_is_said_before_anything_is_made,
]);

/// Installs a driver as a user does, and tells the directory of its link, which has to be in the search path.
fn install(lab: &Lab, component: &str, name: &str) -> PathBuf {
    let links = lab.home().join(".local").join("bin");
    let mut install = lab.command(program("btcloud-host"));
    install
        .args(["driver", "install", component, "--yes", "--bin-dir"])
        .arg(&links);
    lab.finish(&mut install).ok();
    let link = links.join(format!("docker-machine-driver-{name}"));
    assert!(link.is_symlink() || link.is_file(), "{}", link.display());
    links
}

/// A user of the Hetzner Cloud, who has installed its driver.
struct User<'c> {
    client: &'c Client,
    lab: Lab,
    cloud: Hetzner,
    links: PathBuf,
}

impl<'c> User<'c> {
    fn new(client: &'c Client) -> Self {
        let lab = Lab::new();
        let links = install(&lab, HETZNER, "hetzner");
        let cloud = Hetzner::start().unwrap();
        lab.guard(cloud.token());
        Self {
            client,
            lab,
            cloud,
            links,
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.client.command(&self.lab, arguments);
        prepend_path(&mut command, &self.links);
        command
            .env("HETZNER_ENDPOINT", self.cloud.url())
            .env("HETZNER_TOKEN", self.cloud.token());
        command
    }

    fn run(&self, arguments: &[&str]) -> acceptance::Outcome {
        self.lab.finish(&mut self.command(arguments))
    }
}

fn a_machine_of_another_kind_of_cloud(client: &Client) {
    // An address of its own, since the engine's port is the same for all tests.
    let ip = Ipv4Addr::new(127, 0, 122 + client.number(), 11);
    let user = User::new(client);
    user.cloud.set_address(&ip.to_string());
    let engine = DockerEngine::start(IpAddr::V4(ip), &user.lab.store(), "m1");

    let mut create = user.command(&["create", "--driver", "hetzner", "m1"]);
    create.env("FAKE_GUEST", format!("root@{ip}:22"));
    let created = user.lab.finish(&mut create);
    assert!(
        created.ok().contains("(m1) [3/3] Making the server")
            && created.stdout.contains("Docker is up and running!"),
        "{created:?}"
    );
    assert_eq!(user.cloud.inventory().servers, ["m1"]);
    let format = "{{.Name}} {{.DriverName}} {{.State}} {{.URL}} {{.Error}}";
    assert_eq!(
        user.run(&["ls", "--format", format]).ok(),
        format!("m1 hetzner Running tcp://{ip}:2376")
    );
    assert_eq!(user.run(&["ip", "m1"]).ok(), ip.to_string());
    user.run(&["stop", "m1"]).ok();
    assert_eq!(user.run(&["status", "m1"]).ok(), "Stopped");
    let mut start = user.command(&["start", "m1"]);
    start.env("FAKE_GUEST", format!("root@{ip}:22"));
    user.lab.finish(&mut start).ok();
    assert_eq!(user.run(&["status", "m1"]).ok(), "Running");

    user.run(&["rm", "-y", "m1"]).ok();
    assert_eq!(user.cloud.inventory(), Inventory::default());
    assert!(!user.lab.machine_directory("m1").exists());
    drop(engine);
}

fn what_is_wrong_is_said_before_anything_is_made(client: &Client) {
    let user = User::new(client);
    let create = ["create", "--driver", "hetzner", "m1"];
    let mut without_token = user.command(&create);
    let outcome = user.lab.finish(without_token.env_remove("HETZNER_TOKEN"));
    assert!(
        outcome.fails(1).contains("Please specify an API token"),
        "{outcome:?}"
    );
    let options = ["--hetzner-server-type", "no-such-type"];
    let outcome = user.run(&[&create[..3], &options, &create[3..]].concat());
    assert!(outcome.fails(3).contains("no-such-type"), "{outcome:?}");
    assert_eq!(user.cloud.inventory(), Inventory::default());
}
