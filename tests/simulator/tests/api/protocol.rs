//! How requests are taken and answers given.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloudstack_simulator::{Clock, Fault, ManualClock, Simulator};

use crate::client::{Client, builder, exchange, form, parse, simulator, text, with};

const DENIED: &str = "unable to verify user credentials and/or request signature";

fn expires(offset: i64) -> String {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset);
    time.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

#[test]
fn get_and_post_are_answered_in_json() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let form = client.signed(&[("command", "listZones")]);
    for answer in [client.get(&form).unwrap(), client.post(&form).unwrap()] {
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=UTF-8")
        );
        assert_eq!(answer.json()["listzonesresponse"]["count"], 2);
    }
}

#[test]
fn other_paths_and_methods_are_html_errors() {
    let (simulator, _) = simulator();
    for (request, status) in [
        ("GET / HTTP/1.1", 404),
        ("POST /client HTTP/1.1", 404),
        ("PUT /client/api HTTP/1.1", 405),
    ] {
        let bytes = exchange(
            &simulator,
            format!("{request}\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        let answer = parse(&bytes).unwrap();
        assert_eq!(answer.status, status, "{request}");
        assert!(
            answer
                .header("content-type")
                .unwrap()
                .starts_with("text/html")
        );
    }
}

#[test]
fn without_response_json_the_error_is_xml() {
    let (simulator, _) = simulator();
    let answer = Client::new(&simulator).get("command=listZones").unwrap();
    assert_eq!(answer.status, 431);
    assert!(String::from_utf8(answer.body).unwrap().starts_with("<?xml"));
}

#[test]
fn a_wrong_key_or_signature_is_refused_in_the_commands_own_object() {
    let (simulator, _) = simulator();
    let good = Client::new(&simulator);
    let wrong_secret = Client {
        secret_key: "x".to_owned(),
        ..Client::new(&simulator)
    };
    let wrong_key = Client {
        api_key: "x".to_owned(),
        ..Client::new(&simulator)
    };
    for client in [wrong_secret, wrong_key] {
        let answer = client
            .post(&client.signed(&[("command", "listZones")]))
            .unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("x-description"), Some(DENIED));
        assert_eq!(answer.json()["listzonesresponse"]["errortext"], DENIED);
    }
    let unsigned = form(&[
        ("command", "listZones"),
        ("apikey", &good.api_key),
        ("response", "json"),
    ]);
    assert_eq!(good.get(&unsigned).unwrap().status, 401);
    assert_eq!(
        good.get("response=json").unwrap().json()["errorresponse"]["errorcode"],
        401
    );
}

#[test]
fn a_body_that_is_no_form_is_not_read() {
    let (simulator, _) = simulator();
    let form = Client::new(&simulator).signed(&[("command", "listZones")]);
    let request = format!(
        "POST /client/api HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(
        parse(&exchange(&simulator, request.as_bytes()))
            .unwrap()
            .status,
        431
    );
}

#[test]
fn a_request_expires() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let status = |expires: &str| {
        let form = client.signed(&[
            ("command", "listZones"),
            ("signatureVersion", "3"),
            ("expires", expires),
        ]);
        client.get(&form).unwrap().status
    };
    assert_eq!(status(&expires(60)), 200);
    assert_eq!(status(&expires(60).replace("+0000", "Z")), 200);
    assert_eq!(status(&expires(-60)), 401);
    assert_eq!(status("soon"), 401);
    let missing = client.signed(&[("command", "listZones"), ("signatureversion", "3")]);
    assert_eq!(client.get(&missing).unwrap().status, 401);
    let version_2 = client.signed(&[
        ("command", "listZones"),
        ("signatureversion", "2"),
        ("expires", "soon"),
    ]);
    assert_eq!(client.get(&version_2).unwrap().status, 200);
}

#[test]
fn expiry_can_be_judged_by_a_clock_of_its_own() {
    let signatures = ManualClock::new();
    let simulator = Simulator::builder()
        .signature_clock(Clock::Manual(signatures.clone()))
        .start()
        .unwrap();
    let client = Client::new(&simulator);
    let form = client.signed(&[
        ("command", "listZones"),
        ("signatureversion", "3"),
        ("expires", &expires(600)),
    ]);
    assert_eq!(client.get(&form).unwrap().status, 200);
    signatures.advance(Duration::from_secs(601));
    assert_eq!(client.get(&form).unwrap().status, 401);
}

