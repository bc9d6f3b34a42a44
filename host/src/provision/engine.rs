//! The Docker engine: its command line, and whether it answers as it should.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::capability::clock::Cancel;
use crate::capability::text::clean;
use crate::files;
use crate::machine::EngineOptions;

/// How long an engine that was just started may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it takes between two questions.
const PAUSE: Duration = Duration::from_millis(300);

/// The most bytes of an answer.
const MAX_ANSWER: u64 = 256 * 1024;

/// Why an engine does not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached.
    #[error("the Docker engine runs, but {url} cannot be reached from here: {reason}")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why it is not.
        reason: String,
    },
    /// The two do not trust each other.
    #[error(
        "the Docker engine at {url} and this computer do not trust each other's certificates: {reason}"
    )]
    Untrusted {
        /// Where it is.
        url: String,
        /// Why they do not.
        reason: String,
    },
    /// It is no engine.
    #[error("what answers at {url} is no Docker engine: {reason}")]
    Strange {
        /// Where it is.
        url: String,
        /// What it answered.
        reason: String,
    },
    /// A certificate of this computer cannot be used.
    #[error("{path} cannot be used: {reason}", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The user wants to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { .. } => {
                "a firewall or a rule of the network is in the way: let this computer in to that port"
            }
            Self::Untrusted { .. } => {
                "look at both clocks; `btcloud-host regenerate-certs NAME` makes new certificates"
            }
            Self::Strange { .. } | Self::Certificate { .. } | Self::Cancelled => return None,
        };
        Some(text.to_owned())
    }
}

/// The engine's version, over TLS with the client's certificate; asks again while it cannot be reached.
pub(super) fn version(
    url: &str,
    client_directory: &Path,
    cancel: &Cancel,
) -> Result<String, Error> {
    let agent = agent(client_directory)?;
    let began = Instant::now();
    loop {
        match ask(&agent, url) {
            Err(Error::Unreachable { .. }) if began.elapsed() < PATIENCE => {
                if cancel.wait(PAUSE) {
                    return Err(Error::Cancelled);
                }
            }
            answer => return answer,
        }
    }
}

fn agent(client_directory: &Path) -> Result<ureq::Agent, Error> {
    let unusable = |path: &Path, reason: &dyn ToString| Error::Certificate {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let items = |name: &str| -> Result<Vec<PemItem<'static>>, Error> {
        let path = client_directory.join(name);
        let pem = files::read_bounded(&path, MAX_ANSWER).map_err(|e| unusable(&path, &e))?;
        let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
        items.map_err(|e| unusable(&path, &e))
    };
    let certificates = |name: &str| -> Result<Vec<Certificate<'static>>, Error> {
        let certificate = |item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        };
        Ok(items(name)?.into_iter().filter_map(certificate).collect())
    };
    let key = items("key.pem")?.into_iter().find_map(|item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    });
    let key: PrivateKey<'static> =
        key.ok_or_else(|| unusable(&client_directory.join("key.pem"), &"it holds no key"))?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&certificates("ca.pem")?))
        .client_cert(Some(ClientCert::new_with_certs(
            &certificates("cert.pem")?,
            key,
        )))
        .build();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        // Docker's own client takes one only from its own configuration.
        .proxy(None)
        .max_idle_connections(0)
        .timeout_global(Some(TIMEOUT))
        .tls_config(tls)
        .build();
    Ok(config.into())
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        version: String,
    }
    let owned = || url.to_owned();
    let https = url.replacen("tcp://", "https://", 1);
    let failed = |error: ureq::Error| {
        let tls = match &error {
            ureq::Error::Io(e) => tls_reason(e),
            ureq::Error::Rustls(e) => Some(e.to_string()),
            _ => None,
        };
        match tls {
            Some(reason) => Error::Untrusted {
                url: owned(),
                reason,
            },
            None => Error::Unreachable {
                url: owned(),
                reason: error.to_string(),
            },
        }
    };
    let strange = |reason: String| Error::Strange {
        url: owned(),
        reason: clean(&reason, 500),
    };
    let mut answer = agent
        .get(format!("{https}/version"))
        .call()
        .map_err(failed)?;
    let status = answer.status();
    let body = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_vec();
    let body = body.map_err(failed)?;
    if !status.is_success() {
        return Err(strange(format!("status {status}")));
    }
    match serde_json::from_slice::<Version>(&body) {
        Ok(version) => Ok(clean(&version.version, 50)),
        Err(error) => Err(strange(error.to_string())),
    }
}

fn tls_reason(error: &io::Error) -> Option<String> {
    let error: &rustls::Error = error.get_ref()?.downcast_ref()?;
    Some(error.to_string())
}

/// The flags of `dockerd` that depend on the user's wishes, as a part of a line in a unit of systemd.
pub(super) fn arguments(options: &EngineOptions, driver_name: &str) -> String {
    let mut arguments = Vec::new();
    let mut add =
        |flag: &str, value: &str| arguments.extend([format!("--{flag}"), value.to_owned()]);
    if !options.storage_driver.is_empty() {
        add("storage-driver", &options.storage_driver);
    }
    // docker-machine's label, by which a swarm's schedulers find them.
    add("label", &format!("provider={driver_name}"));
    for label in &options.labels {
        add("label", label);
    }
    for registry in &options.insecure_registry {
        add("insecure-registry", registry);
    }
    for mirror in &options.registry_mirror {
        add("registry-mirror", mirror);
    }
    arguments.extend(
        options
            .arbitrary_flags
            .iter()
            .map(|flag| format!("--{flag}")),
    );
    words(&arguments, &['%', '$'])
}

/// Variables, as the value of `Environment=` in a unit of systemd (`systemd.exec(5)`).
pub(super) fn environment(options: &EngineOptions) -> String {
    words(&options.env, &['%'])
}

/// Words in a line of a unit, each as it is, though the unit gives a meaning to some characters, which are doubled
/// (`systemd.service(5)`, "Command lines").
fn words(words: &[String], doubled: &[char]) -> String {
    let quoted = words.iter().map(|word| {
        let mut quoted = String::from("\"");
        for c in word.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                c if doubled.contains(&c) => quoted.extend([c, c]),
                c if c.is_control() => {}
                c => quoted.push(c),
            }
        }
        quoted + "\""
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_become_flags_that_systemd_hands_over_as_they_are() {
        let options = EngineOptions {
            storage_driver: "overlay2".to_owned(),
            labels: vec!["a=b c".to_owned()],
            insecure_registry: vec!["r:5000".to_owned()],
            registry_mirror: vec!["https://m".to_owned()],
            arbitrary_flags: vec!["log-opt=tag=\"%$\\\n".to_owned()],
            ..EngineOptions::default()
        };
        assert_eq!(
            arguments(&options, "btcloud"),
            r#""--storage-driver" "overlay2" "--label" "provider=btcloud" "--label" "a=b c" "--insecure-registry" "r:5000" "--registry-mirror" "https://m" "--log-opt=tag=\"%%$$\\""#
        );
        let options = EngineOptions {
            env: vec!["HTTP_PROXY=http://p:1/%$".to_owned(), "A=b".to_owned()],
            ..EngineOptions::default()
        };
        assert_eq!(
            environment(&options),
            r#""HTTP_PROXY=http://p:1/%%$" "A=b""#
        );
    }
}
