//! The audit log of a site.

use std::path::Path;

use serde_json::Value;

/// The lines of one kind, `change` or `refusal`, that the process on a site has written so far.
#[allow(dead_code, reason = "the integration tests need it, the torture does not")]
pub(crate) fn audit_lines(site: &Path, event: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(site.join("data/audit.log")).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}
