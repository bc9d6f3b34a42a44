//! Attacks by way of the network: what would reach other places than the endpoint, or tell the driver what it must not see.

use std::io::Write as _;
use std::sync::Arc;

use crate::attack::{Attack, text};
use crate::server;
use crate::server::Server;

/// What would reach other places than the endpoint, or do other things there.
pub(crate) fn network() -> Vec<Attack> {
    let elsewhere = Server::start(server::answering("you should not be here"));
    let server = Server::start(server::answering("{}"));
    let (away, here) = (elsewhere.requests(), server.requests());
    let other = elsewhere.url.clone();
    let signed = ["query=command=listZones", "cloudstack=hostile-key"];
    let refused = |parts: &[&str], expected: &str| {
        let (away, here) = (Arc::clone(&away), Arc::clone(&here));
        Attack::request(&server.url, parts)
            .with("text", text(&other))
            .fails(expected)
            .and(move |_| server::are(&away, 0).and(server::are(&here, 0)))
    };
    let mut attacks = Vec::new();

    // Other hosts, ports and schemes: an endpoint is named by its option, whatever the name says.
    let hosts = [
        other.as_str(),
        "http://127.0.0.1:22/",
        "http://localhost/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "hostile-text",
        "hostile-key",
        "hostile-endpoint@127.0.0.1",
        "HOSTILE-ENDPOINT",
        "",
    ];
    for host in hosts {
        attacks.push(refused(
            &[&format!("endpoint={host}"), signed[0], signed[1]],
            "is no endpoint that is set",
        ));
    }
    // Paths that would lead out of the endpoint's.
    let paths = [
        "//evil.example/",
        "/servers/../../admin",
        "/servers/..",
        "/./servers",
        "/servers//1",
        "/servers/1/",
        "servers/1",
        "@evil.example/",
        ":80/",
        "/servers/\\..\\admin",
        "/servers/1\r\nHost: evil.example",
        "/servers/1\u{0}",
    ];
    for path in paths {
        attacks.push(refused(
            &[&format!("path={path}"), "bearer=hostile-key"],
            "has an invalid path",
        ));
    }
    // Paths and methods that were not granted.
    let calls = [
        (
            ["path=/servers", "bearer=hostile-key"],
            "may not call GET /servers",
        ),
        (["path=", "bearer=hostile-key"], "may not call GET"),
        (
            ["path=/Servers/1", "bearer=hostile-key"],
            "may not call GET /Servers/1",
        ),
        (
            ["path=/servers/1/2", "bearer=hostile-key"],
            "may not call GET /servers/1/2",
        ),
        (
            ["path=/servers/1", "method=DELETE"],
            "may not call DELETE /servers/1",
        ),
        (
            ["path=/servers/1", "method=PATCH"],
            "may not call PATCH /servers/1",
        ),
        (["path=/servers/1", "json={}"], "a GET has no body"),
    ];
    for (parts, expected) in calls {
        attacks.push(refused(&parts, expected));
    }
    // Encoded tricks arrive as one harmless segment.
    let encoded = [
        ("%2e%2e", "/client/api/servers/%252e%252e"),
        ("..%2f..%2fadmin", "/client/api/servers/..%252f..%252fadmin"),
        ("a?command=x#y", "/client/api/servers/a%3Fcommand=x%23y"),
        ("a;b@c:d", "/client/api/servers/a;b@c:d"),
    ];
    for (segment, expected) in encoded {
        let server = Server::start(server::answering("{}"));
        let requests = server.requests();
        let head = format!("GET {expected} HTTP/1.1\r\n");
        attacks.push(
            Attack::request(
                &server.url,
                &[&format!("path=/servers/{segment}"), "bearer=hostile-key"],
            )
            .fails("200 {}")
            .and(move |_| match &requests.lock().unwrap()[..] {
                [request] if request.starts_with(&head) => Ok(()),
                requests => Err(format!("{requests:?}")),
            }),
        );
    }
    // Commands that were not granted, and parameters that would change what is signed.
    let smuggled: [(&[&str], &str); 18] = [
        (
            &["query=command=destroyVirtualMachine"],
            "may not call destroyVirtualMachine",
        ),
        (&["query=command=listzones"], "may not call listzones"),
        (&["query=command=listZones "], "may not call listZones"),
        (&["query=command=listZones\u{0}"], "may not call listZones"),
        (&["query=command="], "may not call"),
        (&["query=Command=listZones"], "has no command"),
        (&["query=response=json"], "has no command"),
        (
            &[
                "query=command=listZones",
                "query=command=destroyVirtualMachine",
            ],
            "has command twice",
        ),
        (
            &[
                "query=command=listZones",
                "query=COMMAND=destroyVirtualMachine",
            ],
            "has COMMAND twice",
        ),
        (
            &["query=command=listZones", "query=signature=x"],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=SIGNATURE=x"],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=ApiKey=x"],
            "which is the host's",
        ),
        (
            &[
                "query=command=listZones",
                "query=expires=2099-01-01T00:00:00+0000",
            ],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=signatureVersion=2"],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=a&command=x"],
            "invalid name",
        ),
        (
            &["query=command=listZones", "query=a\r\n=x"],
            "invalid name",
        ),
        (
            &[
                "query=command=listZones",
                "form=command=destroyVirtualMachine",
                "method=POST",
            ],
            "a GET with a query or a POST with a form",
        ),
        (
            &["query=command=listZones", "path=/servers/1"],
            "has no path",
        ),
    ];
    for (parts, expected) in smuggled {
        let parts: Vec<_> = parts
            .iter()
            .copied()
            .chain(["cloudstack=hostile-key"])
            .collect();
        attacks.push(match parts.iter().any(|part| part.contains("a&command")) {
            // A name with an ampersand is one name; it is encoded.
            true => {
                Attack::request(&Server::start(server::answering("{}")).url, &parts).fails("200")
            }
            false => refused(&parts, expected),
        });
    }
    // A command in a value stays a value.
    let value = Server::start(server::answering("{}"));
    let requests = value.requests();
    let parts = [
        "query=command=listZones",
        "query=name=x&command=destroyVirtualMachine\r\nX: y",
        "cloudstack=hostile-key",
    ];
    attacks.push(
        Attack::request(&value.url, &parts)
            .fails("200 {}")
            .and(move |_| {
                let requests = requests.lock().unwrap();
                let first = requests[0].lines().next().unwrap_or_default();
                let is_one = first.matches("&command=").count() == 0
                    && first.contains("%26command%3D")
                    && first.contains("%0D%0A");
                is_one.then_some(()).ok_or_else(|| first.to_owned())
            }),
    );
    // Credentials that are none, or that would end a header.
    for (part, expected) in [
        (
            "cloudstack=hostile-text",
            "the option --hostile-text is not set",
        ),
        ("cloudstack=HOSTILE_KEY", "is not set"),
        (
            "bearer=hostile-mode",
            "the option --hostile-mode is not set",
        ),
        ("basic=a:b=hostile-key", "must have no colon"),
    ] {
        let first = match part.starts_with("cloudstack") {
            true => "query=command=listZones",
            false => "path=/servers/1",
        };
        attacks.push(refused(&[first, part], expected));
    }
    // A redirect is an answer; nobody goes there.
    for status in [301, 302, 303, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Go\r\nlocation: {other}\r\ncontent-length: 0\r\n\r\n");
        let server = Server::start(move |_, stream| drop(stream.write_all(answer.as_bytes())));
        let away = Arc::clone(&away);
        attacks.push(
            Attack::request(&server.url, &signed)
                .fails(&format!("{status} "))
                .and(move |_| server::are(&away, 0)),
        );
    }
    // Endpoints that a user was talked into.
    let endpoints = [
        ("http://169.254.169.254/", "which no driver may call"),
        ("http://2852039166/", "which no driver may call"),
        ("http://0xa9fea9fe/", "which no driver may call"),
        ("http://[::ffff:a9fe:a9fe]/", "which no driver may call"),
        ("http://[64:ff9b::a9fe:a9fe]/", "which no driver may call"),
        ("http://0.0.0.0:22/", "which no driver may call"),
        ("http://224.0.0.1/", "which no driver may call"),
        (
            "http://cloud.example.com@169.254.169.254/",
            "has more than a scheme",
        ),
        (
            "http://user:pass@cloud.example.com/",
            "has more than a scheme",
        ),
        ("file:///etc/passwd", "is neither https nor http"),
        (
            "https://cloud.example.com/?command=x",
            "has more than a scheme",
        ),
    ];
    for (endpoint, expected) in endpoints {
        let mut attack = Attack::request(endpoint, &signed).fails(expected);
        attack.name = format!("endpoint {endpoint}");
        attacks.push(attack);
    }
    attacks
}

