//! What may be shown to the user.

/// Panics if a line has control characters or more than so many bytes.
pub(crate) fn assert_clean(line: &str, limit: usize) {
    assert!(!line.chars().any(char::is_control), "{line:?}");
    assert!(line.len() <= limit, "{} bytes: {line}", line.len());
}

/// Panics if one of the lines of a text is not clean, or they have more than so many bytes in all.
pub(crate) fn assert_clean_lines(text: &str, limit: usize) {
    text.lines().for_each(|line| assert_clean(line, limit));
    assert!(text.len() <= limit, "{} bytes: {text}", text.len());
}
