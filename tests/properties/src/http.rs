//! Whatever a server answers, the host's client makes a bounded answer or a failure of it, and shows no secret.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use btcloud_host::capability::budget::Budget;
use btcloud_host::capability::clock::{Cancel, VirtualTimeSource};
use btcloud_host::capability::http::{Client, Http, Reach, Trust};
use btcloud_host::capability::limits::Limits;
use btcloud_host::capability::log::Silent;
use btcloud_host::capability::secret::Secrets;
use btcloud_host::contract::http::{
    Auth, CloudstackCredentials, FailureKind, Host as _, Method, Request,
};

use crate::{memory, text};

/// So small that answers reach it, in bytes.
const MAX_BODY: u64 = 2_000;

/// The most bytes that the client may hold for an answer: the buffers of a connection, which are 128 KiB each way, and the
/// bodies, raw and without secrets.
const MAX_MEMORY: usize = 640 * 1024;

/// The keys. Servers that quote what they were sent do not get them into an answer.
const KEYS: [(&str, &str); 2] = [
    ("api-key", "CANARY-API-KEY-0001"),
    ("secret-key", "CANARY-SECRET-KEY-0002"),
];

thread_local! {
    /// Bound once: each port that is left is not free for a minute.
    static LISTENER: TcpListener = TcpListener::bind("127.0.0.1:0").expect("a port");
}

/// Answers one request and hangs up. What the client does not read is no trouble here.
fn answer(listener: &TcpListener, data: &[u8]) {
    let (mut stream, _) = listener.accept().expect("a connection");
    read_head(&mut stream);
    drop(stream.write_all(data));
    drop(stream.shutdown(Shutdown::Write));
    // Until the client hangs up too; whoever does so first has the port for a while, and here that is free to use.
    while stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {}
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut piece).expect("a request");
        assert!(length > 0, "half a request");
        head.extend_from_slice(&piece[..length]);
    }
}

fn http(port: u16) -> Http {
    let reach = Reach {
        endpoints: [(
            "endpoint".to_owned(),
            format!("http://127.0.0.1:{port}/client/api")
                .parse()
                .expect("an endpoint"),
        )]
        .into(),
        commands: ["listZones".to_owned()].into(),
    };
    let secrets = KEYS.map(|(name, value)| (name.to_owned(), value.into()));
    let limits = Limits {
        response_size: MAX_BODY,
        ..Limits::default()
    };
    let time = Arc::new(VirtualTimeSource::default());
    let budget = Budget::new(limits, time, Cancel::default());
    Http::new(
        // A connection that is kept would be used for the next answer.
        Client::new(Trust::System),
        Arc::new(reach),
        Arc::new(Secrets::from_iter(secrets)),
        Arc::new(budget),
        Arc::new(Silent),
    )
}

fn request() -> Request {
    let query = [("command", "listZones"), ("response", "json")];
    Request {
        endpoint: "endpoint".to_owned(),
        method: Method::Get,
        path: String::new(),
        query: query
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: None,
        auth: Auth::Cloudstack(CloudstackCredentials {
            api_key: "api-key".to_owned(),
            secret_key: "secret-key".to_owned(),
        }),
        // Never reached: the server hangs up.
        timeout_ms: 20_000,
    }
}

/// Sends a request, to which `data` is what comes over the connection. Whether that is an answer.
pub fn exchanges(data: &[u8]) -> bool {
    LISTENER.with(|listener| {
        let port = listener.local_addr().expect("an address").port();
        let mut http = http(port);
        let (outcome, peak) = thread::scope(|scope| {
            scope.spawn(|| answer(listener, data));
            let exchange = memory::peak_of(|| http.send(request()));
            // The connections that are kept.
            drop(http);
            exchange
        });
        assert!(peak <= MAX_MEMORY, "{peak} bytes");
        let shows_secret = |shown: &[u8]| {
            KEYS.iter()
                .any(|(_, key)| shown.windows(key.len()).any(|w| w == key.as_bytes()))
        };
        match outcome {
            Ok(response) => {
                assert!((100..1_000).contains(&response.status));
                assert!(response.body.len() as u64 <= MAX_BODY);
                assert!(!shows_secret(&response.body));
                true
            }
            Err(failure) => {
                // It was read, so that repeating it is not safe.
                assert!(failure.request_sent, "{failure:?}");
                assert!(
                    matches!(
                        failure.kind,
                        FailureKind::BadResponse | FailureKind::Unreachable
                    ),
                    "{failure:?}"
                );
                text::assert_clean(&failure.message, 1_000);
                assert!(!shows_secret(failure.message.as_bytes()), "{failure:?}");
                false
            }
        }
    })
}
