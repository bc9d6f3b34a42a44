//! Words as shells write them.

/// The text with a backslash before each character that is special.
pub(super) fn escaped(text: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if is_special(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A text between single quotes for PowerShell. Typographic ones end it too, so that each of them is doubled.
pub(super) fn quoted_for_powershell(text: &str) -> String {
    const QUOTES: [char; 5] = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
    let mut quoted = "'".to_owned();
    for c in text.chars() {
        if QUOTES.contains(&c) {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}
