//! R8: the hard drill on a disk that fills up: backend out, server killed, a bit flipped, no space. The drill
//! judges itself; `overrun` does the same with clients, a backend and an oracle from outside.

use std::process::Command;

use serde_json::Value;

use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::disk::Kind;
use super::disk::Place;
use super::overrun;
use super::server;

const MIB: u64 = 1 << 20;

pub(super) const SUITE: Suite = Suite {
    id: "R8",
    title: "the hard drill on a disk that fills up, with kill -9 and a flipped bit: nothing acknowledged is lost but what the bit hit, refused only while full, and to be sent again",
    fast: 1,
    long: 1,
    run,
};

const YAML: &str = r#"
data_dir: "$DATA"
sources:
  otlp: { type: otlp, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://localhost:4317" }
  vault: { type: raw_vault, segment_size: $SEGMENT, compression: none } # the disk has to fill up
"#;

/// How large everything is.
struct Size {
    disk: u64,
    /// What the ballast leaves of the disk.
    left: u64,
    segment: &'static str,
    drill: &'static [&'static str],
}

/// Small enough for a machine that does other things, and full before the kill; but for the backlog, of which so
/// small a disk has no room, the limits of answers and memory are those of the website.
const FAST: Size = Size {
    disk: 64 * MIB,
    left: 10 * MIB,
    segment: "1MiB",
    drill: &[
        "--rate",
        "8000",
        "--lasts",
        "8s",
        "--warm-up",
        "1s",
        "--backlog-min",
        "0",
        "--drain-max",
        "60s",
    ],
};
/// As it is offered, on a disk of 40 times the memory that is allowed.
const LONG: Size = Size { disk: 6144 * MIB, left: 5120 * MIB, segment: "64MiB", drill: &[] };

fn run(run: &mut Run) {
    let size = if run.tier == Tier::Fast { FAST } else { LONG };
    for seed in run.seed..run.seed + run.runs {
        let (violations, note) = drill(&size);
        for violation in violations {
            run.violation(seed, violation);
        }
        run.note(note);
        match server::block_on(overrun::overrun(seed)) {
            Ok(note) => run.note(note),
            Err(violations) => {
                for violation in violations {
                    run.violation(seed, format!("without the drill: {violation}"));
                }
            }
        }
        run.done(1);
    }
}

/// Drills once on a disk of its own; returns what must not be, and the figures.
fn drill(size: &Size) -> (Vec<String>, String) {
    let mut place = Place::on_disk();
    let image = place.dir().join("image");
    Kind::Ext4.make(&image, size.disk);
    let mount = place.attach("mount", &image);
    server::ballast(&mount.join("ballast"), size.left);
    let config = place.dir().join("hard.yaml");
    let data = mount.join("data").display().to_string();
    let text = YAML.replace("$DATA", &data).replace("$SEGMENT", size.segment);
    std::fs::write(&config, text).expect("a directory of this run takes a file");
    let output = Command::new(crate::harness::program())
        .args(["drill", "--hard", "--corrupt", "-o", "json", "--config"])
        .arg(&config)
        .args(size.drill)
        .output()
        .expect("the drill starts");
    let Ok(document) = serde_json::from_slice(&output.stdout) else {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        return (vec![format!("no verdict: {complaint}")], String::new());
    };
    let mut violations = judge(&document);
    // Zero says that every requirement holds, and nothing else may say so.
    let holds = document["passed"] == true && violations.is_empty();
    if output.status.success() != holds {
        let passed = &document["passed"];
        violations.push(format!("it ended with {} and says passed: {passed}", output.status));
    }
    (violations, figures(&document))
}

fn judge(document: &Value) -> Vec<String> {
    let requirements = document["requirements"].as_array().into_iter().flatten();
    let broken = requirements.filter(|one| one["holds"] != true);
    let mut violations: Vec<String> = broken.map(ToString::to_string).collect();
    // Without these the disk was never full, or nothing was hit.
    for (what, value) in [
        ("refusals", &document["exports"]["refused"]),
        ("records hit", &document["vault"]["corrupted"]["records"]),
        ("records missing of those hit", &document["vault"]["corrupted"]["missing"]),
    ] {
        if value.as_u64().is_none_or(|count| count == 0) {
            violations.push(format!("there were no {what}"));
        }
    }
    if !violations.is_empty() {
        violations.push(format!("refused: {}", document["exports"]["reasons"]));
    }
    violations
}

fn figures(document: &Value) -> String {
    let (records, exports, vault) =
        (&document["records"], &document["exports"], &document["vault"]);
    format!(
        "{} records/s offered and {} acknowledged in the outage, {} acknowledged in all, {} missing, {} of {} hit by the bit missing, {} exports refused ({} with room), vault full for {} s and {} bytes at most, memory {} bytes at most",
        document["outage_rates"]["offered"],
        document["outage_rates"]["acknowledged"],
        records["acknowledged"],
        records["missing"],
        vault["corrupted"]["missing"],
        vault["corrupted"]["records"],
        exports["refused"],
        exports["refused_with_room"],
        vault["full_seconds_max"],
        vault["bytes_max"],
        document["resident_bytes_max"],
    )
}