#[test]
fn a_server_of_2016_does_not_read_a_literal_z() {
    let (simulator, _) = with(|behaviour| behaviour.literal_z = false);
    let client = Client::new(&simulator);
    let time = expires(60).replace("+0000", "Z");
    let form = client.signed(&[
        ("command", "listZones"),
        ("signatureversion", "3"),
        ("expires", &time),
    ]);
    assert_eq!(client.get(&form).unwrap().status, 401);
}

#[test]
fn servers_that_enforce_it_want_post_and_a_near_expiry() {
    let (simulator, _) = with(|behaviour| behaviour.enforce_post = true);
    let client = Client::new(&simulator);
    let form = |command, offset| {
        client.signed(&[
            ("command", command),
            ("signatureversion", "3"),
            ("expires", &expires(offset)),
            ("name", "x"),
        ])
    };
    assert_eq!(
        client
            .get(&client.signed(&[("command", "listZones")]))
            .unwrap()
            .status,
        401
    );
    assert_eq!(client.get(&form("listZones", 1200)).unwrap().status, 401);
    assert_eq!(client.get(&form("listZones", 600)).unwrap().status, 200);
    let refused = client.get(&form("createSSHKeyPair", 600)).unwrap();
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["createsshkeypairresponse"]["errortext"],
        "State changing command createSSHKeyPair needs to be sent using POST request"
    );
    assert_eq!(
        client.post(&form("createSSHKeyPair", 600)).unwrap().status,
        200
    );
}

#[test]
fn an_unknown_command_is_answered_in_an_object_of_no_name() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let answer = client
        .get(&client.signed(&[("command", "makeCoffee")]))
        .unwrap();
    assert_eq!(
        (answer.status, &answer.json()["errorresponse"]["errorcode"]),
        (432, &432.into())
    );
    // Commands are matched exactly.
    assert_eq!(
        client
            .get(&client.signed(&[("command", "listzones")]))
            .unwrap()
            .status,
        432
    );
    simulator.set_behaviour(|behaviour| behaviour.unknown_command_unauthorized = true);
    assert_eq!(
        client
            .get(&client.signed(&[("command", "makeCoffee")]))
            .unwrap()
            .status,
        401
    );
}

#[test]
fn a_parameter_sent_twice_is_refused() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let (code, text) = client.err("listZones", &[("name", "a"), ("Name", "b")]);
    assert_eq!(
        (code, text.as_str()),
        (431, "The parameter Name was sent more than once")
    );
}

#[test]
fn what_cloudstack_has_and_the_simulator_lacks_is_refused() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    assert!(
        client
            .err("listZones", &[("showcapacities", "true")])
            .1
            .contains("does not implement")
    );
    assert!(
        client
            .err("listZones", &[("zonename", "x")])
            .1
            .contains("no parameter zonename")
    );
}

#[test]
fn an_error_has_cloudstacks_fields() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let answer = client
        .get(&client.signed(&[("command", "deleteSSHKeyPair")]))
        .unwrap();
    let text = "Unable to execute API command deletesshkeypair due to missing parameter name";
    assert_eq!(answer.header("x-description"), Some(text));
    assert_eq!(
        answer.json(),
        serde_json::json!({ "deletesshkeypairresponse": {
            "uuidList": [], "errorcode": 431, "cserrorcode": 9999, "errortext": text,
        } })
    );
}

#[test]
fn a_connection_serves_many_requests_also_in_pieces_and_in_a_row() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let request = format!(
        "GET /client/api?{} HTTP/1.1\r\nHost: x\r\n\r\n",
        client.signed(&[("command", "listZones")])
    );
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    let (first, rest) = request.split_at(30);
    stream.write_all(first.as_bytes()).unwrap();
    stream.write_all(rest.as_bytes()).unwrap();
    stream.write_all(request.repeat(2).as_bytes()).unwrap();
    stream
        .write_all(b"GET /bye HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 1);
}

