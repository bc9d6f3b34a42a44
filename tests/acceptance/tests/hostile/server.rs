//! Servers that drivers call: each remembers what it was sent.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a server was sent, request by request: the head, and the body as far as it came with it.
pub(crate) type Requests = Arc<Mutex<Vec<String>>>;

/// A server that goes on until the process ends.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Requests,
}

impl Server {
    /// Answers each request on a connection of its own.
    pub(crate) fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/client/api", listener.local_addr().unwrap());
        let requests = Requests::default();
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || {
                    let Ok(mut stream) = stream else { return };
                    if let Some(request) = read(&mut stream) {
                        seen.lock().unwrap().push(request.clone());
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Requests {
        Arc::clone(&self.requests)
    }
}

fn read(stream: &mut TcpStream) -> Option<String> {
    let mut buffer = [0; 65_536];
    let mut request = String::new();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n) => request.push_str(&String::from_utf8_lossy(&buffer[..n])),
        }
        let Some((head, body)) = request.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(request);
        }
    }
}

/// Answers 200 with that body.
pub(crate) fn answering(body: &'static str) -> impl Fn(&str, &mut TcpStream) {
    move |_, stream| {
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        drop(stream.write_all((head + body).as_bytes()));
    }
}

/// Whether a server got that many requests.
pub(crate) fn are(requests: &Requests, expected: usize) -> Result<(), String> {
    let requests = requests.lock().unwrap();
    match requests.len() == expected {
        true => Ok(()),
        false => Err(format!(
            "a server got {} requests: {requests:.300?}",
            requests.len()
        )),
    }
}
