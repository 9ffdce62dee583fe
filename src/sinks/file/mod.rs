//! The `file` sink: OTLP JSON lines, rotated by size and age.

mod rotation;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::config::ByteSize;
use crate::config::ComponentInfo;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::config::Resource;
use crate::config::Section;
use crate::config::SinkConfig;
use crate::config::Site;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::RunError;
use crate::config::running::Sink;
use crate::config::running::Stop;
use crate::event::Batch;
use crate::event::Signal;
use crate::flow::EdgeReceiver;
use crate::metrics::SinkMetrics;
use crate::otlp;
use crate::somatic::Counted;
use crate::somatic::Part;

use rotation::RotatingFile;
use rotation::Rules;

/// The conversion streams, so its memory is bounded by the size of the request already. It goes as
/// deep as decoders do: one record that is too deep would have its whole request refused.
const JSON_LIMITS: otlp::DecodeLimits =
    otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

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
    /// The file; `{signal}` stands for `logs`, `traces` or `metrics`. Its directory is created.
    path: PathBuf,
    /// When a new file is begun.
    #[serde(default)]
    rotate: RotateConfig,
    /// When written lines are synced to the device. A request counts as delivered when its line is
    /// written, and with `always` when it is synced.
    #[serde(default)]
    fsync: Fsync,
}

/// When a new file is begun; the old one gets the time in seconds appended to its name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RotateConfig {
    /// At this size.
    size: ByteSize,
    /// At this age.
    age: HumanDuration,
    /// Old files to keep; older ones are deleted. 0 keeps all.
    keep: u32,
}

impl Default for RotateConfig {
    fn default() -> Self {
        Self { size: ByteSize(128 << 20), age: HumanDuration(Duration::from_hours(24)), keep: 10 }
    }
}

/// When written lines are synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Fsync {
    /// Left to the operating system.
    #[default]
    Never,
    /// Once a second.
    Interval,
    /// Before a request counts as delivered.
    Always,
}

inventory::submit! {
    ComponentInfo {
        section: Section::Sink,
        name: "file",
        summary: "Writes requests as lines of OTLP JSON.",
        schema: |generator| generator.subschema_for::<FileConfig>(),
    }
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
#[typetag::serde(name = "file")]
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
            let opened = RotatingFile::open(path.clone(), rules).map_err(|source| {
                BuildError::Io { operation: "open", what: path.display().to_string(), source }
            })?;
            files.push((signal, opened));
        }
        let metrics = context.metrics.sink(context.id.as_str());
        let files = Files { open: files, is_split: self.is_split(), fsync: self.fsync };
        let tally = context.vitals.duties.count(context.id.as_str(), WAITS, Part::Inside);
        Ok(Box::new(FileSink { files, metrics, tally }))
    }
}

struct FileSink {
    files: Files,
    metrics: SinkMetrics,
    /// Groups that are being written, for the watchdog.
    tally: Counted,
}

/// The open files: one per signal, or one for all.
struct Files {
    open: Vec<(Signal, RotatingFile)>,
    is_split: bool,
    fsync: Fsync,
}

/// What became of a group: the batches, each with whether it can be shown as JSON at all.
type Written = (Files, Vec<(Batch, bool)>, std::io::Result<()>);

impl Files {
    /// Writes a group; called on a blocking thread.
    fn write(mut self, group: Vec<Batch>) -> Written {
        let mut settled = Vec::with_capacity(group.len());
        let mut result = Ok(());
        let mut line = Vec::new();
        for batch in group {
            line.clear();
            let shown = otlp::wire_to_json(batch.signal(), batch.wire(), &JSON_LIMITS, &mut line);
            line.push(b'\n');
            if shown.is_ok() && result.is_ok() {
                result = self.file(batch.signal()).map_or(Ok(()), |file| file.append(&line));
            }
            settled.push((batch, shown.is_ok()));
        }
        if self.fsync == Fsync::Always && result.is_ok() {
            result = self.sync();
        }
        (self, settled, result)
    }

    fn file(&mut self, signal: Signal) -> Option<&mut RotatingFile> {
        let is_split = self.is_split;
        self.open.iter_mut().find(|(of, _)| !is_split || *of == signal).map(|(_, file)| file)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.open.iter_mut().try_for_each(|(_, file)| file.sync())
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn run(self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let Self { mut files, metrics, tally } = *self;
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => {
                    if files.fsync == Fsync::Interval {
                        files = sync(files).await?;
                    }
                    continue;
                }
                batch = input.recv() => batch,
            };
            let Some(first) = first else { return sync(files).await.map(drop) };
            let group = group(first, &mut input);
            let under_way = tally.begin();
            let written = tokio::task::spawn_blocking(move || files.write(group)).await;
            drop(under_way);
            tally.done();
            let (back, settled, result) = written.map_err(|panic| failure(panic.into()))?;
            files = back;
            settle(settled, result.is_ok(), &metrics);
            // The group was given back to its sources; the sink is opened anew, after a while.
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

fn settle(batches: Vec<(Batch, bool)>, is_written: bool, metrics: &SinkMetrics) {
    for (batch, is_readable) in batches {
        if !is_readable {
            metrics.rejected.inc();
            batch.rejected();
        } else if is_written {
            metrics.requests.inc();
            metrics.records.inc_by(batch.records());
            metrics.bytes.inc_by(batch.cost_bytes());
            batch.delivered();
        } else {
            metrics.retries.inc();
            batch.failed();
        }
    }
}

async fn sync(mut files: Files) -> Result<Files, RunError> {
    let synced = tokio::task::spawn_blocking(move || files.sync().map(|()| files)).await;
    synced.map_err(|panic| failure(panic.into()))?.map_err(failure)
}

fn failure(source: std::io::Error) -> RunError {
    RunError::Io { operation: "write", what: "the file".to_owned(), source }
}
