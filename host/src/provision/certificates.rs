//! The certificates of a store: its authority and client, in `certs/`, and one for each machine's engine.
//!
//! Whichever tool made them first, the other uses them: docker-machine makes keys of RSA with 2048 bits, in PKCS #1, valid for
//! 1080 days (`libmachine/cert`); these are of ECDSA P-256, in PKCS #8, valid as long, which Go takes as well.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pkcs8::der::Encode as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::time::ASN1Time;

use crate::files;

/// How long a certificate is valid: docker-machine's.
const VALIDITY: Duration = Duration::from_secs(1080 * 24 * 3600);

/// How far back it is valid, for clocks that are slow.
const SLOW_CLOCKS: Duration = Duration::from_secs(24 * 3600);

/// A certificate that is not valid for longer than this is made anew.
const RENEWAL: Duration = Duration::from_secs(30 * 24 * 3600);

/// The most bytes of a file.
const MAX_FILE: u64 = 256 * 1024;

/// What is wrong with a store's certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} cannot be used: {reason}", path = .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The authority's time is over.
    #[error("the certificate authority in {path} is not valid any more", path = .0.display())]
    Expired(PathBuf),
    /// The authority's time has not begun.
    #[error("the certificate authority in {path} is not valid yet by this computer's clock", path = .0.display())]
    NotYetValid(PathBuf),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Making(String),
}

impl Error {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Expired(path) => Some(format!(
                "move {} away, then run `btcloud-host regenerate-certs NAME` for each machine",
                path.parent().unwrap_or(path).display()
            )),
            Self::NotYetValid(_) => Some("set the clock of this computer".to_owned()),
            _ => None,
        }
    }
}

/// The certificates in PEM that a machine's engine needs.
pub(super) struct ServerFiles {
    pub(super) ca: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

/// The files of a store and one of its machines.
#[derive(Debug)]
pub(super) struct Files {
    certs: PathBuf,
    machine: PathBuf,
}

impl Files {
    pub(super) fn new(store: &Path, machine_directory: &Path) -> Self {
        Self {
            certs: store.join("certs"),
            machine: machine_directory.to_owned(),
        }
    }

    /// Where a client finds what it needs to reach the machine's engine: `ca.pem`, `cert.pem`, `key.pem`.
    pub(super) fn client_directory(&self) -> &Path {
        &self.machine
    }

    /// Sees to it that there are an authority, a client's certificate and a server's for these names, and copies of the first
    /// two beside the machine; what is there and still good stays, unless `anew`.
    pub(super) fn provide(
        &self,
        ip: IpAddr,
        names: &[String],
        organization: &str,
        anew: bool,
    ) -> Result<ServerFiles, Error> {
        let certs = &self.certs;
        files::create_private_dir(certs).map_err(|e| file_error(certs, e))?;
        // Of several that make their first machines at once, one makes the authority.
        let lock = File::open(certs).map_err(|e| file_error(certs, e))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| file_error(certs, e.into()))?;
        let authority = self.authority(organization)?;
        let (cert, key) = (certs.join("cert.pem"), certs.join("key.pem"));
        let client = Leaf {
            names: Vec::new(),
            organization: organization.to_owned(),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        };
        authority.provide(&client, &cert, &key, false)?;
        drop(lock);

        let mut server_names = vec![ip.to_string(), "localhost".to_owned()];
        server_names.extend(names.iter().map(|name| canonical(name)));
        let server = Leaf {
            names: server_names,
            organization: organization.to_owned(),
            usage: ExtendedKeyUsagePurpose::ServerAuth,
        };
        let (server_cert, server_key) = (
            self.machine.join("server.pem"),
            self.machine.join("server-key.pem"),
        );
        authority.provide(&server, &server_cert, &server_key, anew)?;
        let ca = read(&certs.join("ca.pem"))?;
        for (name, contents) in [
            ("ca.pem", ca.clone()),
            ("cert.pem", read(&cert)?),
            ("key.pem", read(&key)?),
        ] {
            write(&self.machine.join(name), &contents)?;
        }
        Ok(ServerFiles {
            ca,
            certificate: read(&server_cert)?,
            key: read(&server_key)?,
        })
    }

