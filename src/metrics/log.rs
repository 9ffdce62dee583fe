//! The figures of the log.

use prometheus::IntCounter;

use crate::metrics::Builder;

/// The counters of the log.
#[derive(Clone)]
pub struct LogMetrics {
    /// Lines dropped because standard error did not take them in time.
    pub dropped: IntCounter,
    /// Lines left out because there were many of the same cause.
    pub suppressed: IntCounter,
    /// Attempts to write to standard error that failed.
    pub errors: IntCounter,
}

impl Builder {
    pub(super) fn log(&self) -> LogMetrics {
        let counter =
            |name: &str, help: &str| self.counter(name, &[], help).with_label_values::<&str>(&[]);
        LogMetrics {
            dropped: counter(
                "log_lines_dropped_total",
                "Log lines dropped because standard error was too slow.",
            ),
            suppressed: counter(
                "log_lines_suppressed_total",
                "Log lines suppressed because too many had the same cause.",
            ),
            errors: counter(
                "log_write_errors_total",
                "Failed writes to standard error; GopherShip retries them.",
            ),
        }
    }
}
