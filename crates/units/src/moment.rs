//! A point in time as people write it: a time, or how long ago it was.

use std::str::FromStr;

use crate::HumanDuration;
use crate::ns_of;
use crate::parse_timestamp;
use crate::unix_ns;

/// A point in time: nanoseconds since 1970. Written as `2026-01-31T12:00:00Z`, or as `1h` for an hour ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub u64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(moment) = parse_timestamp(text) {
            return Ok(Self(moment));
        }
        let ago: HumanDuration = text.parse().map_err(|_| {
            format!("{text:?} is neither a time like 2026-01-31T12:00:00Z nor a duration like 1h")
        })?;
        let ago_ns = ns_of(ago.0);
        Ok(Self(unix_ns().saturating_sub(ago_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-02-30T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00",
            "1x",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        assert!("1h".parse::<Moment>().unwrap().0 < unix_ns());
    }
}
