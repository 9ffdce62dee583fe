//! A scalar, presented as the type that is wanted.

use serde::de::Visitor;

use crate::tree::failure::FailureKind;
use crate::tree::node::Plain;
use crate::tree::node::Scalar;

/// The scalar types that a text from the environment may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Anything,
    Bool,
    Integer,
    Float,
    Text,
}

/// Lets the visitor see a scalar. A text that came from the environment becomes a number or
/// boolean where one is wanted, and everything but an absent value is a text where that is wanted.
/// The booleans of YAML 1.1 (`on`, `off`, `yes`, `no`) are booleans where one is wanted.
pub(super) fn visit_scalar<'de, V: Visitor<'de>>(
    scalar: &Scalar,
    wanted: Wanted,
    visitor: V,
) -> Result<V::Value, FailureKind> {
    let text = scalar.text.as_str();
    let is_loose = scalar.template.is_some() && scalar.plain == Plain::Text;
    let plain = match wanted {
        Wanted::Text if scalar.plain != Plain::Null => Plain::Text,
        Wanted::Bool if scalar.plain == Plain::Text => {
            let parsed = || text.parse().ok().filter(|_| is_loose);
            switch(text).or_else(parsed).map_or(Plain::Text, Plain::Bool)
        }
        Wanted::Integer if is_loose => {
            let signed = || text.parse().map_or(Plain::Text, Plain::Signed);
            text.parse().map_or_else(|_| signed(), Plain::Unsigned)
        }
        Wanted::Float if is_loose => text.parse().map_or(Plain::Text, Plain::Float),
        _ => scalar.plain,
    };
    match plain {
        Plain::Null => visitor.visit_unit(),
        Plain::Bool(value) => visitor.visit_bool(value),
        Plain::Unsigned(value) => visitor.visit_u64(value),
        Plain::Signed(value) => visitor.visit_i64(value),
        Plain::Float(value) => visitor.visit_f64(value),
        Plain::Text => visitor.visit_str(text),
    }
}

/// Finds the name that a scalar chooses. Tools that write YAML 1.1, such as Helm, make booleans of `on`
/// and `off`.
pub(super) fn choice<'a>(scalar: &'a Scalar, variants: &'static [&'static str]) -> &'a str {
    let name = match (scalar.plain, switch(&scalar.text)) {
        (Plain::Bool(true), _) | (_, Some(true)) => "on",
        (Plain::Bool(false), _) | (_, Some(false)) => "off",
        _ => return &scalar.text,
    };
    if variants.contains(&name) { name } else { &scalar.text }
}

/// Says which names a choice has.
pub(super) fn variants_list(variants: &[&str]) -> String {
    format!("one of {}", variants.join(", "))
}

/// Reads what YAML 1.1 calls a boolean beside `true` and `false`.
fn switch(text: &str) -> Option<bool> {
    let is = |name: &&str| text.eq_ignore_ascii_case(name);
    match text {
        _ if ["on", "yes"].iter().any(is) => Some(true),
        _ if ["off", "no"].iter().any(is) => Some(false),
        _ => None,
    }
}
