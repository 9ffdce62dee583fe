//! The sampling threshold and the random value in a W3C trace state.
//!
//! ```text
//! ot=th:fd70a;rv:8a3f0123456789,other=value
//!       |        +- 14 hexadecimal digits: the randomness, if not that of the trace id
//!       +- 1 to 14 hexadecimal digits, zeros on the right left out: 2^56 times the part dropped
//! ```
//!
//! Source: OpenTelemetry specification, trace/tracestate-probability-sampling.md and
//! trace/tracestate-handling.md.

use std::fmt::Write as _;

/// Thresholds and random values are below this.
pub(super) const SPACE: u64 = 1 << 56;
/// Digits of 56 bits.
const DIGITS: usize = 14;
/// Digits of a threshold behind its leading `f`s: 1 in 65,536 is precise enough.
const PRECISION: usize = 4;
/// The smallest ratio that is not 0: that of the highest threshold.
#[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
pub(super) const RATIO_MIN: f64 = 1.0 / SPACE as f64;
/// A trace state has no more members.
const MEMBERS_MAX: usize = 32;

/// What a trace state says about sampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sampling {
    /// The threshold that was applied before.
    pub(super) threshold: Option<u64>,
    /// The explicit random value.
    pub(super) random: Option<u64>,
}

/// The threshold for a ratio; `None` for a ratio that keeps nothing.
pub(super) fn threshold(ratio: f64) -> Option<u64> {
    if ratio >= 1.0 {
        return Some(0);
    }
    if ratio <= 0.0 {
        return None;
    }
    // Whole numbers up to 2^56 are exact enough: the rounding below is coarser.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is from 0 to 2^56"
    )]
    let exact = SPACE - ((ratio * SPACE as f64) as u64).max(1);
    let mut digits = PRECISION;
    while digits < DIGITS && exact >> (4 * (DIGITS - (digits - PRECISION) - 1)) & 15 == 15 {
        digits += 1;
    }
    let unit = 1 << (4 * (DIGITS - digits));
    let rounded = (exact + unit / 2) / unit * unit;
    Some(rounded.min(SPACE - unit))
}

/// Reads the `ot` member.
pub(super) fn read(state: &str) -> Sampling {
    let mut sampling = Sampling::default();
    for (key, value) in ot(state).into_iter().flat_map(sub_keys) {
        match key {
            "th" if (1..=DIGITS).contains(&value.len()) => {
                sampling.threshold = hex(value).map(|it| it << (4 * (DIGITS - value.len())));
            }
            "rv" if value.len() == DIGITS => sampling.random = hex(value),
            _ => {}
        }
    }
    sampling
}

/// The trace state with another threshold, or with none. The changed member comes first, as W3C
/// demands; all else stays.
pub(super) fn with_threshold(state: &str, threshold: Option<u64>) -> String {
    let mut text = String::with_capacity(state.len() + DIGITS + 8);
    let mut is_first = true;
    let mut put = |text: &mut String, part: std::fmt::Arguments<'_>| {
        text.push_str(if std::mem::replace(&mut is_first, false) { "ot=" } else { ";" });
        // Writing to a text cannot fail.
        let _written = text.write_fmt(part);
    };
    if let Some(threshold) = threshold {
        let digits = format!("{threshold:014x}");
        let digits = digits.trim_end_matches('0');
        put(&mut text, format_args!("th:{}", if digits.is_empty() { "0" } else { digits }));
    }
    for (key, value) in ot(state).into_iter().flat_map(sub_keys).filter(|(key, _)| *key != "th") {
        put(&mut text, format_args!("{key}:{value}"));
    }
    let others = members(state).filter(|member| name(member) != "ot");
    for member in others.take(MEMBERS_MAX - usize::from(!text.is_empty())) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(member);
    }
    text
}

fn members(state: &str) -> impl Iterator<Item = &str> {
    state.split(',').map(str::trim).filter(|member| !member.is_empty())
}

fn name(member: &str) -> &str {
    member.split('=').next().unwrap_or_default()
}

/// The value of the member of OpenTelemetry.
fn ot(state: &str) -> Option<&str> {
    members(state).find_map(|member| member.strip_prefix("ot="))
}

fn sub_keys(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(';').filter_map(|pair| pair.split_once(':'))
}

/// A number of lower-case hexadecimal digits.
fn hex(digits: &str) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.bytes().all(is_digit) { u64::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(ratio: f64) -> String {
        with_threshold("", threshold(ratio))
    }

    #[test]
    fn ratios_have_the_thresholds_of_the_specification() {
        for (ratio, state) in [
            (1.0, "ot=th:0"),
            (0.75, "ot=th:4"),
            (0.5, "ot=th:8"),
            (0.25, "ot=th:c"),
            (0.1, "ot=th:e666"),
            (0.01, "ot=th:fd70a"),
            (0.001, "ot=th:ffbe77"),
            (1.0 / 65_536.0, "ot=th:ffff"),
            (1e-16, "ot=th:fffffffffffff9"),
            (RATIO_MIN, "ot=th:ffffffffffffff"),
            (1e-17, "ot=th:ffffffffffffff"),
        ] {
            assert_eq!(written(ratio), state, "{ratio}");
        }
        assert_eq!(threshold(0.0), None);
        assert!(threshold(1e-30).unwrap() < SPACE);
    }

    #[test]
    fn states_are_read_as_they_are_written_and_nonsense_is_nothing() {
        let read_of = |state| {
            let Sampling { threshold, random } = read(state);
            (threshold, random)
        };
        assert_eq!(
            read_of("a=1, ot=rv:0123456789abcd;th:c"),
            (Some(0xc0_0000_0000_0000), Some(0x01_2345_6789_abcd))
        );
        assert_eq!(read_of("ot=th:0"), (Some(0), None));
        for state in [
            "",
            "ot=",
            "ot=th:",
            "ot=th:C",
            "ot=th:fffffffffffffff",
            "ot=rv:12",
            "xot=th:8",
            "ot=th:+8",
        ] {
            assert_eq!(read_of(state), (None, None), "{state}");
        }
    }

    #[test]
    fn the_member_comes_first_and_the_others_stay() {
        let half = Some(SPACE / 2);
        assert_eq!(with_threshold("a=1,b=2", half), "ot=th:8,a=1,b=2");
        assert_eq!(
            with_threshold("a=1,ot=rv:0123456789abcd;th:4;x:y,b=2", half),
            "ot=th:8;rv:0123456789abcd;x:y,a=1,b=2"
        );
        assert_eq!(with_threshold("a=1,ot=th:4", None), "a=1");
        assert_eq!(with_threshold("ot=th:4;x:y", None), "ot=x:y");
        let full = vec!["a=1"; 32].join(",");
        assert_eq!(with_threshold(&full, half).split(',').count(), 32);
    }

    proptest! {
        #[test]
        fn a_threshold_is_within_its_precision(ratio in 1e-9_f64..1.0) {
            #[expect(clippy::cast_precision_loss, reason = "the precision is far below that")]
            let kept = (SPACE - threshold(ratio).unwrap()) as f64 / SPACE as f64;
            prop_assert!((kept / ratio - 1.0).abs() < 1.0 / 2_000.0, "{kept} {ratio}");
            let state = with_threshold("x=y", threshold(ratio));
            prop_assert_eq!(read(&state).threshold, threshold(ratio));
        }
    }
}
