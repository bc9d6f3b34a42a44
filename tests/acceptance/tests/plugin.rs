//! The plugin's door, by a peer that says what no client would.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use acceptance::{Lab, Plugin, signal, wait_until};
use btcloud_host::capability::clock::Cancel;
use btcloud_host::machine::{Flag, Lock, Store};
use btcloud_host::plugin::wire;
use netrpc::gob::{Decoder, Encoder, Limits, Type, Value};
use netrpc::rpc::{Client, ClientError, EMPTY, REQUEST, Settings};

/// How long the plugin goes on without a heartbeat.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

const GREETING: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";

/// A connection to the plugin.
struct Peer(Client);

impl Peer {
    fn connect(plugin: &Plugin) -> Self {
        let client = Client::connect(&plugin.address, wire::REGISTRY, Settings::default());
        Self(client.unwrap())
    }

    fn send(&mut self, method: &str, argument_type: &'static Type, argument: &Value) {
        self.0.send(method, argument_type, argument).unwrap();
    }

    /// The next answer: the method that it is to, and the reply or the error.
    fn receive(&mut self) -> (String, Result<Value, String>) {
        let answer = self.0.receive().unwrap();
        (answer.method, answer.result)
    }

    fn call_with(
        &mut self,
        method: &str,
        argument_type: &'static Type,
        argument: &Value,
    ) -> Result<Value, String> {
        let method = format!("RPCServerDriver.{method}");
        match self.0.call(&method, argument_type, argument) {
            Ok(reply) => Ok(reply),
            Err(ClientError::Failed(text)) => Err(text),
            Err(error) => panic!("{method}: {error}"),
        }
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
                    Flag::Text(pair[1].to_owned()),
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
fn a_machine_that_is_there_is_not_made_again_nor_undone() {
    let lab = Lab::new();
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    peer.configure(&lab);
    peer.call("Create").unwrap();
    let before = lab.cloud.inventory();
    let error = peer.call("Create").unwrap_err();
    assert!(error.contains("has been made already"), "{error}");
    assert_eq!(lab.cloud.inventory(), before);
    peer.call("Remove").unwrap();
    assert!(lab.cloud.inventory().is_empty());
    peer.call("Close").unwrap();
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
    assert_eq!(
        peer.call_with("SetConfigRaw", &Type::Int, &Value::Int(1)),
        Err("SetConfigRaw wants []byte".to_owned())
    );
    peer.call_with("SetConfigRaw", &Type::Bytes, &Value::Bytes(b"[]".to_vec()))
        .unwrap_err();
    assert_eq!(
        peer.call_with("SetConfigFromFlags", &Type::String, &text("x")),
        Err("SetConfigFromFlags wants *rpcdriver.RPCFlags".to_owned())
    );
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
        drop(stream.shutdown(Shutdown::Write));
        drop(stream.read_to_end(&mut Vec::new()));
    }
    assert_eq!(peer.call("GetVersion"), Ok(Value::Int(1)));
    peer.call("Close").unwrap();
}

#[test]
fn a_heartbeat_is_answered_while_a_machine_is_made() {
    let lab = Lab::new();
    let held = lab.cloud.hold("deployVirtualMachine");
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    peer.configure(&lab);
    peer.call("PreCreateCheck").unwrap();
    peer.send("RPCServerDriver.Create", &EMPTY, &nothing());
    peer.send("RPCServerDriver.Heartbeat", &EMPTY, &nothing());
    peer.send("RPCServerDriver.GetMachineName", &EMPTY, &nothing());
    let mut answers = [peer.receive(), peer.receive()];
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        answers[0],
        ("RPCServerDriver.GetMachineName".to_owned(), Ok(text("m1")))
    );
    drop(held);
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

/// Another client that breaks off is no reason to give up what the first one waits for, whatever it asked; and the machine is
/// the same for both.
#[test]
fn two_clients_at_once_share_a_machine() {
    let lab = Lab::new();
    let held = lab.cloud.hold("deployVirtualMachine");
    let plugin = Plugin::start(&lab);
    let mut first = Peer::connect(&plugin);
    first.configure(&lab);
    first.send("RPCServerDriver.Create", &EMPTY, &nothing());
    for _ in 0..3 {
        let mut second = Peer::connect(&plugin);
        assert_eq!(second.call("GetMachineName"), Ok(text("m1")));
        second.send("RPCServerDriver.Heartbeat", &EMPTY, &nothing());
        second.send("RPCServerDriver.GetIP", &EMPTY, &nothing());
    }
    drop(held);
    assert_eq!(first.receive().1, Ok(nothing()));
    assert!(lab.has_machine("m1"));
    let mut second = Peer::connect(&plugin);
    assert_eq!(second.call("GetState"), Ok(Value::Int(1)));
    assert_eq!(second.call("GetIP"), first.call("GetIP"));
    second.call("Remove").unwrap();
    assert!(!lab.has_machine("m1"));
    first.call("Close").unwrap();
}

/// The client that waits for a creation hangs up: it is undone.
#[test]
fn a_client_that_breaks_off_has_its_creation_undone() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    lab.slow_down("deployVirtualMachine", Duration::from_secs(1));
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    peer.configure(&lab);
    peer.send("RPCServerDriver.Create", &EMPTY, &nothing());
    wait_until("the virtual machine", || lab.has_machine("m1"));
    drop(peer);
    let hung_up = Instant::now();
    let (code, _) = plugin.wait();
    assert_eq!(code, 1);
    assert!(
        hung_up.elapsed() < HEARTBEAT_TIMEOUT,
        "it waited for heartbeats"
    );
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_crowd_of_connections_harms_no_client() {
    let lab = Lab::new();
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    // Thousands in all, as many at a time as a process may have open anywhere.
    for _ in 0..10 {
        let crowd: Vec<_> = (0..200)
            .map(|number| {
                let mut stream = TcpStream::connect(&plugin.address).unwrap();
                if number % 2 == 0 {
                    // The plugin may have hung up.
                    drop(stream.write_all(GREETING));
                }
                stream
            })
            .collect();
        let before = Instant::now();
        assert_eq!(peer.call("GetVersion"), Ok(Value::Int(1)));
        assert_eq!(peer.call("Heartbeat"), Ok(nothing()));
        assert!(before.elapsed() < HEARTBEAT_TIMEOUT);
        drop(crowd);
    }
    // There is room again.
    let settings = Settings {
        greeting: Duration::from_secs(1),
        ..Settings::default()
    };
    wait_until("a place", || {
        let another = Client::connect(&plugin.address, wire::REGISTRY, settings);
        another.is_ok_and(|client| Peer(client).call("GetVersion") == Ok(Value::Int(1)))
    });
    peer.call("Close").unwrap();
    drop(peer);
    let (code, log) = plugin.wait();
    assert_eq!(code, 0);
    assert!(log.contains("there are more than 16 connections"), "{log}");
    // What strangers do does not fill the log.
    assert!(log.lines().count() < 60, "{log}");
}

/// Calls with the same number twice, and numbers that go backwards.
#[test]
fn calls_may_repeat_their_sequence_numbers() {
    let lab = Lab::new();
    let plugin = Plugin::start(&lab);
    let mut witness = Peer::connect(&plugin);
    let mut stream = TcpStream::connect(&plugin.address).unwrap();
    stream.write_all(GREETING).unwrap();
    let mut encoder = Encoder::new(wire::REGISTRY);
    for sequence in [9, 9, 0, u64::MAX] {
        let header = Value::structure([
            ("ServiceMethod", text("RPCServerDriver.GetVersion")),
            ("Seq", Value::Uint(sequence)),
        ]);
        let mut bytes = encoder.encode(&REQUEST, &header).unwrap();
        bytes.extend(encoder.encode(&EMPTY, &nothing()).unwrap());
        stream.write_all(&bytes).unwrap();
    }
    let mut greeted = [0; b"HTTP/1.0 200 Connected to Go RPC\n\n".len()];
    stream.read_exact(&mut greeted).unwrap();
    let mut answers = Decoder::new(stream, Limits::default());
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let header = answers.next_value().unwrap().unwrap();
        numbers.push(header.field("Seq").cloned());
        assert_eq!(answers.next_value().unwrap(), Some(Value::Int(1)));
    }
    // They come in any order; a zero is left out.
    let count = |number| numbers.iter().filter(|n| **n == number).count();
    assert_eq!(count(Some(Value::Uint(9))), 2);
    assert_eq!(count(Some(Value::Uint(u64::MAX))), 1);
    assert_eq!(count(None), 1);
    assert_eq!(witness.call("GetVersion"), Ok(Value::Int(1)));
    witness.call("Close").unwrap();
}