#[test]
fn a_client_may_ask_before_it_sends_its_body() {
    let (simulator, _) = simulator();
    let form = Client::new(&simulator).signed(&[("command", "listZones")]);
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    let head = format!(
        "POST /client/api HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: \
         application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(form.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).unwrap().status, 200);
}

#[test]
fn garbage_and_excess_are_refused_and_harm_nothing() {
    let (simulator, _) = simulator();
    let long = "x".repeat(100_000);
    let broken_off: [(Vec<u8>, u16); 4] = [
        (b"\0\xff\xfe\r\n\r\n".to_vec(), 400),
        (format!("GET /{long} HTTP/1.1\r\n\r\n").into_bytes(), 431),
        (
            b"POST /client/api HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n".to_vec(),
            413,
        ),
        (
            b"POST /client/api HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n".to_vec(),
            400,
        ),
    ];
    for (bytes, status) in broken_off {
        // The answer may be lost with the connection where not all was read.
        if let Some(answer) = parse(&exchange(&simulator, &bytes)) {
            assert_eq!(
                answer.status,
                status,
                "{}",
                String::from_utf8_lossy(&bytes[..40.min(bytes.len())])
            );
        }
    }
    let read_whole: [(&[u8], u16); 3] = [
        (b"GET /client/api?%ff%fe=%&&=&%00 HTTP/1.1\r\nConnection: close\r\n\r\n", 431),
        (b"GET /client/api?response=json&tags[=&command[]=x HTTP/1.1\r\nConnection: close\r\n\r\n", 401),
        (b"GET http:// HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    ];
    for (bytes, status) in read_whole {
        let answer = parse(&exchange(&simulator, bytes)).unwrap();
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(bytes));
    }
    Client::new(&simulator).ok("listZones", &[]);
}

#[test]
fn slow_clients_are_not_waited_for() {
    let (idle, request) = (Duration::from_millis(40), Duration::from_millis(40));
    let simulator = Simulator::builder()
        .timeouts(idle, request)
        .start()
        .unwrap();
    assert_eq!(exchange(&simulator, b""), b"");
    assert_eq!(
        parse(&exchange(&simulator, b"GET /cli")).unwrap().status,
        408
    );
}

#[test]
fn shutting_down_closes_what_is_open() {
    let (simulator, _) = simulator();
    let mut idle = TcpStream::connect(simulator.address()).unwrap();
    Client::new(&simulator).ok("listZones", &[]);
    let address = simulator.address();
    let begun = Instant::now();
    drop(simulator);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn only_loopback_is_listened_on() {
    let refused = Simulator::builder()
        .listen("0.0.0.0:0".parse().unwrap())
        .start();
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::InvalidInput
    );
}

#[test]
fn requests_are_recorded_without_keys() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let simulator = {
        let seen = Arc::clone(&seen);
        builder(&ManualClock::new())
            .on_request(move |record| seen.lock().unwrap().push(record.to_string()))
            .start()
    };
    let simulator = simulator.unwrap();
    let client = Client::new(&simulator);
    client.ok("listZones", &[("name", "uk-basic-1")]);
    client.err("deleteSSHKeyPair", &[("name", "x")]);
    let records = simulator.requests();
    assert_eq!(
        (records[0].method.as_str(), records[0].command.as_str()),
        ("POST", "listZones")
    );
    assert_eq!(
        (records[0].status, records[1].status),
        (Some(200), Some(431))
    );
    assert_eq!(records[0].parameter("name"), Some("uk-basic-1"));
    let all = format!(
        "{records:?} {simulator:?} {}",
        serde_json::to_string(&records).unwrap()
    );
    assert!(!all.contains(&client.secret_key) && !all.contains(&client.api_key));
    let lines = seen.lock().unwrap();
    assert_eq!(lines[0], "POST listZones name=uk-basic-1 → 200");
    assert!(
        lines[1].starts_with(
            "POST deleteSSHKeyPair name=x → 431 A key pair with name 'x' does not exist"
        )
    );
}

#[test]
fn an_answer_of_a_proxy_takes_the_place_of_the_call() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    simulator.fault("createSSHKeyPair", 1, Fault::html(502, "Bad Gateway"));
    let answer = client
        .post(&client.signed(&[("command", "createSSHKeyPair"), ("name", "x")]))
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (502, Some("text/html"))
    );
    assert!(simulator.inventory().is_empty());
    client.ok("createSSHKeyPair", &[("name", "x")]);
}

