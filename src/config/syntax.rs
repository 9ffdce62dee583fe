//! Syntax errors of the YAML library in the words of a person who looks at the line.

use crate::config::node::Mark;
use crate::config::node::lines;
use crate::config::problem::Problem;

/// Turns the library's error into ours, in the words of a person who looks at the line.
pub(super) fn syntax_problem(text: &str, error: &serde_yaml::Error) -> (Mark, Problem) {
    let mark = error.location().map_or_else(
        || second_document(text),
        |location| Mark {
            line: u32::try_from(location.line()).unwrap_or(u32::MAX),
            column: u32::try_from(location.column()).unwrap_or(u32::MAX),
        },
    );
    let message = error.to_string();
    let line = usize::try_from(mark.line).ok().and_then(|line| lines(text).get(line - 1).copied());
    let indent = line.map(|line| line.split(|c: char| !c.is_whitespace()).next().unwrap_or(""));
    let says = |part: &str| message.contains(part);
    let is_tab = says("cannot start any token") && indent.is_some_and(|it| it.contains('\t'));
    let message = if is_tab || says("found a tab character") {
        "this line is indented with a tab; YAML allows spaces only".to_owned()
    } else if says("mapping values are not allowed") {
        "unexpected `:`: the line is indented deeper than its neighbours, or a text that contains \
         `: ` lacks quotes"
            .to_owned()
    } else if says("did not find expected key") {
        "the indentation of this line matches no mapping above it".to_owned()
    } else if says("did not find expected '-' indicator") {
        "the indentation of this line matches no list above it".to_owned()
    } else if says("could not find expected ':'") {
        "a key without `:`".to_owned()
    } else if says("did not find expected ',' or") {
        let close = if says("']'") { ']' } else { '}' };
        let opened = message.rsplit_once(" at line ").map(|(_, place)| place);
        let opened = opened.and_then(|place| place.split(' ').next()).unwrap_or("?");
        let is_variable = line.is_some_and(|line| line.contains(": ${") || line.contains("[${"));
        let hint = if is_variable { "; inside brackets `${...}` needs quotes" } else { "" };
        format!("expected `,` or the `{close}` that closes the bracket of line {opened}{hint}")
    } else if says("unexpected end of stream") {
        "the text ends inside quotes".to_owned()
    } else if says("more than one document") {
        "a second document begins here (`---`); the file must contain only one".to_owned()
    } else {
        bare_message(&message)
    };
    (mark, Problem::Syntax { message })
}

/// Cuts the path in front and the place behind off a message of the library.
fn bare_message(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    match message.split_once(": ") {
        Some((path, tail)) if !path.contains(' ') => tail.to_owned(),
        _ => message.to_owned(),
    }
}

/// Finds where a second document begins.
fn second_document(text: &str) -> Mark {
    let is_content = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
    let content = text.lines().enumerate().filter(|(_, line)| is_content(line));
    let begins = content.skip(1).find(|(_, line)| line.starts_with("---"));
    let line_idx = begins.map_or(0, |(line_idx, _)| line_idx);
    Mark { line: u32::try_from(line_idx + 1).unwrap_or(u32::MAX), column: 1 }
}
