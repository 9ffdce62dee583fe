//! Names with `*` for any text, without regard to case.

/// Whether a pattern matches a whole name. The time is bounded by the product of their lengths.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut name_at) = (0, 0);
    // Behind the last star: where the pattern goes on, and how much of the name the star has.
    let mut star = None;
    while let Some(byte) = name.get(name_at) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, name_at));
                at += 1;
            }
            Some(wanted) if wanted.eq_ignore_ascii_case(byte) => {
                at += 1;
                name_at += 1;
            }
            _ => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                at = behind;
                name_at = taken + 1;
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let is_match = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        for name in ["http.header.Authorization", "AUTHORIZATION"] {
            assert!(is_match("*authorization", name), "{name}");
        }
        assert!(is_match("*.secret*", "a.b.secret"));
        assert!(is_match("a*b*c", "aXbXbXc"));
        assert!(is_match("*", ""));
        assert!(!is_match("password", "password.length"));
        assert!(!is_match("a*b", "aXc"));
        assert!(!is_match("", "a"));
        assert!(!is_match("secret*key", "secretKe"));
    }
}
