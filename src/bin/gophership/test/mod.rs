//! `gophership test`: runs the cases of a configuration through its own transforms.

mod record;

use std::fmt::Write as _;
use std::path::Path;

use gophership::config::Config;
use gophership::config::TestCase;
use gophership::event::Batch;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership_otlp::DecodeLimits;
use serde_json::Value;

use crate::stages;

/// Records of cases are written by hand.
const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: 64 << 20, depth_max: 96 };

/// What came of all cases.
pub(crate) struct TestReport {
    /// A table, and how what failed differs.
    pub(crate) text: String,
    /// Cases that failed.
    pub(crate) failed: usize,
    /// Cases that ran.
    pub(crate) ran: usize,
}

/// Runs all cases, or those whose name contains `only`.
pub(crate) fn run(config: &Config, path: &Path, only: Option<&str>) -> TestReport {
    let is_wanted = |case: &&TestCase| only.is_none_or(|only| case.name.contains(only));
    let cases: Vec<&TestCase> = config.tests.iter().filter(is_wanted).collect();
    let mut report = TestReport { text: String::new(), failed: 0, ran: cases.len() };
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
    if let (true, Some(only)) = (cases.is_empty(), only) {
        let others = if config.tests.is_empty() { "There are none." } else { "There are:" };
        let _written = writeln!(report.text, "No test case matches `{only}`. {others}");
        for case in &config.tests {
            let _written = writeln!(report.text, "  {}", case.name);
        }
    }
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
            (Some(_), None) => lines.push(format!("output record {} is missing", idx + 1)),
            (None, Some(found)) => {
                lines.push(format!("output record {} is unexpected:", idx + 1));
                lines.push(format!("  + {found}"));
            }
            (None, None) => {}
        }
    }
    lines
}

/// The records that come out, in short.
fn outcome(config: &Config, case: &TestCase) -> Result<Vec<Value>, String> {
    let shared = stages::shared(config);
    let mut stages = stages::build(config, &config.way(case)?, &shared)?;
    let mut batches = Vec::new();
    for (number, input) in (0..).zip(&case.input) {
        let signal = input.signal.signal();
        let at = u64::try_from(input.at.get().as_nanos()).unwrap_or(0);
        let unix_ns = record::START_UNIX_NS.saturating_add(at);
        let json = record::request(input, number, unix_ns).to_string();
        let wire = gophership_otlp::json_to_wire(signal, json.as_bytes(), &LIMITS)
            .map_err(|error| format!("input {}: {error}", number + 1))?;
        let provenance = Provenance::forever("test");
        let request = Request { signal, wire, records: 1, received_unix_ns: unix_ns, provenance };
        let batch = Batch::received(&request, None, shared.ledgers.source("test"));
        stages::go_through(&mut stages, Some(batch), &mut batches);
    }
    for first in 0..stages.len() {
        stages[first].transform.finish();
        stages::go_through(&mut stages[first..], None, &mut batches);
    }
    let mut found = Vec::new();
    for batch in batches {
        let signal = batch.signal();
        let mut json = Vec::new();
        let read = gophership_otlp::wire_to_json(signal, batch.wire(), &LIMITS, &mut json);
        batch.delivered();
        read.map_err(|error| format!("output: {}", gophership_http_client::chain(&error)))?;
        let json: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        found.extend(record::shorts(signal, &json));
    }
    Ok(found)
}
