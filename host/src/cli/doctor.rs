//! `btcloud-host doctor`: whether all is there that machines need, and what to do about it if not.

use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgMatches, Command};
use console::Style;
use serde_json::json;

use super::arguments::{common, flags, json, options, profile, store};
use super::driver::Choice;
use super::exit::Exit;
use super::failure::Failure;
use super::report::Report;
use super::terminal::{print, print_json};
use crate::builtin;
use crate::capability::clock::Cancel;
use crate::capability::text::clean;
use crate::machine::checkup::{self, Finding, Verdict};
use crate::plugin::program_name;
use crate::sandbox::Cache;

/// The most bytes of what is told of one thing.
const MAX_DETAIL: usize = 4 * 1024;

const DETAILS: &str = "\
It changes nothing in the cloud. If all options of a new machine are given, by flags, the environment or a profile, it checks \
these too: the zone, the template, the offering and so on. Without them it tries the keys alone.

The exit code is 1 if something does not work.";

/// The command.
pub(super) fn command(driver: &Choice) -> Command {
    Command::new("doctor")
        .about("Check the store, the plugin, the connection to the cloud and the keys")
        .after_help(DETAILS)
        .args(common())
        .arg(profile())
        .arg(json())
        .args_override_self(true)
        .next_help_heading(driver.heading())
        .args(options(driver, driver.options(None)))
}

/// Runs `btcloud-host doctor`.
pub(super) fn execute(choice: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let flags = flags(choice.options(None), matches);
    let report = Arc::new(Report::quiet(matches.get_flag("verbose")));
    let surroundings = choice.surroundings(report, Cancel::default());
    let name = choice.loaded.as_ref().map(|loaded| loaded.name.as_str());
    let mut findings = checkup::of_store(&store(matches)?);
    findings.push(plugin(name.unwrap_or(builtin::NAME)));
    findings.push(checkup::of_cache(Cache::directory_of_user().as_deref()));
    findings.extend(checkup::of_account(&choice.driver, &surroundings, &flags));
    if matches.get_flag("json") {
        let findings = findings.iter().map(|finding| {
            json!({
                "what": finding.what,
                "verdict": word(finding.verdict),
                "detail": finding.detail,
                "remedy": finding.remedy,
            })
        });
        print_json(&findings.collect())?;
    } else {
        findings.iter().try_for_each(show)?;
    }
    match findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Bad)
    {
        true => Err(Failure::silent(Exit::Failed)),
        false => Ok(()),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Warning => "warning",
        Verdict::Bad => "failed",
        Verdict::Skipped => "skipped",
    }
}

fn show(finding: &Finding) -> Result<(), Failure> {
    let style = match finding.verdict {
        Verdict::Good => Style::new().green(),
        Verdict::Warning => Style::new().yellow(),
        Verdict::Bad => Style::new().red().bold(),
        Verdict::Skipped => Style::new().dim(),
    };
    let word = style.apply_to(format!("{:<8}", word(finding.verdict)));
    let indented = |text: &str| clean(text, MAX_DETAIL).replace('\n', "\n                        ");
    print(&format!(
        "{word} {:<14} {}",
        finding.what,
        indented(&finding.detail)
    ))?;
    match &finding.remedy {
        Some(remedy) => print(&format!("{:23} hint: {}", "", indented(remedy))),
        None => Ok(()),
    }
}

/// Whether docker-machine finds the plugin of a driver: by its name, in the search path.
fn plugin(driver: &str) -> Finding {
    let what = "plugin";
    let name = program_name(driver);
    let is_program = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let found: Vec<PathBuf> = env::split_paths(&path)
        .map(|directory| directory.join(&name))
        .filter(is_program)
        .collect();
    let own = env::current_exe().ok();
    let own = own.and_then(|own| Some(own.parent()?.join(program_name(builtin::NAME))));
    let own = own.filter(is_program);
    let Some(first) = found.first() else {
        let remedy = match own.as_deref().and_then(Path::parent) {
            Some(directory) if driver == builtin::NAME => {
                format!("add {} to PATH", directory.display())
            }
            _ => format!(
                "`btcloud-host driver install FILE` puts {name} into a directory; add that to PATH"
            ),
        };
        let detail = format!(
            "docker-machine does not find {name} in PATH; btcloud-host itself does not need it"
        );
        return Finding::bad(what, detail, remedy);
    };
    let canonical = |path: &Path| path.canonicalize().ok();
    match &own {
        Some(own) if canonical(own) != canonical(first) => Finding::warning(
            what,
            format!(
                "docker-machine uses {}, which is not from where this program is",
                first.display()
            ),
            format!(
                "remove it, or put {} before it in PATH",
                own.parent().unwrap_or(own).display()
            ),
        ),
        _ => Finding::good(what, first.display().to_string()),
    }
}
