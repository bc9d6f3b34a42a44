//! What the user sees while an operation runs: bounded, and cleaned of what could fool a terminal.

use std::sync::Arc;

use crate::capability::secret::Secrets;
use crate::contract;

pub use crate::contract::log::Level;

/// The most lines that one operation may write.
pub const MAX_LINES: u32 = 1_000;

/// The most bytes of one line.
pub const MAX_LINE_LENGTH: usize = 4 * 1024;

/// Who shows an operation's lines and steps to the user.
pub trait Reporter: Send + Sync {
    /// Shows a line.
    fn log(&self, level: Level, line: &str);

    /// Shows that step `number` of `of` begins.
    fn progress(&self, step: &str, number: u32, of: u32);
}

/// A [`Reporter`] that shows nothing.
#[derive(Debug)]
pub struct Silent;

impl Reporter for Silent {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: &str, _: u32, _: u32) {}
}

/// The capability `log`.
pub struct Log {
    reporter: Arc<dyn Reporter>,
    secrets: Arc<Secrets>,
    lines_left: u32,
}

impl Log {
    /// Hands cleaned lines to `reporter`, without any of `secrets`.
    pub fn new(reporter: Arc<dyn Reporter>, secrets: Arc<Secrets>) -> Self {
        Self {
            reporter,
            secrets,
            lines_left: MAX_LINES,
        }
    }

    fn admit(&mut self, line: &str) -> Option<String> {
        self.lines_left = self.lines_left.checked_sub(1)?;
        if self.lines_left == 0 {
            let text =
                format!("the driver wrote more than {MAX_LINES} lines; the rest is not shown");
            self.reporter.log(Level::Warning, &text);
            return None;
        }
        Some(clean(&self.secrets.redact(line), MAX_LINE_LENGTH).replace('\n', " "))
    }
}

impl contract::log::Host for Log {
    fn log(&mut self, level: Level, line: String) {
        if let Some(line) = self.admit(&line) {
            self.reporter.log(level, &line);
        }
    }

    fn progress(&mut self, step: String, number: u32, of: u32) {
        if let Some(step) = self.admit(&step) {
            self.reporter.progress(&step, number, of);
        }
    }
}

/// Text from outside as it may be shown: without terminal escapes, control and direction-changing characters, line
/// breaks kept, at most `limit` bytes.
pub fn clean(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in console::strip_ansi_codes(text).chars() {
        let c = match c {
            '\n' => '\n',
            '\t' => ' ',
            c if c.is_control() || is_bidirectional_control(c) => continue,
            c => c,
        };
        if shown.len() + c.len_utf8() > limit {
            shown.push('…');
            break;
        }
        shown.push(c);
    }
    shown
}

/// Unicode's explicit direction marks, which can make a line read as something else.
fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::log::Host as _;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Reporter for Recorder {
        fn log(&self, _: Level, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
        fn progress(&self, step: &str, number: u32, of: u32) {
            self.0.lock().unwrap().push(format!("{number}/{of} {step}"));
        }
    }

    #[test]
    fn escapes_and_control_characters_are_removed() {
        let shown = clean(
            "\u{1b}[31mred\u{1b}[0m\r\u{7}\u{9b}bell\u{202e}x\ny\tz",
            100,
        );
        assert_eq!(shown, "redbellx\ny z");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clean("ääääää", 5), "ää…");
    }

    #[test]
    fn lines_are_single_bounded_in_number_and_hold_no_secret() {
        let recorder = Arc::new(Recorder::default());
        let secrets = Arc::new(Secrets::from_iter([(
            "key".to_owned(),
            "hunter2hunter2".into(),
        )]));
        let mut log = Log::new(Arc::clone(&recorder) as Arc<dyn Reporter>, secrets);
        log.log(Level::Info, "a\nb hunter2hunter2".to_owned());
        for _ in 0..2 * MAX_LINES {
            log.progress("step".to_owned(), 1, 2);
        }
        let lines = recorder.0.lock().unwrap();
        assert_eq!(lines[0], "a b ***");
        assert_eq!(lines.len(), MAX_LINES as usize);
        assert!(lines[lines.len() - 1].contains("the rest is not shown"));
    }
}
