//! The simulated cloud's API, as a driver sees it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use hetzner_simulator::{Fault, Hetzner, Inventory};
use serde_json::{Value, json};

/// Sends bytes, and takes the answer apart: its status and its JSON.
fn exchange(cloud: &Hetzner, bytes: &str) -> (u16, Value) {
    let url = cloud.url();
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn call(cloud: &Hetzner, request: &str, body: &Value) -> (u16, Value) {
    let (method, path) = request.split_once(' ').unwrap();
    let body = body.to_string();
    let token = cloud.token();
    let length = body.len();
    let bytes = format!(
        "{method} /v1{path} HTTP/1.1\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    exchange(cloud, &bytes)
}

fn get(cloud: &Hetzner, path: &str) -> Value {
    let (status, answer) = call(cloud, &format!("GET {path}"), &Value::Null);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

fn make(cloud: &Hetzner, name: &str, labels: &Value) -> (u16, Value) {
    let order =
        json!({ "name": name, "server_type": "cx22", "image": "debian-12", "labels": labels });
    call(cloud, "POST /servers", &order)
}

/// The names in a list of servers.
fn names(list: &Value) -> Vec<&str> {
    let servers = list["servers"].as_array().unwrap().iter();
    servers
        .map(|server| server["name"].as_str().unwrap())
        .collect()
}

#[test]
fn without_the_token_nothing_is_done() {
    let cloud = Hetzner::start().unwrap();
    for header in ["", "authorization: Bearer other\r\n"] {
        let bytes = format!("GET /v1/servers HTTP/1.1\r\n{header}\r\n");
        let (status, answer) = exchange(&cloud, &bytes);
        assert_eq!(
            (status, &answer["error"]["code"]),
            (401, &json!("unauthorized"))
        );
    }
}

#[test]
fn lists_come_in_pages_of_what_has_the_labels() {
    let cloud = Hetzner::start().unwrap();
    for (name, role) in [("a", "web"), ("b", "db"), ("c", "web"), ("d", "web")] {
        assert_eq!(make(&cloud, name, &json!({ "role": role })).0, 201);
    }
    let page = get(&cloud, "/servers?label_selector=role%3D%3Dweb&per_page=2");
    assert_eq!(names(&page), ["a", "c"]);
    assert_eq!(page["meta"]["pagination"]["next_page"], 2);
    let page = get(
        &cloud,
        "/servers?label_selector=role%3D%3Dweb&per_page=2&page=2",
    );
    assert_eq!(names(&page), ["d"]);
    assert_eq!(page["meta"]["pagination"]["next_page"], Value::Null);
    let none = get(&cloud, "/servers?page=18446744073709551615&per_page=50");
    assert_eq!(names(&none), [""; 0]);
}

#[test]
fn names_are_taken_once() {
    let cloud = Hetzner::start().unwrap();
    assert_eq!(make(&cloud, "a", &Value::Null).0, 201);
    let (status, answer) = make(&cloud, "a", &Value::Null);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("uniqueness_error"))
    );
    assert_eq!(make(&cloud, "b", &json!({ "role": "not a label" })).0, 422);
    assert_eq!(cloud.inventory().servers, ["a"]);
}

#[test]
fn a_server_takes_one_action_at_a_time() {
    let cloud = Hetzner::start().unwrap();
    cloud.set_action_time(Duration::from_secs(3_600));
    let (_, made) = make(&cloud, "a", &Value::Null);
    let id = &made["server"]["id"];
    let (status, answer) = call(&cloud, &format!("DELETE /servers/{id}"), &Value::Null);
    assert_eq!((status, &answer["error"]["code"]), (423, &json!("locked")));

    let cloud = Hetzner::start().unwrap();
    cloud.set_action_time(Duration::ZERO);
    let (_, made) = make(&cloud, "a", &Value::Null);
    let id = &made["server"]["id"];
    assert_eq!(
        call(&cloud, &format!("DELETE /servers/{id}"), &Value::Null).0,
        200
    );
    get(&cloud, "/servers");
    assert_eq!(cloud.inventory(), Inventory::default());
}

#[test]
fn who_says_nothing_or_too_much_harms_nobody() {
    let cloud = Hetzner::start().unwrap();
    let url = cloud.url();
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    let _silent = TcpStream::connect(address).unwrap();
    let mut greedy = TcpStream::connect(address).unwrap();
    let length = usize::MAX;
    write!(
        greedy,
        "POST /v1/servers HTTP/1.1\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    assert_eq!(names(&get(&cloud, "/servers")), [""; 0]);
}

#[test]
fn faults_meet_the_requests_that_they_are_ordered_for() {
    let cloud = Hetzner::start().unwrap();
    cloud.fault(
        "POST /servers",
        Fault::Refuse(403, "resource_limit_exceeded"),
    );
    assert_eq!(make(&cloud, "a", &Value::Null).0, 403);
    assert_eq!(make(&cloud, "a", &Value::Null).0, 201);
}

#[test]
#[should_panic(expected = "there is no request POST /server")]
fn a_fault_of_a_request_that_there_is_not_is_a_mistake() {
    let cloud = Hetzner::start().unwrap();
    cloud.fault("POST /server", Fault::LoseAnswer);
}
