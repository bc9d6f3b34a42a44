//! A third-party driver for another kind of cloud, by the contract alone, with a token that the host adds.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use acceptance::hurry::HurriedTime;
use acceptance::recorder::Recorder;
use acceptance::{HETZNER, cache};
use btcloud_host::capability::clock::Cancel;
use btcloud_host::capability::http::Client;
use btcloud_host::contract::State;
use btcloud_host::contract::types::ErrorKind;
use btcloud_host::machine::{
    Account, Change, Engine, Error, Flag, Flags, LazyDriver, Machine, ProfileChoice, Record, Store,
    Surroundings,
};
use btcloud_host::sandbox::Limits;
use hetzner_simulator::{Fault, Hetzner, Inventory};
use tempfile::TempDir;

/// Compiled once for all tests.
static DRIVER: LazyLock<Arc<LazyDriver>> = LazyLock::new(|| {
    let component = fs::read(HETZNER).unwrap();
    Arc::new(LazyDriver::new(component, Limits::default(), Some(cache())))
});

struct Lab {
    cloud: Hetzner,
    recorder: Arc<Recorder>,
    store: Store,
    _directory: TempDir,
}

impl Lab {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            cloud: Hetzner::start().unwrap(),
            recorder: Arc::default(),
            store: Store::at(directory.path().to_owned()),
            _directory: directory,
        }
    }

    fn surroundings(&self) -> Surroundings {
        let account = [
            ("HETZNER_ENDPOINT", self.cloud.url()),
            ("HETZNER_TOKEN", self.cloud.token().to_owned()),
        ];
        let variables = move |name: &str| {
            let found = account.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.clone())
        };
        let reporter: Arc<Recorder> = Arc::clone(&self.recorder);
        Surroundings {
            reporter,
            cancel: Cancel::default(),
            variables: Arc::new(variables),
            time: Arc::new(HurriedTime::default()),
            client: Client::default(),
            profile: ProfileChoice::Nothing,
        }
    }

    /// A machine that is stored and not made yet.
    fn machine(&self, name: &str, options: &[(&str, &str)]) -> Result<Machine, Error> {
        let record = Record::new(name, self.store.path());
        let machine = Machine::new(Arc::clone(&DRIVER), self.surroundings(), record);
        let options = options.iter();
        let flags: Flags = options
            .map(|(name, value)| (format!("hetzner-{name}"), Flag::Text((*value).to_owned())))
            .collect();
        machine.configure(&flags)?;
        self.store
            .create(name, &machine.record()?, "hetzner", &Engine::default())?;
        Ok(machine)
    }

    fn made(&self, name: &str) -> Machine {
        let machine = self.machine(name, &[]).unwrap();
        machine.check().unwrap();
        machine.create().unwrap();
        machine
    }

    fn requests(&self, request: &str) -> usize {
        let requests = self.cloud.requests();
        requests.iter().filter(|name| *name == request).count()
    }

    fn files(&self, machine: &str) -> Vec<(String, String)> {
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let entries = fs::read_dir(self.store.directory(machine)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, read(&path))
            })
            .collect()
    }
}

#[test]
fn the_whole_life_of_a_machine() {
    let lab = Lab::new();
    let machine = lab.made("m1");
    assert_eq!(lab.cloud.inventory().servers, ["m1"]);
    assert_eq!(lab.cloud.inventory().ssh_keys.len(), 1);
    let ip = machine.ip().unwrap();
    assert_eq!(machine.url().unwrap(), format!("tcp://{ip}:2376"));
    for (change, state) in [
        (Change::Stop, State::Stopped),
        (Change::Restart, State::Running),
        (Change::Kill, State::Stopped),
        (Change::Start, State::Running),
        (Change::Restart, State::Running),
    ] {
        machine.change(change).unwrap();
        assert_eq!(machine.state().unwrap(), state, "{change:?}");
    }
    machine.change(Change::Remove).unwrap();
    assert_eq!(lab.cloud.inventory(), Inventory::default());
    assert!(matches!(machine.state(), Err(Error::Gone(_))));
}

#[test]
fn the_token_is_the_hosts_alone() {
    let lab = Lab::new();
    lab.made("m1");
    let holds_token = |text: &str| text.contains(lab.cloud.token());
    let files = lab.files("m1");
    let holders: Vec<_> = files.iter().filter(|(_, text)| holds_token(text)).collect();
    assert_eq!(holders.len(), 1, "{files:?}");
    assert_eq!(holders[0].0, "secrets.json");
    let lines = lab.recorder.lines();
    assert!(!lines.iter().any(|line| holds_token(line)), "{lines:?}");
}

