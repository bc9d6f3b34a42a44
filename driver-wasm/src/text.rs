//! Text from servers, made fit for a message to the user.

/// One line without control characters and surplus space, at most `limit` characters.
pub(crate) fn line(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        for c in (!shown.is_empty() && !word.is_empty())
            .then_some(' ')
            .into_iter()
            .chain(word.chars())
        {
            if count == limit {
                shown.push('…');
                return shown;
            }
            shown.push(c);
            count += 1;
        }
    }
    shown
}

/// The most characters of a name.
const MAX_NAME: usize = 100;

/// The name or the id of something in the cloud, or another short text of it: [`line()`] of it.
pub(crate) fn name(text: &str) -> String {
    line(text, MAX_NAME)
}

/// Text that has names and ids of the cloud's in it, without their control characters; its lines stay.
pub(crate) fn without_controls(text: &str) -> String {
    let seen = |c: char| match c {
        '\n' => c,
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(seen).collect()
}

/// The words of a body that is not what was expected, a proxy's error page mostly: [`line()`] of it without its tags.
pub(crate) fn snippet(body: &str, limit: usize) -> String {
    let mut words = String::new();
    let mut in_tag = false;
    // What is cut off below need not be looked at; tags are seldom longer than text by more than this.
    for c in body.chars().take(limit.saturating_mul(20)) {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                words.push(' ');
            }
            c if !in_tag => words.push(c),
            _ => {}
        }
    }
    line(&words, limit)
}

/// What comes after the last place of a phrase; nothing if that is not there.
///
/// Byte by byte: the search of the standard library adds 5 KB to the component.
pub(crate) fn after<'t>(text: &'t str, phrase: &str) -> Option<&'t str> {
    let mut places = text.as_bytes().windows(phrase.len().max(1));
    let place = places.rposition(|window| window == phrase.as_bytes())?;
    text.get(place.checked_add(phrase.len())?..)
}

/// A list for people: `a`, `a and b`, `a, b and c`.
pub(crate) fn enumerate(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The first items, and as many as `limit` bytes hold, and how many more there are.
pub(crate) fn within(items: impl Iterator<Item = String>, limit: usize) -> Vec<String> {
    let mut shown = Vec::new();
    let (mut length, mut more) = (0, 0_usize);
    for item in items {
        length += item.len();
        if shown.is_empty() || length <= limit {
            shown.push(item);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters_and_is_bounded() {
        assert_eq!(line(" a\u{1b}[31m\r\n\tb  c ", 100), "a [31m b c");
        assert_eq!(line("ääää", 3), "äää…");
        assert_eq!(line("abc", 3), "abc");
        assert_eq!(line("", 3), "");
    }

    #[test]
    fn what_is_shown_has_no_control_characters_but_line_breaks() {
        assert_eq!(without_controls("a\u{7f}b\nc\u{1b}[2J\td"), "a b\nc [2J d");
    }

    #[test]
    fn a_snippet_has_no_tags() {
        let page = "<html><head><title>502 Bad Gateway</title></head>\n<body>x</body>";
        assert_eq!(snippet(page, 100), "502 Bad Gateway x");
    }

    #[test]
    fn what_comes_after_a_phrase_is_found() {
        assert_eq!(after("wait after all after 5 ms", "after "), Some("5 ms"));
        assert_eq!(after("after", "after"), Some(""));
        assert_eq!(after("afte", "after"), None);
        assert_eq!(after("ä: ß", "ä"), Some(": ß"));
        assert_eq!(after("", "x"), None);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let of = |limit| within(["aaa", "bb", "c"].map(str::to_owned).into_iter(), limit);
        assert_eq!(of(6), ["aaa", "bb", "c"]);
        assert_eq!(of(5), ["aaa", "bb", "1 more"]);
        assert_eq!(of(0), ["aaa", "2 more"]);
        assert!(within(std::iter::empty(), 0).is_empty());
    }

    #[test]
    fn lists_read_well() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(enumerate(&items), "a, b and c");
        assert_eq!(enumerate(&items[..2]), "a and b");
        assert_eq!(enumerate(&items[..1]), "a");
    }
}
