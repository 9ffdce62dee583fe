//! C10: the `file` sink is cut off from power, or killed, or its disk is full or fails for a while; its OK releases
//! the vault's copy of a request.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use gophership_otlp::Signal;

use crate::harness::Metrics;
use crate::harness::Shape;
use crate::harness::json;
use crate::suite::Run;
use crate::suite::Suite;

use super::disk::Kind;
use super::disk::Place;
use super::server;
use super::server::Scene;
use super::shutdown;
use super::shutdown::Cut;
use super::strace;

/// Between the last line and the cut, with `interval`: it syncs once a second.
const SYNCED_WITHIN: Duration = Duration::from_millis(2_500);

pub(super) const SUITE: Suite = Suite {
    id: "C10",
    title: "power cut, kill -9, a full disk and EIO under a file sink: `always` has every line, `interval` those of a second before, `never` those before a kill",
    fast: 18,
    long: 400,
    run,
};

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: off }
sinks:
  lines:
    type: file
    inputs: [otlp]
    path: "$OUT/deep/{signal}.jsonl"
    fsync: $FSYNC
    rotate: { size: 128KiB, keep: 0 }
"#;

/// The same with a vault, which is on another disk and has what the file does not take.
const WITH_VAULT: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 300ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  lines:
    type: file
    inputs: [otlp, replay]
    path: "$OUT/deep/{signal}.jsonl"
    fsync: $FSYNC
    rotate: { size: 128KiB, keep: 0 }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 1MiB }
"#;
/// What a ballast leaves of the disk that fills up.
const LEFT: u64 = 1 << 20;
/// Writes and syncs of the files that fail: one of each kind of each thread.
const FAILING: &str = "write,fdatasync,fsync:error=EIO:when=20";
const FAILS_WITHIN: Duration = Duration::from_secs(20);
/// The sink waits longer after each failure until it is opened again.
const DELIVERED_WITHIN: Duration = Duration::from_mins(1);

/// What is done to the server, and what must be there afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// `always`, and the power is cut: every line is there.
    Always,
    /// `interval`, and the power is cut when a sync must have been: every line is there.
    Interval,
    /// `never`, and it is killed: every line is there.
    Killed,
    /// `never`, and the power is cut: lines are lost, or the cut was none.
    Control,
    /// `always`, the disk is full for a while, and when the vault is empty again the power is cut: every line is
    /// there.
    Full,
    /// The same with writes and syncs that fail.
    Failing,
}

impl Case {
    const ALL: [Self; 6] =
        [Self::Always, Self::Interval, Self::Killed, Self::Control, Self::Full, Self::Failing];

    /// The same for the same seed, or a run could not be repeated alone.
    fn of(seed: u64) -> Self {
        let idx = usize::try_from(seed % Self::ALL.len() as u64).expect("a short list");
        Self::ALL[idx]
    }

    const fn fsync(self) -> &'static str {
        match self {
            Self::Always | Self::Full | Self::Failing => "always",
            Self::Interval => "interval",
            Self::Killed | Self::Control => "never",
        }
    }
}

/// Figures of the suite.
#[derive(Default)]
struct Sums {
    kept: usize,
    /// Lost where nothing was promised, which shows that the cuts are real.
    lost_unsynced: usize,
}

fn run(run: &mut Run) {
    let mut sums = Sums::default();
    for seed in run.seed..run.seed + run.runs {
        let case = Case::of(seed);
        let ended = match case {
            Case::Full | Case::Failing => server::block_on(fail(case, seed, &mut sums)),
            _ => server::block_on(end(case, seed, &mut sums)),
        };
        if let Err(violation) = ended {
            run.violation(seed, format!("{case:?}: {violation}"));
        }
        run.done(1);
    }
    if sums.kept == 0 {
        run.violation(run.seed, "nothing was compared");
    }
    if Case::ALL.len() as u64 <= run.runs && sums.lost_unsynced == 0 {
        run.violation(run.seed, "no cut threw away a line that was not synced");
    }
    run.note(format!(
        "{} acknowledged records kept, {} lost where none was promised",
        sums.kept, sums.lost_unsynced
    ));
}

