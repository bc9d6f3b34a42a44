//! What the project has, and what requests do to it.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json as object};

use crate::Inventory;
use crate::http::{Answer, Request};

const SERVER_TYPES: [&str; 2] = ["cx22", "cpx31"];
const IMAGES: [&str; 2] = ["ubuntu-24.04", "debian-12"];
const LOCATIONS: [&str; 2] = ["fsn1", "hel1"];

/// What the API answers, by method and path.
pub(crate) const REQUESTS: [&str; 15] = [
    "GET /server_types",
    "GET /images",
    "GET /locations",
    "GET /ssh_keys",
    "POST /ssh_keys",
    "DELETE /ssh_keys/{id}",
    "GET /servers",
    "POST /servers",
    "GET /servers/{id}",
    "DELETE /servers/{id}",
    "POST /servers/{id}/actions/poweron",
    "POST /servers/{id}/actions/poweroff",
    "POST /servers/{id}/actions/shutdown",
    "POST /servers/{id}/actions/reboot",
    "GET /actions/{id}",
];

/// The most entries of one page of a list.
const MAX_PAGE: usize = 50;

pub(crate) struct World {
    pub(crate) address: Option<String>,
    pub(crate) action_time: Duration,
    pub(crate) ignores_shutdown: bool,
    pub(crate) next_action_fails: Option<&'static str>,
    servers: Vec<Server>,
    ssh_keys: Vec<SshKey>,
    actions: Vec<Action>,
    last_id: u64,
}

struct Server {
    id: u64,
    name: String,
    status: &'static str,
    ip: String,
    labels: Value,
    made_of: Value,
    /// When the guest, which was asked to, shuts down.
    shuts_down: Option<Instant>,
}

struct SshKey {
    id: u64,
    name: String,
    public_key: String,
    labels: Value,
}

struct Action {
    id: u64,
    command: &'static str,
    server: u64,
    /// When it is over.
    end: Instant,
    /// Whether its effect has come about.
    is_over: bool,
    fails: Option<&'static str>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            address: None,
            action_time: Duration::from_millis(50),
            ignores_shutdown: false,
            next_action_fails: None,
            servers: Vec::new(),
            ssh_keys: Vec::new(),
            actions: Vec::new(),
            last_id: 1_000,
        }
    }
}

