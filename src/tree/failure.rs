//! What a decoder complains about, kept in its parts so that the message can be made readable.

use std::fmt;

use serde::de::Expected;
use serde::de::Unexpected;

use crate::tree::node::Step;

/// A complaint of a decoder, and the path of the value it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) path: Vec<Step>,
    pub(crate) fault: FailureKind,
}

/// What a decoder made, or its complaint.
pub(crate) type DecodeResult<T> = Result<T, FailureKind>;

/// The kinds of complaints serde knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FailureKind {
    #[error("{message}")]
    Custom { message: String },
    #[error("expected {expected}, found {found}")]
    Mismatch { expected: String, found: String },
    #[error("unknown choice `{variant}`")]
    UnknownVariant { variant: String, expected: &'static [&'static str] },
    #[error("unknown option `{field}`")]
    UnknownField { field: String, expected: &'static [&'static str] },
    #[error("missing option `{field}`")]
    MissingField { field: &'static str },
    #[error("option `{field}` is given twice")]
    DuplicateField { field: &'static str },
}

impl FailureKind {
    /// Replaces a value where messages quote it.
    pub(crate) fn without_secret(self, value: &str, template: &str) -> Self {
        let hide = |message: String| {
            let shown = format!("`{template}`");
            message
                .replace(&format!("`{value}`"), &shown)
                .replace(&format!("{value:?}"), &shown)
                .replace(&format!("the number {value}"), &shown)
        };
        match self {
            Self::Custom { message } => Self::Custom { message: hide(message) },
            Self::Mismatch { expected, found } => Self::Mismatch { expected, found: hide(found) },
            Self::UnknownVariant { expected, .. } => {
                Self::UnknownVariant { variant: template.to_owned(), expected }
            }
            other => other,
        }
    }
}

impl serde::de::Error for FailureKind {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom { message: message.to_string() }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Mismatch { expected: in_words(&expected.to_string()), found: found(unexpected) }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        let found = format!("{len} of them");
        Self::Mismatch { expected: in_words(&expected.to_string()), found }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownVariant { variant: variant.to_owned(), expected }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownField { field: field.to_owned(), expected }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField { field }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::DuplicateField { field }
    }
}

/// Says what stands in the document, in the words of its writer.
fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(value) => format!("the text `{value}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::UnitVariant => "a name alone".to_owned(),
        other => other.to_string(),
    }
}

/// Says what a Rust type expects, in the words of a reader who knows no Rust.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number, negative or not",
        "a nonzero u8" => "a whole number from 1 to 255",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" | "a nonzero usize" => "a whole number from 1 on",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" | "path string" | "string" => "a text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "socket address" | "IPv4 socket address" | "IPv6 socket address" => {
            "an address with a port, like 127.0.0.1:4317"
        }
        "unit" => "nothing",
        _ if expected.starts_with("struct ") => "a mapping of options",
        _ if expected.starts_with("enum ") || expected == "variant identifier" => {
            "one of the valid choices"
        }
        _ => expected,
    };
    words.to_owned()
}
