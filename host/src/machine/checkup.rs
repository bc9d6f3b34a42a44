//! Whether all is there that machines need: the store, the account, the way to the cloud. For users whose machines cannot be
//! made, and do not know why.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::profile::Profile;
use super::{
    Account, Error, Flags, Inventory, LazyDriver, Loaded, Machine, Record, Store, Surroundings,
    secrets,
};
use crate::capability::http::Endpoint;
use crate::capability::signature;
use crate::contract::http::FailureKind;
use crate::contract::types::ErrorKind;
use crate::contract::{Limit, OptionKind};
use crate::files;

/// How long an endpoint may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The difference between two clocks from which on the user is warned. Answers have whole seconds, and travel.
const NOTABLE_SKEW: Duration = Duration::from_secs(30);

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What can be done about it.
    pub remedy: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but not as it should.
    Warning,
    /// It does not work.
    Bad,
    /// It could not be looked at.
    Skipped,
}

impl Finding {
    /// One that is as it should be.
    pub fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Good,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// One that is not.
    pub fn bad(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Bad,
            remedy: Some(remedy.into()),
            ..Self::good(what, detail)
        }
    }

    /// One that works all the same.
    pub fn warning(
        what: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Warning,
            ..Self::bad(what, detail, remedy)
        }
    }

    /// One that could not be looked at.
    pub fn skipped(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Skipped,
            ..Self::good(what, detail)
        }
    }

    fn failed(what: &'static str, error: &Error) -> Self {
        Self {
            verdict: Verdict::Bad,
            remedy: error.hint(),
            ..Self::good(what, error.to_string())
        }
    }
}

/// Whether a store can be used, and keeps its secrets.
pub fn of_store(store: &Store) -> Vec<Finding> {
    let path = store.path();
    let directory = path.join("machines");
    // The nearest one that is there.
    let existing = directory.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    let place = path.display();
    if !existing.is_dir() {
        let remedy = "move it away, or name another store with --storage-path";
        let detail = format!("{} is no directory", existing.display());
        return vec![Finding::bad("store", detail, remedy)];
    }
    if let Err(e) = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(existing)
    {
        return vec![Finding::failed("store", &Error::store(existing, e))];
    }
    let names = match store.names() {
        Ok(names) => names,
        Err(error) => return vec![Finding::failed("store", &error)],
    };
    let mut findings = match path.is_dir() {
        true => vec![Finding::good(
            "store",
            format!("{place}, {} machines", names.len()),
        )],
        false => vec![Finding::good(
            "store",
            format!("{place}, to be made with the first machine"),
        )],
    };
    let mut exposed = Vec::new();
    for name in &names {
        if let Err(error) = store.entry(name) {
            findings.push(Finding::failed("machine", &error));
        }
        let directory = store.directory(name);
        for file in [
            secrets::FILE,
            "id_rsa",
            "key.pem",
            "server-key.pem",
            "config.json",
        ] {
            exposed.extend(open_to_others(directory.join(file)));
        }
    }
    findings.push(match exposed.as_slice() {
        [] => Finding::good("permissions", "what is secret can be read by you alone"),
        [path, rest @ ..] => {
            let others = match rest.len() {
                0 => String::new(),
                more => format!(", and {more} files more"),
            };
            let detail = format!("others can read {}{others}", path.display());
            Finding::bad("permissions", detail, format!("chmod -R go= {place}"))
        }
    });
    findings
}

/// The path, if others can read the file behind it.
fn open_to_others(path: PathBuf) -> Option<PathBuf> {
    let metadata = fs::metadata(&path).ok()?;
    let is_open = metadata.permissions().mode() & 0o077 != 0;
    let me = rustix::process::geteuid().as_raw();
    (is_open || metadata.uid() != me).then_some(path)
}

