//! Profiles: options that the user has written down once, in a file of this program's own (`own`) or in one of another client of
//! CloudStack (`foreign`).
//!
//! A profile is only used where it is named, and only for what is not stored yet: machines that are there keep the account that
//! made them.

mod foreign;
mod own;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Flag;
use crate::contract::{OptionKind, OptionSpec};
use crate::{directories, files};

/// The environment variable that names a profile.
pub const VARIABLE: &str = "BTCLOUD_PROFILE";

/// The most bytes of a file with profiles.
const MAX_FILE: u64 = 1024 * 1024;

/// Values for options.
#[derive(Clone, PartialEq)]
pub struct Profile {
    /// How the user named it.
    pub name: String,
    /// The file that it is in.
    pub path: PathBuf,
    /// The driver that it is for, if it says so.
    pub driver: Option<String>,
    /// The files with keys that it was read from and that others can read.
    pub exposed: Vec<PathBuf>,
    values: BTreeMap<Field, (Flag, PathBuf)>,
}

/// What a value is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    /// The option of that name, with or without the driver's name before it.
    Option(String),
    /// What other clients of CloudStack call by names of their own.
    Url,
    ApiKey,
    SecretKey,
    Insecure,
    Certificates,
}

/// Why there is no such profile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file has it.
    #[error("there is no profile \"{name}\" in {}", listed(.looked))]
    Unknown {
        /// Its name.
        name: String,
        /// The files that were looked in.
        looked: Vec<PathBuf>,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be understood. What it says is not told: it may have keys in it.
    #[error("{path} cannot be understood: {reason}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where or what is wrong.
        reason: String,
    },
    /// The driver has no such option.
    #[error("the profile \"{profile}\" in {path} has \"{key}\", which is no option of the driver", path = .path.display())]
    NoOption {
        /// The profile.
        profile: String,
        /// Its file.
        path: PathBuf,
        /// What it has.
        key: String,
    },
}

fn listed(paths: &[PathBuf]) -> String {
    let paths = paths.iter().map(|path| path.display().to_string());
    paths.collect::<Vec<_>>().join(", ")
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { .. } => {
                "`cmk:NAME` names a profile of CloudMonkey, `cs:NAME` one of cs; an own one is a table [profiles.NAME] in \
                 config.toml"
                    .to_owned()
            }
            Self::NoOption { .. } => {
                "`btcloud-host config show` lists the options, which go without the driver's name here".to_owned()
            }
            Self::Unreadable { .. } | Self::Malformed { .. } => return None,
        })
    }
}

/// Where profiles are.
#[derive(Clone, Debug)]
pub struct Places {
    own: Option<PathBuf>,
    cloudmonkey: Option<PathBuf>,
    cs: Option<PathBuf>,
    /// The section of `cs`' file that counts where none is named.
    cs_region: String,
}

impl Places {
    /// Those of the user. The file `cloudstack.ini` in the working directory, which `cs` reads too, is none of them: whoever
    /// has written to that directory would decide which endpoint is called.
    pub fn of_user() -> Self {
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|value: &String| !value.is_empty())
        };
        let in_home = |file: &str| directories::home().map(|home| home.join(file));
        Self {
            own: directories::configurations()
                .map(|directory| directory.join("btcloud").join("config.toml")),
            cloudmonkey: in_home(".cmk/config"),
            cs: variable("CLOUDSTACK_CONFIG")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| in_home(".cloudstack.ini")),
            cs_region: variable("CLOUDSTACK_REGION").unwrap_or_else(|| "cloudstack".to_owned()),
        }
    }

    /// The profile of a name: `cmk:NAME` and `cs:NAME` are those of CloudMonkey and cs, or their current ones where the name
    /// is left out; another name is looked for in the own file, then in CloudMonkey's, then in cs'.
    ///
    /// # Errors
    ///
    /// If there is none, or a file cannot be read or understood.
    pub fn profile(&self, name: &str) -> Result<Profile, Error> {
        self.find(name, true)
    }

    /// The profile that the own file names for where none is named, if it does.
    ///
    /// # Errors
    ///
    /// As [`Places::profile`].
    pub fn default_profile(&self) -> Result<Option<Profile>, Error> {
        match self.own_file()?.and_then(|(_, file)| file.profile) {
            Some(name) => self.profile(&name).map(Some),
            None => Ok(None),
        }
    }

    fn find(&self, name: &str, may_refer: bool) -> Result<Profile, Error> {
        let unknown = |looked: &[&Option<PathBuf>]| Error::Unknown {
            name: name.to_owned(),
            looked: looked.iter().copied().flatten().cloned().collect(),
        };
        if let Some(section) = name.strip_prefix("cmk:") {
            let found = self.of_cloudmonkey(name, section)?;
            return found.ok_or_else(|| unknown(&[&self.cloudmonkey]));
        }
        if let Some(section) = name.strip_prefix("cs:") {
            let found = self.of_cs(name, section)?;
            return found.ok_or_else(|| unknown(&[&self.cs]));
        }
        if let Some(profile) = self.own(name, may_refer)? {
            return Ok(profile);
        }
        let found = match self.of_cloudmonkey(name, name)? {
            Some(profile) => Some(profile),
            None => self.of_cs(name, name)?,
        };
        found.ok_or_else(|| unknown(&[&self.own, &self.cloudmonkey, &self.cs]))
    }
}

