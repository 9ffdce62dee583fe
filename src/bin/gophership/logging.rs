//! Logs to standard error, as text or JSON; panics too.
//!
//! Logging never waits and never fails: see [`gophership::logs`].

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use gophership::logs::LogFilter;
use gophership::logs::LogWriter;
use gophership::logs::RepeatLimit;
use gophership::metrics::Metrics;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::LogFormat;
use crate::args::RunArgs;

/// The log of the process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Logging {
    writer: LogWriter,
    filter: LogFilter,
}

impl Logging {
    /// Says something that no filter leaves out.
    pub(crate) fn say(&self, text: &str) {
        self.writer.put(text);
    }

    /// Which lines are logged.
    pub(crate) fn filter(&self) -> LogFilter {
        self.filter.clone()
    }

    /// Waits until everything is written, at most for a time: perhaps nobody reads it.
    pub(crate) fn flush(&self, within: Duration) {
        self.writer.flush(within);
    }
}

/// Starts logging.
pub(crate) fn start(args: &RunArgs, metrics: &Metrics) -> Result<Logging, String> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|error| format!("--log {:?} is not a filter: {error}", args.log))?;
    let refused = |error| format!("cannot start the thread of the log: {error}");
    let out = File::from(std::io::stderr().as_fd().try_clone_to_owned().map_err(refused)?);
    let repeats = Arc::new(RepeatLimit::new(metrics.log.suppressed.clone()));
    let bytes_max = usize::try_from(args.log_buffer.0).unwrap_or(usize::MAX);
    let limit = Arc::clone(&repeats);
    let writer = LogWriter::start(out, bytes_max, metrics.log.clone(), repeats).map_err(refused)?;
    // An error of the writer would be printed to standard error, which panics if that fails.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(writer.clone());
    let (filter, started) = match args.log_format {
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            let builder = builder.with_ansi(is_terminal).with_target(false).with_filter_reloading();
            let filter = changeable(&args.log, builder.reload_handle());
            (filter, builder.finish().with(limit.layer()).try_init())
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let filter = changeable(&args.log, builder.reload_handle());
            (filter, builder.finish().with(limit.layer()).try_init())
        }
    };
    started.map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "Panic.");
    }));
    Ok(Logging { writer, filter })
}

/// The filter in force, which a command may change.
fn changeable<S: 'static>(text: &str, handle: Handle<EnvFilter, S>) -> LogFilter {
    LogFilter::new(text, move |text| {
        let filter = EnvFilter::try_new(text)
            .map_err(|error| format!("{text:?} is not a filter: {error}"))?;
        handle.reload(filter).map_err(|error| error.to_string())
    })
}
