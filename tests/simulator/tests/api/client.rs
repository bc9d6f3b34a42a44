//! A client over a plain socket, and what the tests share.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use cloudstack_simulator::signature::{encode, sign, string_to_sign};
use cloudstack_simulator::{Behaviour, Builder, ManualClock, Simulator};
use serde_json::Value;

pub(crate) const RSA_KEY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAABwECAwQFBgc= me@example";
pub(crate) const ED25519_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example";

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends bytes and reads all that comes until the connection is closed.
pub(crate) fn exchange(simulator: &Simulator, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end here.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Takes an answer apart; none if there is none.
pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.into(), value.into()));
    Some(Answer {
        status,
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    })
}

/// Encodes parameters as a form.
pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

pub(crate) struct Client<'a> {
    pub(crate) simulator: &'a Simulator,
    pub(crate) api_key: String,
    pub(crate) secret_key: String,
}

impl<'a> Client<'a> {
    pub(crate) fn new(simulator: &'a Simulator) -> Self {
        Self {
            simulator,
            api_key: simulator.api_key().to_owned(),
            secret_key: simulator.secret_key().to_owned(),
        }
    }

    pub(crate) fn of(simulator: &'a Simulator, account: &str) -> Self {
        let keys = simulator.credentials(account).unwrap();
        Self {
            simulator,
            api_key: keys.api_key.clone(),
            secret_key: keys.secret_key.clone(),
        }
    }

    /// The signed parameters of a call, as a form.
    pub(crate) fn signed(&self, parameters: &[(&str, &str)]) -> String {
        let mut all = parameters.to_vec();
        all.push(("apikey", &self.api_key));
        all.push(("response", "json"));
        let signature = sign(&self.secret_key, &string_to_sign(all.iter().copied()));
        all.push(("signature", &signature));
        form(&all)
    }

    /// Posts a form to the API.
    pub(crate) fn post(&self, form: &str) -> Option<Answer> {
        let request = format!(
            "POST /client/api HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        parse(&exchange(self.simulator, request.as_bytes()))
    }

    pub(crate) fn get(&self, form: &str) -> Option<Answer> {
        let request =
            format!("GET /client/api?{form} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        parse(&exchange(self.simulator, request.as_bytes()))
    }

    fn parameters<'p>(
        command: &'p str,
        parameters: &[(&'p str, &'p str)],
    ) -> Vec<(&'p str, &'p str)> {
        let mut all = vec![("command", command)];
        all.extend_from_slice(parameters);
        all
    }

    /// Calls a command that is to succeed, and returns what is in its response.
    pub(crate) fn ok(&self, command: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self
            .post(&self.signed(&Self::parameters(command, parameters)))
            .unwrap();
        let json = answer.json();
        assert_eq!(answer.status, 200, "{command}: {json}");
        json[format!("{}response", command.to_lowercase())].clone()
    }

    /// Calls a command that is to fail, and returns the code and the text.
    pub(crate) fn err(&self, command: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let answer = self
            .post(&self.signed(&Self::parameters(command, parameters)))
            .unwrap();
        let json = answer.json();
        let content = json.as_object().unwrap().values().next().unwrap();
        assert_eq!(content["errorcode"], answer.status, "{command}: {json}");
        (
            answer.status,
            content["errortext"].as_str().unwrap().to_owned(),
        )
    }

    /// Calls an asynchronous command, and returns its job's id.
    pub(crate) fn start(&self, command: &str, parameters: &[(&str, &str)]) -> String {
        self.ok(command, parameters)["jobid"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn job(&self, id: &str) -> Value {
        self.ok("queryAsyncJobResult", &[("jobid", id)])
    }

    /// Calls an asynchronous command, lets its time pass, and returns its result.
    pub(crate) fn run(
        &self,
        clock: &ManualClock,
        command: &str,
        parameters: &[(&str, &str)],
    ) -> Value {
        let job = self.finish(clock, command, parameters);
        assert_eq!(job["jobstatus"], 1, "{command}: {job}");
        job["jobresult"].clone()
    }

    /// Calls an asynchronous command, lets its time pass, and returns its job.
    pub(crate) fn finish(
        &self,
        clock: &ManualClock,
        command: &str,
        parameters: &[(&str, &str)],
    ) -> Value {
        let job = self.start(command, parameters);
        clock.advance(Duration::from_secs(2));
        self.job(&job)
    }

    /// The id of what a list has under a name.
    pub(crate) fn id(
        &self,
        command: &str,
        key: &str,
        name: &str,
        parameters: &[(&str, &str)],
    ) -> String {
        let list = self.ok(command, parameters);
        let found = list[key]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {list}"))["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn zone(&self, name: &str) -> String {
        self.id("listZones", "zone", name, &[])
    }

    /// The parameters of a machine in a zone, which only lack a name.
    pub(crate) fn machine_parameters(&self, zone: &str) -> [(&'static str, String); 3] {
        let executable = [("templatefilter", "executable")];
        [
            ("zoneid", self.zone(zone)),
            (
                "templateid",
                self.id("listTemplates", "template", "Ubuntu 24.04 LTS", &executable),
            ),
            (
                "serviceofferingid",
                self.id("listServiceOfferings", "serviceoffering", "Small", &[]),
            ),
        ]
    }

    /// Deploys a machine in the advanced zone, and returns it as it runs.
    pub(crate) fn deploy(&self, clock: &ManualClock, name: &str, more: &[(&str, &str)]) -> Value {
        let parameters = self.machine_parameters("uk-london-1");
        let mut all = borrowed(&parameters);
        all.push(("name", name));
        all.extend_from_slice(more);
        self.run(clock, "deployVirtualMachine", &all)["virtualmachine"].clone()
    }

    /// Tries to deploy a machine in the advanced zone, which is to be refused, and returns the code and the text.
    pub(crate) fn deploy_refused(&self, name: &str, more: &[(&str, &str)]) -> (u16, String) {
        let parameters = self.machine_parameters("uk-london-1");
        let mut all = borrowed(&parameters);
        all.push(("name", name));
        all.extend_from_slice(more);
        self.err("deployVirtualMachine", &all)
    }

    /// The public address of the account's network.
    pub(crate) fn source_nat(&self) -> String {
        let list = self.ok("listPublicIpAddresses", &[("issourcenat", "true")]);
        list["publicipaddress"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// Parameters whose values are somebody's.
pub(crate) fn borrowed<'p>(parameters: &'p [(&'p str, String)]) -> Vec<(&'p str, &'p str)> {
    let parameters = parameters.iter();
    parameters
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

pub(crate) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

pub(crate) fn builder(clock: &ManualClock) -> Builder {
    Simulator::builder().clock(clock.clone())
}

/// A simulator whose time stands still until it is moved.
pub(crate) fn simulator() -> (Simulator, ManualClock) {
    with(|_| {})
}

pub(crate) fn with(change: impl FnOnce(&mut Behaviour)) -> (Simulator, ManualClock) {
    let clock = ManualClock::new();
    let mut behaviour = Behaviour::default();
    change(&mut behaviour);
    (builder(&clock).behaviour(behaviour).start().unwrap(), clock)
}