/// Servers that tell the driver what the host sent them.
pub(crate) fn echoes() -> Vec<Attack> {
    let plain = |head: &str| head.to_owned();
    let decoded = |head: &str| {
        head.replace("%2B", "+")
            .replace("%2F", "/")
            .replace("%3D", "=")
    };
    let lower = |head: &str| {
        head.replace("%2B", "%2b")
            .replace("%2F", "%2f")
            .replace("%3D", "%3d")
    };
    // As Gson and PHP write JSON.
    let gson = move |head: &str| decoded(head).replace('=', "\\u003d");
    let php = move |head: &str| decoded(head).replace('/', "\\/");
    type Form = Box<dyn Fn(&str) -> String + Send + Sync>;
    let forms: [(&str, Form); 5] = [
        ("as it is", Box::new(plain)),
        ("decoded", Box::new(decoded)),
        ("in lower case", Box::new(lower)),
        ("as Gson does", Box::new(gson)),
        ("as PHP does", Box::new(php)),
    ];
    let mut attacks = Vec::new();
    for (name, form) in forms {
        let form: Arc<Form> = Arc::new(form);
        let requests: [&[&str]; 4] = [
            &["query=command=listZones", "cloudstack=hostile-key"],
            &[
                "form=command=listZones",
                "method=POST",
                "cloudstack=hostile-key",
            ],
            &["path=/servers/1", "bearer=hostile-key"],
            &["path=/servers/1", "basic=me=hostile-key"],
        ];
        for parts in requests {
            let form = Arc::clone(&form);
            let server = Server::start(move |request, stream| {
                let echo = form(request);
                let head = format!("HTTP/1.1 401 No\r\ncontent-length: {}\r\n\r\n", echo.len());
                drop(stream.write_all((head + &echo).as_bytes()));
            });
            let mut attack = Attack::request(&server.url, parts).fails("401 ");
            attack.name = format!("echo {name} of {}", parts.join(" "));
            let sent = server.requests();
            attacks.push(attack.and(move |outcome| {
                let sent = sent.lock().unwrap().join("");
                let Err(error) = &outcome.result else {
                    return Err("no error".to_owned());
                };
                let shown = error.to_string();
                // The signature's letters, or the password's as Basic has it.
                for label in ["signature=", "authorization: "] {
                    let Some((_, rest)) = sent.split_once(label) else {
                        continue;
                    };
                    let secret = rest
                        .trim_start_matches("Basic ")
                        .trim_start_matches("Bearer ");
                    let end = secret.find(['&', '\r', ' ', '%']).unwrap_or(secret.len());
                    let secret = &secret[..end.min(12)];
                    if secret.len() >= 8 && shown.contains(secret) {
                        return Err(format!("{secret} is seen in {shown}"));
                    }
                }
                Ok(())
            }));
        }
    }
    attacks
}
