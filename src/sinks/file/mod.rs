//! The `file` sink: OTLP JSON lines, rotated by size and age.

mod output;
mod rotation;

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::Resource;
use crate::component::RunError;
use crate::component::Sink;
use crate::component::SinkConfig;
use crate::component::Site;
use crate::component::Stop;
use crate::event::Batch;
use crate::event::Signal;
use crate::flow::EdgeReceiver;
use crate::metrics::FileMetrics;
use crate::metrics::SinkMetrics;
use crate::somatic::WatchedWorkCounter;
use crate::somatic::WorkKind;

use output::GoneFile;
use output::OutputFile;
use output::Rules;

/// Lines are written in pieces, so that their memory does not depend on the request. It goes as deep
/// as decoders do: one record that is too deep would have its whole request refused.
const JSON_LIMITS: gophership_otlp::DecodeLimits =
    gophership_otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

/// Batches written at once, and so synced at once.
const GROUP_LEN_MAX: usize = 64;
const GROUP_BYTES_MAX: u64 = 4 << 20;
/// What its batches do while they are written.
const WAITS: &str = "groups of batches wait for the disk";
/// Stands for the signal's name in a path.
const SIGNAL: &str = "{signal}";

/// Writes requests as lines of OTLP JSON.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    /// The file; `{signal}` stands for `logs`, `traces` or `metrics`. The sink creates the
    /// directory. If the file is moved or removed, the sink creates it again before the next line.
    /// Pipes and devices are neither rotated nor synced; a pipe must have a reader.
    path: PathBuf,
    /// When the sink starts a new file.
    #[serde(default)]
    rotate: RotateConfig,
    /// When the sink syncs written lines to the device. A request counts as delivered once its line
    /// is written; with `always`, once its line is synced.
    #[serde(default)]
    fsync: Fsync,
}

/// When the sink starts a new file; the old one gets the time appended to its name, as
/// `NAME.SECONDS.NANOSECONDS`. Files with other names are never deleted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RotateConfig {
    /// The size at which the file is rotated.
    size: ByteSize,
    /// The age at which the file is rotated.
    age: HumanDuration,
    /// How many rotated files to keep. Older ones are deleted; 0 keeps all.
    keep: u32,
}

impl Default for RotateConfig {
    fn default() -> Self {
        Self { size: ByteSize(128 << 20), age: HumanDuration(Duration::from_hours(24)), keep: 10 }
    }
}

/// When the sink syncs written lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Fsync {
    /// The operating system decides.
    #[default]
    Never,
    /// Once a second.
    Interval,
    /// Before a request counts as delivered.
    Always,
}

inventory::submit! {
    ComponentInfo::sink::<FileConfig>("file", "Writes requests as lines of OTLP JSON.")
}

impl FileConfig {
    /// Whether each signal has a file of its own.
    fn is_split(&self) -> bool {
        self.path.to_string_lossy().contains(SIGNAL)
    }

    /// The files, each with the signal it is for; one that is for all stands under the first.
    fn files(&self) -> Vec<(Signal, PathBuf)> {
        let signals = if self.is_split() { Signal::ALL.as_slice() } else { &Signal::ALL[..1] };
        let text = self.path.to_string_lossy();
        let path = |signal: &Signal| PathBuf::from(text.replace(SIGNAL, signal.name()));
        signals.iter().map(|signal| (*signal, path(signal))).collect()
    }
}

