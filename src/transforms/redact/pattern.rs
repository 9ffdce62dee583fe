//! What is looked for: built-in patterns, and regular expressions of the configuration.

use std::net::Ipv6Addr;
use std::ops::Range;

use regex::bytes::Regex;
use regex::bytes::RegexBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::card;
use super::url;

/// Memory that one compiled expression may take, in bytes.
const COMPILED_BYTES_MAX: usize = 8 << 20;

/// The last part of the domain has no digit, so that `name@1.2.3` is a version and stays.
const EMAIL: &str = r"[\w.+'%-]+(?:@|%40)(?:[\w-]+\.)+[\w--\d]+";
const IPV4: &str = r"(?-u:\b)(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?-u:\b)";
const IPV6: &str = r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*";
/// Words that announce credentials, JSON web tokens, keys of well-known services, private keys.
const TOKEN: &str = concat!(
    r"(?:(?i:bearer|basic)[ ]+[A-Za-z0-9._~+/-]{8,}=*",
    r"|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"|gh[pousr]_[A-Za-z0-9]{36,}",
    r"|github_pat_[A-Za-z0-9_]{22,}",
    r"|glpat-[A-Za-z0-9_-]{20,}",
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"|sk-[A-Za-z0-9_-]{20,}",
    r"|AIza[A-Za-z0-9_-]{35}",
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z))",
);

/// The id of a key of AWS, whose secret stands near it.
const AWS_ID: &str = r"(?:AKIA|ASIA)[A-Z0-9]{16}";
/// A word that announces the secret of such a key.
const AWS_WORD: &str = r"(?i)secret[_-]?(?:access)?[_-]?key";
/// The secret of such a key is a word of its own, of letters, digits, `/` and `+`.
const AWS_SECRET_BYTES: usize = 40;
/// No token is shorter.
const TOKEN_BYTES_MIN: usize = 11;

/// A built-in pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BuiltIn {
    /// Email addresses, also with `%40` for the `@`, but not `git@host:path`.
    Email,
    /// Card numbers of 12 to 19 digits with the prefix of an issuer and a valid check digit (Luhn).
    /// They may contain spaces, hyphens or dots.
    Card,
    /// Text after `Bearer` or `Basic`; users and passwords in URLs; JSON web tokens; AWS keys and
    /// their secrets; keys of GitHub, GitLab, Google, `OpenAI`, Slack and Stripe; PEM private keys.
    Token,
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
}

impl BuiltIn {
    /// The name in the configuration and in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Card => "card",
            Self::Token => "token",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Something to look for.
#[derive(Debug)]
pub(super) enum Pattern {
    Email(Regex),
    Card,
    Token {
        regex: Regex,
        aws: Aws,
    },
    Ipv4(Regex),
    Ipv6(Regex),
    /// Of an expression with a group, only what the first group matches.
    Custom(Regex),
}

/// What the secret of a key of AWS is recognised by: it has no form of its own.
#[derive(Debug)]
pub(super) struct Aws {
    id: Regex,
    word: Regex,
}

impl Aws {
    fn new() -> Result<Self, String> {
        Ok(Self { id: compile(AWS_ID)?, word: compile(AWS_WORD)? })
    }

    /// Calls `found` with each secret in a text that has an id too, or a word that announces one.
    fn find(&self, text: &[u8], mut found: impl FnMut(Range<usize>)) {
        let mut is_near = None;
        let of_secrets = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+');
        // A word as long as that has a byte at a multiple of its length.
        let mut at = AWS_SECRET_BYTES - 1;
        while let Some(byte) = text.get(at) {
            if of_secrets(byte) {
                let (before, after) = text.split_at(at);
                let start = at - before.iter().rev().take_while(|byte| of_secrets(byte)).count();
                let end = at + after.iter().take_while(|byte| of_secrets(byte)).count();
                let is_secret = is_aws_secret(text.get(start..end).unwrap_or_default());
                let mut is_announced = || self.id.is_match(text) || self.word.is_match(text);
                if is_secret && *is_near.get_or_insert_with(&mut is_announced) {
                    found(start..end);
                }
                at = end;
            }
            at += AWS_SECRET_BYTES;
        }
    }
}

/// Whether a word is as long as the secret of a key, and as mixed; a digest in hexadecimal digits is not.
fn is_aws_secret(word: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| word.iter().any(is);
    word.len() == AWS_SECRET_BYTES
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

/// Compiles an expression of the configuration.
///
/// # Errors
///
/// What is wrong with it, in one line.
pub(super) fn compile(expression: &str) -> Result<Regex, String> {
    // The form for texts refuses what could cut a character in two.
    let checked = regex::RegexBuilder::new(expression).size_limit(COMPILED_BYTES_MAX).build();
    let compiled = RegexBuilder::new(expression).size_limit(COMPILED_BYTES_MAX).build();
    let last_line = |error: regex::Error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    };
    checked.map_err(last_line)?;
    compiled.map_err(last_line)
}

impl Pattern {
    pub(super) fn built_in(which: BuiltIn) -> Result<Self, String> {
        Ok(match which {
            BuiltIn::Email => Self::Email(compile(EMAIL)?),
            BuiltIn::Card => Self::Card,
            BuiltIn::Token => Self::Token { regex: compile(TOKEN)?, aws: Aws::new()? },
            BuiltIn::Ipv4 => Self::Ipv4(compile(IPV4)?),
            BuiltIn::Ipv6 => Self::Ipv6(compile(IPV6)?),
        })
    }

