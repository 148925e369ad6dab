//! Tables for people (aligned) and for programs (CSV), from the same cells.

use std::fmt::Write;

use switchback_core::text::escape;

/// Columns with a heading each; cells are not yet safe to show.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One cell a column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "{} cells for {} columns", cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Aligned with spaces, two between columns, headings first; every line ends.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|r| r.iter().map(|c| escape(c).into_owned()).collect()).collect();
        let wide = |i: usize| {
            let cells = rows.iter().map(|r| columns_of(&r[i]));
            cells.chain([columns_of(self.columns[i].0)]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(wide).collect();
        let headings: Vec<String> = self.columns.iter().map(|c| c.0.to_owned()).collect();
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&rows) {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                let space = " ".repeat(widths[i] - columns_of(cell));
                let gap = if i == 0 { "" } else { "  " };
                match self.columns[i].1 {
                    Align::Left => write!(line, "{gap}{cell}{space}"),
                    Align::Right => write!(line, "{gap}{space}{cell}"),
                }
                .expect("writing to a string");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// As a Markdown table whose columns line up.
    pub(crate) fn markdown(&self) -> String {
        let safe = |cell: &str| escape(cell).replace('|', "\\|");
        let headings: Vec<String> = self.columns.iter().map(|c| safe(c.0)).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(|r| r.iter().map(|c| safe(c)).collect()).collect();
        let wide = |i: usize| rows.iter().chain([&headings]).map(|r| columns_of(&r[i])).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..self.columns.len()).map(wide).collect();
        let rule = self.columns.iter().zip(&widths).map(|((_, align), &w)| match align {
            Align::Left => "-".repeat(w),
            Align::Right => "-".repeat(w - 1) + ":",
        });
        let mut out = String::new();
        for row in [&headings, &rule.collect()].into_iter().chain(&rows) {
            for (i, cell) in row.iter().enumerate() {
                let space = " ".repeat(widths[i] - columns_of(cell));
                match self.columns[i].1 {
                    Align::Left => write!(out, "| {cell}{space} "),
                    Align::Right => write!(out, "| {space}{cell} "),
                }
                .expect("writing to a string");
            }
            out.push_str("|\n");
        }
        out
    }

    /// As RFC 4180 has it, headings first.
    pub(crate) fn csv(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|c| c.0.to_owned()).collect();
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let cells: Vec<String> = row.iter().map(|c| quoted(c)).collect();
            out.push_str(&cells.join(","));
            out.push_str("\r\n");
        }
        out
    }
}

/// Terminal columns of a cell. Wide scripts are rare in layer and class names; for them alignment suffers, not sense.
fn columns_of(text: &str) -> usize {
    text.chars().count()
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// `1 234 567`
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(d);
    }
    out
}

/// `4.7 MiB`
pub(crate) fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut x = n as f64;
    let mut unit = 0;
    while x >= 1024.0 && unit + 1 < units.len() {
        x /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{x:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_line_up_and_are_safe() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        table.row(vec!["a\u{1b}".into(), "7".into()]);
        table.row(vec!["é".into(), "123".into()]);
        assert_eq!(table.text(), "name       n\na\\u{1b}    7\né        123\n");
    }

    #[test]
    fn markdown_lines_up() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        table.row(vec!["a|b".into(), "7".into()]);
        assert_eq!(table.markdown(), "| name |   n |\n| ---- | --: |\n| a\\|b |   7 |\n");
    }

    #[test]
    fn csv_quotes_what_it_must() {
        let mut table = Table::new(&[("a", Align::Left), ("b", Align::Left)]);
        table.row(vec!["x,y".into(), "say \"hi\"".into()]);
        assert_eq!(table.csv(), "a,b\r\n\"x,y\",\"say \"\"hi\"\"\"\r\n");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!((grouped(0), grouped(999), grouped(1_235_496)), ("0".into(), "999".into(), "1 235 496".into()));
        assert_eq!((bytes(1000), bytes(4_955_097)), ("1000 B".into(), "4.7 MiB".into()));
    }
}
