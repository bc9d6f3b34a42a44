//! The tables in the documentation that are written from the program: the options of drivers, and the limits.

use std::fs;
use std::path::Path;

use btcloud_host::capability::limits::Limits;
use btcloud_host::contract::Description;

/// What each of [`Limits`] is about, by the name that a user gives it.
const LIMITS: [(&str, &str); 17] = [
    ("component-bytes", "the component's file"),
    ("compilation-ms", "compiling the component"),
    ("memory-bytes", "all linear memories together"),
    ("table-elements", "all tables together"),
    ("instances", "core instances, memories and tables, each"),
    ("stack-bytes", "the stack"),
    (
        "transfer-bytes",
        "arguments or result of one call to the host, and of an operation",
    ),
    ("computation-ms", "computation"),
    ("operation-ms", "the whole operation"),
    (
        "grace-ms",
        "what is left of the operation once the user has asked to stop",
    ),
    ("requests", "requests"),
    ("request-bytes", "path, parameters and body of a request"),
    ("response-bytes", "the body of an answer"),
    (
        "log-lines",
        "lines and steps that are shown; further ones are dropped",
    ),
    ("log-line-bytes", "one line"),
    ("saves", "how often the state is saved"),
    ("saved-bytes", "the saved state"),
];

/// Checks that a file of the project has a driver's options, between the two comments that mark their place.
/// `UPDATE_README=1` has it write them.
///
/// # Panics
///
/// If they are others.
pub fn check_options(file: &str, description: &Description) {
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
    check_table(file, "options", &table);
}

/// Checks that a file has the limits of an operation, in the same way.
///
/// # Panics
///
/// If they are others.
pub fn check_limits(file: &str) {
    let limits = serde_json::to_value(Limits::default()).expect("limits are JSON");
    let limits = limits.as_object().expect("an object");
    assert_eq!(limits.len(), LIMITS.len(), "each limit has a row");
    let mut table = "| limit | default | of |\n|---|---|---|\n".to_owned();
    for (name, what) in LIMITS {
        let number = limits.get(name).and_then(serde_json::Value::as_u64);
        let number = number.unwrap_or_else(|| panic!("no limit is called {name}"));
        let readable = match name.rsplit_once('-') {
            Some((_, "bytes")) => format!(" ({})", bytes(number)),
            Some((_, "ms")) => format!(" ({} s)", number / 1_000),
            _ => String::new(),
        };
        table.push_str(&format!("| `{name}` | {number}{readable} | {what} |\n"));
    }
    check_table(file, "limits", &table);
}

/// A number of bytes in the largest unit in which it is a whole one.
pub fn bytes(number: u64) -> String {
    match number {
        number if number % (1 << 20) == 0 => format!("{} MiB", number >> 20),
        number => format!("{} KiB", number >> 10),
    }
}

/// Checks, or writes, the table between the two comments with that name.
fn check_table(file: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    let text = fs::read_to_string(&path).expect("a text");
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (before, rest) = text.split_once(&begin).expect("the begin of the table");
    let (written, after) = rest.split_once(&end).expect("the end of the table");
    if std::env::var_os("UPDATE_README").is_some() {
        let text = format!("{before}{begin}{table}{end}{after}");
        fs::write(path, text).expect("a written text");
    } else {
        assert_eq!(
            written, table,
            "UPDATE_README=1 cargo test --workspace writes the {name} of {file}"
        );
    }
}
