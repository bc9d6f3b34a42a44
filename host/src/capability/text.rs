//! Text from outside as it may be shown: bounded, without secrets, and cleaned of what could fool a terminal.

use super::secret::Secrets;

/// Text of a driver's as it may be shown: as [`clean`] has it, and without secrets, be they broken up by what is cleaned
/// away or by the limit.
pub fn shown(text: &str, secrets: &Secrets, limit: usize) -> String {
    clean(&secrets.redact(&clean(text, usize::MAX)), limit)
}

/// Text from outside as it may be shown: without terminal escapes, control and direction-changing characters, line
/// breaks kept, at most `limit` bytes.
pub fn clean(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in console::strip_ansi_codes(text).chars() {
        let c = match c {
            '\n' => '\n',
            '\t' => ' ',
            c if is_treacherous(c) => continue,
            c => c,
        };
        if shown.len().saturating_add(c.len_utf8()) > limit {
            shown.push('…');
            break;
        }
        shown.push(c);
    }
    shown
}

/// Whether a character can do something to a terminal, or make a line read as something else: control characters, Unicode's
/// marks of direction, its line breaks, and the tags that no font shows.
pub fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_control_characters_are_removed() {
        let shown = clean(
            "\u{1b}[31mred\u{1b}[0m\r\u{7}\u{9b}bell\u{202e}x\u{2028}\u{e0041}\ny\tz",
            100,
        );
        assert_eq!(shown, "redbellx\ny z");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clean("ääääää", 5), "ää…");
    }
}
