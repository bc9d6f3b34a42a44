//! Tables on the standard output: as wide as what is in them for a program, no wider than the window for a person.

use std::io::{self, IsTerminal as _};

use console::{Style, measure_text_width, truncate_str};

use super::failure::Failure;
use super::terminal::print;

/// What is between two columns; docker-machine's too.
const GAP: usize = 3;

/// A column that is cut keeps at least so many characters.
const LEAST: usize = 12;

/// A table, whose last column is cut where a window is too narrow.
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
}

/// A text, and how it is shown where there are colours.
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let bold = |text: &&str| Cell::styled(*text, Style::new().bold());
        Self {
            rows: vec![header.iter().map(bold).collect()],
        }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it. Colours go to terminals only, and not if `NO_COLOR` is set.
    pub(super) fn print(&self) -> Result<(), Failure> {
        let window = match io::stdout().is_terminal() {
            true => console::Term::stdout().size_checked(),
            false => None,
        };
        for line in self.lines(window.map(|(_, columns)| columns.into())) {
            print(&line)?;
        }
        Ok(())
    }

    fn lines(&self, window: Option<usize>) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widths = cells.map(|cell| measure_text_width(&cell.text));
                widths.max().unwrap_or(0)
            })
            .collect();
        let line = |row: &Vec<Cell>| {
            let mut line = String::new();
            let mut used = 0;
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let is_last = column + 1 == row.len();
                let text = match window {
                    Some(window) if is_last => {
                        let room = window.saturating_sub(used).max(LEAST);
                        truncate_str(&cell.text, room, "…")
                    }
                    _ => cell.text.as_str().into(),
                };
                line.push_str(&cell.style.apply_to(&text).to_string());
                if !is_last {
                    let padding = width + GAP - measure_text_width(&text).min(*width);
                    line.push_str(&" ".repeat(padding));
                    used += width + GAP;
                }
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "ERROR"]);
        table.row(vec!["web-1".into(), "Running".into(), "".into()]);
        table.row(vec![
            "w".into(),
            "".into(),
            "something rather long is wrong with it".into(),
        ]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        assert_eq!(
            table().lines(None),
            [
                "NAME    STATE     ERROR",
                "web-1   Running",
                "w                 something rather long is wrong with it"
            ]
        );
    }

    #[test]
    fn the_last_column_ends_at_the_edge_of_the_window() {
        let lines = table().lines(Some(40));
        assert_eq!(
            lines.last().unwrap(),
            "w                 something rather long…"
        );
        assert!(lines.iter().all(|line| measure_text_width(line) <= 40));
    }
}
