//! Texts of others, such as what a backend said, on their way into a log or to a terminal.

use std::borrow::Cow;
use std::fmt::Write;

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

/// Control characters, and those that change the direction in which a text is read.
fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
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
}
