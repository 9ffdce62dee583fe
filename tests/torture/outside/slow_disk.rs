//! R4: a disk that is slow to sync, very slow to sync, and slow to write.

use std::time::Duration;
use std::time::Instant;

use untested::ControlGroup;

use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::SteadyLoad;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::disk::Place;
use super::server;
use super::server::Scene;
use super::strace;

const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_millis(100);
/// What a machine that runs other suites at the same time may add.
const A_LITTLE: Duration = Duration::from_secs(1);
const RED_WITHIN: Duration = Duration::from_secs(1);
/// What the edge, the requests on their way and the vault may hold, by the configuration below, and
/// half of it for what is around them.
const MEMORY_MAX: u64 = (16 + 8 + 8 + 8) * MIB * 3 / 2;
/// A start syncs what it makes, one after the other.
const STARTED_WITHIN: Duration = Duration::from_mins(2);
/// To deliver what was taken in so long at most.
const DRAINED_WITHIN: u32 = 3;
const ENDED_WITHIN: Duration = Duration::from_mins(1);
/// As the configuration below has it.
const WATCHDOG: Duration = Duration::from_secs(2);
/// Bytes in a second of the throttled disk.
const THROTTLE: u64 = 5 * MIB;

pub(super) const SUITE: Suite = Suite {
    id: "R4",
    title: "slow disk: bounded memory, no deadlock, red within 1 s, answers within patience and two commits",
    fast: 3,
    long: 3,
    run,
};

const YAML: &str = r#"
shutdown: { grace: 20s }
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    patience: 100ms
    answer_within: 9s
    in_flight_max: 16MiB
    message_size_max: 1MiB
    pivot: vault
  replay: { type: vault_replay, vault: vault, in_flight_bytes: 8MiB }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    concurrency: 2
    in_flight_max: 8MiB
    retry: { min: 20ms, max: 100ms }
    buffer: { batches: 8, bytes: 8MiB }
  vault: { type: raw_vault, path: "$VAULT", max_size: 1GiB, segment_size: 4MiB, staging: 8MiB }
somatic: { dwell: 200ms, check_every: 1, watchdog: { after: 2s } }
"#;

/// What is slow, and by how much a commit takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    Sync(Duration),
    Throttle,
}

impl Slow {
    /// One commit at the most: the throttle lets a commit of all that is staged through in two
    /// seconds, beside the segment being sealed.
    const fn delay(self) -> Duration {
        match self {
            Self::Sync(delay) => delay,
            Self::Throttle => Duration::from_secs(3),
        }
    }
}

fn run(run: &mut Run) {
    // A start and an end sync a dozen times: most of what the fast tier takes.
    let (lasts, stands) = if run.tier == Tier::Fast { (20, 3) } else { (600, 5) };
    let (lasts, stands) = (Duration::from_secs(lasts), Duration::from_secs(stands));
    let mut all = vec![Slow::Sync(Duration::from_millis(200)), Slow::Sync(stands)];
    if run.can("with a throttle") {
        all.push(Slow::Throttle);
    }
    let seeds = (run.seed..run.seed + run.runs).zip(all);
    let part = |(seed, slow): (u64, Slow)| {
        let endure = move || match server::block_on(endure(slow, lasts)) {
            Ok((violations, note)) => {
                let violations = violations.into_iter();
                let told = violations.map(|what| (seed, format!("{slow:?}: {what}"))).collect();
                (told, (1_u64, format!("{slow:?}: {note}")))
            }
            Err(fault) => {
                (vec![(seed, format!("{slow:?}: {fault}"))], (0_u64, format!("{slow:?}")))
            }
        };
        Box::new(endure) as server::Part<'_, (u64, String)>
    };
    for (done, note) in server::at_once(run, seeds.map(part).collect()) {
        run.done(done);
        run.note(note);
    }
}

