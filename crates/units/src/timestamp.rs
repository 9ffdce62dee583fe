//! Points in time as people write them: RFC 3339.

const NS: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

/// Writes a time in UTC, with milliseconds; `-` when there is none.
#[must_use]
pub fn show_timestamp(unix_ns: u64) -> String {
    if unix_ns == 0 { "-".to_owned() } else { utc_text(unix_ns) }
}

/// Writes a time in UTC, with milliseconds, such as `2026-01-31T12:00:00.000Z`.
#[must_use]
pub fn utc_text(unix_ns: u64) -> String {
    let (days, seconds) = (unix_ns / NS / DAY_SECONDS, unix_ns / NS % DAY_SECONDS);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let millis = unix_ns % NS / 1_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Reads a time of RFC 3339, such as `2026-01-31T12:00:00Z`: nanoseconds since 1970.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-');
    let year = digits(date.next()?, 4)?;
    let (month, day) = (digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':');
    let (hour, minute) = (digits(clock.next()?, 2)?, digits(clock.next()?, 2)?);
    let second = digits(clock.next()?, 2)?;
    let is_valid = (1970..=2500).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !is_valid {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse::<u64>().ok()?;
    let seconds = days(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    let shifted = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => seconds,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let offset = digits(hours, 2)? * 3600 + digits(minutes, 2)? * 60;
            if sign == "+" { seconds.checked_sub(offset)? } else { seconds + offset }
        }
    };
    Some(shifted * NS + nanos)
}

fn digits(text: &str, len: usize) -> Option<u64> {
    let is_number = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_of_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

/// Days since 1970.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(days_of_year).sum();
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    years + months + day - 1
}

/// Year, month and day of a day since 1970.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while days_of_year(year) <= days {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days_of(year, month) <= days {
        days -= days_of(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were() {
        for text in
            ["1970-01-01T00:00:00.001Z", "2024-02-29T23:59:59.999Z", "2100-03-01T00:00:00.000Z"]
        {
            assert_eq!(show_timestamp(parse_timestamp(text).unwrap()), text);
        }
        assert_eq!(parse_timestamp("2026-01-31T12:00:00Z"), Some(1_769_860_800 * NS));
        assert_eq!(parse_timestamp("2026-01-31T14:00:00+02:00"), Some(1_769_860_800 * NS));
        assert_eq!(
            parse_timestamp("2026-01-31T10:30:00.5-01:30"),
            Some(1_769_860_800 * NS + NS / 2)
        );
    }
}
