//! The `console` sink: shows on standard output what passes, as a summary or as OTLP JSON.

use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use gophership_units::HumanDuration;
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::RunError;
use crate::component::Sink;
use crate::component::SinkConfig;
use crate::component::Stop;
use crate::event::Batch;
use crate::event::Signal;
use crate::flow::EdgeReceiver;
use crate::metrics::SinkMetrics;

/// Lines are written in pieces, so that their memory does not depend on the request. It goes as deep
/// as decoders do: one record that is too deep would have its whole request refused.
const JSON_LIMITS: gophership_otlp::DecodeLimits =
    gophership_otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

/// A pipe that takes nothing now is tried again after this long.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Writes to standard output.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ConsoleConfig {
    /// The output format.
    format: Format,
    /// How often the sink writes a summary. It writes none if no records arrived.
    every: HumanDuration,
    /// The last line was not written to its end. Shared by all lives of the sink, as the options are.
    #[serde(skip)]
    is_torn: Arc<AtomicBool>,
}

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// A line with counts, once per `every`.
    Summary,
    /// One line of OTLP JSON per request.
    Json,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        let every = HumanDuration(Duration::from_secs(1));
        Self { format: Format::Summary, every, is_torn: Arc::default() }
    }
}

inventory::submit! {
    ComponentInfo::sink::<ConsoleConfig>(
        "console",
        "Writes a summary or all records to standard output.",
    )
}

#[async_trait]
impl SinkConfig for ConsoleConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        if self.every.0.is_zero() {
            return vec![OptionProblem::new("every", "must be more than 0")];
        }
        Vec::new()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        if self.format == Format::Json && is_closed() {
            let problem = "standard output is closed; `format: json` needs it";
            return Err(BuildError::Option(problem.to_owned()));
        }
        let metrics = context.metrics.sink(context.id.as_str());
        Ok(Box::new(Console { config: self.clone(), metrics, counts: Counts::default() }))
    }
}

struct Console {
    config: ConsoleConfig,
    metrics: SinkMetrics,
    counts: Counts,
}

/// What passed since the last summary.
#[derive(Default)]
struct Counts {
    requests: u64,
    records: [u64; Signal::ALL.len()],
    bytes: u64,
}

impl Counts {
    fn add(&mut self, batch: &Batch) {
        self.requests += 1;
        self.bytes += batch.cost_bytes();
        for (signal, count) in Signal::ALL.iter().zip(&mut self.records) {
            if *signal == batch.signal() {
                *count += batch.records();
            }
        }
    }

    fn line(&self) -> String {
        let of = |signal: Signal| {
            let position = Signal::ALL.iter().position(|known| *known == signal);
            position.and_then(|idx| self.records.get(idx)).copied().unwrap_or(0)
        };
        format!(
            "{} log records, {} spans, {} data points in {} requests, {} bytes\n",
            of(Signal::Logs),
            of(Signal::Traces),
            of(Signal::Metrics),
            self.requests,
            self.bytes,
        )
    }
}

#[async_trait]
impl Sink for Console {
    async fn run(mut self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let mut tick = tokio::time::interval(self.config.every.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => self.summarise(&stop).await?,
                batch = input.recv() => match batch {
                    Some(batch) => self.show(batch, &stop).await?,
                    None => return self.summarise(&stop).await,
                },
            }
        }
    }
}

impl Console {
    async fn show(&mut self, batch: Batch, stop: &Stop) -> Result<(), RunError> {
        if self.config.format == Format::Json {
            let (signal, wire) = (batch.signal(), batch.wire().clone());
            let show = move |out: &mut Lines<File>| {
                let line = match gophership_otlp::JsonLine::of(signal, &wire, &JSON_LIMITS) {
                    Ok(line) => line,
                    Err(error) => return Ok(Err(error)),
                };
                line.write(&mut Vec::new(), out).map(Ok)
            };
            match self.write(show, stop).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "Cannot print a request.");
                    self.metrics.rejected.inc();
                    batch.rejected_for(&error.to_string().into());
                    return Ok(());
                }
                Err(error) => {
                    self.metrics.retries.inc();
                    batch.failed();
                    return Err(error);
                }
            }
        }
        self.counts.add(&batch);
        let received = [batch.received_unix_ns()];
        self.metrics.deliver(batch.records(), batch.cost_bytes(), received);
        batch.delivered();
        Ok(())
    }

    async fn summarise(&mut self, stop: &Stop) -> Result<(), RunError> {
        let counts = std::mem::take(&mut self.counts);
        if self.config.format == Format::Summary && counts.requests > 0 {
            self.write(move |out| out.write_all(counts.line().as_bytes()), stop).await?;
        }
        Ok(())
    }

    /// Writes on a blocking thread, which is left behind if whoever reads it stands still at the end. A
    /// closed pipe is an error as any other: what nobody has read is not delivered.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Lines<File>) -> io::Result<T> + Send + 'static,
        stop: &Stop,
    ) -> Result<T, RunError> {
        let is_torn = Arc::clone(&self.config.is_torn);
        let write = tokio::task::spawn_blocking(move || {
            // Without the buffer of `Stdout`, which would keep what failed and write it again later.
            let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            work(&mut Lines { out, is_torn, is_begun: false })
        });
        let written = tokio::select! {
            written = write => written.unwrap_or_else(|panic| Err(io::Error::other(panic))),
            () = stop.cancelled() => Err(io::ErrorKind::TimedOut.into()),
        };
        written.map_err(|source| {
            let what = "standard output".to_owned();
            RunError::Io { operation: "write to", what, source }
        })
    }
}

