//! Times and ranges, from text and to text.

pub(crate) use gophership_units::Moment;
pub(crate) use gophership_units::show_timestamp as show;

const NS: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

/// Reads `5..9`, `5..`, `..9` or `5`; both ends are included.
pub(crate) fn range(text: &str) -> Result<(u64, u64), String> {
    let fault = || format!("{text:?} is not a range like 5..9, 5.., ..9 or 5");
    let number = |part: &str, default: u64| {
        if part.is_empty() { Ok(default) } else { part.parse().map_err(|_| fault()) }
    };
    if text.is_empty() {
        return Err(fault());
    }
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (number(first, 0)?, number(last, u64::MAX)?);
    if last < first { Err(format!("{text:?} ends before it begins")) } else { Ok((first, last)) }
}

/// Writes how long ago something was, in its largest unit.
pub(crate) fn age(now_unix_ns: u64, unix_ns: u64) -> String {
    if unix_ns == 0 {
        return "-".to_owned();
    }
    let seconds = now_unix_ns.saturating_sub(unix_ns) / NS;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / DAY_SECONDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(range("5..9"), Ok((5, 9)));
        assert_eq!(range("5.."), Ok((5, u64::MAX)));
        assert_eq!(range("..9"), Ok((0, 9)));
        assert_eq!(range("5"), Ok((5, 5)));
        for text in ["", "x", "9..5", "1..x", "-1"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
