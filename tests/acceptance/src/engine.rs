//! The TLS endpoint of a Docker engine, with the certificates that a client made for it.
//!
//! docker-machine connects to it at the end of `create` and for `ls`; it asks for a client's certificate by the store's CA.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::listener::Listener;

/// An endpoint that ends when it is dropped.
pub struct DockerEngine {
    _server: Listener,
}

impl DockerEngine {
    /// Listens on a machine's address and the engine's usual port, for the machine of that name in `store`.
    pub fn start(ip: IpAddr, store: &Path, machine: &str) -> Self {
        Self::start_at((ip, 2376), store, machine)
    }

    /// Listens on an address and a port, for the machine of that name in `store`.
    pub fn start_at(at: (IpAddr, u16), store: &Path, machine: &str) -> Self {
        let (store, directory) = (store.to_owned(), store.join("machines").join(machine));
        // A client that hangs up is its own business.
        let server = Listener::start(at, move |stream| {
            drop(answer(stream, &store, &directory));
        });
        Self { _server: server }
    }
}

/// The certificates are made while the machine is provisioned, so they are read at each connection.
fn configuration(
    store: &Path,
    directory: &Path,
) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let certificates = |path: PathBuf| -> Result<Vec<_>, rustls::pki_types::pem::Error> {
        CertificateDer::pem_file_iter(path)?.collect()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(store.join("certs/ca.pem"))?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()?;
    let chain = certificates(directory.join("server.pem"))?;
    let key = PrivateKeyDer::from_pem_file(directory.join("server-key.pem"))?;
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    Ok(configuration)
}

fn answer(stream: TcpStream, store: &Path, directory: &Path) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let configuration =
        configuration(store, directory).map_err(|e| io::Error::other(e.to_string()))?;
    let connection = ServerConnection::new(Arc::new(configuration)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = [0; 4096];
    if stream.read(&mut request)? == 0 {
        return Ok(());
    }
    let body = r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()?;
    stream.conn.send_close_notify();
    stream.flush()
}
