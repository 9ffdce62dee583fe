//! The finished configuration, and what is asked about it.

mod config;
mod diff;
mod files;
mod replay;
mod show;
mod transform_chain;
mod values;

pub use config::Config;
pub use config::SinkEntry;
pub use config::SourceEntry;
pub use config::TransformEntry;
pub use diff::ConfigDiff;
pub use diff::SectionDiff;
pub use files::FileChanges;
pub use files::UnreadableFile;
pub(super) use replay::add_missing;
pub use transform_chain::Leg;
