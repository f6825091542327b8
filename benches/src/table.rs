//! Markdown tables that are readable as plain text as well.

use std::fmt;

/// A table; the first column is left-aligned and all others are right-aligned.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<H: Into<String>>(header: impl IntoIterator<Item = H>) -> Self {
        Self {
            rows: vec![header.into_iter().map(Into::into).collect()],
        }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| {
            self.rows
                .iter()
                .map(|row| cell(row, column).chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        };
        for (index, row) in self.rows.iter().enumerate() {
            for column in 0..columns {
                let (text, width) = (cell(row, column), width(column));
                if column == 0 {
                    write!(f, "| {text:<width$} ")?;
                } else {
                    write!(f, "| {text:>width$} ")?;
                }
            }
            writeln!(f, "|")?;
            if index == 0 {
                for column in 0..columns {
                    let dashes = "-".repeat(width(column));
                    write!(
                        f,
                        "{}",
                        if column == 0 {
                            format!("|-{dashes}-")
                        } else {
                            format!("|-{dashes}:")
                        }
                    )?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

pub(crate) fn ratio(value: Option<f64>, base: Option<f64>) -> Option<f64> {
    Some(value? / base?)
}

/// Formats a value and, in parentheses, its ratio to the base.
pub(crate) fn cell(value: Option<f64>, ratio: Option<f64>, decimals: usize) -> String {
    match (value, ratio.filter(|ratio| ratio.is_finite())) {
        (Some(value), Some(ratio)) => format!("{value:.decimals$} ({ratio:.2}×)"),
        (Some(value), None) => format!("{value:.decimals$}"),
        (None, _) => "not measured".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["server", "µs"]);
        table.push(vec!["floor".into(), "4.96 (1.00×)".into()]);
        assert_eq!(
            table.to_string(),
            "| server |           µs |\n|--------|-------------:|\n| floor  | 4.96 (1.00×) |\n"
        );
    }

    #[test]
    fn a_short_row_is_filled_up() {
        let mut table = Table::new(["server", "n"]);
        table.push(vec!["floor".into()]);
        assert_eq!(table.to_string().lines().last(), Some("| floor  |     |"));
    }

    #[test]
    fn a_cell_shows_the_figure_and_its_ratio() {
        assert_eq!(cell(Some(4.961), Some(1.0), 2), "4.96 (1.00×)");
        assert_eq!(cell(Some(72.4), Some(f64::INFINITY), 0), "72");
        assert_eq!(cell(None, None, 2), "not measured");
    }
}