/// Ends a loaded server on a disk of its own, and compares the files with what was acknowledged.
async fn end(case: Case, seed: u64, sums: &mut Sums) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let mut place = Place::new();
    let image = place.dir().join("image");
    Kind::Ext4.make(&image, Kind::Ext4.bytes());
    let mount = place.attach("mount", &image);
    let yaml = YAML.replace("$OUT", &mount.display().to_string());
    let mut scene = Scene::new(&yaml.replace("$FSYNC", case.fsync())).await;
    let mut process = scene.start().await;
    let shape = Shape { clients: 6, records: 4, padding: random.usize(0..2_000) };
    let load = scene.load(shape);
    tokio::time::sleep(Duration::from_millis(random.u64(50..400))).await;
    if case == Case::Interval {
        load.stop().await;
        let promised = scene.oracle.acknowledged_records();
        tokio::time::sleep(SYNCED_WITHIN).await;
        shutdown::cut(&mount, Cut::Hard).map_err(|error| error.to_string())?;
        process.kill();
        return compare(&mut place, &image, &promised, case, sums);
    }
    // What is told while the power goes is told by a machine without power.
    let mut promised = scene.oracle.acknowledged_records();
    if case != Case::Killed {
        let cut = if random.bool() { Cut::Hard } else { Cut::AfterJournal };
        shutdown::cut(&mount, cut).map_err(|error| error.to_string())?;
    }
    process.kill();
    load.stop().await;
    if case == Case::Killed {
        promised = scene.oracle.acknowledged_records();
    }
    compare(&mut place, &image, &promised, case, sums)
}

/// Lets the disk under the file refuse lines for a while; when the vault has handed all of them over, the power is
/// cut. What the sink said OK to is in no vault any more.
async fn fail(case: Case, seed: u64, sums: &mut Sums) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let mut place = Place::new();
    let image = place.dir().join("image");
    Kind::Ext4.make(&image, Kind::Ext4.bytes());
    let mount = place.attach("mount", &image);
    let yaml = WITH_VAULT.replace("$OUT", &mount.display().to_string());
    let mut scene = Scene::new(&yaml.replace("$FSYNC", case.fsync())).await;
    let ballast = mount.join("ballast");
    if case == Case::Failing {
        scene.site.before = strace::of_files(&lines_below(&mount), FAILING);
    }
    let mut process = scene.start().await;
    if case == Case::Full {
        server::ballast(&ballast, LEFT);
    }
    let load = scene.load(Shape { clients: 6, records: 4, padding: random.usize(200..2_000) });
    let is_refused = |metrics: &Metrics| {
        0 < metrics.sum("gophership_component_restarts_total", &[("component", "lines")])
    };
    process.measured(FAILS_WITHIN, "the file takes no line", is_refused).await;
    tokio::time::sleep(Duration::from_millis(random.u64(100..500))).await;
    let clients_saw = load.stop().await;
    server::remove_ballast(&ballast);
    let is_out = |metrics: &Metrics| server::undelivered(metrics) == 0;
    process.measured(DELIVERED_WITHIN, "the file has all that the vault had", is_out).await;
    let promised = scene.oracle.acknowledged_records();
    shutdown::cut(&mount, Cut::Hard).map_err(|error| error.to_string())?;
    let is_alive = !process.has_ended();
    process.kill();
    let others = server::unhinted(&clients_saw.refusals).or_else(|| server::panicked(&process));
    match others {
        Some(other) => Err(other),
        None if !is_alive => Err("the server ended".to_owned()),
        None => compare(&mut place, &image, &promised, case, sums),
    }
}

/// The files of the sink.
fn lines_below(mount: &Path) -> [PathBuf; Signal::ALL.len()] {
    Signal::ALL.map(|signal| mount.join("deep").join(format!("{}.jsonl", signal.name())))
}

fn compare(
    place: &mut Place,
    image: &Path,
    promised: &BTreeSet<u64>,
    case: Case,
    sums: &mut Sums,
) -> Result<(), String> {
    place.detach();
    let mount = place.attach("mount", image);
    let found = records_below(&mount.join("deep"));
    let missing = promised.difference(&found).count();
    sums.kept += promised.len() - missing;
    if case == Case::Control {
        sums.lost_unsynced += missing;
    } else if 0 < missing {
        return Err(format!("{missing} of {} acknowledged records are lost", promised.len()));
    }
    Ok(())
}

/// The numbers of all records in whole lines.
fn records_below(dir: &Path) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let signal = Signal::ALL.into_iter().find(|signal| name.starts_with(signal.name()));
        let signal = signal.expect("a file is called by its signal");
        let bytes = fs::read(entry.path()).unwrap_or_default();
        for line in bytes.split(|byte| *byte == b'\n') {
            // The last one may be torn; what is behind a cut may be anything.
            let Ok(text) = std::str::from_utf8(line) else { continue };
            if serde_json::from_str::<serde_json::Value>(text).is_err() {
                continue;
            }
            let wire = json::wire_of(signal, text);
            found.extend(gophership_testbed::numbers(signal, &wire).unwrap_or_default());
        }
    }
    found
}