/// The plugin serves the user who runs it and root only.
#[test]
#[cfg(target_os = "linux")]
fn another_user_whom_only_root_can_become_is_not_served() {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can become another user; `cargo xtask test` skips this test where it is not"
    );
    let lab = Lab::new();
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    let (host, port) = plugin.address.split_once(':').unwrap();
    let says = format!(
        r"exec 3<>/dev/tcp/{host}/{port} && printf 'CONNECT /_goRPC_ HTTP/1.0\n\n' >&3 && cat <&3"
    );
    let stranger = |uid: u32| {
        use std::os::unix::process::CommandExt as _;
        let mut bash = std::process::Command::new("timeout");
        bash.args(["2", "bash", "-c", &says]).uid(uid).gid(uid);
        String::from_utf8_lossy(&bash.output().unwrap().stdout).into_owned()
    };
    assert_eq!(stranger(0), "HTTP/1.0 200 Connected to Go RPC\n\n");
    assert_eq!(stranger(65_534), "");
    assert_eq!(peer.call("GetVersion"), Ok(Value::Int(1)));
    peer.call("Close").unwrap();
    drop(peer);
    let (_, log) = plugin.wait();
    assert!(
        log.contains("a connection of the user 65534 is refused"),
        "{log}"
    );
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

/// Another command's hold on a machine, as `btcloud-host` takes it.
fn hold(lab: &Lab, machine: &str) -> Lock {
    let nobody = |line: &str| panic!("{line}");
    let lock = Store::at(lab.store()).lock(machine, &Cancel::default(), &nobody);
    lock.unwrap()
}

