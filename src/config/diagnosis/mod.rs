//! What is wrong with a document: problems with their places, collected and shown without secrets.
//!
//! ```text
//!  Problem --place--> LocatedProblem --Findings--> ConfigErrors, each with its line of the text
//! ```

mod error;
mod findings;
mod hide;
mod nearest;
mod problem;

pub use error::ConfigError;
pub use error::ConfigErrors;
pub(super) use error::PROBLEMS_MAX;
pub(super) use findings::Findings;
pub(super) use hide::Secrets;
pub use nearest::nearest;
pub(super) use problem::LocatedProblem;
pub use problem::Problem;