impl Profile {
    fn new(name: &str, path: &Path) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            driver: None,
            exposed: Vec::new(),
            values: BTreeMap::new(),
        }
    }

    fn take(&mut self, key: Field, text: Option<String>) {
        if let Some(text) = text {
            let value = (Flag::Text(text), self.path.clone());
            self.values.insert(key, value);
        }
    }

    /// Takes a switch of whether certificates are verified, or the path of those by which they are.
    fn take_verification(&mut self, text: Option<String>) {
        match text {
            Some(text) if is_off(&text) => self.take(Field::Insecure, Some("true".to_owned())),
            Some(text) if !is_on(&text) => self.take(Field::Certificates, Some(text)),
            _ => {}
        }
    }

    /// Takes note if others can read the file.
    fn look_at(&mut self, path: &Path) {
        let metadata = fs::metadata(path);
        if metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0) {
            self.exposed.push(path.to_owned());
        }
    }

    /// The value for an option of a driver, and the file that it is in.
    pub fn value(&self, driver: &str, spec: &OptionSpec) -> Option<(&Flag, &Path)> {
        let short = |name: &str| {
            name.strip_prefix(driver)?
                .strip_prefix('-')
                .map(str::to_owned)
        };
        let name = short(&spec.name).unwrap_or_else(|| spec.name.clone());
        let foreign = match spec.kind {
            OptionKind::Endpoint => Some(Field::Url),
            OptionKind::Secret if spec.name.ends_with("api-key") => Some(Field::ApiKey),
            OptionKind::Secret if spec.name.ends_with("secret-key") => Some(Field::SecretKey),
            OptionKind::Insecure => Some(Field::Insecure),
            OptionKind::Certificates => Some(Field::Certificates),
            _ => None,
        };
        let keys = [Field::Option(spec.name.clone()), Field::Option(name)];
        let found = keys.into_iter().chain(foreign);
        let (flag, path) = found.filter_map(|key| self.values.get(&key)).next()?;
        Some((flag, path))
    }

    /// Checks that each option that it names is one of the driver's.
    ///
    /// # Errors
    ///
    /// [`Error::NoOption`] with the first that is none.
    pub fn check(&self, driver: &str, specs: &[OptionSpec]) -> Result<(), Error> {
        let prefix = format!("{driver}-");
        let is_known = |key: &str| {
            let is_it = |spec: &OptionSpec| {
                spec.name == key || spec.name.strip_prefix(&prefix) == Some(key)
            };
            specs.iter().any(is_it)
        };
        let mut names = self.values.keys().filter_map(|key| match key {
            Field::Option(name) => Some(name),
            _ => None,
        });
        match names.find(|name| !is_known(name)) {
            Some(key) => Err(Error::NoOption {
                profile: self.name.clone(),
                path: self.path.clone(),
                key: key.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether it has a key of an account.
    pub fn has_secrets(&self, driver: &str, specs: &[OptionSpec]) -> bool {
        let mut secrets = specs.iter().filter(|spec| spec.kind == OptionKind::Secret);
        secrets.any(|spec| self.value(driver, spec).is_some())
    }
}

/// It holds keys.
impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn is_off(text: &str) -> bool {
    ["false", "0", "no", "off"].contains(&text.to_ascii_lowercase().as_str())
}

fn is_on(text: &str) -> bool {
    ["true", "1", "yes", "on"].contains(&text.to_ascii_lowercase().as_str())
}

/// A file that may be there.
fn read(path: Option<&Path>) -> Result<Option<(PathBuf, String)>, Error> {
    let Some(path) = path else { return Ok(None) };
    let contents = match files::read_bounded(path, MAX_FILE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        contents => contents.map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?,
    };
    match String::from_utf8(contents) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(_) => Err(Error::Malformed {
            path: path.to_owned(),
            reason: "it is not UTF-8".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::OptionScope;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new(files: &[(&str, &str)]) -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            for (file, text) in files {
                fs::write(home.0.path().join(file), text).unwrap();
            }
            home
        }

        fn places(&self) -> Places {
            let at = |file| Some(self.0.path().join(file));
            Places {
                own: at("config.toml"),
                cloudmonkey: at("cmk"),
                cs: at("cs.ini"),
                cs_region: "cloudstack".to_owned(),
            }
        }
    }

    fn specs() -> Vec<OptionSpec> {
        let spec = |name: &str, kind| OptionSpec {
            scope: OptionScope::Account,
            ..OptionSpec::of_kind(&format!("x-{name}"), kind)
        };
        vec![
            spec("endpoint", OptionKind::Endpoint),
            spec("api-key", OptionKind::Secret),
            spec("secret-key", OptionKind::Secret),
            spec("insecure", OptionKind::Insecure),
            spec("ca", OptionKind::Certificates),
            spec("zone", OptionKind::Text),
            spec("cidr", OptionKind::TextList),
            spec("cpu", OptionKind::Integer),
        ]
    }

    /// What a profile has for the options, in their order.
    fn values(profile: &Profile) -> Vec<Option<Flag>> {
        let specs = specs();
        profile.check("x", &specs).unwrap();
        let value = |spec| profile.value("x", spec).map(|(flag, _)| flag.clone());
        specs.iter().map(value).collect()
    }

    fn text(text: &str) -> Option<Flag> {
        Some(Flag::Text(text.to_owned()))
    }

    const CMK: &str = "\
[core]
prompt = 🐱
verifycert = true
profile = london

[london]
url = https://cloud.example/client/api
username =
apikey = key-1
secretkey = `secret;#1`

[Lab]
url = https://lab.example/client/api
verifycert = false
";

    const CS: &str = "\
[cloudstack]
endpoint = https://cs.example/client/api
key = key-2
secret = secret-2
verify = /etc/ca.pem
timeout = 30

[other]
endpoint = https://other.example/client/api
dangerous_no_tls_verify = true
";

    #[test]
    fn profiles_of_other_clients_are_understood() {
        let home = Home::new(&[("cmk", CMK), ("cs.ini", CS)]);
        let places = home.places();
        for name in ["london", "cmk:london", "cmk:"] {
            let profile = places.profile(name).unwrap();
            assert_eq!(
                values(&profile)[..4],
                [
                    text("https://cloud.example/client/api"),
                    text("key-1"),
                    text("secret;#1"),
                    None
                ],
                "{name}"
            );
        }
        let lab = values(&places.profile("Lab").unwrap());
        assert_eq!(lab[3], text("true"));
        for name in ["cs:", "cs:cloudstack", "cloudstack"] {
            let profile = values(&places.profile(name).unwrap());
            assert_eq!(profile[2], text("secret-2"), "{name}");
            assert_eq!(profile[4], text("/etc/ca.pem"), "{name}");
        }
        assert_eq!(
            values(&places.profile("cs:other").unwrap())[3],
            text("true")
        );
        for name in ["core", "nobody", "cs:london", "cmk:cloudstack", "lab"] {
            assert!(
                matches!(places.profile(name), Err(Error::Unknown { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn an_own_profile_goes_before_those_and_can_build_on_them() {
        let own = r#"
profile = "london"

[profiles.london]
driver = "x"
from = "cmk:london"
zone = "z"
x-cidr = ["10.0.0.0/8", "192.0.2.0/24"]
cpu = 2
"#;
        let home = Home::new(&[("cmk", CMK), ("config.toml", own)]);
        let profile = home.places().default_profile().unwrap().unwrap();
        assert_eq!(profile.driver.as_deref(), Some("x"));
        let values = values(&profile);
        assert_eq!(values[1], text("key-1"));
        assert_eq!(values[5], text("z"));
        let cidrs = ["10.0.0.0/8", "192.0.2.0/24"].map(str::to_owned).to_vec();
        assert_eq!(
            values[6..],
            [Some(Flag::TextList(cidrs)), Some(Flag::Integer(2))]
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_what_is_secret() {
        let cases = [
            (
                "config.toml",
                "[profiles.a]\nzonee = \"z\"",
                "\"zonee\", which is no option",
            ),
            (
                "config.toml",
                "[profiles.a]\nzone = 1.5",
                "zone is neither a text",
            ),
            (
                "config.toml",
                "[profiles.a]\ncidr = [1]",
                "cidr is no list of texts",
            ),
            ("config.toml", "[profiles.a]\napi-key = \"hunter2", "line 2"),
            (
                "config.toml",
                "[profiles]\nsecret-key = \"hunter2\"",
                "line 2: the value is not of the type",
            ),
            (
                "config.toml",
                "profile = [\"hunter2\"]",
                "line 1: the value is not of the type",
            ),
            ("config.toml", "profil = \"a\"", "unknown field"),
            (
                "config.toml",
                "[profiles.a]\nfrom = \"b\"\n[profiles.b]\nfrom = \"a\"",
                "profile \"b\": a profile that another one builds on cannot have \"from\" itself",
            ),
            ("cmk", "[a\napikey = hunter2", "no file of sections"),
        ];
        for (file, contents, expected) in cases {
            let home = Home::new(&[(file, contents)]);
            let result = home.places().profile("a");
            let result = result.and_then(|profile| profile.check("x", &specs()));
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(
                error.contains(file) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_noticed() {
        let home = Home::new(&[("cmk", CMK)]);
        let path = home.0.path().join("cmk");
        for (mode, exposed) in [(0o600, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let profile = home.places().profile("london").unwrap();
            assert_eq!(!profile.exposed.is_empty(), exposed, "{mode:o}");
        }
    }
}
