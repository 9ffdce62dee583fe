//! Where in a JSON text a parser stopped: the path of the value there, for the message.

use std::fmt::Write;

/// Of a key no more is shown.
const KEY_BYTES_MAX: usize = 64;

/// What is around a place.
enum Around<'t> {
    /// An object, and the key that was read last.
    Object(&'t [u8]),
    /// An array, and the number of the element.
    Array(usize),
}

/// The path of what is at a line and column, as `serde_json` counts them: both from 1, columns in bytes.
/// Empty where nothing is around it.
pub(super) fn path(json: &[u8], line: usize, column: usize) -> String {
    let before = json.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    let end = before.map(<[u8]>::len).sum::<usize>().saturating_add(column).min(json.len());
    let mut around: Vec<Around<'_>> = Vec::new();
    let mut text: &[u8] = &[];
    let mut at = 0;
    while at < end {
        match (json[at], around.last_mut()) {
            (b'{', _) => around.push(Around::Object(&[])),
            (b'[', _) => around.push(Around::Array(0)),
            // Where it stops behind a value, that is what it is about.
            (b'}' | b']', _) if at + 1 < end => drop(around.pop()),
            (b',', Some(Around::Array(idx))) => *idx += 1,
            (b':', Some(Around::Object(key))) => *key = text,
            (b'"', _) => {
                let start = at + 1;
                at = end_of_text(json, start);
                text = &json[start..at];
            }
            _ => {}
        }
        at += 1;
    }
    written(&around)
}

/// Where the text that begins at a place ends: at its quote, or with the bytes.
fn end_of_text(json: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at.min(json.len())
}

fn written(around: &[Around<'_>]) -> String {
    let mut path = String::new();
    for one in around {
        match one {
            Around::Object([]) => {}
            Around::Object(key) => {
                let shown = &key[..key.len().min(KEY_BYTES_MAX)];
                let dot = if path.is_empty() { "" } else { "." };
                path.push_str(dot);
                path.push_str(&String::from_utf8_lossy(shown));
            }
            Around::Array(idx) => {
                // Writing to a text cannot fail.
                let _written = write!(path, "[{idx}]");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_the_value_that_was_read() {
        let json = r#"{"a": [{"b": 1}, {"c \" d": "x", "e": [1, 2"#;
        for (behind, expected) in [
            ("{", ""),
            (r#"{"a": "#, "a"),
            (r#"{"a": [{"b": 1"#, "a[0].b"),
            (r#"{"a": [{"b": 1}, {"#, "a[1]"),
            (r#"{"a": [{"b": 1}, {"c \" d": "x""#, r#"a[1].c \" d"#),
            (json, "a[1].e[1]"),
        ] {
            assert_eq!(path(json.as_bytes(), 1, behind.len()), expected, "{behind}");
        }
        assert_eq!(path(b"{\"a\":\n {\"b\":\n  tru", 3, 5), "a.b");
        assert_eq!(path(b"{\"a\": \"never ends", 1, 99), "a");
        assert_eq!(path(b"", 1, 0), "");
    }
}
