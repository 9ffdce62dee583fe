//! Types of options that several components have.

mod condition;
mod level;
mod pivot;
mod secret;

pub use condition::Condition;
pub use condition::Severity;
pub use condition::SignalName;
pub use level::AttributeLevel;
pub use pivot::PivotOption;
pub use secret::Secret;
