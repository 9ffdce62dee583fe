//! Quantities as users write them: sizes (`64MiB`), durations (`1m30s`) and shares (`85%`); times as numbers;
//! texts that are not shown, and texts of others that are shown as one line; numbers and tables as people read them.
//!
//! Each quantity reads what it writes, and refuses numbers whose unit would have to be guessed.

mod duration;
mod moment;
mod one_line;
mod secret;
mod share;
mod size;
mod text;
mod time;
mod timestamp;

pub use duration::HumanDuration;
pub use moment::Moment;
pub use one_line::REASON_BYTES_MAX;
pub use one_line::excerpt;
pub use one_line::one_line;
pub use secret::Secret;
pub use share::Share;
pub use size::ByteSize;
pub use text::columns;
pub use text::grouped;
pub use time::ns_of;
pub use time::seconds_of;
pub use time::unix_ns;
pub use timestamp::parse_timestamp;
pub use timestamp::show_timestamp;
pub use timestamp::utc_text;

/// A text that is not a quantity of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {reason}")]
pub struct UnitError {
    /// The text.
    pub text: String,
    /// The kind of quantity.
    pub kind: &'static str,
    /// What is wrong, with an example of what is right.
    pub reason: &'static str,
}

/// Splits a text into a decimal number and what follows, as `(whole, fraction digits, rest)`.
///
/// `None` if it does not begin with a digit, the dot has no digits behind it, or the number is
/// larger than any quantity.
fn split_number(text: &str) -> Option<(u64, &str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let whole_end = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    let (whole, rest) = text.split_at_checked(whole_end)?;
    let whole = whole.parse().ok()?;
    let Some(tail) = rest.strip_prefix('.') else { return Some((whole, "", rest)) };
    let fraction_end = tail.find(|c| !is_digit(c)).unwrap_or(tail.len());
    let (fraction, rest) = tail.split_at_checked(fraction_end)?;
    (!fraction.is_empty() && fraction.len() <= 9).then_some((whole, fraction, rest))
}

/// Multiplies a decimal number with its unit, without rounding errors, and rounds down.
fn scale(whole: u64, fraction: &str, unit: u64) -> Option<u64> {
    let unit = u128::from(unit);
    let mut sum = u128::from(whole).checked_mul(unit)?;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().ok()?;
        let denominator = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        sum = sum.checked_add(digits.checked_mul(unit)? / denominator)?;
    }
    u64::try_from(sum).ok()
}

/// Decodes a quantity from a text, or from a number written as a text where `parse` allows it.
fn deserialize_quantity<'de, D, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Result<T, UnitError>,
) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
{
    struct Quantity<T> {
        expected: &'static str,
        parse: fn(&str) -> Result<T, UnitError>,
    }

    impl<T> serde::de::Visitor<'_> for Quantity<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(self.expected)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            (self.parse)(text).map_err(E::custom)
        }

        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    deserializer.deserialize_any(Quantity { expected, parse })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use super::ByteSize;
    use super::HumanDuration;
    use super::Share;

    proptest! {
        #[test]
        fn every_quantity_reads_what_it_writes(
            bytes in any::<u64>(),
            nanos in 0..=HumanDuration::MAX.as_nanos(),
            permille in 0u16..=1000,
        ) {
            let size = ByteSize(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            let duration = HumanDuration(std::time::Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            let share = Share::from_permille(permille).unwrap();
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }

        #[test]
        fn any_text_is_a_quantity_or_an_error(text in "[0-9.]{0,24}[a-zA-Z%\\PC]{0,4}") {
            let _quantity = text.parse::<ByteSize>();
            let _quantity = text.parse::<HumanDuration>();
            let _quantity = text.parse::<Share>();
        }
    }
}
