//! Requests and answers in the JSON form of OTLP.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use gophership_http_client::Answer;
use gophership_otlp::DecodeLimits;
use gophership_otlp::JsonLine;
use gophership_otlp::Signal;
use gophership_units::excerpt;

use crate::SAID_BYTES_MAX;

/// What is larger is converted on a thread that may take its time.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// No request is larger in its JSON form.
const JSON_BYTES_MAX: u64 = 256 << 20;
const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: 512 << 20, depth_max: 96 };

/// Writes a request as JSON.
///
/// # Errors
///
/// In words, why it has no JSON form, or a form that is too large.
pub(super) async fn of_wire(signal: Signal, wire: Bytes) -> Result<Bytes, String> {
    if wire.len() <= INLINE_BYTES_MAX {
        return convert(signal, &wire);
    }
    let converting = tokio::task::spawn_blocking(move || convert(signal, &wire));
    converting.await.unwrap_or_else(|_panic| Err("cannot be written as JSON".to_owned()))
}

fn convert(signal: Signal, wire: &[u8]) -> Result<Bytes, String> {
    let line = JsonLine::of(signal, wire, &LIMITS)
        .map_err(|error| format!("the request cannot be written as JSON: {error}"))?;
    let bytes_max = line.bytes_max();
    if JSON_BYTES_MAX < bytes_max {
        return Err(format!("the request takes {bytes_max} bytes as JSON; the limit is 256MiB"));
    }
    let mut out = Vec::with_capacity(usize::try_from(bytes_max).unwrap_or(0));
    let written = line.write(&mut Vec::new(), &mut out);
    written.map_err(|error| format!("the request cannot be written as JSON: {error}"))?;
    Ok(out.into())
}

/// What is read of an answer.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Response {
    partial_success: Option<PartialSuccess>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialSuccess {
    #[serde(alias = "rejectedSpans", alias = "rejectedDataPoints")]
    rejected_log_records: Value,
    error_message: String,
}

/// What an answer in JSON says; it is an OK whatever stands in it.
pub(super) fn of_response(body: &[u8]) -> Answer {
    let response: Response = serde_json::from_slice(body).unwrap_or_default();
    let Some(partial) = response.partial_success else { return Answer::taken("") };
    // A number of 64 bits is a text in this form.
    let count = match &partial.rejected_log_records {
        Value::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    };
    let message = excerpt(&partial.error_message, SAID_BYTES_MAX).into_owned();
    Answer::Delivered { rejected: count, message }
}

#[cfg(test)]
mod tests {
    use gophership_otlp::demo::demo_logs;

    use super::*;

    #[tokio::test]
    async fn a_request_is_the_same_in_both_forms() {
        for records in [3, 2000] {
            let wire = demo_logs(records, 1, 1);
            let json = of_wire(Signal::Logs, wire.clone()).await.unwrap();
            let back = gophership_otlp::json_to_wire(Signal::Logs, &json, &LIMITS).unwrap();
            assert_eq!(
                gophership_otlp::prescan(Signal::Logs, &back).unwrap().records,
                records as u64
            );
            // Fields may stand in another order in the bytes, and stand in one order in JSON.
            assert_eq!(of_wire(Signal::Logs, back).await.unwrap(), json);
        }
        assert!(of_wire(Signal::Logs, Bytes::from_static(b"\x0a\xff")).await.is_err());
    }

    #[test]
    fn rejected_records_are_read_in_each_signal() {
        let of = |text: &str| of_response(text.as_bytes());
        let rejected =
            |rejected, message: &str| Answer::Delivered { rejected, message: message.to_owned() };
        assert_eq!(of("{}"), Answer::taken(""));
        assert_eq!(of(r#"{"partialSuccess": {}}"#), Answer::taken(""));
        assert_eq!(
            of(r#"{"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "old"}}"#),
            rejected(3, "old")
        );
        assert_eq!(of(r#"{"partialSuccess": {"rejectedSpans": 2}}"#), rejected(2, ""));
        assert_eq!(of(r#"{"partialSuccess": {"rejectedDataPoints": "1"}}"#), rejected(1, ""));
        assert_eq!(of("{broken"), Answer::taken(""));
    }
}
