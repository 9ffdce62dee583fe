//! What an error must not show of the text it is about: secrets that are written out in it.
//!
//! An error shows the line it is about, and a line may hold the value of a header, the key of
//! `redact`, or an endpoint with a password. Each character of those is shown as a star, so that
//! columns stay what they are.

use crate::tree::Node;
use crate::tree::NodeValue;

/// Words in names of options whose line is not shown when it is not known what stands in it.
const WORDS: [&str; 8] =
    ["authorization", "password", "passwd", "secret", "token", "api-key", "api_key", "key"];

/// What is shorter is no secret, and may stand anywhere.
const TEXT_LEN_MIN: usize = 6;

/// With more of them than this nothing is shown of any line, which needs no look for each.
const TEXTS_MAX: usize = 256;

/// The secrets of one document.
#[derive(Debug, Default)]
pub(in crate::config) struct Secrets {
    /// Longest first, so that none is left in part.
    texts: Vec<String>,
    /// Whether the document could be read, so that `texts` are all there are.
    is_known: bool,
}

impl Secrets {
    /// Collects the secrets of a document before interpolation: what comes from the environment is
    /// never shown anyway.
    pub(in crate::config) fn of(root: &Node) -> Self {
        let mut texts = Vec::new();
        visit(root, &mut texts);
        texts.retain(|text| TEXT_LEN_MIN <= text.len());
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self { texts, is_known: true }
    }

    /// Returns a line of the document, or a message about it, without secrets.
    pub(in crate::config) fn hide(&self, text: &str) -> String {
        if TEXTS_MAX < self.texts.len() {
            return stars(text);
        }
        let mut shown = text.to_owned();
        for secret in self.texts.iter().flat_map(|secret| secret.lines()) {
            let secret = secret.trim();
            if !secret.is_empty() {
                shown = shown.replace(secret, &stars(secret));
            }
        }
        shown = without_users(&shown);
        if self.is_known { shown } else { without_values(&shown) }
    }
}

fn visit(node: &Node, texts: &mut Vec<String>) {
    match &node.value {
        NodeValue::Map(entries) => {
            let is_redact = node.get("type").is_some_and(|it| it.node.text() == Some("redact"));
            for entry in entries {
                match entry.key.as_str() {
                    "headers" | "credentials" => collect(&entry.node, texts),
                    "key" if is_redact => collect(&entry.node, texts),
                    _ => visit(&entry.node, texts),
                }
            }
        }
        NodeValue::Seq(items) => items.iter().for_each(|item| visit(item, texts)),
        NodeValue::Scalar(_) | NodeValue::StandIn(_) => {}
    }
}

/// All scalars of a node.
fn collect(node: &Node, texts: &mut Vec<String>) {
    match &node.value {
        NodeValue::Map(entries) => entries.iter().for_each(|entry| collect(&entry.node, texts)),
        NodeValue::Seq(items) => items.iter().for_each(|item| collect(item, texts)),
        NodeValue::Scalar(scalar) => texts.push(scalar.text.clone()),
        NodeValue::StandIn(_) => {}
    }
}

/// Hides what stands between `://` and `@`.
fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "\"'`,".contains(c));
        let url = after.get(..end.unwrap_or(after.len())).unwrap_or(after);
        let user = url.rsplit_once('@').map_or("", |(user, _)| user);
        shown.push_str(&stars(user));
        rest = after.get(user.len()..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

/// Hides all that follows a name that announces a secret.
fn without_values(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let value = |word: &&str| {
        let start = lower.find(word)?;
        let colon = lower.get(start..)?.find(':')?;
        Some(start + colon + 1)
    };
    let Some(start) = WORDS.iter().filter_map(value).min() else { return line.to_owned() };
    let (name, value) = line.split_at_checked(start).unwrap_or((line, ""));
    format!("{name}{}", stars(value))
}

/// As many stars as a text has characters; blanks stay.
fn stars(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_in_urls_and_values_behind_telling_names_are_hidden() {
        assert_eq!(without_users("a: http://u:p/w@h:1, b"), "a: http://*****@h:1, b");
        assert_eq!(without_users("http://h:1 u@h"), "http://h:1 u@h");
        assert_eq!(without_users("x://a@b x://c@d"), "x://*@b x://*@d");
        assert_eq!(without_values("  authorization: Bearer x"), "  authorization: ****** *");
        assert_eq!(without_values("  inputs: [a]"), "  inputs: [a]");
        assert_eq!(without_values("  \"key\": abc"), "  \"key\": ***", "quotes end the word");
        let texts = vec!["hunter2".to_owned(); 257];
        let all = Secrets { texts, is_known: true };
        assert_eq!(all.hide("a hunter2 b"), "* ******* *", "too many to look for each");
    }
}