/// Writes a line, in as many pieces as it comes, behind the end of the one before.
struct Lines<W> {
    out: W,
    /// The last line was not written to its end.
    is_torn: Arc<AtomicBool>,
    /// Something of this line was written.
    is_begun: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if !self.is_begun && self.is_torn.load(Ordering::Relaxed) {
            write_all(&mut self.out, b"\n", &self.is_torn)?;
        }
        self.is_begun = true;
        write_all(&mut self.out, piece, &self.is_torn)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes everything, and notes whether what is written ends within a line.
#[expect(
    clippy::disallowed_methods,
    reason = "it has to know what was written before an error, and runs on a blocking thread"
)]
fn write_all(out: &mut impl Write, piece: &[u8], is_torn: &AtomicBool) -> io::Result<()> {
    let mut rest = piece;
    while !rest.is_empty() {
        let failed = match out.write(rest) {
            Ok(written) if written > 0 => {
                let (done, left) = rest.split_at(written.min(rest.len()));
                is_torn.store(!done.ends_with(b"\n"), Ordering::Relaxed);
                rest = left;
                continue;
            }
            Ok(_nothing) => io::ErrorKind::WriteZero.into(),
            Err(error) => error,
        };
        match failed.kind() {
            io::ErrorKind::Interrupted => {}
            // Somebody made the pipe non-blocking, and its reader is slow.
            io::ErrorKind::WouldBlock => std::thread::sleep(WRITE_AGAIN_AFTER),
            _ => return Err(failed),
        }
    }
    Ok(())
}

/// Whether standard output was closed when the process started: then the runtime has opened
/// `/dev/null` in its place, for reading and writing, as nobody does who means it.
fn is_closed() -> bool {
    let out = io::stdout();
    let is_null = rustix::fs::fstat(&out).is_ok_and(|stat| {
        let null = rustix::fs::stat("/dev/null").map(|null| (null.st_mode, null.st_rdev));
        null == Ok((stat.st_mode, stat.st_rdev))
    });
    let flags = rustix::fs::fcntl_getfl(&out);
    is_null && flags.is_ok_and(|flags| flags.intersection(OFlags::RWMODE) == OFlags::RDWR)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, and then nothing.
    struct Small(Vec<u8>, usize);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1 - self.0.len()).min(3);
            self.0.extend(bytes.iter().take(taken));
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_torn_line_is_known_until_it_is_ended() {
        let (mut out, is_torn) = (Small(Vec::new(), 10), AtomicBool::new(false));
        write_all(&mut out, b"12345\n", &is_torn).unwrap();
        assert!(!is_torn.load(Ordering::Relaxed));
        write_all(&mut out, b"12345\n", &is_torn).unwrap_err();
        assert!(is_torn.load(Ordering::Relaxed));
        write_all(&mut out, b"\n", &is_torn).unwrap_err();
        assert!(is_torn.load(Ordering::Relaxed), "not one byte was written");
        out.1 += 10;
        write_all(&mut out, b"\n", &is_torn).unwrap();
        assert!(!is_torn.load(Ordering::Relaxed));
        assert_eq!(out.0, b"12345\n1234\n");
    }
    #[test]
    fn a_line_in_pieces_stands_behind_the_end_of_a_torn_one() {
        let is_torn = Arc::new(AtomicBool::new(false));
        let lines = |room| Lines {
            out: Small(Vec::new(), room),
            is_torn: Arc::clone(&is_torn),
            is_begun: false,
        };
        let mut first = lines(8);
        first.write_all(b"12345").unwrap();
        first.write_all(b"6789\n").unwrap_err();
        assert_eq!(first.out.0, b"12345678");
        let mut second = lines(20);
        for piece in [&b"ab"[..], b"cd", b"ef\n"] {
            second.write_all(piece).unwrap();
        }
        assert_eq!(second.out.0, b"\nabcdef\n");
        let mut third = lines(20);
        third.write_all(b"x\n").unwrap();
        assert_eq!(third.out.0, b"x\n");
    }
}
