//! The table that is printed.

use std::fmt::Display;

/// Rows of results and verdicts on budgets, in Markdown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    missed: usize,
}

impl Report {
    /// Begins a table.
    pub(crate) fn table(&self, title: &str, columns: &[&str]) {
        println!("\n{title}\n\n| {} |", columns.join(" | "));
        println!("|{}", " --- |".repeat(columns.len()));
    }

    /// Prints a row.
    pub(crate) fn row(&self, cells: &[&dyn Display]) {
        let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
        println!("| {} |", cells.join(" | "));
    }

    /// Prints a row of the table of budgets: whether `figure` is at most `limit`.
    pub(crate) fn judge(&mut self, what: &str, budget: &str, figure: f64, limit: f64, shown: &str) {
        let verdict = if figure <= limit {
            "met"
        } else {
            self.missed += 1;
            "not met"
        };
        self.row(&[&what, &budget, &shown, &verdict]);
    }

    /// Prints a row of the table of budgets that could not be measured.
    pub(crate) fn skip(&self, what: &str, budget: &str, reason: &str) {
        self.row(&[&what, &budget, &reason, &"not measured"]);
    }

    /// Whether all budgets that were judged are met.
    pub(crate) fn is_good(&self) -> bool {
        self.missed == 0
    }
}
