//! The simulated cloud's API, called by the test itself: what others make in the cloud.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use cloudstack_simulator::Simulator;
use cloudstack_simulator::signature::{encode, sign, string_to_sign};
use serde_json::Value;

use crate::virtual_lab::VirtualLab;

/// The account's API in a laboratory in virtual time.
#[derive(Clone, Copy)]
pub struct Api<'l>(pub &'l VirtualLab);

impl Api<'_> {
    /// Calls a command, and tells its answer; of one that is carried out by a job, what that has come to.
    ///
    /// # Panics
    ///
    /// If it is refused or fails.
    #[track_caller]
    pub fn call(&self, command: &str, parameters: &[(&str, &str)]) -> Value {
        let a_minute = || self.0.clock.advance(Duration::from_secs(60));
        call(&self.0.cloud, command, parameters, a_minute)
    }

    /// The id of what a list has under a name.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn id(
        &self,
        command: &str,
        member: &str,
        name: &str,
        parameters: &[(&str, &str)],
    ) -> String {
        id_in(&self.call(command, parameters), member, name)
    }
}

/// Calls a command as the cloud's first account, and tells its answer; of one that is carried out by a job, what that has come
/// to. `pass` lets some time pass.
///
/// # Panics
///
/// If it is refused, fails, or does not end.
#[track_caller]
pub fn call(
    cloud: &Simulator,
    command: &str,
    parameters: &[(&str, &str)],
    pass: impl Fn(),
) -> Value {
    let answer = request(cloud, command, parameters);
    let Some(number) = answer["jobid"].as_str() else {
        return answer;
    };
    for _ in 0..1_000 {
        pass();
        let job = request(cloud, "queryAsyncJobResult", &[("jobid", number)]);
        if job["jobstatus"] != 0 {
            assert_eq!(job["jobstatus"], 1, "{command}: {job}");
            return job["jobresult"].clone();
        }
    }
    panic!("the job of {command} does not end");
}

/// The id of what a list has under a name.
///
/// # Panics
///
/// If there is none.
#[track_caller]
pub fn id_in(list: &Value, member: &str, name: &str) -> String {
    let mut items = list[member].as_array().into_iter().flatten();
    let found = items.find(|item| item["name"] == name);
    let id = found.and_then(|item| item["id"].as_str());
    id.unwrap_or_else(|| panic!("{name} is not in {list}"))
        .to_owned()
}

/// Calls a command as the cloud's first account, and tells its answer, be that only the number of a job.
///
/// # Panics
///
/// If it is refused.
#[track_caller]
pub fn request(cloud: &Simulator, command: &str, parameters: &[(&str, &str)]) -> Value {
    let answer: Value = serde_json::from_str(&exchange(cloud, command, parameters)).expect("JSON");
    answer[format!("{}response", command.to_lowercase())].clone()
}

/// Calls a command as the cloud's first account, and tells its answer as it came.
///
/// # Panics
///
/// If it is refused.
#[track_caller]
pub fn exchange(cloud: &Simulator, command: &str, parameters: &[(&str, &str)]) -> String {
    let mut all = vec![("command", command)];
    all.extend([("apikey", cloud.api_key()), ("response", "json")]);
    all.extend_from_slice(parameters);
    let signature = sign(cloud.secret_key(), &string_to_sign(all.iter().copied()));
    all.push(("signature", &signature));
    let pairs = all
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    let form = pairs.collect::<Vec<_>>().join("&");

    let mut stream = TcpStream::connect(cloud.address()).expect("a connection");
    write!(
        stream,
        "POST /client/api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    assert!(head.starts_with("HTTP/1.1 200 "), "{command}: {answer}");
    body.to_owned()
}