    /// The store's authority; a new one if there is none.
    fn authority(&self, organization: &str) -> Result<Authority, Error> {
        let (cert_path, key_path) = (self.certs.join("ca.pem"), self.certs.join("ca-key.pem"));
        let is_there = |path: &Path| path.try_exists().map_err(|e| file_error(path, e));
        match (is_there(&cert_path)?, is_there(&key_path)?) {
            (true, true) => {}
            // Half of one: the key is written first, so that this one was never used.
            (false, _) => {
                let key = KeyPair::generate().map_err(making)?;
                let mut params = params(organization)?;
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages = vec![
                    KeyUsagePurpose::KeyCertSign,
                    KeyUsagePurpose::CrlSign,
                    KeyUsagePurpose::DigitalSignature,
                ];
                let cert = params.self_signed(&key).map_err(making)?;
                write(&key_path, &key.serialize_pem())?;
                write(&cert_path, &cert.pem())?;
            }
            (true, false) => {
                return Err(Error::Unusable {
                    path: key_path,
                    reason: "it is missing, while the authority's certificate is there".to_owned(),
                });
            }
        }
        Authority::load(&cert_path, &key_path)
    }
}

/// A certificate that the authority signs.
struct Leaf {
    /// Host names and addresses.
    names: Vec<String>,
    organization: String,
    usage: ExtendedKeyUsagePurpose,
}

struct Authority {
    certificate: Pem,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn load(cert_path: &Path, key_path: &Path) -> Result<Self, Error> {
        let text = read(cert_path)?;
        let certificate = parse_pem(cert_path, &text)?;
        let parsed = parse(cert_path, &certificate)?;
        let key = key_pair(key_path, &read(key_path)?)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(unusable(
                key_path,
                "it is not the key of the authority's certificate",
            ));
        }
        let now = ASN1Time::now();
        if parsed.validity().not_before > now {
            return Err(Error::NotYetValid(cert_path.to_owned()));
        }
        if parsed.validity().not_after < now {
            return Err(Error::Expired(cert_path.to_owned()));
        }
        let issuer =
            Issuer::from_ca_cert_pem(&text, key).map_err(|e| unusable(cert_path, e.to_string()))?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// Sees to it that a certificate and its key are there and good.
    fn provide(&self, leaf: &Leaf, cert: &Path, key: &Path, anew: bool) -> Result<(), Error> {
        if !anew && self.is_good(leaf, cert, key) {
            return Ok(());
        }
        let pair = KeyPair::generate().map_err(making)?;
        let mut params = params(&leaf.organization)?;
        for name in &leaf.names {
            // Names with what is not in ASCII have no place in a certificate.
            let names = CertificateParams::new([name.clone()]).map_err(making)?;
            params.subject_alt_names.extend(names.subject_alt_names);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![leaf.usage.clone()];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&pair, &self.issuer).map_err(making)?;
        write(key, &pair.serialize_pem())?;
        write(cert, &certificate.pem())
    }

    /// Whether a certificate is this authority's, for these names, for its key, and will be for a while.
    fn is_good(&self, leaf: &Leaf, cert_path: &Path, key_path: &Path) -> bool {
        let check = || -> Result<bool, Error> {
            let pem = parse_pem(cert_path, &read(cert_path)?)?;
            let certificate = parse(cert_path, &pem)?;
            let own = parse(cert_path, &self.certificate)?;
            let key = key_pair(key_path, &read(key_path)?)?;
            let told = certificate.subject_alternative_name().ok().flatten();
            let told: Vec<_> = told.map_or(Vec::new(), |names| {
                names
                    .value
                    .general_names
                    .iter()
                    .filter_map(name_of)
                    .collect()
            });
            Ok(certificate.verify_signature(Some(own.public_key())).is_ok()
                && certificate.public_key().raw == key.subject_public_key_info()
                && remaining(&certificate) > RENEWAL
                && leaf.names.iter().all(|name| told.contains(name)))
        };
        // What cannot be read is made anew.
        check().unwrap_or(false)
    }
}