/// Tells the plugin what the store has of a machine, with changes, as a client does that read it before those were made.
fn load(peer: &mut Peer, lab: &Lab, machine: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let mut record = lab.config(machine)["Driver"].take();
    change(&mut record);
    let raw = Value::Bytes(record.to_string().into_bytes());
    peer.call_with("SetConfigRaw", &Type::Bytes, &raw).unwrap();
}

/// Asks for a removal, and waits until the plugin waits for who has the machine.
fn begin_removal(peer: &mut Peer, plugin: &mut Plugin) {
    peer.send("RPCServerDriver.Remove", &EMPTY, &nothing());
    let line = plugin.line();
    let expected = format!(
        "m1 is being changed by another command (process {}); waiting for that",
        std::process::id()
    );
    assert_eq!(line, expected);
}

/// The client has read the configuration of a machine that was just being made: what has been made meanwhile is in the store.
#[test]
fn a_removal_that_had_to_wait_removes_what_others_have_made_meanwhile() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    lab.create("m1", &[]);
    let mut plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    let held = hold(&lab, "m1");
    load(&mut peer, &lab, "m1", |record| {
        // Nothing is made before one of these is saved.
        let members = record.as_object_mut().unwrap();
        members.retain(|member, _| !["VmId", "SSHKeypair"].contains(&member.as_str()));
    });
    begin_removal(&mut peer, &mut plugin);
    drop(held);
    assert_eq!(peer.receive().1, Ok(nothing()));
    assert_eq!(lab.cloud.inventory(), before);
    peer.call("Close").unwrap();
}

#[test]
fn a_removal_that_had_to_wait_leaves_another_machine_of_the_same_name_alone() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let plugin = Plugin::start(&lab);
    let mut peer = Peer::connect(&plugin);
    load(&mut peer, &lab, "m1", |record| {
        record["MachineID"] = "0123456789abcdef0123".into();
    });
    let error = peer.call("Remove").unwrap_err();
    assert!(error.contains("has vanished"), "{error}");
    assert!(lab.has_machine("m1"));
    peer.call("Close").unwrap();
}

#[test]
fn who_breaks_off_while_it_waits_for_a_machine_has_nothing_done_to_it() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let hang_up = |peer: Peer, _: &Plugin| drop(peer);
    let terminate = |peer: Peer, plugin: &Plugin| {
        signal(&plugin.process, rustix::process::Signal::TERM);
        // It stays connected.
        std::mem::forget(peer);
    };
    for break_off in [hang_up as fn(Peer, &Plugin), terminate] {
        let mut plugin = Plugin::start(&lab);
        let mut peer = Peer::connect(&plugin);
        load(&mut peer, &lab, "m1", |_| ());
        let held = hold(&lab, "m1");
        begin_removal(&mut peer, &mut plugin);
        let started = Instant::now();
        break_off(peer, &plugin);
        let (code, _) = plugin.wait();
        assert_eq!(code, 1);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "it waited for heartbeats"
        );
        drop(held);
    }
    assert!(!lab.has_called("destroyVirtualMachine"));
    assert!(lab.has_machine("m1"));
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
