//! The flight recorder.

use gophership_control::proto;
use gophership_units::utc_text;
use serde_json::Value;
use serde_json::json;

use super::document;
use super::table;
use crate::args::Format;

/// Renders which records there are.
pub(crate) fn flights(answer: &proto::ListFlightsResponse, format: Format) -> String {
    let time = |flight: &proto::Flight| utc_text(flight.unix_ms.saturating_mul(1_000_000));
    if format != Format::Table {
        let flight = |flight: &proto::Flight| json!({ "name": flight.name, "bytes": flight.bytes, "time": time(flight) });
        let flights: Vec<_> = answer.flights.iter().map(flight).collect();
        return document(&json!({ "flights": flights }), format);
    }
    if answer.flights.is_empty() {
        return "no recordings: the zone has not turned red\n".to_owned();
    }
    let mut rows = vec![["RECORDING", "BYTES", "RED SINCE"].map(String::from).to_vec()];
    for flight in &answer.flights {
        rows.push(vec![flight.name.clone(), flight.bytes.to_string(), time(flight)]);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = table(&rows, 1, &mut text);
    text
}

/// Renders a record: as the lines it has, or as one document.
pub(crate) fn flight(answer: &proto::ShowFlightResponse, format: Format) -> String {
    if format == Format::Table {
        return answer.jsonl.clone();
    }
    let readings = answer.jsonl.lines().filter_map(|line| serde_json::from_str(line).ok());
    document(&Value::Array(readings.collect()), format)
}