/// A name as [`name_of`] reads it from a certificate: an address can be written in several ways.
fn canonical(name: &str) -> String {
    name.parse::<IpAddr>()
        .map_or_else(|_| name.to_owned(), |address| address.to_string())
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            bytes if bytes.len() == 4 => <[u8; 4]>::try_from(bytes)
                .ok()
                .map(|ip| IpAddr::from(ip).to_string()),
            bytes => <[u8; 16]>::try_from(bytes)
                .ok()
                .map(|ip| IpAddr::from(ip).to_string()),
        },
        _ => None,
    }
}

fn params(organization: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new()).map_err(making)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, organization);
    params.distinguished_name = name;
    let now = SystemTime::now();
    params.not_before = (now - SLOW_CLOCKS).into();
    params.not_after = (now + VALIDITY).into();
    Ok(params)
}

/// A private key, in whatever form: docker-machine writes PKCS #1.
fn key_pair(path: &Path, pem: &str) -> Result<KeyPair, Error> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| unusable(path, "it holds no private key in PEM"))?;
    let key = match key {
        PrivateKeyDer::Pkcs1(key) => {
            let info = pkcs8::PrivateKeyInfo::new(pkcs1::ALGORITHM_ID, key.secret_pkcs1_der());
            let der = info.to_der().map_err(|e| unusable(path, e.to_string()))?;
            PrivateKeyDer::Pkcs8(der.into())
        }
        key => key,
    };
    KeyPair::try_from(&key).map_err(|e| unusable(path, e.to_string()))
}

/// For how long a certificate is valid; zero if it is not now.
fn remaining(certificate: &X509Certificate<'_>) -> Duration {
    let left = certificate.validity().time_to_expiration();
    left.and_then(|left| Duration::try_from(left).ok())
        .unwrap_or_default()
}

fn parse_pem(path: &Path, text: &str) -> Result<Pem, Error> {
    match Pem::iter_from_buffer(text.as_bytes()).next() {
        Some(Ok(pem)) => Ok(pem),
        _ => Err(unusable(path, "it holds no certificate in PEM")),
    }
}

fn parse<'p>(path: &Path, pem: &'p Pem) -> Result<X509Certificate<'p>, Error> {
    pem.parse_x509()
        .map_err(|e| unusable(path, format!("it holds no certificate: {e}")))
}

fn read(path: &Path) -> Result<String, Error> {
    let contents = files::read_bounded(path, MAX_FILE).map_err(|e| file_error(path, e))?;
    String::from_utf8(contents).map_err(|_| unusable(path, "it is no text"))
}

/// Writes a file, unless it is as it should be: others may be reading it.
fn write(path: &Path, contents: &str) -> Result<(), Error> {
    if read(path).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    files::write_private(path, contents.as_bytes()).map_err(|e| file_error(path, e))
}

fn file_error(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    Error::File { path, source }
}