/// Whether compiled drivers can be kept.
pub fn of_cache(directory: Option<&Path>) -> Finding {
    let what = "cache";
    let slow = "each command compiles its driver anew until that is mended";
    let Some(directory) = directory else {
        let detail = format!("there is no home directory; {slow}");
        return Finding::warning(what, detail, "set HOME or XDG_CACHE_HOME");
    };
    let place = directory.display();
    let metadata = match fs::symlink_metadata(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return match files::create_private_dir(directory) {
                Ok(()) => Finding::good(what, format!("{place}")),
                Err(e) => Finding::warning(
                    what,
                    format!("cannot make {place}: {e}; {slow}"),
                    "set XDG_CACHE_HOME to a directory that you can write",
                ),
            };
        }
        Err(e) => {
            return Finding::warning(
                what,
                format!("cannot use {place}: {e}; {slow}"),
                "set XDG_CACHE_HOME",
            );
        }
        Ok(metadata) => metadata,
    };
    if !metadata.is_dir() || !files::is_private(&metadata) {
        let detail = format!("{place} is not a directory that you alone can write; {slow}");
        return Finding::warning(what, detail, format!("chmod 700 {place}, or remove it"));
    }
    match tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(directory)
    {
        Ok(_) => Finding::good(what, format!("{place}")),
        Err(e) => Finding::warning(
            what,
            format!("cannot write {place}: {e}; {slow}"),
            "free some room",
        ),
    }
}

/// Whether the cloud can be reached and takes the account's keys, and has what the options name, as far as the driver tells.
pub fn of_account(
    driver: &Arc<LazyDriver>,
    surroundings: &Surroundings,
    flags: &Flags,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let begun = driver
        .loaded()
        .and_then(|loaded| Ok((surroundings.profile(&loaded)?, loaded)));
    let (profile, loaded) = match begun {
        Ok(begun) => begun,
        Err(error) => return vec![Finding::failed("configuration", &error)],
    };
    let given = loaded.given(surroundings, flags, profile.as_deref());
    // What the account is can be wrong where the way to the cloud is not.
    let account = Account::new(Arc::clone(driver), surroundings.clone(), flags);
    let endpoints = match &account {
        Ok(account) => {
            findings.push(Finding::good(
                "configuration",
                source(&loaded, profile.as_deref()),
            ));
            account.endpoints()
        }
        Err(error) => {
            findings.push(Finding::failed("configuration", error));
            let specs = &loaded.description.options;
            let specs = specs
                .iter()
                .filter(|spec| spec.kind == OptionKind::Endpoint);
            let endpoints = specs.filter_map(|spec| match given.value(spec)?.0 {
                super::Flag::Text(text) => text.parse().ok(),
                _ => None,
            });
            endpoints.collect()
        }
    };
    let mut is_reached = true;
    for endpoint in &endpoints {
        let client = match &account {
            Ok(account) => account.client(),
            Err(_) => surroundings.client.clone(),
        };
        let before = surroundings.time.wall();
        match client.probe(endpoint, PATIENCE) {
            Ok(date) => {
                findings.push(Finding::good("endpoint", format!("{endpoint} answers")));
                let is_verified = account.as_ref().is_ok_and(|a| !a.is_insecure());
                findings.push(protection(endpoint, is_verified));
                let now = surroundings.time.wall();
                findings.push(clock(before, date, now));
            }
            Err(failure) => {
                is_reached = false;
                findings.push(unreachable(endpoint, failure.kind, failure.message));
            }
        }
    }
    let unasked = match &account {
        Err(_) => Some("the account is not configured"),
        Ok(_) if !is_reached => Some("the endpoint cannot be reached"),
        Ok(_) => None,
    };
    let (Ok(account), None) = (account, unasked) else {
        let reason = unasked.unwrap_or_default();
        findings.extend(["keys", "quota"].map(|what| Finding::skipped(what, reason)));
        return findings;
    };
    let missing = given.missing(&loaded.description.options);
    let (keys, options) = match missing.is_empty() {
        true => of_new_machine(driver, surroundings, flags),
        false => {
            let keys = match account.survey() {
                Ok(_) => Finding::good("keys", "the cloud takes them"),
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    Finding::skipped("keys", "the driver cannot try them without a machine")
                }
                Err(error) => Finding::failed("keys", &error),
            };
            let missing: Vec<_> = missing
                .iter()
                .map(|spec| format!("--{}", spec.name))
                .collect();
            let not_given = format!("{} not given", missing.join(", "));
            (Some(keys), Finding::skipped("options", not_given))
        }
    };
    let are_taken = keys
        .as_ref()
        .is_none_or(|keys| keys.verdict != Verdict::Bad);
    findings.extend(keys);
    findings.push(options);
    match are_taken {
        true => findings.extend(of_limits(driver, surroundings, flags)),
        false => findings.push(Finding::skipped(
            "quota",
            "the cloud does not take the keys",
        )),
    }
    findings
}

