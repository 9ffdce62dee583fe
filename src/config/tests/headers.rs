//! A warning for each header that a sink forwards and no source before it keeps.

use crate::config::tests::load;

/// The warnings about a configuration whose source keeps some headers, and whose sink forwards some.
fn warnings(kept: &str, forwarded: &str, more: &str, inputs: &str) -> Vec<String> {
    let read = if more.contains("  t: ") { ", t" } else { "" };
    let text = format!(
        "
sources:
  in: {{ type: otlp, pivot: v, keep_headers: [{kept}] }}
  again: {{ type: vault_replay, vault: v }}
{more}
sinks:
  v: {{ type: raw_vault }}
  other: {{ type: blackhole, inputs: [in, again{read}] }}
  out: {{ type: otlp, inputs: [{inputs}], endpoint: 'http://localhost:1', forward_headers: [{forwarded}] }}
"
    );
    let config = load(&text).map_err(|errors| errors.to_string()).unwrap();
    let told = config.warnings.iter().map(ToString::to_string);
    told.filter(|warning| warning.contains("header")).collect()
}

#[test]
fn a_forwarded_header_that_no_source_keeps_is_told_with_what_to_write() {
    assert!(warnings("x-tenant", "x-tenant", "", "in, again").is_empty());
    assert!(warnings("X-Tenant", "x-tenant", "", "in").is_empty(), "names have no case");
    assert!(warnings("x-tenant", "x-tenant", "", "again").is_empty(), "through the vault");
    let told = warnings("x-tenant", "x-tenant, x-scope-orgid", "", "in, again");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("no source before this sink keeps the header \"x-scope-orgid\""),
        "{told:?}"
    );
    assert!(told[0].contains("sinks.out.forward_headers[1]"), "{told:?}");
}

#[test]
fn only_sources_before_the_sink_count() {
    let second = "  other_in: { type: otlp, grpc: { listen: '127.0.0.1:1' }, pivot: off, keep_headers: [x-tenant] }
transforms:
  t: { type: batch, inputs: [in, other_in] }";
    assert_eq!(warnings("", "x-tenant", second, "in, again").len(), 1);
    assert!(warnings("", "x-tenant", second, "t").is_empty(), "one of its sources keeps it");
}

#[test]
fn what_an_archive_or_a_vault_has_is_not_known() {
    let archive = "  old: { type: s3_replay, bucket: { name: b, region: r } }";
    assert!(warnings("", "x-tenant", archive, "in, old").is_empty());
    let vault = "  kept: { type: vault_replay, vault: w }";
    let told = |sinks: &str| {
        let text = format!(
            "
sources:
  in: {{ type: otlp, pivot: off }}
{vault}
sinks:
  w: {{ type: raw_vault{sinks} }}
  b: {{ type: blackhole, inputs: [in] }}
  out: {{ type: otlp, inputs: [kept], endpoint: 'http://localhost:1', forward_headers: [x] }}
"
        );
        load(&text).map_err(|errors| errors.to_string()).unwrap().warnings.len()
    };
    assert_eq!(told(""), 0, "it was filled before");
    assert_eq!(told(", inputs: [in]"), 1);
}