fn unusable(path: &Path, reason: impl Into<String>) -> Error {
    Error::Unusable {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

fn making(error: rcgen::Error) -> Error {
    Error::Making(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir_all(place.0.path().join("machines/m1")).unwrap();
            place
        }

        fn files(&self) -> Files {
            Files::new(self.0.path(), &self.0.path().join("machines/m1"))
        }

        fn provide(&self, anew: bool) -> ServerFiles {
            let names = ["m1.example".to_owned()];
            self.files().provide(IP, &names, "alice", anew).unwrap()
        }

        /// One as docker-machine's: a key of RSA in PKCS #1, as `ssh-keygen` writes it too.
        fn authority(&self) -> (String, String) {
            let path = self.0.path().join("key");
            let mut keygen = std::process::Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"]);
            assert!(keygen.arg(&path).status().unwrap().success());
            let pem = std::fs::read_to_string(&path).unwrap();
            assert!(pem.contains("BEGIN RSA PRIVATE KEY"));
            let key = key_pair(&path, &pem).unwrap();
            let mut params = params("alice").unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params.self_signed(&key).unwrap().pem(), pem)
        }

        fn put(&self, name: &str, contents: &str) {
            std::fs::create_dir_all(self.0.path().join("certs")).unwrap();
            std::fs::write(self.0.path().join("certs").join(name), contents).unwrap();
        }
    }

    #[test]
    fn what_is_good_stays() {
        let place = Place::new();
        let first = place.provide(false);
        let second = place.provide(false);
        assert_eq!(first.certificate, second.certificate);
        assert_eq!(first.ca, second.ca);
        let third = place.provide(true);
        assert_ne!(third.certificate, first.certificate);
        assert_eq!(third.ca, first.ca);
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let place = Place::new();
        let provide = |name: &str| {
            let names = [name.to_owned()];
            let provided = place.files().provide(IP, &names, "alice", false);
            provided.unwrap().certificate
        };
        assert_eq!(provide("2001:0db8:0:0::1"), provide("2001:db8::1"));
        assert_ne!(provide("2001:db8::1"), provide("2001:db8::2"));
    }

    #[test]
    fn another_address_or_authority_takes_a_new_certificate() {
        let place = Place::new();
        let first = place.provide(false);
        let other = place
            .files()
            .provide([192, 0, 2, 8].into(), &[], "alice", false);
        let other = other.unwrap();
        assert_ne!(other.certificate, first.certificate);
        for name in ["ca.pem", "ca-key.pem"] {
            std::fs::remove_file(place.0.path().join("certs").join(name)).unwrap();
        }
        let third = place.provide(false);
        assert_ne!(third.ca, first.ca);
        let pem = parse_pem(Path::new("x"), &third.certificate).unwrap();
        let ca = parse_pem(Path::new("x"), &third.ca).unwrap();
        let certificate = parse(Path::new("x"), &pem).unwrap();
        let ca = parse(Path::new("x"), &ca).unwrap();
        certificate.verify_signature(Some(ca.public_key())).unwrap();
    }

    #[test]
    fn an_authority_of_docker_machine_is_used() {
        let place = Place::new();
        let (cert, key) = place.authority();
        place.put("ca.pem", &cert);
        place.put("ca-key.pem", &key);
        let files = place.provide(false);
        assert_eq!(files.ca, cert);
        let pem = parse_pem(Path::new("x"), &files.certificate).unwrap();
        let ca = parse_pem(Path::new("x"), &cert).unwrap();
        let certificate = parse(Path::new("x"), &pem).unwrap();
        let ca = parse(Path::new("x"), &ca).unwrap();
        certificate.verify_signature(Some(ca.public_key())).unwrap();
    }

    #[test]
    fn what_is_wrong_with_an_authority_is_told() {
        let place = Place::new();
        place.put("ca.pem", &place.authority().0);
        let error = |place: &Place| {
            let provided = place.files().provide(IP, &[], "alice", false);
            provided.err().unwrap().to_string()
        };
        assert!(error(&place).contains("ca-key.pem cannot be used: it is missing"));
        place.put("ca-key.pem", &KeyPair::generate().unwrap().serialize_pem());
        assert!(error(&place).contains("not the key of the authority's certificate"));
        place.put("ca-key.pem", "nothing");
        assert!(error(&place).contains("no private key in PEM"));
    }

    #[test]
    fn an_authority_whose_time_is_over_or_has_not_begun_is_refused() {
        let refused = |change: &dyn Fn(&mut CertificateParams)| {
            let place = Place::new();
            let key = KeyPair::generate().unwrap();
            let mut params = params("alice").unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            change(&mut params);
            place.put("ca.pem", &params.self_signed(&key).unwrap().pem());
            place.put("ca-key.pem", &key.serialize_pem());
            let provided = place.files().provide(IP, &[], "alice", false);
            provided.err().unwrap()
        };
        let minute = Duration::from_secs(60);
        let over = refused(&|params| params.not_after = (SystemTime::now() - minute).into());
        assert!(matches!(over, Error::Expired(_)), "{over}");
        assert!(over.hint().unwrap().contains("regenerate-certs"));
        // Nothing is wrong with such a one: to throw it away would break every machine of the store.
        let early = refused(&|params| params.not_before = (SystemTime::now() + minute).into());
        assert!(matches!(early, Error::NotYetValid(_)), "{early}");
        assert!(early.hint().unwrap().contains("clock"));
    }
}
