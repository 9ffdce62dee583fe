//! Finds user names and passwords in URLs.

use std::ops::Range;

/// A password with a slash in it is looked for as far as this behind the scheme.
const PASSWORD_BYTES_MAX: usize = 256;

/// Calls `found` with what stands between `://` and `@` where that may be secret: with a password, and
/// in a URL of the web without one too, where it is a token. `ssh://git@host` has a name only.
///
/// Each byte is looked at a bounded number of times.
pub(super) fn find(text: &[u8], mut found: impl FnMut(Range<usize>)) {
    if !text.contains(&b'@') {
        return;
    }
    let mut at = 0;
    while let Some(start) = next(text, at) {
        at = start;
        if let Some(end) = user_end(text, start) {
            let user = text.get(start..end).unwrap_or_default();
            if !user.is_empty() && (user.contains(&b':') || is_web(text, start)) {
                found(start..end);
                at = end;
            }
        }
    }
}

/// The place behind the next `://`.
fn next(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    loop {
        let colon = text.get(at..)?.iter().position(|byte| *byte == b':')?;
        at += colon + 1;
        if text.get(at..)?.starts_with(b"//") {
            return Some(at + 2);
        }
    }
}

/// Where the user ends that begins at `start`: at the last `@` before the host.
fn user_end(text: &[u8], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'`<>\\".contains(byte);
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    if let Some(sign) = authority.iter().rposition(|byte| *byte == b'@') {
        return Some(start + sign);
    }
    // A password with a slash, a question mark or the like that should have been escaped: what is
    // behind the colon is no port then.
    let colon = authority.iter().position(|byte| *byte == b':')?;
    let behind = authority.get(colon + 1..)?;
    if authority.starts_with(b"[") || behind.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let beyond = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`<>".contains(byte);
    let near = rest.get(..rest.len().min(PASSWORD_BYTES_MAX))?;
    let near = near.get(..near.iter().position(beyond).unwrap_or(near.len()))?;
    near.iter().rposition(|byte| *byte == b'@').map(|sign| start + sign)
}

/// Whether the scheme before `start` is one of the web.
fn is_web(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).and_then(|text| text.strip_suffix(b"://")).unwrap_or_default();
    let ends = |scheme: &[u8]| {
        let tail = before.len().checked_sub(scheme.len()).and_then(|at| before.get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(scheme))
    };
    [&b"http"[..], b"https", b"ws", b"wss"].into_iter().any(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut places = Vec::new();
        find(text.as_bytes(), |place| places.push(place));
        places.into_iter().map(|place| text.get(place).unwrap()).collect()
    }

    #[test]
    fn users_with_passwords_are_found_in_any_scheme() {
        for (text, user) in [
            ("redis://:p4ss@redis:6379", ":p4ss"),
            ("at http://admin:hunter2@10.1.2.3/, twice", "admin:hunter2"),
            ("postgres://u:p@ss@db/x", "u:p@ss"),
            ("amqp://u:a/b+c@mq", "u:a/b+c"),
            ("\"mongodb+srv://u:p?x@m.example\"", "u:p?x"),
            ("https://ghp_x@github.com/a", "ghp_x"),
            ("https://sk_live_x:@api.stripe.com", "sk_live_x:"),
            ("x://u:p@[::1]:1", "u:p"),
        ] {
            assert_eq!(found(text), [user], "{text}");
        }
        assert_eq!(found("a://b:c@d e://f:g@h"), ["b:c", "f:g"]);
    }

    #[test]
    fn hosts_ports_and_paths_are_left() {
        for text in [
            "http://host:8080/a@b",
            "http://host/?mail=a@b.c",
            "http://[::1]:80/a@b",
            "ssh://git@github.com/x",
            "://",
            "http://@host",
            "std::vec::Vec @ a://",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_time_grows_with_the_text() {
        for piece in ["://", "://a:b", "://a:b/", ":", "://a:@"] {
            let text = piece.repeat(200_000 / piece.len());
            let begun = std::time::Instant::now();
            find(text.as_bytes(), |_| {});
            assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{piece}");
        }
    }
}
