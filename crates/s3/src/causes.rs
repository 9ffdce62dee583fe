//! The causes of an error, in one line.

use std::error::Error;

/// A line shows so many bytes of what others wrote.
const TEXT_BYTES_MAX: usize = 512;

/// Returns a text of others as one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    gophership_units::excerpt(&words, TEXT_BYTES_MAX).into_owned()
}

/// Returns an error and its causes, without those that repeat the one before.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    one_line(&text)
}

/// Whether an error or one of its causes is of a type.
pub(crate) fn any<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<T>() {
            return true;
        }
        cause = error.source();
    }
    false
}
