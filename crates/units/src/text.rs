//! Numbers and tables as people read them.

use std::fmt::Write as _;

/// A whole number with a comma between thousands.
#[must_use]
pub fn grouped(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx != 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rows under a head, in columns as wide as they must be. A head that begins with `>` stands right.
#[must_use]
pub fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> =
        head.iter().map(|title| title.trim_start_matches('>').to_owned()).collect();
    let lines = || std::iter::once(&titles).chain(rows);
    let widths: Vec<usize> = (0..head.len())
        .map(|idx| lines().filter_map(|line| line.get(idx)).map(String::len).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines() {
        let mut padded = String::new();
        for ((cell, width), title) in line.iter().zip(&widths).zip(head) {
            // Writing to a string cannot fail.
            let _written = if title.starts_with('>') {
                write!(padded, "{cell:>width$}  ")
            } else {
                write!(padded, "{cell:<width$}  ")
            };
        }
        let _written = writeln!(text, "{}", padded.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0_u64, 999, 1_000, 20_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "20,000", "1,234,567"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [("a", "100"), ("long", "7")];
        let rows = rows.map(|(name, number)| vec![name.to_owned(), number.to_owned()]);
        assert_eq!(columns(&["name", ">n"], &rows), "name    n\na     100\nlong    7\n");
    }
}
