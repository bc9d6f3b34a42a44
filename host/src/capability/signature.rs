//! CloudStack's request signature.
//!
//! The rule is the server's (`ApiServer.verifyRequest`, the same in CloudStack 4.6 and 4.22): the parameters sorted by
//! their names as sent, joined as `name=value` with the values encoded as Java's `URLEncoder` does but for the space
//! (`%20`), all of it in lower case, HMAC-SHA1 with the secret key, base64. Names are not encoded.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

use crate::capability::secret::Secret;

/// The longest validity of a signed request that servers accept, by their own clocks (`ApiServer.verifyRequest`).
pub const MAX_VALIDITY: Duration = Duration::from_secs(15 * 60);

/// How long a signed request is valid. What is left until [`MAX_VALIDITY`] is for a clock here that runs ahead of a server's.
pub const VALIDITY: Duration = Duration::from_secs(10 * 60);

/// The parameters that signing adds, and which a driver must not give.
pub const PARAMETERS: [&str; 5] = [
    "apikey",
    "expires",
    "signature",
    "signaturealgorithm",
    "signatureversion",
];

/// Adds the key, the expiry and the signature to a request's parameters, and tells the signature.
///
/// Servers that sort before they lower the case and those that sort after it agree where all names are in lower case; others
/// are signed as they are.
pub fn sign(
    parameters: &mut Vec<(String, String)>,
    api_key: &Secret,
    secret_key: &Secret,
    now: SystemTime,
) -> String {
    parameters.push(("apikey".to_owned(), api_key.expose().to_owned()));
    parameters.push(("signatureversion".to_owned(), "3".to_owned()));
    parameters.push(("expires".to_owned(), expires(now + VALIDITY)));
    let signature = signature(parameters, secret_key.expose());
    parameters.push(("signature".to_owned(), signature.clone()));
    signature
}

/// The signature of `parameters`, in base64.
pub fn signature(parameters: &[(String, String)], secret_key: &str) -> String {
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort();
    let text = sorted
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect::<Vec<_>>()
        .join("&")
        .to_lowercase();
    // An HMAC takes a key of any length; the error type says otherwise.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret_key.as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The moment in the one form that CloudStack 4.6 and later ones parse: `2026-11-24T04:05:06+0000`.
fn expires(at: SystemTime) -> String {
    // Outside the years that have four digits there is no such form; a clock that is set there is refused by the server.
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

/// Encodes a value as Java's `URLEncoder` does for UTF-8, but a space as `%20`.
pub fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                encoded.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Encodes parameters as a query or a form body.
pub fn form(parameters: &[(String, String)]) -> String {
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(query: &[(&str, &str)], secret: &str) -> String {
        let parameters: Vec<_> = query
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        signature(&parameters, secret)
    }

    const EXAMPLE_KEY: &str =
        "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg";
    const EXAMPLE_SECRET: &str =
        "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ";

    /// CloudStack's developer's guide.
    #[test]
    fn signs_as_the_developers_guide_does() {
        let query = [
            ("apikey", EXAMPLE_KEY),
            ("command", "listUsers"),
            ("response", "json"),
        ];
        assert_eq!(
            signed(&query, EXAMPLE_SECRET),
            "TTpdDq/7j/J58XCRHomKoQXEQds="
        );
    }

    /// The tests of the client `cs` (exoscale/cs, tests.py), key "foo" and secret "bar".
    #[test]
    fn signs_as_cs_does() {
        let cases: [(&[(&str, &str)], &str); 7] = [
            (
                &[("command", "listVirtualMachines"), ("listall", "true")],
                "B0d6hBsZTcFVCiioSxzwKA9Pke8=",
            ),
            (
                &[
                    ("command", "listVirtualMachines"),
                    ("listall", "1"),
                    ("unicode_param", "éèààû"),
                ],
                "gABU/KFJKD3FLAgKDuxQoryu4sA=",
            ),
            (
                &[
                    ("command", "listVirtualMachines"),
                    ("foo", "foo,bar"),
                    ("bar[0].baz", "blah"),
                    ("bar[0].foo", "1000"),
                    ("bytes_param", "blah"),
                ],
                "ImJ/5F0P2RDL7yn4LdLnGcEx5WE=",
            ),
            (
                &[
                    ("command", "scaleVirtualMachine"),
                    ("id", "a"),
                    ("details[0].cpunumber", "1000"),
                    ("details[0].memory", "640k"),
                ],
                "ZNl66z3gFhnsx2Eo3vvCIM0kAgI=",
            ),
            (
                &[
                    ("command", "createNetwork"),
                    ("name", ""),
                    ("display_text", ""),
                ],
                "CistTEiPt/4Rv1v4qSyILvPbhmg=",
            ),
            (
                &[("command", "listVirtualMachines"), ("blah", "brah")],
                "58VvLSaVUqHnG9DhXNOAiDFwBoA=",
            ),
            (
                &[
                    ("command", "listVirtualMachines"),
                    ("page", "1"),
                    ("pageSize", "10"),
                    ("temPlateidd", "4"),
                    ("templateId", "3"),
                    ("zoneId", "2"),
                ],
                "mMS7XALuGkCXk7kj5SywySku0Z0=",
            ),
        ];
        for (query, expected) in cases {
            // The names' case matters for their order, so the mixed-case example spells its key as `cs` does.
            let key = if query.iter().any(|(n, _)| *n == "pageSize") {
                "apiKey"
            } else {
                "apikey"
            };
            let query = [&[(key, "foo"), ("response", "json")], query].concat();
            assert_eq!(signed(&query, "bar"), expected, "{query:?}");
        }
    }

    /// A request of the Go driver that this one replaces, recorded.
    #[test]
    fn signs_as_the_go_driver_did() {
        let query = [
            ("apikey", "APIKEY"),
            ("command", "createSSHKeyPair"),
            ("name", "m1-9dfc36922790"),
            ("response", "json"),
        ];
        assert_eq!(signed(&query, "SECRETKEY"), "MXgohpdKHxYhOpDOL9Tl1U89Qgk=");
    }

    /// The unescaped characters were listed with Java 17's `URLEncoder`.
    #[test]
    fn encodes_as_java_does() {
        assert_eq!(encode("Az09.-*_"), "Az09.-*_");
        assert_eq!(
            encode("~ +/[],!'()é"),
            "%7E%20%2B%2F%5B%5D%2C%21%27%28%29%C3%A9"
        );
    }

    #[test]
    fn requests_expire_in_utc_ten_minutes_from_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_493_106);
        let mut parameters = vec![("command".to_owned(), "listZones".to_owned())];
        sign(&mut parameters, &"key".into(), &"secret".into(), now);
        let expires = parameters
            .iter()
            .find(|(name, _)| name == "expires")
            .unwrap();
        assert_eq!(expires.1, "2026-11-24T04:15:06+0000");
        assert_eq!(parameters.last().unwrap().0, "signature");
    }
}
