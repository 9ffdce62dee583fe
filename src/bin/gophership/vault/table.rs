//! Reports: tables for people, one document for scripts.

use std::io;
use std::io::Write;

use serde_json::Value;

use super::args::OutputFormat;

/// Writes a report: the text, or the document in the language asked for.
pub(crate) fn print(
    output: OutputFormat,
    text: impl FnOnce() -> String,
    document: impl FnOnce() -> Value,
) -> io::Result<()> {
    let text = match output {
        OutputFormat::Table => text(),
        OutputFormat::Json => format!("{:#}\n", document()),
        OutputFormat::Yaml => serde_yaml::to_string(&document()).map_err(io::Error::other)?,
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Rows under a head, in columns as wide as they must be. A head that begins with `>` stands right.
pub(crate) fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<&str> = head.iter().map(|title| title.trim_start_matches('>')).collect();
    let width = |idx: usize| {
        let cells = rows.iter().filter_map(|row| row.get(idx)).map(String::len);
        cells.max().unwrap_or(0).max(titles.get(idx).map_or(0, |title| title.len()))
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let mut text = String::new();
        for ((cell, width), title) in cells.iter().zip(&widths).zip(head) {
            let cell = if title.starts_with('>') {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
            text.push_str(&cell);
        }
        format!("{}\n", text.trim_end())
    };
    let mut text = line(&titles);
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        text.push_str(&line(&cells));
    }
    text
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((name, unit)) = UNITS.into_iter().find(|(_, unit)| *unit <= bytes) else {
        return format!("{bytes}B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    if tenths < 100 {
        return format!("{}.{}{name}", tenths / 10, tenths % 10);
    }
    format!("{}{name}", tenths / 10)
}

/// `1 record`, `2 records`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_more_digits_and_a_unit() {
        let sizes = [0, 1023, 1024, 10 << 10, 1536 << 10, 5 << 40];
        let texts: Vec<String> = sizes.into_iter().map(size).collect();
        assert_eq!(texts, ["0B", "1023B", "1.0KiB", "10KiB", "1.5MiB", "5.0TiB"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["a".to_owned(), "100".to_owned()], vec!["long".to_owned(), "7".to_owned()]];
        assert_eq!(columns(&["name", ">n"], &rows), "name    n\na     100\nlong    7\n");
    }
}