#[test]
fn answers_can_be_withheld_before_and_after_the_act() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let create =
        |name| client.post(&client.signed(&[("command", "createSSHKeyPair"), ("name", name)]));
    simulator.fault("createSSHKeyPair", 1, Fault::CloseBeforeAnswer);
    simulator.fault("createSSHKeyPair", 1, Fault::LoseAnswer);
    assert!(create("before").is_none());
    assert!(create("after").is_none());
    assert_eq!(simulator.inventory().key_pairs, ["after"]);
    assert_eq!(simulator.requests()[1].status, None);
}

#[test]
fn answers_can_be_cut_and_delayed() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    simulator.fault("listZones", 1, Fault::TruncateBody(10));
    let answer = client
        .get(&client.signed(&[("command", "listZones")]))
        .unwrap();
    assert_eq!(answer.body, b"{\"listzone");
    assert!(
        answer
            .header("content-length")
            .unwrap()
            .parse::<usize>()
            .unwrap()
            > 10
    );

    simulator.fault("*", 1, Fault::Delay(Duration::from_millis(30)));
    let begun = Instant::now();
    client.ok("listZones", &[]);
    assert!(begun.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_delayed_answer_does_not_hold_up_the_shutdown() {
    let (simulator, _) = simulator();
    simulator.fault("*", 1, Fault::Delay(Duration::from_secs(600)));
    let form = Client::new(&simulator).signed(&[("command", "listZones")]);
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    stream
        .write_all(format!("GET /client/api?{form} HTTP/1.1\r\n\r\n").as_bytes())
        .unwrap();
    while simulator.requests().is_empty() {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    drop(simulator);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn lists_come_in_pages() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    for number in 0..5 {
        client.ok("createSSHKeyPair", &[("name", &format!("k{number}"))]);
    }
    let page = client.ok("listSSHKeyPairs", &[("page", "2"), ("pagesize", "2")]);
    assert_eq!(page["count"], 5);
    let names: Vec<_> = page["sshkeypair"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| text(&pair["name"]))
        .collect();
    assert_eq!(names, ["k2", "k3"]);
    let beyond = client.ok("listSSHKeyPairs", &[("page", "9"), ("pagesize", "2")]);
    assert_eq!(beyond, serde_json::json!({ "count": 5 }));
    assert_eq!(
        client.ok("listSSHKeyPairs", &[("name", "none")]),
        serde_json::json!({})
    );
    for (parameters, text) in [
        (
            vec![("page", "1")],
            "\"pagesize\" parameter is required when \"page\" is specified",
        ),
        (
            vec![("pagesize", "1")],
            "\"page\" parameter is required when \"pagesize\" is specified",
        ),
        (
            vec![("page", "1"), ("pagesize", "501")],
            "Page size can't exceed max allowed page size value: 500",
        ),
        (
            vec![("page", "0"), ("pagesize", "1")],
            "Invalid value provided for API arg: page",
        ),
    ] {
        assert_eq!(
            client.err("listSSHKeyPairs", &parameters),
            (431, text.to_owned())
        );
    }
}

#[test]
fn a_list_without_pages_ends_at_500() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let form = |number| {
        client.signed(&[
            ("command", "createSSHKeyPair"),
            ("name", &format!("k{number}")),
        ])
    };
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    for number in 0..501 {
        stream
            .write_all(format!("GET /client/api?{} HTTP/1.1\r\n\r\n", form(number)).as_bytes())
            .unwrap();
    }
    stream
        .write_all(b"GET /bye HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let list = client.ok("listSSHKeyPairs", &[]);
    assert_eq!(
        (&list["count"], list["sshkeypair"].as_array().unwrap().len()),
        (&501.into(), 500)
    );
}
