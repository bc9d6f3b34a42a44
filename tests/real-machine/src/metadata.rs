//! What CloudStack's virtual router serves to its machines: metadata, user data and passwords.
//!
//! The layout is that of CloudStack's documentation, "User Data and Meta Data": plain files below `/latest`, told apart by
//! the address from which they are asked for.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudstack_simulator::{Guest, GuestNic};

use crate::lock;

/// The largest head of a request that is read.
const MAX_HEAD: usize = 16 << 10;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The data of the machines of a network, by address.
#[derive(Debug, Default)]
pub(crate) struct MetadataStore(Mutex<HashMap<Ipv4Addr, Data>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Data {
    /// In the order in which they are listed.
    items: Vec<(&'static str, String)>,
    user_data: Option<Vec<u8>>,
}

impl Data {
    fn of(guest: &Guest, nic: &GuestNic, address: Ipv4Addr) -> Self {
        let public = nic.public_address.unwrap_or(address).to_string();
        let user_data = guest.user_data.as_ref();
        Self {
            items: vec![
                ("availability-zone", guest.zone.clone()),
                ("cloud-identifier", "CloudStack-simulator".to_owned()),
                ("instance-id", guest.id.clone()),
                ("local-hostname", guest.name.clone()),
                ("local-ipv4", address.to_string()),
                ("public-hostname", public.clone()),
                ("public-ipv4", public),
                ("public-keys", guest.public_keys.join("\n")),
                ("service-offering", guest.service_offering.clone()),
                ("vm-id", guest.id.clone()),
            ],
            user_data: user_data.and_then(|text| STANDARD.decode(text).ok()),
        }
    }

    /// What is at a path; nothing if there is nothing.
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        let path = path.trim_matches('/');
        match path.strip_prefix("latest/") {
            None if path.is_empty() || path == "latest" => Some(b"meta-data\nuser-data\n".to_vec()),
            Some("user-data") => self.user_data.clone(),
            Some("meta-data") => {
                let names: Vec<_> = self.items.iter().map(|(name, _)| *name).collect();
                Some((names.join("\n") + "\n").into_bytes())
            }
            // Both are in use: the old way leaves "meta-data" out.
            Some(rest) => {
                let name = rest.strip_prefix("meta-data/").unwrap_or(rest);
                let found = self.items.iter().find(|(item, _)| *item == name);
                found.map(|(_, value)| value.clone().into_bytes())
            }
            None => None,
        }
    }
}

impl MetadataStore {
    pub(crate) fn put(&self, address: Ipv4Addr, guest: &Guest, nic: &GuestNic) {
        lock(&self.0).insert(address, Data::of(guest, nic, address));
    }

    pub(crate) fn remove(&self, address: Ipv4Addr) {
        lock(&self.0).remove(&address);
    }

    fn get(&self, client: IpAddr, path: &str) -> Option<Vec<u8>> {
        let IpAddr::V4(client) = client else {
            return None;
        };
        lock(&self.0).get(&client)?.get(path)
    }
}

/// Serves metadata at one listener, and passwords at the other, as long as the process lives.
pub(crate) fn serve(web: TcpListener, passwords: TcpListener, store: Arc<MetadataStore>) {
    listen(web, move |request, client| {
        match store.get(client, &request.path) {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", Vec::new()),
        }
    });
    listen(passwords, |request, _| match request.dom_u.as_deref() {
        // There is none to fetch: machines are made with keys.
        Some("send_my_password") => ("200 OK", b"saved_password".to_vec()),
        Some("saved_password") => ("200 OK", Vec::new()),
        _ => ("400 Bad Request", b"bad_request".to_vec()),
    });
}

struct Request {
    path: String,
    /// The header `DomU_Request`.
    dom_u: Option<String>,
}

/// A status and a body.
type Answer = (&'static str, Vec<u8>);

fn listen(
    listener: TcpListener,
    answer: impl Fn(&Request, IpAddr) -> Answer + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                // Whoever goes away is not waited for.
                let _ = handle(&mut stream, &*answer);
            });
        }
    });
}

fn handle(stream: &mut TcpStream, answer: &dyn Fn(&Request, IpAddr) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let client = stream.peer_addr()?.ip();
    let mut head = Vec::new();
    let request = loop {
        let mut chunk = [0; 2048];
        let count = stream.read(&mut chunk)?;
        head.extend_from_slice(chunk.get(..count).unwrap_or_default());
        match parse(&head) {
            Ok(Some(request)) => break request,
            Ok(None) if count > 0 && head.len() < MAX_HEAD => {}
            _ => return Ok(()),
        }
    };
    let (status, body) = answer(&request, client);
    let length = body.len();
    let mut message = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    message.extend(body);
    stream.write_all(&message)
}

/// Reads a request's head; nothing as long as it is not complete.
fn parse(head: &[u8]) -> Result<Option<Request>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    if request.parse(head)?.is_partial() {
        return Ok(None);
    }
    let header = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("DomU_Request"));
    Ok(Some(Request {
        path: request.path.unwrap_or_default().to_owned(),
        dom_u: header.map(|header| String::from_utf8_lossy(header.value).trim().to_owned()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Data {
        let nic = GuestNic {
            network: "n".to_owned(),
            gateway: Ipv4Addr::new(10, 1, 1, 1),
            prefix: 24,
            address: Ipv4Addr::new(10, 1, 1, 10),
            mac: "02:00:00:00:00:01".to_owned(),
            public_address: Some(Ipv4Addr::new(127, 0, 100, 10)),
        };
        let guest = Guest {
            id: "i".to_owned(),
            name: "web-1".to_owned(),
            cpus: 1,
            memory_mib: 1024,
            nics: vec![nic.clone()],
            public_keys: vec!["ssh-ed25519 A".to_owned(), "ssh-rsa B".to_owned()],
            user_data: Some(STANDARD.encode("#!/bin/sh\n")),
            service_offering: "Small".to_owned(),
            zone: "z".to_owned(),
        };
        Data::of(&guest, &nic, nic.address)
    }

    fn text(path: &str) -> Option<String> {
        data()
            .get(path)
            .map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn everything_that_is_listed_is_there() {
        for name in text("/latest/meta-data/").unwrap().lines() {
            assert!(
                text(&format!("/latest/meta-data/{name}")).is_some(),
                "{name}"
            );
            assert!(text(&format!("/latest/{name}")).is_some(), "{name}");
        }
        assert_eq!(text("/latest/meta-data/nothing"), None);
        assert_eq!(text("/etc/passwd"), None);
    }

    #[test]
    fn keys_are_lines_and_user_data_are_as_they_were() {
        let keys = text("/latest/meta-data/public-keys").unwrap();
        assert_eq!(keys, "ssh-ed25519 A\nssh-rsa B");
        assert_eq!(text("/latest/user-data").unwrap(), "#!/bin/sh\n");
        assert_eq!(
            text("/latest/meta-data/public-ipv4").unwrap(),
            "127.0.100.10"
        );
    }

    #[test]
    fn data_are_given_only_to_whom_they_belong() {
        let store = MetadataStore::default();
        let own = Ipv4Addr::new(10, 1, 1, 10);
        lock(&store.0).insert(own, data());
        assert!(store.get(own.into(), "/latest/user-data").is_some());
        let other = Ipv4Addr::new(10, 1, 1, 11);
        assert_eq!(store.get(other.into(), "/latest/user-data"), None);
    }
}
