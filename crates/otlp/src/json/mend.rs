//! Halves of surrogate pairs in the texts of a JSON request: what JavaScript makes where it cuts a text
//! in the middle of a character. A parser refuses the whole request for one.

use std::borrow::Cow;

/// `\uD83D`: the escape of half a character.
const ESCAPE_LEN: usize = 6;
/// U+FFFD, the character that stands for what is none, in as many bytes.
const REPLACEMENT: &[u8; ESCAPE_LEN] = b"\\ufffd";

/// The same text with U+FFFD in place of each half of a pair; `None` if all are whole. All other bytes stay
/// where they are.
pub(super) fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let first = next_half(json, 0)?;
    let mut mended = json.to_vec();
    mend(&mut mended, first);
    Some(mended)
}

/// The same text with U+FFFD in place of what is not UTF-8, too.
pub(super) fn whole_text(json: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(json).is_ok() {
        return mended(json).map_or(Cow::Borrowed(json), Cow::Owned);
    }
    let invalid = json.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    let mut text =
        Vec::with_capacity(json.len() + invalid * char::REPLACEMENT_CHARACTER.len_utf8());
    for chunk in json.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    mend(&mut text, 0);
    Cow::Owned(text)
}

/// Replaces all halves from `at` on.
fn mend(json: &mut [u8], mut at: usize) {
    while let Some(half) = next_half(json, at) {
        at = half + ESCAPE_LEN;
        json[half..at].copy_from_slice(REPLACEMENT);
    }
}

/// Where the next half of a pair begins.
fn next_half(json: &[u8], mut at: usize) -> Option<usize> {
    while let Some(found) = json.get(at..)?.iter().position(|byte| *byte == b'\\') {
        at += found;
        at += match (code(json, at), code(json, at + ESCAPE_LEN)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE_LEN,
            (Some(0xd800..=0xdfff), _) => return Some(at),
            (Some(_), _) => ESCAPE_LEN,
            (None, _) => 2,
        };
    }
    None
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
    fn what_is_not_utf_8_is_replaced_too() {
        for (json, expected) in [
            (&b"\"caf\xe9 \\ud83d\""[..], "\"caf\u{fffd} \\ufffd\""),
            (b"\"\xff\xfe\"", "\"\u{fffd}\u{fffd}\""),
            ("\"caf\u{e9}\"".as_bytes(), "\"caf\u{e9}\""),
            (b"\"\\ud83d\"", "\"\\ufffd\""),
        ] {
            assert_eq!(std::str::from_utf8(&whole_text(json)), Ok(expected));
        }
    }

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
