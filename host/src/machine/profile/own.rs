//! The user's own file, `config.toml`: a table `[profiles.NAME]` for each profile, and the name of the usual one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Error, Field, Flag, Places, Profile, read};

/// The user's own file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnFile {
    /// The profile that is used where none is named.
    pub(super) profile: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, toml::Table>,
}

impl Places {
    pub(super) fn own_file(&self) -> Result<Option<(PathBuf, OwnFile)>, Error> {
        let Some((path, text)) = read(self.own.as_deref())? else {
            return Ok(None);
        };
        match toml::from_str(&text) {
            Ok(file) => Ok(Some((path, file))),
            Err(e) => {
                let span = e.span().map_or(0, |span| span.start);
                let line = 1 + text.bytes().take(span).filter(|b| *b == b'\n').count();
                // Of what is of another type the parser quotes the value, which may be a key.
                let is_quoting = e.message().starts_with("invalid type")
                    || e.message().starts_with("invalid value");
                let wrong = match is_quoting {
                    true => "the value is not of the type that belongs there",
                    false => e.message(),
                };
                let reason = format!("line {line}: {wrong}");
                Err(Error::Malformed { path, reason })
            }
        }
    }

    pub(super) fn own(&self, name: &str, may_refer: bool) -> Result<Option<Profile>, Error> {
        let Some((path, mut file)) = self.own_file()? else {
            return Ok(None);
        };
        let Some(table) = file.profiles.remove(name) else {
            return Ok(None);
        };
        let malformed = |reason: String| Error::Malformed {
            path: path.clone(),
            reason: format!("profile \"{name}\": {reason}"),
        };
        let mut profile = Profile::new(name, &path);
        let mut origin = None;
        for (key, value) in table {
            let flag = match (key.as_str(), value) {
                ("driver", toml::Value::String(driver)) => {
                    profile.driver = Some(driver);
                    continue;
                }
                ("from", toml::Value::String(other)) if may_refer => {
                    origin = Some(other);
                    continue;
                }
                ("from", _) if !may_refer => {
                    return Err(malformed(
                        "a profile that another one builds on cannot have \"from\" itself"
                            .to_owned(),
                    ));
                }
                (_, toml::Value::String(text)) => Flag::Text(text),
                (_, toml::Value::Integer(number)) => Flag::Integer(number),
                (_, toml::Value::Boolean(on)) => Flag::Boolean(on),
                (_, toml::Value::Array(items)) => {
                    let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                    let texts: Option<_> = texts.collect();
                    Flag::TextList(
                        texts.ok_or_else(|| malformed(format!("{key} is no list of texts")))?,
                    )
                }
                _ => {
                    return Err(malformed(format!(
                        "{key} is neither a text, a number, true, false nor a list"
                    )));
                }
            };
            profile
                .values
                .insert(Field::Option(key), (flag, path.clone()));
        }
        profile.look_at(&path);
        if let Some(origin) = origin {
            let other = self.find(&origin, false)?;
            profile.exposed.extend(other.exposed);
            profile.driver = profile.driver.or(other.driver);
            for (key, value) in other.values {
                profile.values.entry(key).or_insert(value);
            }
        }
        Ok(Some(profile))
    }
}
