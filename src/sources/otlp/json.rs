//! Requests in JSON: converted to protobuf under the size limit, with room taken before memory is used.

use bytes::Bytes;
use gophership_otlp::DecodeLimits;
use gophership_otlp::FromJson;
use gophership_otlp::WireError;
use gophership_otlp::prescan_envelope;
use gophership_otlp::read_json;
use gophership_otlp::salvage_json;

use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::admission::Permit;
use super::answer::RefusedRequest;
use super::inflate::INLINE_BYTES_MAX;
use super::partial_success::PartialSuccess;
use crate::event::Signal;

/// JSON is read as deep as decoders go: one record that is too deep would have its whole request
/// refused.
const JSON_DEPTH_MAX: u32 = 96;
/// So many times larger than its JSON a request may be: `0,` may be a number of eight bytes.
const JSON_GROWTH_MAX: u64 = 4;

/// Converts a request to protobuf, which may have `limit` bytes and is smaller as a rule. So room for
/// as much again is taken at first; what does not find place in it is converted once more, with room
/// for all that may come. A text with escapes is unescaped into memory of its own first, and one text may
/// be nearly all of the request. If it cannot be read, it is read again without the records that cannot.
pub(super) async fn from_json(
    room: ConnectionAdmission<'_>,
    signal: Signal,
    received: AdmittedRequest,
    limit: u64,
) -> Result<AdmittedRequest, RefusedRequest> {
    let AdmittedRequest { wire: json, mut held, .. } = received;
    let json_bytes = json.len() as u64;
    let mut bytes_max = json_bytes.min(limit);
    let unescaped_bytes = unescaped_bytes(&json);
    room.grow(&mut held, bytes_max + unescaped_bytes).await?;
    let mut fault: Option<String> = None;
    loop {
        let salvages = fault.is_some();
        let (back, converted) = convert(signal, json.clone(), held, bytes_max, salvages).await?;
        held = back;
        match converted {
            Ok(Some(read)) => {
                drop(json);
                held.shrink_to(read.wire.len() as u64);
                let partial = partial_success(signal, &read, fault.as_deref());
                return Ok(AdmittedRequest { wire: read.wire, held, partial });
            }
            Ok(None) => return Err(RefusedRequest::Invalid(fault.unwrap_or_default())),
            Err(WireError::TooLarge { .. }) => {
                let next = json_bytes.saturating_mul(JSON_GROWTH_MAX).min(limit);
                if next <= bytes_max {
                    return Err(RefusedRequest::TooLarge { limit_bytes: limit });
                }
                room.grow(&mut held, next - bytes_max).await?;
                bytes_max = next;
            }
            Err(error) => {
                room.grow(&mut held, replaced_bytes(&json)).await?;
                fault = Some(error.to_string());
            }
        }
    }
}

/// What is to be told of a request in JSON beside the OK.
fn partial_success(signal: Signal, read: &FromJson, fault: Option<&str>) -> Option<PartialSuccess> {
    if read.rejected > 0 {
        return Some(PartialSuccess::rejected(signal, read.rejected, fault.unwrap_or_default()));
    }
    let ignored = read.unknown.as_deref()?;
    let records = prescan_envelope(signal, &read.wire).map_or(0, |summary| summary.records);
    (records == 0).then(|| PartialSuccess::nothing_known(signal, ignored))
}

/// What it takes to replace what is not UTF-8: the text, up to three times as long, and its unescaped texts.
fn replaced_bytes(json: &[u8]) -> u64 {
    let is_text = std::str::from_utf8(json).is_ok();
    if is_text { 0 } else { (json.len() as u64).saturating_mul(6) }
}

/// What reading texts with escapes takes: a copy of the longest, and one of all where halves of surrogate
/// pairs may have to be replaced.
fn unescaped_bytes(json: &[u8]) -> u64 {
    let json_bytes = json.len() as u64;
    // Most have none, and that is found out fast.
    if !json.contains(&b'\\') {
        return 0;
    }
    let mut escapes = json.split(|byte| *byte == b'\\').skip(1);
    if escapes.any(|escape| matches!(escape, [b'u', b'd' | b'D', ..])) {
        return json_bytes.saturating_mul(2);
    }
    json_bytes
}

