//! The plugin's door, by a peer that says what no client would.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use acceptance::{Lab, Plugin, signal, wait_until};
use btcloud_host::plugin::wire::{self, FlagValue};
use netrpc::gob::{Decoder, Encoder, Limits, Type, Value};
use netrpc::rpc::{EMPTY, REQUEST};

const GREETING: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";

/// The plugin's answer to it.
const GREETED: [u8; 34] = *b"HTTP/1.0 200 Connected to Go RPC\n\n";

/// A connection to the plugin.
struct Peer {
    stream: TcpStream,
    encoder: Encoder,
    decoder: Decoder<TcpStream>,
    sequence: u64,
}

impl Peer {
    fn connect(plugin: &Plugin) -> Self {
        let mut stream = TcpStream::connect(&plugin.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(GREETING).unwrap();
        let mut answer = [0; GREETED.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, GREETED);
        let decoder = Decoder::new(stream.try_clone().unwrap(), Limits::default());
        Self {
            stream,
            encoder: Encoder::new(wire::REGISTRY),
            decoder,
            sequence: 0,
        }
    }

    fn send(&mut self, method: &str, argument_type: &'static Type, argument: &Value) {
        let header = Value::structure([
            ("ServiceMethod", Value::String(method.to_owned())),
            ("Seq", Value::Uint(self.sequence)),
        ]);
        self.sequence += 1;
        let mut bytes = self.encoder.encode(&REQUEST, &header).unwrap();
        bytes.extend(self.encoder.encode(argument_type, argument).unwrap());
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next answer: the method that it is to, and the reply or the error.
    fn receive(&mut self) -> (String, Result<Value, String>) {
        let header = self.decoder.next_value().unwrap().expect("an answer");
        let body = self.decoder.next_value().unwrap().expect("a reply");
        let method = header.text_field("ServiceMethod").to_owned();
        match header.text_field("Error") {
            "" => (method, Ok(body)),
            error => (method, Err(error.to_owned())),
        }
    }

    fn call_with(
        &mut self,
        method: &str,
        argument_type: &'static Type,
        argument: &Value,
    ) -> Result<Value, String> {
        let method = format!("RPCServerDriver.{method}");
        self.send(&method, argument_type, argument);
        let (answered, result) = self.receive();
        assert_eq!(answered, method);
        result
    }

    fn call(&mut self, method: &str) -> Result<Value, String> {
        self.call_with(method, &EMPTY, &nothing())
    }

    /// Tells the plugin of a new machine, as `create` does.
    fn configure(&mut self, lab: &Lab) {
        let raw = format!(r#"{{"MachineName": "m1", "StorePath": {:?}}}"#, lab.store());
        self.call_with(
            "SetConfigRaw",
            &Type::Bytes,
            &Value::Bytes(raw.into_bytes()),
        )
        .unwrap();
        let flags = acceptance::OPTIONS
            .chunks(2)
            .map(|pair| {
                (
                    pair[0].trim_start_matches('-').to_owned(),
                    FlagValue::String(pair[1].to_owned()),
                )
            })
            .collect();
        self.call_with(
            "SetConfigFromFlags",
            &Type::Interface,
            &wire::flags_to_gob(&flags),
        )
        .unwrap();
    }
}

fn nothing() -> Value {
    Value::Struct(Vec::new())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn every_method_answers_before_there_is_a_machine() {
    let lab = Lab::new();
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    assert_eq!(peer.call("GetVersion"), Ok(Value::Int(1)));
    assert_eq!(peer.call("DriverName"), Ok(text("btcloud")));
    assert_eq!(peer.call("GetMachineName"), Ok(text("")));
    assert_eq!(peer.call("GetIPv6"), Ok(text("")));
    assert_eq!(peer.call("GetSSHUsername"), Ok(text("root")));
    assert_eq!(peer.call("GetSSHPort"), Ok(Value::Int(22)));
    assert_eq!(peer.call("GetSSHKeyPath"), Ok(text("")));
    assert_eq!(peer.call("GetIP"), Err("IP address is not set".to_owned()));
    assert_eq!(
        peer.call("GetSSHHostname"),
        Err("IP address is not set".to_owned())
    );
    assert_eq!(peer.call("Heartbeat"), Ok(nothing()));
    // Without a machine there is nothing to do, and that is said; what has no name cannot be made.
    for method in [
        "PreCreateCheck",
        "Create",
        "Start",
        "Stop",
        "Kill",
        "Restart",
        "GetURL",
    ] {
        peer.call(method).unwrap_err();
    }
    let flags = peer.call("GetCreateFlags").unwrap();
    let Value::List(flags) = flags else {
        panic!("{flags:?}")
    };
    let described = btcloud_host::builtin::driver().loaded().unwrap();
    assert_eq!(flags.len(), described.description.options.len());
    assert_eq!(peer.call("Close"), Ok(nothing()));
    drop(peer);
    let (code, log) = plugin.wait();
    assert_eq!(code, 0);
    assert!(log.contains("Closing plugin on server side"), "{log}");
}

#[test]
fn what_go_would_refuse_is_refused_in_its_words() {
    let lab = Lab::new();
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    for (method, error) in [
        (
            "RPCServerDriver.Upgrade",
            "rpc: can't find method RPCServerDriver.Upgrade",
        ),
        (
            "Other.GetVersion",
            "rpc: can't find service Other.GetVersion",
        ),
        (
            "GetVersion",
            "rpc: service/method request ill-formed: GetVersion",
        ),
    ] {
        peer.send(method, &Type::String, &text("x"));
        assert_eq!(peer.receive(), (method.to_owned(), Err(error.to_owned())));
    }
    // The name of the oldest clients.
    peer.send("RpcServerDriver.GetVersion", &EMPTY, &nothing());
    assert_eq!(peer.receive().1, Ok(Value::Int(1)));
    // Arguments of other types than the method's.
    peer.call_with("SetConfigRaw", &Type::Int, &Value::Int(1))
        .unwrap_err();
    peer.call_with("SetConfigRaw", &Type::Bytes, &Value::Bytes(b"[]".to_vec()))
        .unwrap_err();
    peer.call_with("SetConfigFromFlags", &Type::String, &text("x"))
        .unwrap_err();
    assert_eq!(peer.call("GetVersion"), Ok(Value::Int(1)));
    peer.call("Close").unwrap();
}

#[test]
fn a_garbled_or_truncated_stream_ends_its_connection_only() {
    let lab = Lab::new();
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    let greeted = |bytes: &[u8]| [GREETING, bytes].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\0\0\0\0\n\n".to_vec(),
        vec![b'x'; 100_000],
        greeted(b"\x07garbled"),
        greeted(&[0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        greeted(&[0x2f, 0xff, 0x81]),
    ] {
        let mut stream = TcpStream::connect(&plugin.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // The plugin may hang up before it has read everything.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(stream.read_to_end(&mut Vec::new()));
    }
    assert_eq!(peer.call("GetVersion"), Ok(Value::Int(1)));
    peer.call("Close").unwrap();
}

#[test]
fn a_heartbeat_is_answered_while_a_machine_is_made() {
    let lab = Lab::new();
    lab.slow_down("deployVirtualMachine", Duration::from_secs(1));
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    peer.configure(&lab);
    peer.call("PreCreateCheck").unwrap();
    peer.send("RPCServerDriver.Create", &EMPTY, &nothing());
    let before = Instant::now();
    peer.send("RPCServerDriver.Heartbeat", &EMPTY, &nothing());
    peer.send("RPCServerDriver.GetMachineName", &EMPTY, &nothing());
    let mut answers = [peer.receive(), peer.receive()];
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        answers[0],
        ("RPCServerDriver.GetMachineName".to_owned(), Ok(text("m1")))
    );
    assert!(before.elapsed() < Duration::from_secs(1));
    let (method, result) = peer.receive();
    assert_eq!(
        (method.as_str(), result),
        ("RPCServerDriver.Create", Ok(nothing()))
    );
    assert_eq!(peer.call("GetState"), Ok(Value::Int(1)));
    // What the client is to keep has no key in it.
    let Ok(Value::Bytes(raw)) = peer.call("GetConfigRaw") else {
        panic!()
    };
    let raw = String::from_utf8(raw).unwrap();
    assert!(
        raw.contains("uk-london-1") && !raw.contains(lab.cloud.api_key()),
        "{raw}"
    );
    peer.call("Remove").unwrap();
    peer.call("Remove").unwrap();
    peer.call("Close").unwrap();
}

#[test]
fn a_plugin_without_a_client_ends_after_ten_seconds() {
    let lab = Lab::new();
    let started = Instant::now();
    let (code, _) = Plugin::start(&lab).wait();
    assert_eq!(code, 1);
    let lasted = started.elapsed();
    assert!(
        lasted > Duration::from_secs(9) && lasted < Duration::from_secs(15),
        "{lasted:?}"
    );
}

#[test]
fn a_signal_has_a_creation_undone() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    lab.slow_down("deployVirtualMachine", Duration::from_secs(2));
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    peer.configure(&lab);
    peer.send("RPCServerDriver.Create", &EMPTY, &nothing());
    wait_until("the virtual machine", || lab.has_machine("m1"));
    signal(&plugin.process, rustix::process::Signal::TERM);
    let (code, _) = plugin.wait();
    assert_eq!(code, 1);
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn without_a_client_it_says_what_it_is() {
    let lab = Lab::new();
    let program = acceptance::program("docker-machine-driver-btcloud");
    let outcome = lab.finish(&mut lab.command(program));
    assert_eq!(
        outcome.fails(1),
        "This is a Docker Machine plugin binary.\n\
         Plugin binaries are not intended to be invoked directly.\n\
         Please use this plugin through the main 'docker-machine' binary.\n\
         (API version: 1)"
    );
}