impl World {
    pub(crate) fn inventory(&self) -> Inventory {
        Inventory {
            servers: self.servers.iter().map(|s| s.name.clone()).collect(),
            ssh_keys: self.ssh_keys.iter().map(|k| k.name.clone()).collect(),
        }
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        self.pass(Instant::now());
        let path: Vec<_> = request.path.iter().map(String::as_str).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["server_types"]) => named(request, "server_types", &SERVER_TYPES),
            ("GET", ["images"]) => named(request, "images", &IMAGES),
            ("GET", ["locations"]) => named(request, "locations", &LOCATIONS),
            ("GET", ["ssh_keys"]) => {
                let keys = self.ssh_keys.iter().map(SshKey::view).collect();
                list(request, "ssh_keys", keys)
            }
            ("POST", ["ssh_keys"]) => self.register(request),
            ("DELETE", ["ssh_keys", id]) => {
                let before = self.ssh_keys.len();
                self.ssh_keys.retain(|key| key.id.to_string() != *id);
                match self.ssh_keys.len() {
                    after if after < before => Answer::new(204, Value::Null),
                    _ => not_found(),
                }
            }
            ("GET", ["servers"]) => {
                let servers = self.servers.iter().map(Server::view).collect();
                list(request, "servers", servers)
            }
            ("POST", ["servers"]) => self.make(request),
            ("GET", ["servers", id]) => match self.server(id) {
                Some(server) => Answer::new(200, object!({ "server": server.view() })),
                None => not_found(),
            },
            ("DELETE", ["servers", id]) => self.act(id, "delete_server", 200),
            ("POST", ["servers", id, "actions", action]) => match *action {
                "poweron" => self.act(id, "start_server", 201),
                "poweroff" => self.act(id, "stop_server", 201),
                "shutdown" => self.act(id, "shutdown_server", 201),
                "reboot" => self.act(id, "reboot_server", 201),
                _ => not_found(),
            },
            ("GET", ["actions", id]) => {
                let mut actions = self.actions.iter();
                match actions.find(|action| action.id.to_string() == *id) {
                    Some(action) => Answer::new(200, object!({ "action": action.view() })),
                    None => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    /// Lets come about what is due.
    fn pass(&mut self, now: Instant) {
        for server in &mut self.servers {
            if server.shuts_down.is_some_and(|time| time <= now) {
                (server.status, server.shuts_down) = ("off", None);
            }
        }
        let mut deleted = Vec::new();
        for action in &mut self.actions {
            if action.is_over || action.end > now {
                continue;
            }
            action.is_over = true;
            let mut servers = self.servers.iter_mut();
            let Some(server) = servers.find(|server| server.id == action.server) else {
                continue;
            };
            match (action.command, action.fails) {
                (_, Some(_)) => server.status = "off",
                ("create_server" | "start_server" | "reboot_server", _) => {
                    server.status = "running";
                }
                ("stop_server", _) => server.status = "off",
                ("shutdown_server", _) if !self.ignores_shutdown => {
                    server.shuts_down = Some(now + self.action_time);
                }
                ("delete_server", _) => deleted.push(server.id),
                _ => {}
            }
        }
        self.servers.retain(|server| !deleted.contains(&server.id));
    }

    fn server(&self, id: &str) -> Option<&Server> {
        let mut servers = self.servers.iter();
        servers.find(|server| server.id.to_string() == id)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn register(&mut self, request: &Request) -> Answer {
        let (name, public_key) = (request.text("name"), request.text("public_key"));
        let labels = &request.body["labels"];
        if name.is_empty() || !public_key.starts_with("ssh-") || !are_labels(labels) {
            return invalid("name, public_key or labels");
        }
        let mut keys = self.ssh_keys.iter();
        if keys.any(|key| key.name == name || key.public_key == public_key) {
            return error(409, "uniqueness_error", "SSH key not unique");
        }
        let key = SshKey {
            id: self.next_id(),
            name: name.to_owned(),
            public_key: public_key.to_owned(),
            labels: labels.clone(),
        };
        let answer = Answer::new(201, object!({ "ssh_key": key.view() }));
        self.ssh_keys.push(key);
        answer
    }

    fn make(&mut self, request: &Request) -> Answer {
        let name = request.text("name");
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        if !is_name {
            return invalid("name");
        }
        for (member, known) in [("server_type", &SERVER_TYPES), ("image", &IMAGES)] {
            if !known.contains(&request.text(member)) {
                return invalid(member);
            }
        }
        let location = request.text("location");
        if !location.is_empty() && !LOCATIONS.contains(&location) {
            return invalid("location");
        }
        let keys = request.body["ssh_keys"].as_array();
        let is_key = |id: &Value| self.ssh_keys.iter().any(|key| Some(key.id) == id.as_u64());
        if !keys.is_none_or(|keys| keys.iter().all(is_key)) {
            return invalid("ssh_keys");
        }
        if !are_labels(&request.body["labels"]) {
            return invalid("labels");
        }
        if self.servers.iter().any(|server| server.name == name) {
            return error(409, "uniqueness_error", "server name is already used");
        }
        let id = self.next_id();
        let server = Server {
            id,
            name: name.to_owned(),
            status: "initializing",
            ip: match &self.address {
                Some(ip) => ip.clone(),
                None => format!("192.0.2.{}", id % 250 + 1),
            },
            labels: request.body["labels"].clone(),
            made_of: object!({
                "server_type": { "name": request.text("server_type") },
                "image": { "name": request.text("image") },
                "location": { "name": if location.is_empty() { LOCATIONS[0] } else { location } },
            }),
            shuts_down: None,
        };
        let view = server.view();
        self.servers.push(server);
        let action = self.begin("create_server", id);
        Answer::new(
            201,
            object!({ "server": view, "action": action, "next_actions": [], "root_password": null }),
        )
    }

    fn act(&mut self, id: &str, command: &'static str, status: u16) -> Answer {
        let Some(id) = self.server(id).map(|server| server.id) else {
            return not_found();
        };
        let mut actions = self.actions.iter();
        if actions.any(|action| action.server == id && !action.is_over) {
            return error(423, "locked", "the server is locked by another action");
        }
        let action = self.begin(command, id);
        if command == "delete_server"
            && let Some(server) = self.servers.iter_mut().find(|server| server.id == id)
        {
            server.status = "deleting";
        }
        Answer::new(status, object!({ "action": action }))
    }

    fn begin(&mut self, command: &'static str, server: u64) -> Value {
        let action = Action {
            id: self.next_id(),
            command,
            server,
            end: Instant::now() + self.action_time,
            is_over: false,
            fails: self.next_action_fails.take(),
        };
        let view = action.view();
        self.actions.push(action);
        view
    }
}

impl Server {
    fn view(&self) -> Value {
        let mut view = object!({
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "labels": self.labels,
            "public_net": {
                "ipv4": { "ip": self.ip, "blocked": false },
                "ipv6": { "ip": "2001:db8::/64", "blocked": false },
                "floating_ips": [],
            },
            "private_net": [],
            "locked": false,
        });
        if let (Some(view), Some(made_of)) = (view.as_object_mut(), self.made_of.as_object()) {
            view.extend(made_of.clone());
        }
        view
    }
}

impl SshKey {
    fn view(&self) -> Value {
        object!({
            "id": self.id,
            "name": self.name,
            "public_key": self.public_key,
            "labels": self.labels,
        })
    }
}

impl Action {
    fn view(&self) -> Value {
        let (status, error) = match (self.is_over, self.fails) {
            (false, _) => ("running", Value::Null),
            (true, None) => ("success", Value::Null),
            (true, Some(code)) => {
                let message = "Action failed as the test wants it";
                ("error", object!({ "code": code, "message": message }))
            }
        };
        object!({
            "id": self.id,
            "command": self.command,
            "status": status,
            "progress": if self.is_over { 100 } else { 0 },
            "resources": [{ "id": self.server, "type": "server" }],
            "error": error,
        })
    }
}

/// A page of a list of what has the labels that are asked for.
fn list(request: &Request, kind: &str, entries: Vec<Value>) -> Answer {
    let selector = request.parameter("label_selector").unwrap_or_default();
    let is_selected = |entry: &Value| match selector.split_once("==") {
        Some((key, value)) => entry["labels"][key] == value,
        None => selector.is_empty() || entry["labels"].get(selector).is_some(),
    };
    let entries: Vec<_> = entries.into_iter().filter(is_selected).collect();
    let number = |name: &str, default: usize| {
        let text = request.parameter(name);
        text.and_then(|text| text.parse().ok())
            .unwrap_or(default)
            .max(1)
    };
    let (page, per_page) = (number("page", 1), number("per_page", 25).min(MAX_PAGE));
    let first = (page - 1).saturating_mul(per_page);
    let shown: Vec<_> = entries.iter().skip(first).take(per_page).collect();
    let has_more = entries.len() > first.saturating_add(per_page);
    let mut body = Map::new();
    body.insert(kind.to_owned(), object!(shown));
    let pagination = object!({
        "page": page,
        "per_page": per_page,
        "next_page": has_more.then(|| page.saturating_add(1)),
        "total_entries": entries.len(),
    });
    body.insert("meta".to_owned(), object!({ "pagination": pagination }));
    Answer::new(200, Value::Object(body))
}

/// A list of what has just a name.
fn named(request: &Request, kind: &str, names: &[&str]) -> Answer {
    let wanted = request.parameter("name");
    let named = names
        .iter()
        .filter(|name| wanted.is_none_or(|wanted| wanted == **name));
    let entries = named.map(|name| object!({ "name": name })).collect();
    list(request, kind, entries)
}

/// Whether these are labels: values of at most 63 letters, digits, dashes, dots and underscores, with a letter or digit
/// at either end.
fn are_labels(labels: &Value) -> bool {
    let is_end = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let is_value = |value: &Value| {
        value.as_str().map(str::as_bytes).is_some_and(|text| {
            let mut bytes = text.iter();
            text.len() <= 63
                && is_end(text.first())
                && is_end(text.last())
                && bytes.all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b))
        })
    };
    let labels = labels.as_object();
    labels.is_none_or(|labels| labels.values().all(is_value))
}

fn invalid(what: &str) -> Answer {
    error(422, "invalid_input", &format!("invalid input in {what}"))
}

pub(crate) fn not_found() -> Answer {
    error(404, "not_found", "not found")
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::new(
        status,
        object!({ "error": { "code": code, "message": message, "details": {} } }),
    )
}
