//! Syntax errors of the YAML parser in the words of a person who looks at the line.

use saphyr_parser::Marker;
use saphyr_parser::ScanError;

use crate::tree::Mark;
use crate::tree::lines;

/// How deep mappings and lists may nest.
pub(super) const DEPTH_MAX: usize = 32;

/// What the parser says in part, and what that means to somebody who looks at the line.
const WORDS: &[(&str, &str)] = &[
    (
        "mapping values are not allowed",
        "unexpected `:`: the line is indented deeper than its neighbours, or a text that contains \
         `: ` lacks quotes",
    ),
    ("did not find expected key", "the indentation of this line matches no mapping above it"),
    ("did not find expected '-'", "the indentation of this line matches no list above it"),
    ("simple key expect", "a key without `:`"),
    ("end of stream", "the text ends inside quotes"),
    (
        "indentation in quoted",
        "the quotes above are not closed, or this line between them is not indented",
    ),
    ("invalid indentation", UNCLOSED),
    ("illegal placement of ':'", UNCLOSED),
    ("misplaced bracket", "this bracket closes nothing"),
    ("\"-\" is only valid", "a list in brackets separates its items with `,`, not with `-`"),
    ("trailing content", "unexpected text after a closing quote"),
    ("unexpected character", "a value that begins with this character needs quotes"),
    ("<document start>", "the indentation of this line is less than that of the first line"),
    ("unknown anchor", "unknown anchor"),
];

/// What is wrong with a bracket.
const UNCLOSED: &str = "a bracket above is not closed, or this line inside it is not indented";

/// A problem of the text in words, and its place.
pub(super) type SyntaxFault = (Mark, String);

/// Turns a place of the parser into ours.
pub(super) fn mark_of(marker: Marker) -> Mark {
    let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Mark { line: count(marker.line()), column: count(marker.col().saturating_add(1)) }
}

/// Says that a value stands too deep inside others.
pub(super) fn too_deep() -> String {
    format!("values are nested deeper than {DEPTH_MAX} levels")
}

/// Refuses characters that YAML does not have.
///
/// # Errors
///
/// The place of the first of them.
pub(super) fn check_characters(text: &str) -> Result<(), SyntaxFault> {
    let is_allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}')
            || ('\u{a0}'..='\u{fffd}').contains(&c)
            || '\u{1_0000}' <= c
    };
    let Some((before, _)) = text.split_once(|c| !is_allowed(c)) else { return Ok(()) };
    let lines = lines(before);
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let column = lines.last().map_or(0, |line| line.chars().count()).saturating_add(1);
    let mark = Mark { line: count(lines.len()), column: count(column) };
    Err((mark, "control characters are not allowed".to_owned()))
}

/// Turns the parser's error into words; `open` is where the list or mapping begins that has not ended.
pub(super) fn found(text: &str, error: &ScanError, open: Option<Mark>) -> SyntaxFault {
    let mark = mark_of(*error.marker());
    let info = error.info();
    if let Some(mark) = tab_in_front(text, mark, info.contains("tab")) {
        return (mark, "this line is indented with a tab; YAML allows spaces only".to_owned());
    }
    if info.contains("expected ',' or") {
        let close = if info.contains("']'") { ']' } else { '}' };
        let opened = open.map_or(mark, |mark| mark).line;
        let line = lines(text).get(line_idx(mark)).copied().unwrap_or_default();
        let is_variable = line.contains(": ${") || line.contains("[${");
        let hint = if is_variable { "; inside brackets `${...}` needs quotes" } else { "" };
        let message = "that closes the bracket of line";
        return (mark, format!("expected `,` or the `{close}` {message} {opened}{hint}"));
    }
    if info.contains("recursion limit") {
        return (mark, too_deep());
    }
    let words = WORDS.iter().find(|(part, _)| info.contains(part)).map(|(_, words)| *words);
    // What the parser was about to do is of no use to a reader.
    let bare = || info.split_once(", ").map_or(info, |(_, problem)| problem);
    (mark, words.unwrap_or_else(bare).to_owned())
}

/// Finds the line with a tab in front of its text that the parser stumbled over at a place: the next one
/// if it says that it is a tab, or the line itself or the last one above it.
fn tab_in_front(text: &str, at: Mark, is_tab: bool) -> Option<Mark> {
    let lines = lines(text);
    let (before, after) = lines.split_at_checked(line_idx(at))?;
    let has_tab = |line: &&str| line.trim_start_matches(' ').starts_with('\t');
    let above = before.iter().rposition(|line| !line.trim().is_empty());
    let found = match after.iter().position(has_tab) {
        Some(idx) if is_tab || idx == 0 => Some(before.len().saturating_add(idx)),
        _ => above.filter(|idx| before.get(*idx).is_some_and(has_tab)),
    };
    let line = u32::try_from(found?.saturating_add(1)).ok()?;
    Some(Mark { line, column: 1 })
}

fn line_idx(mark: Mark) -> usize {
    usize::try_from(mark.line).map_or(usize::MAX, |line| line.saturating_sub(1))
}
