//! `gophership test`: runs the cases of a configuration through its own transforms.

mod record;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use gophership::config::Config;
use gophership::config::Leg;
use gophership::config::TestCase;
use gophership::config::running::OnLoss;
use gophership::config::running::Transform;
use gophership::event::Batch;
use gophership::event::Lanes;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership::otlp;
use gophership::otlp::DecodeLimits;
use gophership::pool::Memory;
use gophership::somatic::Somatic;
use gophership::topology::Shared;
use serde_json::Value;

/// Records of cases are written by hand.
const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: 64 << 20, depth_max: 96 };

/// What came of all cases.
pub(crate) struct Report {
    /// A table, and how what failed differs.
    pub(crate) text: String,
    /// Cases that failed.
    pub(crate) failed: usize,
}

/// Runs all cases, or those whose name contains `only`.
pub(crate) fn run(config: &Config, path: &Path, only: Option<&str>) -> Report {
    let is_wanted = |case: &&TestCase| only.is_none_or(|only| case.name.contains(only));
    let cases: Vec<&TestCase> = config.tests.iter().filter(is_wanted).collect();
    let mut report = Report { text: String::new(), failed: 0 };
    let mut details = String::new();
    for case in &cases {
        let lines = failures(config, case);
        let word = if lines.is_empty() { "ok" } else { "FAILED" };
        // Writing to a text cannot fail.
        let _written = writeln!(report.text, "{word:<8}{}", case.name);
        if !lines.is_empty() {
            report.failed += 1;
            let _written = writeln!(details, "\n{}", case.name);
            for line in lines {
                let _written = writeln!(details, "  {line}");
            }
        }
    }
    report.text.push_str(&details);
    let (len, failed) = (cases.len(), report.failed);
    let _written = writeln!(report.text, "\n{}: {len} cases, {failed} failed", path.display());
    report
}

/// What is wrong with the outcome of a case, line by line; nothing if it is as expected.
fn failures(config: &Config, case: &TestCase) -> Vec<String> {
    let found = match outcome(config, case) {
        Ok(found) => found,
        Err(reason) => return vec![reason],
    };
    let mut lines = Vec::new();
    for idx in 0..found.len().max(case.expect.len()) {
        match (case.expect.get(idx), found.get(idx)) {
            (Some(expected), Some(found)) => {
                let differences = record::differences(expected, found);
                if !differences.is_empty() {
                    lines.push(format!("record {}", idx + 1));
                    lines.extend(differences.into_iter().map(|line| format!("  {line}")));
                }
            }
            (Some(_), None) => lines.push(format!("record {} did not come out", idx + 1)),
            (None, Some(found)) => {
                lines.push(format!("record {} was not to come out:", idx + 1));
                lines.push(format!("  + {found}"));
            }
            (None, None) => {}
        }
    }
    lines
}

/// The records that come out, in short.
fn outcome(config: &Config, case: &TestCase) -> Result<Vec<Value>, String> {
    let shared = shared(config);
    let mut stages: Vec<Stage> = Vec::new();
    for Leg { id, ports } in config.way(case)? {
        let entry = config.transforms.get(id).ok_or("the way has a transform that is not there")?;
        let transform = entry
            .config
            .build(&shared.context(id, &config.data_dir))
            .map_err(|error| format!("{id}: {error}"))?;
        let reach = |port| if ports.contains(&port) { Lanes::ALL } else { Lanes::NONE };
        let reach = entry.config.ports().into_iter().map(reach).collect();
        stages.push(Stage { transform, reach });
    }
    let mut batches = Vec::new();
    for (number, input) in (0..).zip(&case.input) {
        let signal = input.signal.signal();
        let at = u64::try_from(input.at.get().as_nanos()).unwrap_or(0);
        let unix_ns = record::START_UNIX_NS.saturating_add(at);
        let json = record::request(input, number, unix_ns).to_string();
        let wire = otlp::json_to_wire(signal, json.as_bytes(), &LIMITS)
            .map_err(|error| format!("input {}: {}", number + 1, otlp::chain(&error)))?;
        let provenance = Provenance::forever("test");
        let request = Request { signal, wire, records: 1, received_unix_ns: unix_ns, provenance };
        let batch = Batch::received(&request, None, shared.ledgers.source("test"));
        go_through(&mut stages, Some(batch), &mut batches);
    }
    for first in 0..stages.len() {
        stages[first].transform.finish();
        go_through(&mut stages[first..], None, &mut batches);
    }
    let mut found = Vec::new();
    for batch in batches {
        let signal = batch.signal();
        let mut json = Vec::new();
        let read = otlp::wire_to_json(signal, batch.wire(), &LIMITS, &mut json);
        batch.delivered();
        read.map_err(|error| format!("output: {}", otlp::chain(&error)))?;
        let json: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        found.extend(record::shorts(signal, &json));
    }
    Ok(found)
}

/// A transform, and of several outputs those through which the case goes on.
struct Stage {
    transform: Box<dyn Transform>,
    /// Whom each output leads to; empty if there is only one.
    reach: Vec<Lanes>,
}

/// Takes a batch, and all that is ready because of it, through transforms one after another.
fn go_through(stages: &mut [Stage], batch: Option<Batch>, out: &mut Vec<Batch>) {
    let Some((Stage { transform, reach }, others)) = stages.split_first_mut() else {
        return out.extend(batch);
    };
    if !reach.is_empty() {
        let mut parts = Vec::new();
        if let Some(batch) = batch {
            transform.share_out(batch, reach, &mut parts);
        }
        for (_, part) in parts {
            go_through(others, Some(part), out);
        }
        return;
    }
    let mut next = batch.and_then(|batch| transform.apply(batch));
    while let Some(batch) = next.take().or_else(|| transform.ready(Instant::now())) {
        go_through(others, Some(batch), out);
    }
}

/// What transforms are built with: nothing of it is shared with a running process.
fn shared(config: &Config) -> Shared {
    let zone = Somatic::new(config.somatic.policy()).watch();
    Shared::new(zone, Memory::new(&config.somatic.memory.limits()), OnLoss::default())
}
