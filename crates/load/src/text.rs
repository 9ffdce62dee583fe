//! Figures for people, each with its unit.

use std::fmt::Write;
use std::time::Duration;

/// A number with a comma between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if 0 < idx && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A latency, to the microsecond below a millisecond.
#[must_use]
pub fn latency(latency: Duration) -> String {
    let micros = latency.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", latency.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", latency.as_secs_f64()),
    }
}

/// A number of bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.into_iter().find(|(_, unit)| *unit <= bytes) {
        Some((name, unit)) => {
            let tenths = bytes / (unit / 10);
            format!("{}.{} {name}", grouped(tenths / 10), tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// A table; columns whose title begins with `>` stand at the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
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
            let _written = match title.strip_prefix('>') {
                Some(_) => write!(padded, "{cell:>width$}  "),
                None => write!(padded, "{cell:<width$}  "),
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
    fn figures_have_their_units() {
        let numbers = [0, 999, 1_000, 20_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "20,000", "1,234,567"]);
        let micros = [0, 870, 1_249, 999_000, 2_500_000];
        let latencies = micros.map(|micros| latency(Duration::from_micros(micros)));
        assert_eq!(latencies, ["0 us", "870 us", "1.2 ms", "999.0 ms", "2.50 s"]);
        let sizes = [0, 999, 25_310, 151_860_000, 1_234_567_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "25.3 kB", "151.8 MB", "1,234.5 GB"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [("a", "100"), ("long", "7")];
        let rows = rows.map(|(name, number)| vec![name.to_owned(), number.to_owned()]);
        assert_eq!(table(&["name", ">n"], &rows), "name    n\na     100\nlong    7\n");
    }
}
