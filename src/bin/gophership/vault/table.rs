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
}
