//! R8 from outside: a disk fills up while the backend is out, the server is killed and a bit is flipped, and what
//! clients were told is compared with what a backend has. Nothing of the drill judges here.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;
use gophership_otlp::Signal;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::RecordSelection;
use gophership_vault::Survey;
use gophership_vault::SurveyState;

use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::SteadyLoad;

use super::disk::Kind;
use super::disk::Place;
use super::server;
use super::server::Scene;

const MIB: u64 = 1 << 20;
const DISK: u64 = 64 * MIB;
/// What the ballast leaves of the disk.
const LEFT: u64 = 12 * MIB;
const SHAPE: Shape = Shape { clients: 8, records: 5, padding: 4_000 };
const FULL_WITHIN: Duration = Duration::from_secs(30);
/// No answer may take longer than an SDK waits for one.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const DRAINED_WITHIN: Duration = Duration::from_mins(1);
/// What a kill may repeat, as website/durability.md promises.
const DUPLICATES_MAX: u64 = 64 + 1_000;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, path: "$VAULT", segment_size: 1MiB, compression: none } # the disk has to fill up
"#;

/// Runs it once; returns figures, or what must not be.
pub(super) async fn overrun(seed: u64) -> Result<String, Vec<String>> {
    let mut place = Place::on_disk();
    let image = place.dir().join("image");
    Kind::Ext4.make(&image, DISK);
    let mount = place.attach("mount", &image);
    server::ballast(&mount.join("ballast"), LEFT);
    let vault = mount.join("vault");
    let mut scene = Scene::new(&YAML.replace("$VAULT", &vault.display().to_string())).await;
    let mut process = scene.start().await;
    let mut violations = Vec::new();

    let load = scene.load(SHAPE);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.backend.set(Mode::Gone);
    violations.extend(first_refusal(&load, &process).await.err());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let clients_saw = load.stop().await;
    violations.extend(server::unhinted(&clients_saw.refusals));
    violations.extend(late(clients_saw.slowest));
    violations.extend(server::panicked(&process));

    let load = scene.load(SHAPE);
    tokio::time::sleep(Duration::from_millis(200)).await;
    process.kill();
    load.stop().await;
    let hit = flip(&vault, &mut Rng::with_seed(seed)).map_err(|what| vec![what])?;
    process = scene.start().await;
    scene.backend.set(Mode::Accept);
    let missing = settled(&scene, &hit).await;
    if !missing.is_subset(&hit) {
        let others = missing.difference(&hit).count();
        violations
            .push(format!("{others} acknowledged records are missing that the bit did not hit"));
    }
    // Late duplicates come from a replay that is not at its end.
    scene.quiet(&process).await;
    let audit = scene.oracle.audit(&scene.backend);
    if audit.altered > 0 {
        violations.push(format!("{} requests were altered", audit.altered));
    }
    if DUPLICATES_MAX < audit.duplicates {
        violations.push(format!("{} requests came again after one kill", audit.duplicates));
    }
    let found = process.metrics().await.sum("gophership_vault_corrupt_requests_total", &[]);
    if found != 1 {
        violations.push(format!("the server counts {found} corrupt requests, and one was hit"));
    }
    violations.extend(server::panicked(&process));
    if violations.is_empty() {
        Ok(format!(
            "without the drill: {} acknowledged requests compared, {} refused, {} of {} records hit are missing, {} requests came again, slowest answer {:.1?}",
            audit.acknowledged,
            clients_saw.refusals.len(),
            missing.len(),
            hit.len(),
            audit.duplicates,
            clients_saw.slowest,
        ))
    } else {
        Err(violations)
    }
}

fn late(slowest: Duration) -> Option<String> {
    (ANSWERED_WITHIN < slowest).then(|| format!("an answer took {slowest:?}"))
}

/// Waits until the vault is full; a refusal before that is a violation.
async fn first_refusal(load: &SteadyLoad, process: &Process) -> Result<(), String> {
    let begun = Instant::now();
    while load.refused() == 0 {
        if FULL_WITHIN < begun.elapsed() {
            return Err(format!("nothing was refused within {FULL_WITHIN:?}"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let full = process.metrics().await.sum("gophership_vault_full", &[]);
    if full == 1 {
        Ok(())
    } else {
        Err("a request was refused, and the vault was not full".to_owned())
    }
}

/// Waits until nothing is missing but what was hit; returns what is missing.
async fn settled(scene: &Scene, hit: &BTreeSet<u64>) -> BTreeSet<u64> {
    let deadline = Instant::now() + DRAINED_WITHIN;
    loop {
        let missing = scene.oracle.audit(&scene.backend).missing;
        if missing.is_subset(hit) || deadline < Instant::now() {
            return missing;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Flips a bit in the middle of a stored request that is not delivered; returns its records.
fn flip(vault: &Path, random: &mut Rng) -> Result<BTreeSet<u64>, String> {
    let survey = Survey::take(vault).map_err(|error| error.to_string())?;
    let mut segments = survey.segments;
    segments.retain(|one| one.state == SurveyState::Sealed && !one.is_delivered && 1 < one.records);
    if segments.is_empty() {
        return Err("the vault has no sealed segment that is not delivered".to_owned());
    }
    let segment = &segments[random.usize(..segments.len())];
    let id = segment.id.get();
    let selection = RecordSelection { segments: Some((id, id)), ..RecordSelection::default() };
    let mut reader =
        OfflineReader::open_selected(vault, &selection).map_err(|error| error.to_string())?;
    let mut stored = Vec::new();
    while let Some(item) = reader.next().map_err(|error| error.to_string())? {
        if let OfflineItem::Record(record) = item {
            stored.push((reader.place().1, record));
        }
    }
    let [.., (at, record), (next, _)] = &stored[..random.usize(2..=stored.len())] else {
        return Err("the segment has a single request".to_owned());
    };
    let offset = at.midpoint(*next);
    let file = File::options().read(true).write(true).open(&segment.path);
    let file = file.map_err(|error| error.to_string())?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).map_err(|error| error.to_string())?;
    file.write_all_at(&[byte[0] ^ 1], offset).map_err(|error| error.to_string())?;
    let signal = Signal::from_u8(record.signal).ok_or("a stored request has no signal")?;
    let numbers = gophership_testbed::numbers(signal, &record.payload);
    Ok(numbers.ok_or("a stored request cannot be read")?.into_iter().collect())
}
