//! Halves of surrogate pairs in the texts of a JSON request: what JavaScript makes where it cuts a text
//! in the middle of a character. A parser refuses the whole request for one.

use std::ops::Range;

/// `\uD83D`: the escape of half a character.
const ESCAPE_LEN: usize = 6;
/// U+FFFD, the character that stands for what is none, in as many bytes.
const REPLACEMENT: &[u8; ESCAPE_LEN] = b"\\ufffd";

/// The same text with U+FFFD in place of each half of a pair; `None` if all are whole. All other bytes stay
/// where they are.
pub(super) fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = json.get(at..)?.iter().position(|byte| *byte == b'\\') {
        at += found;
        let len = match (code(json, at), code(json, at + ESCAPE_LEN)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE_LEN,
            (Some(0xd800..=0xdfff), _) => {
                let span: Range<usize> = at..at + ESCAPE_LEN;
                mended.get_or_insert_with(|| json.to_vec())[span].copy_from_slice(REPLACEMENT);
                ESCAPE_LEN
            }
            (Some(_), _) => ESCAPE_LEN,
            (None, _) => 2,
        };
        at += len;
    }
    mended
}

/// The number in the escape that begins at a place, if one with a number does.
fn code(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE_LEN)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.contains('+'))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_are_replaced_and_nothing_else() {
        for (json, expected) in [
            (r#""cut \ud83d""#, Some(r#""cut \ufffd""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\uDE00 \uD83D\u0041""#, Some(r#""\ufffd \ufffd\u0041""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""a \\ud83d""#, None),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            (r#""\ud8""#, None),
            (r#""\u+d83""#, None),
            ("\\", None),
            ("", None),
        ] {
            let found = mended(json.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(found.as_deref(), expected, "{json}");
        }
    }
}
