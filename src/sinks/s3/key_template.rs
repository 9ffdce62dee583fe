//! The folder of an object: a text with places for signal, host, date and resource attributes.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::event::Signal;

/// A value of an attribute is cut after so many characters.
const VALUE_LEN_MAX: usize = 64;
const TEMPLATE_LEN_MAX: usize = 256;
const ATTRIBUTES_MAX: usize = 4;
/// Stands for an attribute that is not there.
const UNKNOWN: &str = "unknown";
/// Stands for the values of attributes for which there are no more objects.
pub(super) const OTHER: &str = "_other";
const DAY_S: u64 = 24 * 60 * 60;

/// A folder with places for values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Signal,
    Host,
    Date(String),
    Attribute(String),
}

impl FromStr for KeyTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |text: &str| {
            text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-=/".contains(&it))
        };
        if TEMPLATE_LEN_MAX < text.len() || text.contains("//") || text.contains("..") {
            return Err(format!(
                "must have at most {TEMPLATE_LEN_MAX} characters, and neither `//` nor `..`"
            ));
        }
        let (mut parts, mut rest) = (Vec::new(), text.trim_matches('/'));
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            if !is_plain(before) {
                return Err("may have `a-z A-Z 0-9 . _ - = /` between its places".to_owned());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if before.len() == rest.len() {
                break;
            }
            let Some((place, after)) = after.split_once('}') else {
                return Err("has a `{` without a `}`".to_owned());
            };
            parts.push(part(place)?);
            rest = after;
        }
        if ATTRIBUTES_MAX < parts.iter().filter(|part| matches!(part, Part::Attribute(_))).count() {
            return Err(format!("must have at most {ATTRIBUTES_MAX} attributes"));
        }
        Ok(Self(parts))
    }
}

fn part(place: &str) -> Result<Part, String> {
    match place.split_once(':').unwrap_or((place, "")) {
        ("signal", "") => Ok(Part::Signal),
        ("host", "") => Ok(Part::Host),
        ("date", form) if date(0, form).is_some() => Ok(Part::Date(form.to_owned())),
        ("attr", name) if !name.is_empty() => Ok(Part::Attribute(name.to_owned())),
        _ => Err(format!(
            "has `{{{place}}}`; there are {{signal}}, {{host}}, {{date:%Y/%m/%d/%H}} and {{attr:NAME}}"
        )),
    }
}

impl KeyTemplate {
    /// The attributes that the folder depends on.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Attribute(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The folder for a request of this signal and time, for values of the attributes in their order.
    pub(super) fn folder(
        &self,
        signal: Signal,
        host: &str,
        unix_ns: u64,
        values: &[String],
    ) -> String {
        let mut values = values.iter();
        let mut folder = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => folder.push_str(text),
                Part::Signal => folder.push_str(signal.name()),
                Part::Host => folder.push_str(&value(Some(host))),
                Part::Date(form) => {
                    folder.push_str(&date(unix_ns / 1_000_000_000, form).unwrap_or_default());
                }
                Part::Attribute(_) => {
                    folder.push_str(values.next().map_or(UNKNOWN, String::as_str));
                }
            }
        }
        folder
    }
}

/// A value as a part of a key.
pub(super) fn value(text: Option<&str>) -> String {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return UNKNOWN.to_owned() };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-=".contains(c) { c } else { '_' };
    let value: String = text.chars().take(VALUE_LEN_MAX).map(plain).collect();
    // A folder of dots alone would be another one.
    if value.bytes().all(|byte| byte == b'.') { "_".repeat(value.len()) } else { value }
}

/// A time as text; nothing for a form with other parts.
fn date(unix_s: u64, form: &str) -> Option<String> {
    let (year, month, day) = civil(unix_s / DAY_S);
    let mut text = String::new();
    let mut chars = form.chars();
    while let Some(c) = chars.next() {
        // Writing to a text does not fail.
        let _written = match c {
            '%' => match chars.next()? {
                'Y' => write!(text, "{year:04}"),
                'm' => write!(text, "{month:02}"),
                'd' => write!(text, "{day:02}"),
                'H' => write!(text, "{:02}", unix_s % DAY_S / 3600),
                _ => return None,
            },
            c if c.is_ascii_alphanumeric() || "/-_.=".contains(c) => write!(text, "{c}"),
            _ => return None,
        };
    }
    (!form.is_empty()).then_some(text)
}

/// Year, month and day of a day after 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Eras of 400 years that begin on March 1; Howard Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_the_values_in_their_places() {
        let text = "/lake/{date:%Y-%m/d=%d/%H}/{host}/{attr:service.name}/x-{signal}";
        let template: KeyTemplate = text.parse().unwrap();
        assert_eq!(template.attributes().collect::<Vec<_>>(), ["service.name"]);
        let at = 1_709_210_096_u64 * 1_000_000_000;
        let values = [value(Some("a/b c"))];
        let folder = template.folder(Signal::Logs, "node-1", at, &values);
        assert_eq!(folder, "lake/2024-02/d=29/12/node-1/a_b_c/x-logs");
        assert_eq!("".parse::<KeyTemplate>().unwrap().folder(Signal::Logs, "", 0, &[]), "");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let dates = [0, 951_782_400, 951_868_800, 4_102_444_799].map(|at| date(at, "%Y-%m-%d"));
        let dates = dates.map(Option::unwrap);
        assert_eq!(dates, ["1970-01-01", "2000-02-29", "2000-03-01", "2099-12-31"]);
    }

    #[test]
    fn values_cannot_leave_their_folder() {
        let values = [None, Some(""), Some(".."), Some("../../x"), Some("\u{e9}")].map(value);
        assert_eq!(values, ["unknown", "unknown", "__", ".._.._x", "_"]);
        assert_eq!(value(Some(&"x".repeat(99))).len(), VALUE_LEN_MAX);
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        for text in ["{date}", "{date:%q}", "{attr:}", "{x}", "{signal", "a b", "a//b", "../a"] {
            assert!(text.parse::<KeyTemplate>().is_err(), "{text}");
        }
    }
}