#[test]
fn what_the_options_name_is_looked_up_first() {
    let lab = Lab::new();
    for (option, kind) in [
        ("server-type", ErrorKind::InvalidOption),
        ("image", ErrorKind::InvalidOption),
        ("location", ErrorKind::InvalidOption),
        ("token", ErrorKind::Authentication),
    ] {
        let machine = lab.machine(option, &[(option, "nonsense")]).unwrap();
        let error = machine.check().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let long = "m".repeat(64);
    let error = lab.machine(&long, &[]).unwrap().check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    assert_eq!(lab.requests("POST /ssh_keys"), 0);
}

#[test]
fn an_answer_that_is_lost_makes_no_second_server() {
    for request in ["POST /ssh_keys", "POST /servers"] {
        let lab = Lab::new();
        lab.cloud.fault(request, Fault::LoseAnswer);
        let machine = lab.made("m1");
        assert_eq!(lab.requests(request), 1);
        assert_eq!(lab.cloud.inventory().servers, ["m1"]);
        assert_eq!(machine.state().unwrap(), State::Running);
    }
}

#[test]
fn what_is_refused_for_now_is_tried_again() {
    let lab = Lab::new();
    for (request, status, code) in [
        ("POST /servers", 429, "rate_limit_exceeded"),
        ("GET /images", 503, "unavailable"),
        ("POST /servers/{id}/actions/{action}", 423, "locked"),
    ] {
        let request = request.replace("{action}", "shutdown");
        lab.cloud.fault(&request, Fault::Refuse(status, code));
    }
    let machine = lab.made("m1");
    machine.change(Change::Stop).unwrap();
    assert_eq!(lab.requests("POST /servers"), 2);
    assert_eq!(lab.requests("GET /images"), 3);
    assert_eq!(lab.requests("POST /servers/{id}/actions/shutdown"), 2);
}

#[test]
fn a_creation_that_fails_leaves_nothing() {
    for (request, fault, kind) in [
        (
            "POST /servers",
            Fault::Refuse(403, "resource_limit_exceeded"),
            ErrorKind::Quota,
        ),
        (
            "POST /servers",
            Fault::Refuse(412, "resource_unavailable"),
            ErrorKind::Capacity,
        ),
        (
            "POST /servers",
            Fault::FailAction("action_failed"),
            ErrorKind::Internal,
        ),
    ] {
        let lab = Lab::new();
        lab.cloud.fault(request, fault);
        let error = lab.machine("m1", &[]).unwrap().create().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(matches!(
            error,
            Error::Create {
                leftovers: None,
                ..
            }
        ));
        assert_eq!(lab.cloud.inventory(), Inventory::default());
    }
}

#[test]
fn what_cannot_be_removed_is_told_and_keeps_nothing_else() {
    let lab = Lab::new();
    let machine = lab.made("m1");
    let refusal = Fault::Refuse(403, "forbidden");
    lab.cloud.fault("DELETE /servers/{id}", refusal);
    let error = machine.change(Change::Remove).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let left = lab.cloud.inventory();
    assert_eq!((left.servers.len(), left.ssh_keys.len()), (1, 0));
    machine.change(Change::Remove).unwrap();
    assert_eq!(lab.cloud.inventory(), Inventory::default());
}

#[test]
fn a_guest_that_does_not_shut_down_has_its_plug_pulled() {
    let lab = Lab::new();
    lab.cloud.ignore_shutdown();
    let machine = lab.made("m1");
    machine.change(Change::Stop).unwrap();
    assert_eq!(machine.state().unwrap(), State::Stopped);
    let lines = lab.recorder.lines();
    assert!(
        lines.iter().any(|line| line.contains("plug is pulled")),
        "{lines:?}"
    );
}

#[test]
fn what_no_store_knows_is_found_and_removed() {
    let lab = Lab::new();
    lab.cloud.set_action_time(Duration::from_millis(1));
    // More than a page has.
    let names: Vec<_> = (0..51).map(|number| format!("m{number}")).collect();
    for name in &names {
        lab.made(name);
    }
    let account = Account::new(Arc::clone(&DRIVER), lab.surroundings(), &Flags::new()).unwrap();
    let found = account.survey().unwrap();
    assert_eq!(found.len(), names.len());
    assert_eq!(found[50].name, "m50");
    assert_eq!(found[50].parts.len(), 2, "{:?}", found[50].parts);
    account.machine(&found[50]).change(Change::Remove).unwrap();
    assert_eq!(lab.cloud.inventory().servers, names[..50]);
    assert_eq!(account.survey().unwrap().len(), 50);
}