/// Whether the account's limits leave room for a machine.
fn of_limits(driver: &LazyDriver, surroundings: &Surroundings, flags: &Flags) -> Vec<Finding> {
    let what = "quota";
    let inventory = Inventory::new(driver, surroundings.clone(), flags);
    match inventory.and_then(|inventory| inventory.limits(PATIENCE)) {
        Ok(limits) => judge(&limits),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            vec![Finding::skipped(
                what,
                format!("the driver does not tell it: {error}"),
            )]
        }
        // Who may not ask for it may make machines all the same.
        Err(error) if error.kind() == ErrorKind::Permission => {
            vec![Finding::skipped(what, error.to_string())]
        }
        Err(error) => vec![Finding::failed(what, &error)],
    }
}

/// A finding for each limit that is reached or near, or one that there is none.
fn judge(limits: &[Limit]) -> Vec<Finding> {
    let what = "quota";
    let remedy = "remove what is not needed any more (`btcloud-host gc` lists what nobody manages), or have the limit raised";
    let finding = |limit: &Limit| {
        let (used, max) = (limit.used, limit.max?);
        let detail = format!("{used} of {max} {} are used", limit.name);
        let is_near = used >= max.saturating_sub(max / 10);
        match () {
            // What an account may have none of, it need not have.
            () if max == 0 && used == 0 && !limit.each_machine => None,
            () if used >= max && limit.each_machine => Some(Finding::bad(
                what,
                format!("{detail}; no machine can be made"),
                remedy,
            )),
            () if is_near => Some(Finding::warning(what, detail, remedy)),
            () => None,
        }
    };
    let mut findings: Vec<_> = limits.iter().filter_map(finding).collect();
    if findings.is_empty() {
        let mut of_machines = limits.iter().filter(|limit| limit.each_machine);
        findings.push(Finding::good(
            what,
            match of_machines.find_map(|limit| Some((limit, limit.max?))) {
                Some((limit, max)) => format!("{} of {max} {} are used", limit.used, limit.name),
                None => "nothing is near its limit".to_owned(),
            },
        ));
    }
    findings
}

fn source(loaded: &Loaded, profile: Option<&Profile>) -> String {
    let driver = format!("driver {} {}", loaded.name, loaded.description.version);
    match profile {
        Some(profile) => format!(
            "{driver}, profile {} in {}",
            profile.name,
            profile.path.display()
        ),
        None => driver,
    }
}

fn protection(endpoint: &Endpoint, is_verified: bool) -> Finding {
    let what = "encryption";
    match () {
        () if endpoint.is_unprotected() => Finding::warning(
            what,
            "requests are not encrypted; others can read them",
            "give an endpoint that begins with https",
        ),
        () if !endpoint.is_encrypted() => {
            Finding::good(what, "none is needed within this computer")
        }
        () if is_verified => Finding::good(what, "the certificate is valid"),
        () => Finding::warning(
            what,
            "the certificate is not verified; others may read and change what is sent",
            "have it verified, by the authority that has issued it if need be",
        ),
    }
}

/// Compares the clocks, of which the other one has told its time somewhen between `before` and `after`.
fn clock(before: SystemTime, date: Option<SystemTime>, after: SystemTime) -> Finding {
    let what = "clock";
    let Some(date) = date else {
        return Finding::skipped(what, "the endpoint does not tell its time");
    };
    // From which difference on signatures are refused: they have ended already, or end too late.
    let most_ahead = signature::MAX_VALIDITY.saturating_sub(signature::VALIDITY);
    let (skew, direction, fatal) = match (date.duration_since(after), before.duration_since(date)) {
        (Ok(slow), _) => (slow, "behind", signature::VALIDITY),
        (_, Ok(fast)) => (fast, "ahead of", most_ahead),
        _ => (Duration::ZERO, "behind", signature::VALIDITY),
    };
    let detail = format!("{} s {direction} the endpoint's", skew.as_secs());
    let remedy = "set this computer's clock, best by a time service such as systemd-timesyncd";
    match skew {
        skew if skew >= fatal => Finding::bad(what, detail, remedy),
        skew if skew >= NOTABLE_SKEW => Finding::warning(what, detail, remedy),
        _ => Finding::good(what, "as the endpoint's"),
    }
}

