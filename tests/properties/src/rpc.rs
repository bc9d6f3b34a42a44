//! Whatever a client says, the server's answers are well-formed, and no more than its calls.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use netrpc::gob::{Decoder, Error, Limits, Registry, Type, Value};
use netrpc::rpc::{Reply, Server, Service, Settings};

const GREETING: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
const GREETED: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";

static LIST: Type = Type::Slice(&Type::Interface);
static REGISTRY: Registry = &[("string", &Type::String)];

/// It has the names of a plugin's, for the sake of the captured exchanges.
struct Echo;

impl Service for Echo {
    fn is_called(&self, service: &str) -> bool {
        service == "RPCServerDriver"
    }

    fn call(&self, method: &str, argument: Value) -> Option<Result<Reply, String>> {
        Some(match (method, argument) {
            ("GetVersion", _) => Ok(Reply::new(&Type::Int, Value::Int(1))),
            ("GetCreateFlags", _) => {
                let text = Value::interface("string", "text".into());
                Ok(Reply::new(&LIST, Value::List(vec![text; 3])))
            }
            ("SetConfigRaw", Value::Bytes(bytes)) => {
                Ok(Reply::new(&Type::Bytes, Value::Bytes(bytes)))
            }
            ("SetConfigFromFlags", argument) => Err(format!("{argument:?}")),
            // It does not fit.
            ("GetState", argument) => Ok(Reply::new(&Type::Int, argument)),
            ("Heartbeat" | "Close" | "Create", _) => Ok(Reply::empty()),
            _ => return None,
        })
    }
}

fn tcp(stream: UnixStream) -> TcpStream {
    TcpStream::from(OwnedFd::from(stream))
}

/// Serves what a client says, and reads the answers. How many calls were made.
pub fn answers(data: &[u8]) -> usize {
    let (client, server_end) = UnixStream::pair().expect("a pair");
    let mut client = tcp(client);
    let greets = data.starts_with(b"CONNECT");
    if !greets {
        client.write_all(GREETING).expect("room");
    }
    client.write_all(data).expect("room");
    client.shutdown(Shutdown::Write).expect("an end");

    let service = Arc::new(Echo);
    let settings = Settings {
        calls: 4,
        answer: Duration::from_millis(200),
        limits: Limits {
            memory: 50_000,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let ended = Server::new(Arc::clone(&service), REGISTRY, settings).serve(tcp(server_end));
    // Calls that are still under way have the service too.
    while Arc::strong_count(&service) > 1 {
        std::thread::yield_now();
    }

    let mut said = Vec::new();
    match client.read_to_end(&mut said) {
        Ok(_) => {}
        // The server closed the connection before it had read everything.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    let Some(answers) = said.strip_prefix(GREETED) else {
        assert!(greets && ended.calls == 0 && ended.error.is_some());
        return 0;
    };
    let mut decoder = Decoder::new(answers, Limits::default());
    let mut values = 0;
    loop {
        match decoder.next_value() {
            Ok(Some(_)) => values += 1,
            // The connection was closed before the last answer was out.
            Ok(None) | Err(Error::Truncated) => break,
            Err(error) => panic!("{error}: {answers:x?}"),
        }
    }
    assert!(values <= 2 * ended.calls);
    ended.calls
}