/// Loads a server on a slow disk while its backend hangs. Returns violations and figures.
async fn endure(slow: Slow, lasts: Duration) -> Result<(Vec<String>, String), String> {
    let place = Place::on_disk();
    let vault = place.dir().join("vault");
    let mut scene = Scene::new(&YAML.replace("$VAULT", &vault.display().to_string())).await;
    // Made, because the group must be left behind only after the process.
    let group;
    scene.site.before = match slow {
        Slow::Sync(delay) => {
            strace::beside("fdatasync,fsync", &format!("delay_enter={}", delay.as_micros()))
        }
        Slow::Throttle => {
            group = ControlGroup::with_disk(place.dir(), THROTTLE)?;
            group.before()
        }
    };
    let mut process = Process::spawn(&scene.site);
    if !is_ready(&scene, STARTED_WITHIN).await {
        return Ok((vec![format!("not ready after {STARTED_WITHIN:?}")], String::new()));
    }
    let idle_bytes = server::resident_bytes(process.id());
    scene.backend.set(Mode::Hang);
    let mut violations = Vec::new();
    let load = scene.load(Shape { clients: 32, records: 1, padding: 32_000 });
    let begun = Instant::now();
    let red = is_red(&process, 10 * RED_WITHIN).await.unwrap_or(Duration::MAX);
    if RED_WITHIN < red {
        violations.push(format!("red only after {red:?}"));
    }
    let (most_bytes, longest_stall) = watch(&process, &load, begun + lasts).await;
    let seen = load.stop().await;
    // Whoever comes while a commit is on its way waits for that one and for the next.
    let allowed = PATIENCE + 2 * slow.delay() + A_LITTLE;
    if allowed < seen.slowest {
        violations.push(format!("an OK took {:?}, {allowed:?} are allowed", seen.slowest));
    }
    if allowed < longest_stall {
        violations.push(format!("nobody had an answer for {longest_stall:?}"));
    }
    let over = most_bytes.saturating_sub(idle_bytes);
    if MEMORY_MAX < over {
        violations.push(format!("{} MiB over idle", over / MIB));
    }
    violations.extend(server::unhinted(&seen.refusals));
    violations.extend(server::panicked(&process));
    violations.extend(unwatched(slow, &process));
    scene.backend.set(Mode::Accept);
    violations.extend(scene.settle(DRAINED_WITHIN * lasts, "when the backend was back").await);
    process.stop(ENDED_WITHIN).await;
    let note = format!(
        "{} OK, {} refused, slowest OK {:.1?}, red after {red:.1?}, {} MiB over idle",
        seen.acknowledged,
        seen.refusals.len(),
        seen.slowest,
        over / MIB,
    );
    if seen.acknowledged == 0 {
        violations.push("nothing was acknowledged".to_owned());
    }
    Ok((violations, note))
}

/// What the watchdog, which waits [`WATCHDOG`], did not say about the vault, or should not have said.
fn unwatched(slow: Slow, process: &Process) -> Option<String> {
    let said = process.count_in_log("Component makes no progress: vault:");
    let is_hanging = matches!(slow, Slow::Sync(delay) if WATCHDOG < delay);
    match (is_hanging, said) {
        (true, 0) => Some("nobody said that the vault waits for its disk".to_owned()),
        (false, 1..) if slow != Slow::Throttle => Some("a vault that moves was blamed".to_owned()),
        _ => None,
    }
}

/// How long it takes until the zone is red.
async fn is_red(process: &Process, within: Duration) -> Option<Duration> {
    let begun = Instant::now();
    while process.metrics().await.zone() != 2 {
        if within < begun.elapsed() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Some(begun.elapsed())
}

/// The most memory, and the longest time without an answer to anybody.
async fn watch(process: &Process, load: &SteadyLoad, until: Instant) -> (u64, Duration) {
    let (mut most_bytes, mut longest) = (0, Duration::ZERO);
    let (mut since, mut known) = (Instant::now(), 0);
    while Instant::now() < until {
        most_bytes = most_bytes.max(server::resident_bytes(process.id()));
        let answered = load.acknowledged() + load.refused() as u64;
        if answered != known {
            (since, known) = (Instant::now(), answered);
        }
        longest = longest.max(since.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (most_bytes, longest)
}

async fn is_ready(scene: &Scene, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some((200, _)) = crate::harness::get(scene.site.metrics(), "/readyz").await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
