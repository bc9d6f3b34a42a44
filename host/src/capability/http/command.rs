//! What a driver may call: names of commands, and methods with paths.

use std::collections::{BTreeMap, BTreeSet};

use super::Endpoint;

/// What one driver may call: what it lists, or what of that it was granted.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The endpoints by the names of their options.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The API's commands, for requests with CloudStack's signature, and methods with paths for others; see
    /// [`is_command`].
    pub commands: BTreeSet<String>,
}

impl Reach {
    /// Whether a method may be called on a path below an endpoint.
    pub(super) fn permits(&self, method: &str, path: &str) -> bool {
        let path = if path.is_empty() { "/" } else { path };
        let is_match = |pattern: &str, segment: &str| {
            pattern == segment || is_placeholder(pattern) && !segment.is_empty()
        };
        let permits = |command: &String| {
            let Some((granted, pattern)) = command.split_once(' ') else {
                return false;
            };
            let (patterns, segments) = (pattern.split('/'), path.split('/'));
            granted == method
                && patterns.clone().count() == segments.clone().count()
                && patterns.zip(segments).all(|(p, s)| is_match(p, s))
        };
        self.commands.iter().any(permits)
    }
}

/// Whether a text can be one of a driver's commands: the name of one of CloudStack's, or a method and a path such as
/// `DELETE /servers/{id}`.
pub fn is_command(text: &str) -> bool {
    let is_name = |text: &str| {
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let Some((method, path)) = text.split_once(' ') else {
        return is_name(text);
    };
    let is_segment = |segment: &str| {
        is_placeholder(segment)
            || !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    let is_path = path == "/"
        || path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_segment));
    ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) && text.len() <= 200 && is_path
}

/// `{id}`: stands for any one segment of a path.
fn is_placeholder(segment: &str) -> bool {
    let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_with_a_path_is_permitted_as_a_whole_alone() {
        let reach = Reach {
            commands: ["GET /", "DELETE /servers/{id}", "listZones"]
                .map(str::to_owned)
                .into(),
            ..Reach::default()
        };
        for (method, path) in [("GET", ""), ("GET", "/"), ("DELETE", "/servers/1")] {
            assert!(reach.permits(method, path), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/"),
            ("DELETE", "/servers"),
            ("DELETE", "/servers/"),
            ("DELETE", "/servers/1/2"),
            ("GET", "/servers/1"),
            ("GET", "/listZones"),
        ] {
            assert!(!reach.permits(method, path), "{method} {path}");
        }
    }

    #[test]
    fn commands_are_names_or_methods_with_paths() {
        for good in [
            "listZones",
            "GET /",
            "DELETE /v1/servers/{id}",
            "PATCH /a.b/~c",
        ] {
            assert!(is_command(good), "{good}");
        }
        for bad in [
            "",
            "a&b",
            "GET servers",
            "get /a",
            "GET /a/",
            "GET /..",
            "GET /{}",
            "HEAD /a",
        ] {
            assert!(!is_command(bad), "{bad}");
        }
    }
}
