//! What a scalar means: the core schema of YAML, as far as options have such types.

use saphyr_parser::ScalarStyle;
use saphyr_parser::Tag;

use crate::tree::Plain;

/// Finds the meaning of a scalar; `tag` is one of YAML's own.
///
/// # Errors
///
/// In words, why it has none.
pub(super) fn meaning(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Plain, String> {
    let wanted = |what: &str| format!("invalid value: string {text:?}, expected {what}");
    match tag.map(|tag| tag.suffix.as_str()) {
        None if style == ScalarStyle::Plain => resolve(text),
        Some("bool") => boolean(text).map(Plain::Bool).ok_or_else(|| wanted("a boolean")),
        Some("int") => integer(text).unwrap_or_else(|| Err(wanted("an integer"))),
        Some("float") => float(text).map(Plain::Float).ok_or_else(|| wanted("a float")),
        Some("null") if is_null(text) => Ok(Plain::Null),
        Some("null") => Err(wanted("null")),
        None | Some(_) => Ok(Plain::Text),
    }
}

/// Finds the meaning of a scalar without quotes and without a tag.
fn resolve(text: &str) -> Result<Plain, String> {
    if text.is_empty() || is_null(text) {
        return Ok(Plain::Null);
    }
    if let Some(value) = boolean(text) {
        return Ok(Plain::Bool(value));
    }
    match integer(text) {
        Some(number) => number,
        None if is_padded(text.strip_prefix(['-', '+']).unwrap_or(text)) => Ok(Plain::Text),
        None => Ok(float(text).map_or(Plain::Text, Plain::Float)),
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "null" | "Null" | "NULL" | "~")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Reads an integer, which may be hexadecimal, octal or binary; the error says that it is out of range.
fn integer(text: &str) -> Option<Result<Plain, String>> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let in_radix = |(prefix, radix)| digits.strip_prefix(prefix).map(|digits| (digits, radix));
    let (digits, radix) =
        [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find_map(in_radix).unwrap_or((digits, 10));
    if digits.starts_with(['+', '-']) || radix == 10 && is_padded(digits) {
        return None;
    }
    let size = u128::from_str_radix(digits, radix).ok()?;
    let plain = if is_negative {
        let value = 0_i128.checked_sub_unsigned(size)?;
        i64::try_from(value).map(Plain::Signed).map_err(|_| "the number is too small")
    } else {
        u64::try_from(size).map(Plain::Unsigned).map_err(|_| "the number is too large")
    };
    Some(plain.map_err(str::to_owned))
}

/// Reads a number with a fraction or an exponent.
fn float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        // What Rust reads as infinite or as no number is a text in YAML.
        _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// Whether a text is made of digits and begins with a needless zero: such is a name, like 007, and no
/// number.
fn is_padded(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_without_quotes_mean_what_yaml_says() {
        for (text, plain) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("NULL", Plain::Null),
            ("True", Plain::Bool(true)),
            ("yes", Plain::Text),
            ("0", Plain::Unsigned(0)),
            ("-0", Plain::Signed(0)),
            ("+7", Plain::Unsigned(7)),
            ("007", Plain::Text),
            ("-007", Plain::Text),
            ("0x1F", Plain::Unsigned(31)),
            ("-0o17", Plain::Signed(-15)),
            ("0b11", Plain::Unsigned(3)),
            ("0x-1", Plain::Text),
            ("+-5", Plain::Text),
            ("18446744073709551615", Plain::Unsigned(u64::MAX)),
            ("-9223372036854775808", Plain::Signed(i64::MIN)),
            ("1.10", Plain::Float(1.1)),
            ("1e3", Plain::Float(1000.0)),
            ("1e999", Plain::Text),
            ("-.inf", Plain::Float(f64::NEG_INFINITY)),
            ("nan", Plain::Text),
            ("1_000", Plain::Text),
        ] {
            assert_eq!(meaning(text, ScalarStyle::Plain, None), Ok(plain), "{text}");
            assert_eq!(meaning(text, ScalarStyle::DoubleQuoted, None), Ok(Plain::Text));
        }
        for text in ["18446744073709551616", "-9223372036854775809"] {
            assert!(meaning(text, ScalarStyle::Plain, None).is_err(), "{text}");
        }
    }
}
