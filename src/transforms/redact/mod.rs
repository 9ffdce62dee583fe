//! The `redact` transform: takes personal data and secrets out of texts and attributes, on the wire
//! form.

mod card;
mod glob;
mod hash;
mod pattern;
mod redactor;
#[cfg(test)]
mod tests;
mod url;

use std::path::PathBuf;

use gophership_otlp::Position;
use gophership_otlp::Retained;
use gophership_otlp::Rewriter;
use gophership_otlp::WireError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::NamedFile;
use crate::component::OptionProblem;
use crate::component::Secret;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::settle;

use hash::Hasher;
use hash::KEY_BYTES_MIN;
use pattern::BuiltIn;
use pattern::Pattern;
use redactor::Redactor;

/// Each expression is looked for in each text.
const EXPRESSIONS_MAX: usize = 64;

/// Removes personal data and secrets from texts and attributes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RedactConfig {
    /// Built-in patterns to search for in texts (including keys of attributes and maps), in bytes,
    /// and in the digits of whole numbers. `website/redact.md` lists what each covers. A vault that
    /// takes requests from a source stores them unredacted.
    patterns: Vec<BuiltIn>,
    /// Regular expressions to search for, at most 64, without look-around and back-references. If
    /// an expression has a group, only the match of its first group is redacted.
    regex: Vec<String>,
    /// Attributes whose whole value is redacted, of any type, also inside key-value lists. `*`
    /// matches any text; case is ignored.
    keys: Vec<String>,
    /// Attributes that are never redacted, including everything inside them; written like `keys`.
    /// They override all other options.
    ignore_keys: Vec<String>,
    /// Where to search.
    places: Vec<PlaceName>,
    /// How a match is redacted.
    action: Action,
    /// The replacement text for `action: mask`.
    mask: String,
    /// The secret key for `action: hash`, at least 16 bytes, preferably as `${VARIABLE}`. Keep it
    /// secret: with the key, the value behind a hash can be found by trying all candidates.
    key: Option<Secret>,
    /// A file with the key, instead of `key`. GopherShip reads it again when it changes.
    key_file: Option<PathBuf>,
}

/// A place to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PlaceName {
    /// The bodies of log records.
    Body,
    /// The attributes of log records, spans, their events and links, metrics, data points and exemplars.
    Attributes,
    /// The attributes of resources, their references to entities, and the URLs of their schemas.
    Resource,
    /// Names, versions and attributes of instrumentation scopes, and the URLs of their schemas.
    Scope,
    /// All other texts: names of spans, events and metrics, descriptions, units, severities, messages of
    /// statuses, trace states.
    Names,
}

/// How a match is redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// Replace the match with `mask`.
    #[default]
    Mask,
    /// Replace the match with a hash of 32 hexadecimal digits, keyed with `key`. Equal values have
    /// equal hashes, so they can still be counted and correlated.
    Hash,
    /// Remove the match from the text. Attributes of `keys` are removed whole.
    Remove,
}

impl Default for RedactConfig {
    fn default() -> Self {
        use PlaceName::{Attributes, Body, Names, Resource, Scope};
        Self {
            patterns: Vec::new(),
            regex: Vec::new(),
            keys: Vec::new(),
            ignore_keys: Vec::new(),
            places: vec![Body, Attributes, Resource, Scope, Names],
            action: Action::default(),
            mask: "****".to_owned(),
            key: None,
            key_file: None,
        }
    }
}

inventory::submit! {
    ComponentInfo::transform::<RedactConfig>(
        "redact",
        "Removes personal data and secrets from texts and attributes.",
    )
}

impl PlaceName {
    const fn place(self) -> Position {
        match self {
            Self::Body => Position::Body,
            Self::Attributes => Position::Record,
            Self::Resource => Position::Resource,
            Self::Scope => Position::Scope,
            Self::Names => Position::Name,
        }
    }
}

impl RedactConfig {
    fn key_problem(&self) -> Option<OptionProblem> {
        let problem = |path: &str, message: &str| Some(OptionProblem::new(path, message));
        match (self.action, &self.key, &self.key_file) {
            (Action::Hash, None, None) => problem(
                "action",
                "`hash` needs a `key` or a `key_file`: without a key, anyone can find email \
                 addresses and card numbers by hashing all candidates",
            ),
            (_, Some(_), Some(_)) => problem("key_file", "give a `key` or a `key_file`, not both"),
            (Action::Mask | Action::Remove, Some(_), None) => {
                problem("key", "has no effect without `action: hash`")
            }
            (Action::Mask | Action::Remove, None, Some(_)) => {
                problem("key_file", "has no effect without `action: hash`")
            }
            (_, Some(Secret(key)), None) if key.len() < KEY_BYTES_MIN => {
                problem("key", &format!("must have at least {KEY_BYTES_MIN} bytes"))
            }
            _ => None,
        }
    }

