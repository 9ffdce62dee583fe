//! Texts of others, such as what a backend said, on their way into a log or to a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// More of a reason is neither logged nor kept. It holds what a backend said, which is shorter, and what is said
/// about that; together with what [`excerpt`] adds it fits into 1 KiB.
pub const REASON_BYTES_MAX: usize = 960;

/// Returns the text without control characters: an escape sequence would colour, move or rename a terminal,
/// and a line end would forge a line of a log. Each stands there as what it is written as, like `\u{1b}`
/// or `\n`.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_dangerous(letter) {
            // Writing to a text cannot fail.
            let _written = write!(shown, "{}", letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Returns [`one_line`] of the text, of which at most `bytes_max` bytes are shown; what follows then says how
/// many bytes of the text are not, as in `no room... 1234 bytes more`.
///
/// A text that was made by this stays as it is if `bytes_max` has room for both parts.
#[must_use]
pub fn excerpt(text: &str, bytes_max: usize) -> Cow<'_, str> {
    // What is shown is never shorter than the text.
    let looked_at = text.floor_char_boundary(bytes_max);
    let (head, rest) = text.split_at_checked(looked_at).unwrap_or((text, ""));
    let shown = one_line(head);
    if rest.is_empty() && shown.len() <= bytes_max {
        return shown;
    }
    let (mut cut, mut left) = (String::with_capacity(bytes_max + 32), text.len());
    for letter in head.chars() {
        let mut bytes = [0; 4];
        let letter = letter.encode_utf8(&mut bytes);
        let written = one_line(letter);
        if bytes_max < cut.len() + written.len() {
            break;
        }
        cut.push_str(&written);
        left -= letter.len();
    }
    // Writing to a text cannot fail.
    let _written = write!(cut, "... {left} bytes more");
    Cow::Owned(cut)
}

/// Control characters, and those that change the direction in which a text is read.
fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::excerpt;
    use super::one_line;

    #[test]
    fn control_characters_are_shown_and_do_nothing() {
        for (text, shown) in [
            ("plain text: 7 %", "plain text: 7 %"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("abc\u{202e}def", "abc\\u{202e}def"),
            ("\u{e4}\u{1f980}", "\u{e4}\u{1f980}"),
        ] {
            assert_eq!(one_line(text), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut_and_what_is_left_out_is_counted() {
        for (text, bytes_max, shown) in [
            ("short", 5, "short"),
            ("longer", 5, "longe... 1 bytes more"),
            ("", 0, ""),
            ("x", 0, "... 1 bytes more"),
            // A letter is shown whole or not at all.
            ("a\u{e4}\u{e4}", 4, "a\u{e4}... 2 bytes more"),
            ("\u{1b}\u{1b}x", 6, "\\u{1b}... 2 bytes more"),
            ("\0\0\0", 100, "\\u{0}\\u{0}\\u{0}"),
        ] {
            let cut = excerpt(text, bytes_max);
            assert_eq!(cut, shown, "{text:?}");
            assert_eq!(excerpt(&cut, 100), cut, "cut once");
        }
        assert_eq!(excerpt(&"\n".repeat(1 << 20), 512).len(), 512 + "... 1048320 bytes more".len());
    }
}
