//! Codes of a backend that mean something else than OTLP says.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de;
use tonic::Code;

use gophership_http_client::Answer;

/// The names, by their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A code of gRPC, or a status of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOption {
    /// A code of gRPC.
    Grpc(Code),
    /// A status of HTTP.
    Http(u16),
}

impl fmt::Display for CodeOption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc(code) => {
                let name = usize::try_from(*code as i32).ok().and_then(|code| NAMES.get(code));
                formatter.write_str(name.copied().unwrap_or_default())
            }
            Self::Http(status) => write!(formatter, "{status}"),
        }
    }
}

impl CodeOption {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(code) = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            let code = Code::from_i32(i32::try_from(code).ok()?);
            return (code != Code::Ok).then_some(Self::Grpc(code));
        }
        text.parse().ok().filter(|status| (300..=599).contains(status)).map(Self::Http)
    }
}

impl Serialize for CodeOption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Grpc(_) => serializer.serialize_str(&self.to_string()),
            Self::Http(status) => serializer.serialize_u16(*status),
        }
    }
}

impl<'de> Deserialize<'de> for CodeOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl de::Visitor<'_> for Form {
    type Value = CodeOption;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a gRPC error code, like INTERNAL, or an HTTP status from 300 to 599")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CodeOption, E> {
        CodeOption::read(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<CodeOption, E> {
        CodeOption::read(&number.to_string())
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}

impl schemars::JsonSchema for CodeOption {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "string", "enum": NAMES[1..] },
                { "type": "integer", "minimum": 300, "maximum": 599 },
            ],
        })
    }
}

/// Which codes mean something else.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    /// Sending it again cannot help.
    pub last: Vec<CodeOption>,
    /// Sending it again may help.
    pub again: Vec<CodeOption>,
}

impl Codes {
    pub(crate) fn of_grpc(&self, code: Code, answer: Answer) -> Answer {
        self.judge(CodeOption::Grpc(code), answer)
    }

    pub(crate) fn of_http(&self, status: http::StatusCode, answer: Answer) -> Answer {
        self.judge(CodeOption::Http(status.as_u16()), answer)
    }

    fn judge(&self, code: CodeOption, answer: Answer) -> Answer {
        let (Answer::Denied { reason }
        | Answer::Rejected { reason }
        | Answer::Retry { reason, .. }) = &answer
        else {
            return answer;
        };
        if self.last.contains(&code) {
            return Answer::Rejected { reason: reason.clone() };
        }
        let is_new = !matches!(answer, Answer::Retry { .. });
        if is_new && self.again.contains(&code) {
            return Answer::Retry { after: None, reason: reason.clone() };
        }
        answer
    }

    /// The codes that are in both lists.
    #[must_use]
    pub fn both(&self) -> Option<CodeOption> {
        self.last.iter().copied().find(|code| self.again.contains(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;

    #[test]
    fn codes_are_names_or_numbers() {
        let read = |text: &str| serde_json::from_str::<CodeOption>(text);
        for (text, code) in [
            ("\"INTERNAL\"", CodeOption::Grpc(Code::Internal)),
            ("\"unauthenticated\"", CodeOption::Grpc(Code::Unauthenticated)),
            ("500", CodeOption::Http(500)),
            ("\"404\"", CodeOption::Http(404)),
        ] {
            assert_eq!(read(text).unwrap(), code, "{text}");
            assert_eq!(read(&serde_json::to_string(&code).unwrap()).unwrap(), code, "{text}");
        }
        for text in ["\"OK\"", "200", "600", "\"BROKEN\"", "13", "true", "-1"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("a gRPC error code"), "{text}: {error}");
        }
        for (number, name) in NAMES.into_iter().enumerate().skip(1) {
            let code = Code::from_i32(i32::try_from(number).unwrap());
            let plain = |text: &str| text.replace('_', "").to_uppercase();
            assert_eq!(plain(&format!("{code:?}")), plain(name));
        }
    }

    #[test]
    fn what_is_named_means_what_it_is_named_for() {
        let codes = Codes {
            last: vec![CodeOption::Grpc(Code::Internal), CodeOption::Http(503)],
            again: vec![CodeOption::Grpc(Code::InvalidArgument), CodeOption::Http(400)],
        };
        let of_grpc = |code| codes.of_grpc(code, judge::of_grpc(code, "", None));
        assert!(matches!(of_grpc(Code::Internal), Answer::Rejected { .. }));
        assert!(matches!(of_grpc(Code::InvalidArgument), Answer::Retry { .. }));
        assert!(matches!(of_grpc(Code::Unknown), Answer::Denied { .. }));
        let of_http = |status: u16| {
            let status = http::StatusCode::from_u16(status).unwrap();
            codes.of_http(status, judge::of_http(status, None))
        };
        assert!(matches!(of_http(503), Answer::Rejected { .. }));
        assert!(matches!(of_http(400), Answer::Retry { .. }));
        assert!(matches!(of_http(413), Answer::Rejected { .. }));
    }
}
