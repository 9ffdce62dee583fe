//! Types of options that several components have.

mod condition;
mod level;
mod listen;
mod pivot;
mod severity;
mod text_pattern;

pub use condition::Condition;
pub use condition::SignalName;
pub use condition::SpanStatus;
pub use gophership_units::Secret;
pub use level::AttributeLevel;
pub use listen::parse_listen;
pub use listen::read_listen;
pub use pivot::PivotOption;
pub use severity::Severity;
