//! TLS before a plain HTTP server, with a certificate of its own authority.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::listener::Listener;

/// An HTTPS server that hands each request on, and ends when it is dropped.
pub struct TlsFront {
    server: Listener,
    /// In PEM.
    authority: String,
    directory: TempDir,
}

impl TlsFront {
    /// Stands before the server at that URL.
    pub fn of(url: &str) -> Self {
        let inner = url.strip_prefix("http://").expect("a plain URL");
        let inner = inner.split('/').next().expect("a host").to_owned();
        let (authority, configuration) = configuration();
        // A client that does not trust it hangs up.
        let server = Listener::start("127.0.0.1:0", move |stream| {
            drop(hand_on(stream, Arc::clone(&configuration), &inner));
        });
        Self {
            server,
            authority,
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    /// The URL of an API behind it.
    pub fn url(&self) -> String {
        format!("https://{}/client/api", self.server.address())
    }

    /// A file with the authority's certificate.
    pub fn authority(&self) -> PathBuf {
        let path = self.directory.path().join("ca.pem");
        std::fs::write(&path, &self.authority).expect("a file");
        path
    }
}

fn configuration() -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate with its key");
    (authority.pem(), Arc::new(configuration))
}

/// Hands one request on, and the answer back.
fn hand_on(stream: TcpStream, configuration: Arc<ServerConfig>, inner: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let connection = ServerConnection::new(configuration).map_err(io::Error::other)?;
    let mut outside = StreamOwned::new(connection, stream);
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        outside.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    outside.read_exact(&mut body)?;

    let mut inside = TcpStream::connect(inner)?;
    // One request a connection is all that this can do.
    let head = String::from_utf8_lossy(&request);
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    write!(inside, "{first}\r\nconnection: close\r\n{rest}")?;
    inside.write_all(&body)?;
    let mut answer = Vec::new();
    inside.read_to_end(&mut answer)?;
    outside.write_all(&answer)?;
    outside.conn.send_close_notify();
    outside.flush()
}