fn unreachable(endpoint: &Endpoint, kind: FailureKind, message: String) -> Finding {
    let (what, remedy) = match kind {
        FailureKind::Tls => (
            "encryption",
            "check the certificate, and name the authority that has issued it if it is none of the system's",
        ),
        FailureKind::BadResponse => ("endpoint", "check the URL: something else is there"),
        FailureKind::Refused => ("endpoint", "give the URL of the cloud's API"),
        FailureKind::Unreachable | FailureKind::TimedOut => (
            "endpoint",
            "check the URL, the network, and a proxy if there is one",
        ),
    };
    Finding::bad(what, format!("{endpoint}: {message}"), remedy)
}

/// Whether the cloud takes the keys, if it came to that, and whether a machine could be made as the options say.
fn of_new_machine(
    driver: &Arc<LazyDriver>,
    surroundings: &Surroundings,
    flags: &Flags,
) -> (Option<Finding>, Finding) {
    let record = Record::new("doctor", Path::new(""));
    let machine = Machine::new(Arc::clone(driver), surroundings.clone(), record);
    let keys = Finding::good("keys", "the cloud takes them");
    match machine.configure(flags).and_then(|()| machine.check()) {
        Ok(()) => (
            Some(keys),
            Finding::good("options", "the cloud has what they name"),
        ),
        Err(error) => match error.kind() {
            ErrorKind::Authentication | ErrorKind::Permission => (
                Some(Finding::failed("keys", &error)),
                Finding::skipped("options", "the cloud does not take the keys"),
            ),
            ErrorKind::InvalidOption | ErrorKind::NotFound | ErrorKind::Conflict => {
                (Some(keys), Finding::failed("options", &error))
            }
            _ => (None, Finding::failed("options", &error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_reached_or_near_are_told() {
        let judged = |used, max, each_machine| {
            let limit = Limit {
                name: "things".to_owned(),
                used,
                max,
                each_machine,
            };
            let findings = judge(&[limit]);
            assert_eq!(findings.len(), 1);
            (findings[0].verdict, findings[0].detail.clone())
        };
        for (used, max, each, verdict) in [
            (17, Some(20), true, Verdict::Good),
            (18, Some(20), true, Verdict::Warning),
            (20, Some(20), true, Verdict::Bad),
            (21, Some(20), true, Verdict::Bad),
            (20, Some(20), false, Verdict::Warning),
            (0, Some(0), true, Verdict::Bad),
            (3, Some(4), true, Verdict::Good),
            (u64::MAX, None, true, Verdict::Good),
        ] {
            assert_eq!(judged(used, max, each).0, verdict, "{used} {max:?}");
        }
        assert_eq!(judged(1, Some(20), true).1, "1 of 20 things are used");
        assert_eq!(judged(1, None, true).1, "nothing is near its limit");
        assert_eq!(judge(&[])[0].verdict, Verdict::Good);
    }

    #[test]
    fn clocks_are_compared_with_what_travels_left_out() {
        let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let verdict = |before, date, after| clock(at(before), Some(at(date)), at(after)).verdict;
        assert_eq!(verdict(1_000, 1_005, 1_010), Verdict::Good);
        assert_eq!(verdict(1_000, 1_029, 1_010), Verdict::Good);
        assert_eq!(verdict(1_000, 1_040, 1_010), Verdict::Warning);
        assert_eq!(verdict(1_000, 960, 1_010), Verdict::Warning);
        // A clock that is behind makes signatures that end sooner, one that is ahead such that end too late.
        assert_eq!(verdict(1_000, 1_609, 1_010), Verdict::Warning);
        assert_eq!(verdict(1_000, 1_610, 1_010), Verdict::Bad);
        assert_eq!(verdict(1_000, 701, 1_010), Verdict::Warning);
        assert_eq!(verdict(1_000, 700, 1_010), Verdict::Bad);
        let fast = clock(at(1_000), Some(at(400)), at(1_010));
        assert_eq!(fast.detail, "600 s ahead of the endpoint's");
        assert_eq!(fast.verdict, Verdict::Bad);
        assert_eq!(clock(at(0), None, at(0)).verdict, Verdict::Skipped);
    }
}