    pub(super) fn custom(expression: &str) -> Result<Self, String> {
        compile(expression).map(Self::Custom)
    }

    /// Calls `found` with each place in a text that matches. Takes no memory where none does.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(Range<usize>)) {
        match self {
            Self::Card => card::find(text, found),
            Self::Email(regex) if text.contains(&b'@') || text.contains(&b'%') => {
                let is_mail = |place: &Range<usize>| !is_repository(text, place);
                regex.find_iter(text).map(|place| place.range()).filter(is_mail).for_each(found);
            }
            Self::Token { regex, aws } if may_have_token(text) => {
                let is_token = |place: &Range<usize>| !is_prose(&text[place.clone()]);
                let tokens = regex.find_iter(text).map(|place| place.range());
                tokens.filter(is_token).for_each(&mut found);
                aws.find(text, &mut found);
                url::find(text, found);
            }
            Self::Token { .. } => url::find(text, found),
            Self::Ipv4(regex) if may_have_ipv4(text) => {
                let is_whole = |place: &Range<usize>| !continues(text, place, b'.');
                regex.find_iter(text).map(|place| place.range()).filter(is_whole).for_each(found);
            }
            Self::Ipv6(regex) if text.contains(&b':') => {
                let ranges = regex.find_iter(text).map(|place| place.range());
                ranges.filter_map(|place| ipv6(text, place)).for_each(found);
            }
            Self::Email(_) | Self::Ipv4(_) | Self::Ipv6(_) => {}
            Self::Custom(regex) if regex.captures_len() > 1 => {
                if regex.is_match(text) {
                    let groups = regex.captures_iter(text).filter_map(|groups| groups.get(1));
                    groups.for_each(|place| found(place.range()));
                }
            }
            Self::Custom(regex) => regex.find_iter(text).for_each(|place| found(place.range())),
        }
    }
}

/// Whether a text is long enough for a token and has what every token has: a digit, a capital, or padding.
/// Most names of attributes have none, and are not searched.
fn may_have_token(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'=';
    TOKEN_BYTES_MIN <= text.len() && text.iter().any(is_mark)
}

/// Whether a text has as many dots and digits as an address.
fn may_have_ipv4(text: &[u8]) -> bool {
    let count = |is: fn(&&u8) -> bool| text.iter().filter(is).count();
    3 <= count(|byte| **byte == b'.') && 4 <= count(|byte| byte.is_ascii_digit())
}

/// Whether what looks like a mail address is that of a repository, as `git@github.com:x`.
fn is_repository(text: &[u8], place: &Range<usize>) -> bool {
    let address = text.get(place.clone()).unwrap_or_default();
    let is_tool = [&b"git@"[..], b"hg@", b"svn@"].iter().any(|tool| address.starts_with(tool));
    let before = text.get(..place.start).unwrap_or_default();
    is_tool && (matches!(text.get(place.end), Some(b':' | b'/')) || before.ends_with(b"://"))
}

/// Whether a word behind `Basic` or `Bearer` is one of a sentence: tokens have digits, capitals
/// inside, or padding.
fn is_prose(text: &[u8]) -> bool {
    let Some(space) = text.iter().position(|byte| *byte == b' ') else { return false };
    let is_announced = matches!(space, 5 | 6) && text[0].is_ascii_alphabetic();
    let inside = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'=';
    is_announced && !text.iter().skip(space).skip_while(|byte| **byte == b' ').skip(1).any(inside)
}

