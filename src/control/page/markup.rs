//! Writing HTML: what others wrote is text, and numbers are readable.

use std::fmt::Display;
use std::fmt::Write;

/// Adds a text, escaped for elements and for quoted attributes.
pub(super) fn text(out: &mut String, text: impl Display) {
    // Writing to a string cannot fail.
    let _written = write!(Escaped(out), "{text}");
}

/// Adds an element with a text in it; `class` may be empty.
pub(super) fn element(out: &mut String, name: &str, class: &str, content: impl Display) {
    if class.is_empty() {
        let _written = write!(out, "<{name}>");
    } else {
        let _written = write!(out, "<{name} class=\"{class}\">");
    }
    text(out, content);
    let _written = write!(out, "</{name}>");
}

/// Adds a bar that is full at 1,000.
pub(super) fn bar(out: &mut String, permille: u64) {
    let (width, class) = (permille.min(1000), level(permille));
    let _written = write!(
        out,
        "<svg class=\"bar {class}\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\"><rect width=\"{width}\" height=\"10\"/></svg>"
    );
}

/// The class of something that is so full.
pub(super) const fn level(permille: u64) -> &'static str {
    match permille {
        0..600 => "low",
        600..850 => "high",
        _ => "full",
    }
}

/// A share in percent.
pub(super) fn percent(permille: u64) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
}

/// How much of a limit is used, in thousandths; 0 without a limit.
pub(super) fn permille(used: u64, limit: u64) -> u64 {
    u128::from(used)
        .saturating_mul(1000)
        .checked_div(u128::from(limit))
        .map_or(0, |share| u64::try_from(share).unwrap_or(u64::MAX))
}

/// A whole number with a comma between thousands.
pub(super) fn number(number: impl Into<i128>) -> String {
    let number = number.into();
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", gophership_units::grouped(number.unsigned_abs()))
}

/// A rate with its unit.
pub(super) fn rate(rate: f64) -> String {
    if rate <= 0.0 {
        "0/s".to_owned()
    } else if rate < 10.0 {
        format!("{rate:.1}/s")
    } else {
        // A number of records in a second fits by far.
        #[expect(clippy::cast_possible_truncation, reason = "`as` stops at the ends")]
        let whole = rate.round() as i64;
        format!("{}/s", number(whole))
    }
}

/// Bytes in the largest unit of which there is one.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in units {
        if bytes >> shift != 0 {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// A time in its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", number(days), hours % 24),
    }
}

/// Escapes what is written.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                letter if letter.is_control() && !letter.is_whitespace() => self.0.push(' '),
                letter => self.0.push(letter),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_neither_elements_nor_attributes() {
        let mut out = String::new();
        text(&mut out, "<a b=\"c\" d='e'>&\0");
        assert_eq!(out, "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp; ");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(0_i64), "0");
        assert_eq!(number(-1_234_567_i64), "-1,234,567");
        assert_eq!(number(100_u64), "100");
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(1.25), "1.2/s");
        assert_eq!(rate(12_345.6), "12,346/s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(3723), "1 h 2 min");
        assert_eq!(duration(90_000), "1 d 1 h");
        assert_eq!(percent(701), "70.1%");
        assert_eq!(permille(1, 0), 0);
        assert_eq!(permille(u64::MAX, 1), u64::MAX);
    }
}
