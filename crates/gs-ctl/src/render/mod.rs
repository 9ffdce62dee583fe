//! Answers as tables of at most 80 columns, as JSON, and as YAML.

mod deliveries;
mod flight;
mod letters;
mod local;
mod process;
mod records;
mod replay;
mod s3;
mod status;
mod troubles;
mod vault;

use std::fmt::Write;

use gophership_control::json::zone_name;
use gophership_control::proto;
use gophership_units::one_line;
use serde_json::Value;
use serde_json::json;

pub(crate) use deliveries::millis;
pub(crate) use flight::flight;
pub(crate) use flight::flights;
pub(crate) use letters::drop_question;
pub(crate) use letters::dropped;
pub(crate) use letters::letter;
pub(crate) use letters::letters;
pub(crate) use letters::redrive_line;
pub(crate) use letters::redrives;
pub(crate) use local::certificates;
pub(crate) use local::contexts;
pub(crate) use process::config;
pub(crate) use process::difference;
pub(crate) use process::event;
pub(crate) use process::log_filter;
pub(crate) use process::paused;
pub(crate) use process::reload;
pub(crate) use process::replay;
pub(crate) use process::vaults;
pub(crate) use records::lines;
pub(crate) use replay::counted;
pub(crate) use replay::drained;
pub(crate) use replay::draining;
pub(crate) use replay::range;
pub(crate) use replay::range_event;
pub(crate) use replay::range_line;
pub(crate) use replay::replays;
pub(crate) use replay::started;
pub(crate) use status::health;
pub(crate) use status::ledger;
pub(crate) use status::status;
pub(crate) use vault::held;
pub(crate) use vault::prune_question;
pub(crate) use vault::pruned;
pub(crate) use vault::released;
pub(crate) use vault::verified;
pub(crate) use vault::verifying;

use crate::args::Format;

/// The width of a terminal that everybody has.
const WIDTH: usize = 80;
/// A cell of a table is cut to this many characters; JSON and YAML have the whole.
const CELL_LEN_MAX: usize = 34;

/// Renders an answer that is one sentence for people, and a few values for scripts.
pub(crate) fn said(sentence: &str, values: &Value, format: Format) -> String {
    match format {
        Format::Table => format!("{sentence}\n"),
        Format::Json | Format::Yaml => document(values, format),
    }
}

/// Renders the answer to an override.
pub(crate) fn zone(answer: &proto::OverrideResponse, format: Format) -> String {
    let (zone, reason) = (zone_name(answer.zone), &answer.reason);
    said(&format!("zone {zone} ({reason})"), &json!({ "zone": zone, "reason": reason }), format)
}

/// Renders a value for scripts.
fn document(value: &Value, format: Format) -> String {
    let text = match format {
        Format::Yaml => serde_yaml::to_string(value).unwrap_or_default(),
        Format::Table | Format::Json => format!("{value:#}"),
    };
    format!("{}\n", text.trim_end())
}

/// Writes a sentence; what does not fit goes on, indented, in the next line.
fn line(text: &str, out: &mut String) -> std::fmt::Result {
    let mut width = 0;
    for word in text.split(' ').flat_map(pieces) {
        // What another program says goes to a terminal.
        let word = one_line(word);
        let len = word.chars().count();
        if width != 0 && WIDTH < width + 1 + len {
            write!(out, "\n  ")?;
            width = 2;
        } else if width != 0 {
            write!(out, " ")?;
            width += 1;
        }
        write!(out, "{word}")?;
        width += len;
    }
    writeln!(out)
}

/// A word, in pieces that fit a line.
fn pieces(word: &str) -> Vec<&str> {
    let mut rest = word;
    let mut pieces = Vec::new();
    while let Some((at, _)) = rest.char_indices().nth(WIDTH - 2) {
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// A cell that is not too wide for a table.
fn cell(text: &str) -> String {
    let text = one_line(text).into_owned();
    let len = text.chars().count();
    if len <= CELL_LEN_MAX {
        return text;
    }
    // Names differ at both ends.
    let half = CELL_LEN_MAX / 2 - 1;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(len - half).collect();
    format!("{head}..{tail}")
}

/// Writes rows in columns as wide as their widest cell. Columns that do not fit stand in further tables
/// below, each of which begins with the first `keys` columns.
fn table(rows: &[Vec<String>], keys: usize, out: &mut String) -> std::fmt::Result {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let keys_width: usize = widths.iter().take(keys).map(|width| width + 2).sum();
    let mut next = keys.min(columns);
    let mut is_first = true;
    while is_first || next < columns {
        let mut used = keys_width;
        let mut shown: Vec<usize> = (0..keys.min(columns)).collect();
        while let Some(width) = widths.get(next) {
            // One at least, so that it ends.
            if keys < shown.len() && WIDTH < used + width {
                break;
            }
            shown.push(next);
            used += width + 2;
            next += 1;
        }
        if !is_first {
            writeln!(out)?;
        }
        is_first = false;
        for row in &rows {
            let mut line = String::new();
            for column in &shown {
                let (text, width) = (row.get(*column).map_or("", String::as_str), widths[*column]);
                write!(line, "{text:<width$}  ")?;
            }
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod golden_letters;
#[cfg(test)]
mod golden_vaults;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_goes_on_below_and_nothing_is_wider_than_a_terminal() {
        let head: Vec<String> = (0..12).map(|column| format!("COLUMN {column}")).collect();
        let row: Vec<String> = (0..12).map(|column| format!("{column}").repeat(20)).collect();
        let mut out = String::new();
        table(&[head, row], 1, &mut out).unwrap();
        assert!(out.lines().all(|line| line.len() <= WIDTH), "{out}");
        assert!((0..12).all(|column| out.contains(&format!("COLUMN {column}"))), "{out}");
        let mut out = String::new();
        let words = format!("a {} \u{1b}[31m {}", "b".repeat(300), "c d ".repeat(60));
        line(&words, &mut out).unwrap();
        assert!(out.lines().all(|line| line.len() <= WIDTH), "{out}");
        assert!(!out.contains('\u{1b}'));
        assert_eq!(cell(&"x".repeat(100)).len(), CELL_LEN_MAX);
    }
}
