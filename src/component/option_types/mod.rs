//! Types of options that several components have.

mod condition;
mod level;
mod pivot;

pub use condition::Condition;
pub use condition::Severity;
pub use condition::SignalName;
pub use gophership_units::Secret;
pub use level::AttributeLevel;
pub use pivot::PivotOption;
