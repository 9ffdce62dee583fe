//! Figures for people, each with its unit.

use std::time::Duration;

use gophership_units::grouped;

/// A latency, to the microsecond below a millisecond.
#[must_use]
pub fn latency(latency: Duration) -> String {
    let micros = latency.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", latency.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", latency.as_secs_f64()),
    }
}

/// A number of bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.into_iter().find(|(_, unit)| *unit <= bytes) {
        Some((name, unit)) => {
            let tenths = bytes / (unit / 10);
            format!("{}.{} {name}", grouped(tenths / 10), tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_units() {
        let micros = [0, 870, 1_249, 999_000, 2_500_000];
        let latencies = micros.map(|micros| latency(Duration::from_micros(micros)));
        assert_eq!(latencies, ["0 us", "870 us", "1.2 ms", "999.0 ms", "2.50 s"]);
        let sizes = [0, 999, 25_310, 151_860_000, 1_234_567_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "25.3 kB", "151.8 MB", "1,234.5 GB"]);
    }
}
