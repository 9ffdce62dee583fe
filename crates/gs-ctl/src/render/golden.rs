//! Every answer in every format is what the committed file says; `UPDATE_GOLDEN=1` rewrites the files.

use std::fs;
use std::path::Path;

use gophership_control::proto;
use serde_json::Value;

use super::WIDTH;
use crate::args::Format;
use crate::certs::Made;
use crate::contexts::Contexts;
use crate::target::Target;

/// Compares an answer in three formats with its files.
pub(crate) fn check(name: &str, render: impl Fn(Format) -> String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (format, kind) in [(Format::Table, "txt"), (Format::Json, "json"), (Format::Yaml, "yaml")] {
        let text = render(format);
        let path = dir.join(format!("{name}.{kind}"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(expected, text, "{}; UPDATE_GOLDEN=1 rewrites it", path.display());
        assert!(text.is_ascii(), "{name}");
        if format == Format::Table {
            let widest = text.lines().map(str::len).max().unwrap_or(0);
            assert!(widest <= WIDTH, "{name}: a line has {widest} columns\n{text}");
            assert!(text.lines().all(|line| line == line.trim_end()), "{name}:\n{text}");
        }
    }
    let json: Value = serde_json::from_str(&render(Format::Json)).unwrap();
    let yaml: Value = serde_yaml::from_str(&render(Format::Yaml)).unwrap();
    assert_eq!(json, yaml, "{name}");
}

fn component(id: &str, section: &str, kind: &str, batches: u64) -> proto::Component {
    proto::Component {
        id: id.to_owned(),
        section: section.to_owned(),
        r#type: kind.to_owned(),
        edge_batches: batches,
        edge_bytes: batches * 1000,
        edge_permille: u32::try_from(batches).unwrap(),
        records_per_second: (section != "transform").then_some(1234.5),
    }
}

fn delivery() -> proto::Delivery {
    let endpoint = |name: &str, circuit: &str| proto::DeliveryEndpoint {
        name: name.to_owned(),
        circuit: circuit.to_owned(),
    };
    proto::Delivery {
        id: LONG.to_owned(),
        endpoints: vec![
            endpoint("https://gateway-one.example.internal:4317", "closed"),
            endpoint("https://gateway-two.example.internal:4317", "open"),
        ],
        in_flight: 12,
        limit: 32,
        answered: 6000,
        p50_seconds: Some(0.0021),
        p99_seconds: Some(1.25),
    }
}

fn row(id: &str, line: &str, records: i64) -> proto::LedgerRow {
    let (id, signal, line) = (id.to_owned(), "logs".to_owned(), line.to_owned());
    proto::LedgerRow { id, signal, line, records }
}

fn bucket(bucket: &str, records: i64) -> proto::Bucket {
    proto::Bucket { signal: "logs".to_owned(), bucket: bucket.to_owned(), records }
}

/// The longest name of a component in these answers.
pub(super) const LONG: &str = "gateway-of-the-second-region-with-a-long-name";

/// What stands still and is out.
fn stuck() -> proto::StatusResponse {
    let lines = [
        "received",
        "delivered",
        "vaulted",
        "filtered",
        "dead_lettered",
        "dropped",
        "rejected",
        "in_flight",
        "interrupted",
        "missing",
    ];
    proto::StatusResponse {
        stalls: vec![proto::Stall {
            component: LONG.to_owned(),
            waits: "batches wait in its queue".to_owned(),
            waiting: 512,
            seconds: 9,
        }],
        stuck: true,
        sources: vec![row("otlp", "received", 5000)],
        sinks: lines.iter().map(|line| row(LONG, line, 12_345_678)).collect(),
        warnings: vec![
            "sinks.out.tls.insecure_skip_verify: the sink accepts any certificate".to_owned(),
        ],
        outages: vec![proto::Outage {
            place: format!("{LONG} http://gateway.example:4317"),
            seconds: 30,
            reason: "connection refused (os error 111)".to_owned(),
        }],
        left_vaults: vec![proto::LeftVault {
            dir: "/var/old".to_owned(),
            requests: 4,
            dead_letters: 2,
        }],
        ..proto::StatusResponse::default()
    }
}

/// An archive whose bucket refuses requests.
fn archive_behind() -> proto::S3Sink {
    let alarm = |reason: &str, count| proto::S3Alarm { reason: reason.to_owned(), count };
    proto::S3Sink {
        id: LONG.to_owned(),
        waiting_segments: 12,
        waiting_bytes: 805_306_368,
        oldest_seconds: 1_260,
        archived_segments: 4_096,
        alarms: vec![alarm("credentials", 1), alarm("different", 2)],
        out: true,
        uploading_bytes: 20_971_520,
        uploading_sent_bytes: 7_340_032,
    }
}

fn replay_at_work() -> proto::S3Replay {
    proto::S3Replay {
        id: "archive".to_owned(),
        segments: 500,
        claimed_segments: 2,
        done_segments: 120,
        segments_by_others: 117,
        unusable_segments: 1,
        delivered_requests: 9_876_543,
        rejected_requests: 3,
        dead_lettered_requests: 2,
    }
}

fn zone_history() -> Vec<proto::ZoneSpan> {
    let span = |zone: proto::Zone, seconds| proto::ZoneSpan { zone: zone.into(), seconds };
    vec![span(proto::Zone::Green, 3900), span(proto::Zone::Red, 12)]
}

fn backlog() -> proto::SinkBacklog {
    proto::SinkBacklog {
        sink: "backend".to_owned(),
        requests: 14_200,
        records: 7_134_000,
        bytes: 1_400_000_000,
        seconds: 192,
        oldest_seconds: 190,
        drain_seconds: Some(40),
        began_unix_ms: 1_769_860_800_000,
        ended_unix_ms: 0,
    }
}

/// A process in trouble of every kind.
pub(crate) fn troubled() -> proto::StatusResponse {
    proto::StatusResponse {
        version: "0.1.0".to_owned(),
        uptime_seconds: 4000,
        zone: proto::Zone::Red.into(),
        zone_reason: "process memory is at 91% of its limit of 1 GiB".to_owned(),
        zone_seconds: 12,
        held: proto::Zone::Red.into(),
        sensed: proto::Zone::Yellow.into(),
        held_reason: "game day".to_owned(),
        held_seconds_left: Some(288),
        generation: 3,
        components: vec![
            component("otlp", "source", "otlp", 0),
            component(LONG, "sink", "otlp", 512),
            component("vault", "sink", "raw_vault", 0),
        ],
        ledger: vec![bucket("received", 5000), bucket("delivered", 4000), bucket("vaulted", 1000)],
        vaults: vec![proto::Vault {
            id: "vault".to_owned(),
            used_bytes: 10_485_760,
            backlog_requests: 100,
            max_bytes: 134_217_728,
            replayed_requests: 7,
            segments: 3,
            backlog_bytes: 9_000_000,
            oldest_seconds: 90,
            drain_seconds: Some(45),
            replayed_requests_per_second: 2.5,
            compression_ratio: 3.456,
            holds: vec![hold()],
            ..proto::Vault::default()
        }],
        sink_backlogs: vec![backlog()],
        tasks: 42,
        zone_history: zone_history(),
        deliveries: vec![delivery()],
        rates: Some(proto::Rates {
            over_seconds: 10.0,
            received: 1234.5,
            delivered: 1000.25,
            rejected: 0.0,
        }),
        imbalance_records: 2,
        s3_sinks: vec![archive_behind()],
        s3_replays: vec![replay_at_work()],
        pressures: vec![proto::Pressure {
            kind: "process_memory".to_owned(),
            place: "process".to_owned(),
            permille: 910,
        }],
        background_millionths: 0,
        ready: true,
        memory: vec![proto::MemoryShare {
            name: "ingest".to_owned(),
            used_bytes: 1_048_576,
            limit_bytes: 107_374_182,
        }],
        last_reload: Some(proto::LastReload {
            ok: false,
            seconds_ago: 60,
            error: "gophership.yaml:3:1: unknown option `sinc`".to_owned(),
        }),
        draining: Some(proto::Draining { seconds: 90, reason: "kernel update".to_owned() }),
        ..stuck()
    }
}

pub(super) fn hold() -> proto::VaultHold {
    proto::VaultHold {
        name: "audit-2026".to_owned(),
        first_segment: Some(3),
        last_segment: Some(9),
        until_unix_ms: Some(1_769_860_800_000),
        reason: "evidence for the incident of January".to_owned(),
    }
}

/// A process at rest.
pub(crate) fn calm() -> proto::StatusResponse {
    proto::StatusResponse {
        version: "0.1.0".to_owned(),
        uptime_seconds: 5,
        zone: proto::Zone::Green.into(),
        zone_reason: "start".to_owned(),
        zone_seconds: 5,
        sensed: proto::Zone::Green.into(),
        generation: 1,
        components: vec![component("otlp", "source", "otlp", 0)],
        sink_backlogs: vec![proto::SinkBacklog {
            sink: "backend".to_owned(),
            began_unix_ms: 1_769_860_800_000,
            ended_unix_ms: 1_769_860_992_000,
            ..proto::SinkBacklog::default()
        }],
        background_millionths: 1_000_000,
        ready: true,
        ..proto::StatusResponse::default()
    }
}

#[test]
fn every_answer_is_what_its_files_say() {
    check("status", |format| super::status(&troubled(), format));
    check("status_calm", |format| super::status(&calm(), format));
    check("ledger", |format| super::ledger(&troubled(), format));
    check("health", |format| super::health(&troubled(), format));
    check("health_ready", |format| super::health(&calm(), format));
    let zone = proto::Zone::Red.into();
    let answer = proto::OverrideResponse { zone, reason: "operator override".to_owned() };
    check("override", |format| super::zone(&answer, format));
}

#[test]
fn what_was_done_here_is_what_its_files_say() {
    let mut contexts = Contexts::default();
    check("contexts_none", |format| super::contexts(&contexts, format));
    let file = |name: &str| format!("/home/alice/certs/{name}").into();
    let remote = Target::Remote {
        endpoint: "prod.example:9092".to_owned(),
        ca: file("ca.pem"),
        cert: file("alice.pem"),
        key: file("alice.key"),
    };
    let local = Target::Socket { socket: "/run/gophership/control.sock".into() };
    contexts.contexts = [("local".to_owned(), local), ("prod".to_owned(), remote)].into();
    contexts.current = Some("prod".to_owned());
    check("contexts", |format| super::contexts(&contexts, format));
    let made = Made {
        ca: "certs/ca.pem".into(),
        server: "certs/server.pem".into(),
        clients: vec![("admin".to_owned(), "certs/admin.pem".into())],
    };
    check("certs", |format| super::certificates(&made, format));
}

#[test]
fn what_a_process_says_of_itself_is_what_its_files_say() {
    let change = |id: &str, outcome: &str| proto::ComponentChange {
        id: id.to_owned(),
        outcome: outcome.to_owned(),
    };
    let mut answer = proto::ReloadResponse { generation: 3, ..proto::ReloadResponse::default() };
    check("reload_ordered", |format| super::reload(&answer, format));
    answer.done = true;
    answer.components = vec![change("otlp", "kept"), change("backend", "drained")];
    answer.settings = vec!["somatic".to_owned()];
    check("reload", |format| super::reload(&answer, format));
    check("config_diff", |format| super::difference(&answer, format));
    answer.error = "gophership.yaml:3:1: unknown option `sinc`\n  did you mean `sink`?".to_owned();
    check("reload_failed", |format| super::reload(&answer, format));
    let json = r#"{"sinks":{"backend":{"headers":{"authorization":"***"}}}}"#.to_owned();
    let answer = proto::ShowConfigResponse { generation: 3, json };
    check("config_show", |format| super::config(&answer, format));
    check("log_level", |format| super::log_filter("debug", Some("info"), format));
    let answer = proto::PauseReplayResponse { paused: true };
    check("replay_pause", |format| super::paused(answer, format));
    let status = proto::StatusResponse { replay_paused: true, ..troubled() };
    check("replay_status", |format| super::replay(&status, format));
    let event = proto::WatchResponse {
        unix_ms: 1_769_860_800_123,
        zone: proto::Zone::Red.into(),
        reason: "operator override".to_owned(),
        held: proto::Zone::Red.into(),
    };
    check("watch", |format| super::event(&event, format));
}

#[test]
fn what_vaults_hold_is_what_its_files_say() {
    let cursor = proto::VaultCursor { name: "replay.backend".to_owned(), backlog_requests: 100 };
    let vault = proto::VaultContent {
        id: "vault".to_owned(),
        dir: "/var/lib/gophership/vault".to_owned(),
        segments: 3,
        requests: 400,
        file_bytes: 3_145_728,
        raw_bytes: 9_000_000,
        oldest_unix_ms: 1_769_860_800_000,
        newest_unix_ms: 1_769_860_900_000,
        cursors: vec![cursor],
        holds: vec![hold()],
        error: String::new(),
    };
    let error = "permission denied (os error 13)".to_owned();
    let broken = proto::VaultContent { id: "cold".to_owned(), error, ..Default::default() };
    let answer = proto::ListVaultsResponse { vaults: vec![vault, broken] };
    check("vault_ls", |format| super::vaults(&answer, format));
}

#[test]
fn the_flight_recorder_is_what_its_files_say() {
    let mut answer = proto::ListFlightsResponse::default();
    check("flight_ls_none", |format| super::flights(&answer, format));
    let name = "red-1769860800123.jsonl".to_owned();
    answer.flights = vec![proto::Flight { name, bytes: 204_800, unix_ms: 1_769_860_800_123 }];
    check("flight_ls", |format| super::flights(&answer, format));
    let jsonl = "{\"unix_ms\":1769860800123,\"zone\":\"red\",\"edge\":910}\n".to_owned();
    let answer = proto::ShowFlightResponse { jsonl };
    check("flight_show", |format| super::flight(&answer, format));
}