#[async_trait]
impl SinkConfig for FileConfig {
    fn resources(&self, _site: &Site<'_>) -> Vec<Resource> {
        self.files().into_iter().map(|(_, path)| Resource::File(path)).collect()
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.path.file_name().is_none() {
            problems.push(OptionProblem::new("path", "must name a file"));
        }
        if self.rotate.size.0 == 0 {
            problems.push(OptionProblem::new("rotate.size", "must be more than 0"));
        }
        problems
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let rules = Rules {
            bytes: self.rotate.size.0,
            age: self.rotate.age.0,
            keep: self.rotate.keep as usize,
        };
        let mut files = Vec::new();
        for (signal, path) in self.files() {
            let opened = OutputFile::open(path.clone(), rules);
            let opened = opened.map_err(|source| refused(&path, source))?;
            files.push((signal, opened));
        }
        let metrics = context.metrics.sink(context.id.as_str());
        let counts = context.metrics.sink_file(context.id.as_str());
        let (is_split, scratch) = (self.is_split(), Vec::new());
        let files = Files { open: files, is_split, fsync: self.fsync, counts, scratch };
        let tally = context.gauges.work_probes.count(context.id.as_str(), WAITS, WorkKind::Inside);
        Ok(Box::new(FileSink { files, metrics, tally, reopen: context.reopen.clone() }))
    }
}

struct FileSink {
    files: Files,
    metrics: SinkMetrics,
    /// Groups that are being written, for the watchdog.
    tally: WatchedWorkCounter,
    /// Changes when the operator wants outputs to be opened again.
    reopen: watch::Receiver<u64>,
}

/// The open files: one per signal, or one for all.
struct Files {
    open: Vec<(Signal, OutputFile)>,
    is_split: bool,
    fsync: Fsync,
    counts: FileMetrics,
    /// Where pieces of lines are put together.
    scratch: Vec<u8>,
}

/// What became of a batch.
#[derive(PartialEq, Eq)]
enum Fate {
    Written,
    /// The file did not take it.
    Failed,
    /// It cannot be shown as JSON, for this reason.
    Unreadable(String),
}

/// What became of a group.
type Written = (Files, Vec<(Batch, Fate)>, io::Result<()>);

impl Files {
    /// Writes a group; called on a blocking thread.
    fn write(mut self, group: Vec<Batch>) -> Written {
        let (mut fates, mut result) = self.append(&group);
        if result.is_ok() && self.open.iter().any(|(_, file)| file.is_removed()) {
            // Somebody removed a file just now: the group is written once more, where it is found.
            (fates, result) = self.append(&group);
        }
        if self.fsync == Fsync::Always && fates.contains(&Fate::Written) {
            let synced = self.sync();
            if synced.is_err() {
                let written = fates.iter_mut().filter(|fate| **fate == Fate::Written);
                written.for_each(|fate| *fate = Fate::Failed);
                result = synced;
            }
        }
        (self, group.into_iter().zip(fates).collect(), result)
    }

    /// Appends a group, as far as the files take it.
    fn append(&mut self, group: &[Batch]) -> (Vec<Fate>, io::Result<()>) {
        let mut result = self.look();
        let mut append = |batch: &Batch| {
            let line = gophership_otlp::JsonLine::of(batch.signal(), batch.wire(), &JSON_LIMITS);
            let line = match line {
                Ok(line) => line,
                Err(error) => return Fate::Unreadable(error.to_string()),
            };
            if result.is_ok() {
                result = self.write_line(batch.signal(), &line);
            }
            if result.is_ok() { Fate::Written } else { Fate::Failed }
        };
        let fates = group.iter().map(&mut append).collect();
        (fates, result)
    }

    fn write_line(
        &mut self,
        signal: Signal,
        line: &gophership_otlp::JsonLine<'_>,
    ) -> io::Result<()> {
        let Self { open, is_split, scratch, .. } = self;
        let file = open.iter_mut().find(|(of, _)| !*is_split || *of == signal);
        let Some((_, file)) = file else { return Ok(()) };
        file.append(line.bytes_max(), |out| line.write(scratch, out))
    }

    /// Opens what was moved or removed again.
    fn look(&mut self) -> io::Result<()> {
        for (_, file) in &mut self.open {
            if let Some(gone) = file.look()? {
                tell(&self.counts, &gone);
            }
        }
        Ok(())
    }