/// Whether numbers go on beyond a place, as in `1.2.3.4.5`.
fn continues(text: &[u8], place: &Range<usize>, separator: u8) -> bool {
    let is = |at: Option<usize>, wanted: &dyn Fn(u8) -> bool| {
        at.and_then(|at| text.get(at)).is_some_and(|byte| wanted(*byte))
    };
    let digit = |byte: u8| byte.is_ascii_digit();
    let separates = |byte: u8| byte == separator;
    let before =
        is(place.start.checked_sub(1), &separates) && is(place.start.checked_sub(2), &digit);
    before || (is(Some(place.end), &separates) && is(Some(place.end + 1), &digit))
}

/// The address at a place that looks like one, without a full stop or colon behind it.
fn ipv6(text: &[u8], place: Range<usize>) -> Option<Range<usize>> {
    let is_word = |at: Option<usize>| {
        at.and_then(|at| text.get(at))
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let mut candidate = std::str::from_utf8(&text[place.clone()]).ok()?;
    if is_word(place.start.checked_sub(1)) {
        return None;
    }
    loop {
        let end = place.start + candidate.len();
        let has_digit = candidate.bytes().any(|byte| byte.is_ascii_digit());
        if has_digit && !is_word(Some(end)) && candidate.parse::<Ipv6Addr>().is_ok() {
            return Some(place.start..end);
        }
        candidate = candidate.strip_suffix(['.', ':'])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pattern finds in a text.
    fn found<'t>(pattern: &Pattern, text: &'t str) -> Vec<&'t str> {
        let mut places = Vec::new();
        pattern.find(text.as_bytes(), |place| places.push(place));
        places.into_iter().map(|place| text.get(place).unwrap()).collect()
    }

    #[track_caller]
    fn finds(which: BuiltIn, cases: &[(&str, &[&str])]) {
        let pattern = Pattern::built_in(which).unwrap();
        for (text, expected) in cases {
            assert_eq!(&found(&pattern, text), expected, "{which:?} in {text}");
        }
    }

    #[test]
    fn mail_addresses_are_found_and_versions_are_not() {
        finds(
            BuiltIn::Email,
            &[
                ("from jo.o'hara+x@mail.example.com, now", &["jo.o'hara+x@mail.example.com"]),
                ("/u?mail=jo%40example.com&x=1", &["jo%40example.com"]),
                ("<j\u{fc}rgen@b\u{fc}cher.example>", &["j\u{fc}rgen@b\u{fc}cher.example"]),
                ("a@b.cd;e@f.gh", &["a@b.cd", "e@f.gh"]),
                ("react@18.2.0 user@host 50% @home.", &[]),
            ],
        );
    }

    #[test]
    fn tokens_are_found_and_prose_is_not() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        finds(
            BuiltIn::Token,
            &[
                ("authorization: Bearer abcdef123456.x", &["Bearer abcdef123456.x"]),
                ("basic dXNlcjpwYXNz", &["basic dXNlcjpwYXNz"]),
                (jwt, &[jwt]),
                (&format!("x {key} y"), &[key]),
                ("key AKIAIOSFODNN7EXAMPLE!", &["AKIAIOSFODNN7EXAMPLE"]),
                ("uses Basic authentication, a bearer contract", &[]),
                ("sk-learn and risk-assessment", &[]),
            ],
        );
    }

    #[test]
    fn addresses_are_found_and_what_looks_like_them_is_not() {
        finds(
            BuiltIn::Ipv4,
            &[
                ("from 10.0.0.255:80, 8.8.8.8.", &["10.0.0.255", "8.8.8.8"]),
                ("version 1.2.3.4.5 or 256.1.1.1 or 1.2.3", &[]),
            ],
        );
        finds(
            BuiltIn::Ipv6,
            &[
                ("[2001:db8::1]:443 and fe80::1.", &["2001:db8::1", "fe80::1"]),
                ("::ffff:10.0.0.1 at ::1: yes", &["::ffff:10.0.0.1", "::1"]),
                ("12:30:45 std::vec::Vec abc::add a:b:c", &[]),
            ],
        );
    }

    #[test]
    fn of_an_expression_with_a_group_only_the_group_is_found() {
        let whole = Pattern::custom("password=[^ ]+").unwrap();
        let group = Pattern::custom("(?i)password=([^ ]+)").unwrap();
        let text = "login password=hunter2 Password=x end";
        assert_eq!(found(&whole, text), ["password=hunter2"]);
        assert_eq!(found(&group, text), ["hunter2", "x"]);
    }

    #[test]
    fn expressions_that_cut_characters_or_are_too_large_are_refused() {
        assert!(compile("(?-u:\\xff)").is_err());
        assert!(compile("(?:\\w{1000}){1000}").is_err());
        assert_eq!(compile("(").unwrap_err(), "unclosed group");
        assert!(compile("(?=x)").unwrap_err().contains("look-around"));
    }
}
