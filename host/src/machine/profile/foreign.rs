//! The files of other clients of CloudStack, CloudMonkey and cs: sections of lines `KEY = VALUE`.

use std::path::{Path, PathBuf};

use configparser::ini::Ini;

use super::{Error, Field, Places, Profile, is_on, read};

impl Places {
    pub(super) fn of_cloudmonkey(
        &self,
        name: &str,
        section: &str,
    ) -> Result<Option<Profile>, Error> {
        let Some((path, ini)) = ini(self.cloudmonkey.as_deref())? else {
            return Ok(None);
        };
        let core = |key| text(&ini, "core", key);
        let section = match section {
            "" => core("profile").unwrap_or_default(),
            section => section.to_owned(),
        };
        if section == "core" || !ini.sections().contains(&section) {
            return Ok(None);
        }
        let mut profile = Profile::new(name, &path);
        let own = |key| text(&ini, &section, key);
        profile.take(Field::Url, own("url"));
        profile.take(Field::ApiKey, own("apikey"));
        profile.take(Field::SecretKey, own("secretkey"));
        profile.take_verification(own("verifycert").or_else(|| core("verifycert")));
        profile.look_at(&path);
        Ok(Some(profile))
    }

    pub(super) fn of_cs(&self, name: &str, section: &str) -> Result<Option<Profile>, Error> {
        let Some((path, ini)) = ini(self.cs.as_deref())? else {
            return Ok(None);
        };
        let section = match section {
            "" => self.cs_region.clone(),
            section => section.to_owned(),
        };
        if !ini.sections().contains(&section) {
            return Ok(None);
        }
        let mut profile = Profile::new(name, &path);
        let own = |key| text(&ini, &section, key);
        profile.take(Field::Url, own("endpoint"));
        profile.take(Field::ApiKey, own("key"));
        profile.take(Field::SecretKey, own("secret"));
        profile.take_verification(own("verify"));
        if own("dangerous_no_tls_verify").is_some_and(|text| is_on(&text)) {
            profile.take_verification(Some("false".to_owned()));
        }
        profile.look_at(&path);
        Ok(Some(profile))
    }
}

fn ini(path: Option<&Path>) -> Result<Option<(PathBuf, Ini)>, Error> {
    let Some((path, text)) = read(path)? else {
        return Ok(None);
    };
    let mut ini = Ini::new_cs();
    // As Python and CloudMonkey read it: a value may have such characters in it.
    ini.set_inline_comment_symbols(Some(&[]));
    match ini.read(text) {
        Ok(_) => Ok(Some((path, ini))),
        Err(_) => Err(Error::Malformed {
            path,
            reason: "it is no file of sections and lines KEY = VALUE".to_owned(),
        }),
    }
}

fn text(ini: &Ini, section: &str, key: &str) -> Option<String> {
    let text = ini.get(section, key)?;
    // CloudMonkey puts what has special characters in it between these.
    let text = text.trim().trim_matches('`').to_owned();
    (!text.is_empty()).then_some(text)
}