/// Converts, on a blocking thread if that takes long. What is held goes along: a sender that leaves
/// does not end the work.
async fn convert(
    signal: Signal,
    json: Bytes,
    held: Permit,
    decoded_bytes_max: u64,
    salvages: bool,
) -> Result<(Permit, Result<Option<FromJson>, WireError>), RefusedRequest> {
    let is_short = json.len() <= INLINE_BYTES_MAX;
    let limits = DecodeLimits { decoded_bytes_max, depth_max: JSON_DEPTH_MAX };
    let work = move || {
        let read = if salvages {
            salvage_json(signal, &json, &limits)
        } else {
            read_json(signal, &json, &limits).map(Some)
        };
        (held, read)
    };
    if is_short {
        return Ok(work());
    }
    let gone = |_| RefusedRequest::Broken("cannot convert the body".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(gone)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::pool::Memory;
    use crate::pool::MemoryLimits;
    use crate::sources::otlp::admission::Admission;
    use crate::sources::otlp::admission::ConnectionShare;

    const SHARE: u64 = 64 << 20;

    /// A histogram of so many bounds; in JSON each takes two bytes, on the wire eight.
    fn histogram(bounds: usize) -> Bytes {
        let (head, tail) = (
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"explicitBounds":["#,
            "0]}]}}]}]}]}",
        );
        format!("{head}{}{tail}", "0,".repeat(bounds - 1)).into()
    }

    async fn converted(
        memory: &Memory,
        signal: Signal,
        json: Bytes,
        limit: u64,
    ) -> Result<AdmittedRequest, RefusedRequest> {
        let share = ConnectionShare::new();
        let room = Admission::new(SHARE, memory, &Arc::default(), Duration::from_millis(20));
        let room = room.of(&share);
        let received = super::super::filling::whole(room, json).await?;
        from_json(room, signal, received, limit).await
    }

    /// Scenario: a request that is one long text, without escapes and with them.
    /// Guarantees: room is taken for the request and its protobuf, and for the unescaped text if there is
    /// one; what is not needed any more is given back.
    #[tokio::test]
    async fn json_with_escapes_takes_room_for_the_text_too() {
        let memory = Memory::new(&MemoryLimits { ingest: SHARE, ..MemoryLimits::NONE });
        for (text, parts) in [("aa", 2), (r"\n", 3)] {
            let (head, tail) = (
                r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":""#,
                r#""}}]}]}]}"#,
            );
            let json = Bytes::from(format!("{head}{}{tail}", text.repeat(4 << 20)));
            let needed = parts * json.len() as u64;
            for (free, is_taken) in [(needed, true), (needed - 1, false)] {
                let other = memory.ingest.try_take(SHARE - free).unwrap();
                let result = converted(&memory, Signal::Logs, json.clone(), SHARE).await;
                assert_eq!(result.is_ok(), is_taken, "{text} with room for {free}");
                drop(result);
                assert_eq!(memory.ingest.used(), other.bytes());
            }
        }
    }

    /// Scenario: histograms that are four times larger on the wire than in JSON, converted inline and
    /// on a blocking thread, around the limit and with too little memory.
    /// Guarantees: what is over the limit is too large; for the others the whole result is held, or
    /// they are told that there is no room; afterwards nothing is held.
    #[tokio::test]
    async fn json_that_grows_is_counted_and_limited() {
        let memory = Memory::new(&MemoryLimits { ingest: SHARE, ..MemoryLimits::NONE });
        for bounds in [1000_u64, 1 << 20] {
            let json = histogram(usize::try_from(bounds).unwrap());
            let Ok(AdmittedRequest { wire, held, .. }) =
                converted(&memory, Signal::Metrics, json.clone(), SHARE).await
            else {
                panic!("{bounds}: it is taken")
            };
            let len = wire.len() as u64;
            assert!((8 * bounds..8 * bounds + 64).contains(&len), "{bounds}: {len}");
            assert_eq!((held.bytes(), memory.ingest.used()), (len, len));
            drop((wire, held));
            assert!(converted(&memory, Signal::Metrics, json.clone(), len).await.is_ok());
            let refused = converted(&memory, Signal::Metrics, json.clone(), len - 1).await.err();
            assert_eq!(refused, Some(RefusedRequest::TooLarge { limit_bytes: len - 1 }));
            let other = memory.ingest.try_take(SHARE - 3 * json.len() as u64).unwrap();
            let refused = converted(&memory, Signal::Metrics, json, SHARE).await.err();
            assert!(matches!(refused, Some(RefusedRequest::Busy { .. })), "{refused:?}");
            drop(other);
            assert_eq!(memory.ingest.used(), 0);
        }
    }
}