    /// The patterns, each with its name in metrics.
    fn compile(&self) -> Result<Vec<(String, Pattern)>, String> {
        let built_in = self
            .patterns
            .iter()
            .map(|which| Ok((which.name().to_owned(), Pattern::built_in(*which)?)));
        let custom =
            self.regex.iter().enumerate().map(|(idx, expression)| {
                Ok((format!("regex.{idx}"), Pattern::custom(expression)?))
            });
        built_in.chain(custom).collect()
    }

    fn hasher(&self) -> Result<Option<Hasher>, BuildError> {
        match (&self.key, &self.key_file) {
            (Some(Secret(key)), _) => Ok(Some(Hasher::new(key.as_bytes()))),
            (None, Some(path)) => {
                Hasher::from_file(path).map(Some).map_err(|source| BuildError::Io {
                    operation: "read the key",
                    what: path.display().to_string(),
                    source,
                })
            }
            (None, None) => Ok(None),
        }
    }
}

impl TransformConfig for RedactConfig {
    fn protects(&self) -> Option<&'static str> {
        Some("personal data and secrets")
    }

    fn files(&self) -> Vec<NamedFile> {
        self.key_file.iter().map(|path| NamedFile::new("key_file", path)).collect()
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.patterns.is_empty() && self.regex.is_empty() && self.keys.is_empty() {
            let message = "needs `patterns`, `regex` or `keys`; otherwise it redacts nothing";
            problems.push(OptionProblem::new("", message));
        }
        if self.places.is_empty() {
            problems.push(OptionProblem::new("places", "needs at least one place to search"));
        }
        if self.regex.len() > EXPRESSIONS_MAX {
            let message = format!("at most {EXPRESSIONS_MAX} expressions");
            problems.push(OptionProblem::new("regex", message));
        }
        for (idx, expression) in self.regex.iter().enumerate().take(EXPRESSIONS_MAX) {
            let path = format!("regex.{idx}");
            match pattern::compile(expression) {
                Ok(regex) if regex.is_match(b"") => {
                    problems.push(OptionProblem::new(path, "matches the empty text"));
                }
                Ok(_) => {}
                Err(reason) => problems.push(OptionProblem::new(path, reason)),
            }
        }
        for (name, globs) in [("keys", &self.keys), ("ignore_keys", &self.ignore_keys)] {
            for (idx, _) in globs.iter().enumerate().filter(|(_, glob)| glob.is_empty()) {
                problems.push(OptionProblem::new(format!("{name}.{idx}"), "is empty"));
            }
        }
        problems.extend(self.key_problem());
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        let counter = |name: &str| context.metrics.redacted(context.id.as_str(), name);
        let compiled = self.compile().map_err(BuildError::Option)?;
        let patterns =
            compiled.into_iter().map(|(name, pattern)| (pattern, counter(&name))).collect();
        Ok(Box::new(Redact {
            id: context.id.clone(),
            rewriter: Rewriter::default(),
            redactor: Redactor::new(self, self.hasher()?, patterns, counter("keys")),
        }))
    }
}

struct Redact {
    id: ComponentId,
    rewriter: Rewriter,
    redactor: Redactor,
}

impl Transform for Redact {
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        self.apply_within(batch, usize::MAX).unwrap_or_else(Some)
    }

    fn apply_within(&mut self, batch: Batch, room: usize) -> Result<Option<Batch>, Batch> {
        let (kept, dropped) = (batch.records(), 0);
        let Self { id, rewriter, redactor } = self;
        redactor.begin(room);
        let left = match rewriter.apply(batch.signal(), batch.wire(), redactor, room) {
            Err(WireError::NoRoom { .. }) => return Err(batch),
            Ok(_) if redactor.is_over() => return Err(batch),
            other => other.map(|bytes| Retained { bytes, kept, dropped }),
        };
        redactor.count();
        Ok(settle(id, "redacted", batch, left))
    }
}
