//! The way out of log lines: a bounded queue in front of standard error, and a limit for lines of the
//! same cause.
//!
//! Whoever logs never waits for whoever reads the log, and no error of standard error reaches it.

mod filter;
mod repeat;
mod writer;

pub use filter::LogFilter;
pub use repeat::RepeatLimit;
pub use writer::Line;
pub use writer::LogWriter;