    /// Opens everything again.
    fn reopen(&mut self) -> io::Result<()> {
        for (_, file) in &mut self.open {
            let gone = file.reopen()?;
            self.counts.removed_bytes.inc_by(gone.removed_bytes);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open.iter_mut().try_for_each(|(_, file)| file.sync())
    }

    /// What is done once a second.
    fn tend(&mut self) -> io::Result<()> {
        self.look()?;
        if self.fsync == Fsync::Interval { self.sync() } else { Ok(()) }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn run(self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let Self { mut files, metrics, tally, mut reopen } = *self;
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reopen.mark_unchanged();
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => {
                    files = blocking(files, &stop, Files::tend).await?;
                    continue;
                }
                Ok(()) = reopen.changed() => {
                    files = blocking(files, &stop, Files::reopen).await?;
                    continue;
                }
                batch = input.recv() => batch,
            };
            let Some(first) = first else {
                return blocking(files, &stop, Files::sync).await.map(drop);
            };
            let group = group(first, &mut input);
            let under_way = tally.begin();
            let written = tokio::task::spawn_blocking(move || files.write(group));
            let written = tokio::select! {
                written = written => written,
                // The disk, or whoever reads the pipe, stands still: the thread is left behind.
                () = stop.cancelled() => return Ok(()),
            };
            drop(under_way);
            tally.done();
            let (back, settled, result) = written.map_err(|panic| failure(panic.into()))?;
            files = back;
            settle(settled, &metrics);
            // What was not written was given back to its sources; the sink is opened anew, after a while.
            result.map_err(failure)?;
        }
    }
}

/// What is waiting already is written together with the first batch.
fn group(first: Batch, input: &mut EdgeReceiver) -> Vec<Batch> {
    let mut bytes = first.cost_bytes();
    let mut group = vec![first];
    while group.len() < GROUP_LEN_MAX && bytes < GROUP_BYTES_MAX {
        let Some(batch) = input.try_recv() else { break };
        bytes += batch.cost_bytes();
        group.push(batch);
    }
    group
}

fn settle(batches: Vec<(Batch, Fate)>, metrics: &SinkMetrics) {
    for (batch, fate) in batches {
        match fate {
            Fate::Written => {
                let received = [batch.received_unix_ns()];
                metrics.deliver(batch.records(), batch.cost_bytes(), received);
                batch.delivered();
            }
            Fate::Failed => {
                metrics.retries.inc();
                batch.failed();
            }
            Fate::Unreadable(reason) => {
                tracing::warn!(%reason, "Cannot write a request as JSON; it is rejected.");
                metrics.rejected.inc();
                batch.rejected_for(&reason.into());
            }
        }
    }
}

/// Does something with the files on a blocking thread, which is left behind if it hangs at the end.
async fn blocking(
    mut files: Files,
    stop: &Stop,
    work: impl FnOnce(&mut Files) -> io::Result<()> + Send + 'static,
) -> Result<Files, RunError> {
    let done = tokio::task::spawn_blocking(move || work(&mut files).map(|()| files));
    tokio::select! {
        done = done => done.map_err(|panic| failure(panic.into()))?.map_err(failure),
        () = stop.cancelled() => Err(failure(io::ErrorKind::TimedOut.into())),
    }
}

fn tell(counts: &FileMetrics, gone: &GoneFile) {
    let GoneFile { path, removed_bytes } = gone;
    counts.reopened.inc();
    counts.removed_bytes.inc_by(*removed_bytes);
    let path = path.display();
    tracing::warn!(%path, removed_bytes, "File was moved or removed; the sink created it again.");
}

/// What the system refuses may pass, unless the path itself is wrong.
fn refused(path: &Path, source: io::Error) -> BuildError {
    let (operation, what) = ("open", path.display().to_string());
    match source.kind() {
        io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::IsADirectory => BuildError::Io { operation, what, source },
        _ => BuildError::NotYet { operation, what, source },
    }
}

fn failure(source: io::Error) -> RunError {
    RunError::Io { operation: "write", what: "the file".to_owned(), source }
}
