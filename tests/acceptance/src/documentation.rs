//! The tables of options in the documentation, which are made from the components' descriptions.

use std::fs;
use std::path::Path;

use btcloud_host::contract::Description;

/// Checks that a file of the project has a driver's options, between the two comments that mark their place.
/// `UPDATE_README=1` has it write them.
///
/// # Panics
///
/// If they are others.
pub fn check_options(file: &str, description: &Description) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    let text = fs::read_to_string(&path).expect("a text");
    let mut table =
        "| flag | environment variable | default | meaning |\n|---|---|---|---|\n".to_owned();
    for option in &description.options {
        let default = match (&option.default, &option.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, Some(_)) => "required".to_owned(),
            (None, None) => String::new(),
        };
        let (name, variable, help) = (&option.name, &option.env, &option.help);
        table.push_str(&format!(
            "| `--{name}` | `{variable}` | {default} | {help} |\n"
        ));
    }
    let (begin, end) = ("<!-- options -->\n", "<!-- end of options -->");
    let (before, rest) = text.split_once(begin).expect("the begin of the table");
    let (written, after) = rest.split_once(end).expect("the end of the table");
    if std::env::var_os("UPDATE_README").is_some() {
        let text = format!("{before}{begin}{table}{end}{after}");
        fs::write(path, text).expect("a written text");
    } else {
        assert_eq!(
            written, table,
            "UPDATE_README=1 cargo test -p acceptance has_the_options"
        );
    }
}
