//! What sinks have brought to buckets, and how far replays from buckets are.

use std::fmt::Write;

use gophership_control::proto;
use serde_json::Value;
use serde_json::json;

use super::table;

/// The `s3` sinks.
pub(super) fn sinks_table(sinks: &[proto::S3Sink], out: &mut String) -> std::fmt::Result {
    if sinks.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = ["S3 SINK", "WAITING", "BYTES", "OLDEST", "SENT", "ARCHIVED", "ALARMS", "STATE"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for sink in sinks {
        let alarms: u64 = sink.alarms.iter().map(|alarm| alarm.count).sum();
        rows.push(vec![
            sink.id.clone(),
            sink.waiting_segments.to_string(),
            sink.waiting_bytes.to_string(),
            format!("{} s", sink.oldest_seconds),
            sent(sink),
            sink.archived_segments.to_string(),
            alarms.to_string(),
            if sink.out { "OUT" } else { "ok" }.to_owned(),
        ]);
    }
    table(&rows, 1, out)
}

/// How much of what is being uploaded is sent.
fn sent(sink: &proto::S3Sink) -> String {
    let percent = sink.uploading_sent_bytes.saturating_mul(100).checked_div(sink.uploading_bytes);
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{}%", percent.min(100)))
}

/// The `s3_replay` sources.
pub(super) fn replays_table(replays: &[proto::S3Replay], out: &mut String) -> std::fmt::Result {
    if replays.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head =
        ["S3 REPLAY", "SEGMENTS", "CLAIMED", "DONE", "BY OTHERS", "UNUSABLE", "SENT", "REJECTED"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for replay in replays {
        let numbers = [
            replay.segments,
            replay.claimed_segments,
            replay.done_segments,
            replay.segments_by_others,
            replay.unusable_segments,
            replay.delivered_requests,
            replay.rejected_requests,
        ];
        let mut row = vec![replay.id.clone()];
        row.extend(numbers.map(|number| number.to_string()));
        rows.push(row);
    }
    table(&rows, 1, out)
}

pub(super) fn sink_value(sink: &proto::S3Sink) -> Value {
    let alarms = sink.alarms.iter().map(|alarm| (alarm.reason.clone(), json!(alarm.count)));
    json!({
        "id": sink.id,
        "waiting_segments": sink.waiting_segments,
        "waiting_bytes": sink.waiting_bytes,
        "oldest_seconds": sink.oldest_seconds,
        "archived_segments": sink.archived_segments,
        "alarms": Value::Object(alarms.collect()),
        "out": sink.out,
        "uploading_bytes": sink.uploading_bytes,
        "uploading_sent_bytes": sink.uploading_sent_bytes,
    })
}

pub(super) fn replay_value(replay: &proto::S3Replay) -> Value {
    json!({
        "id": replay.id,
        "segments": replay.segments,
        "claimed_segments": replay.claimed_segments,
        "done_segments": replay.done_segments,
        "segments_by_others": replay.segments_by_others,
        "unusable_segments": replay.unusable_segments,
        "delivered_requests": replay.delivered_requests,
        "rejected_requests": replay.rejected_requests,
        "dead_lettered_requests": replay.dead_lettered_requests,
    })
}
