//! Sinks with a network backend: their circuits and round trips.

use std::fmt::Write;

use gophership_control::proto;

use super::table;

/// Writes a line for each sink; the lines about outages name the endpoints that are out.
pub(super) fn table_of(deliveries: &[proto::Delivery], out: &mut String) -> std::fmt::Result {
    if deliveries.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = ["SINK", "CIRCUIT", "IN FLIGHT", "P50", "P99"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for delivery in deliveries {
        rows.push(vec![
            delivery.id.clone(),
            circuit(&delivery.endpoints),
            format!("{} of {}", delivery.in_flight, delivery.limit),
            millis(delivery.p50_seconds),
            millis(delivery.p99_seconds),
        ]);
    }
    table(&rows, 1, out)
}

/// The circuit of one endpoint, or how many of several are open.
fn circuit(endpoints: &[proto::DeliveryEndpoint]) -> String {
    if let [endpoint] = endpoints {
        return endpoint.circuit.clone();
    }
    let open = endpoints.iter().filter(|endpoint| endpoint.circuit != "closed").count();
    if open == 0 { "closed".to_owned() } else { format!("{open} of {} open", endpoints.len()) }
}

/// A time in milliseconds; `-` when it is not known.
pub(crate) fn millis(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3))
}
