//! What is sent: a few requests, made before the start and sent in turn, so that making them takes no time later.

use std::num::NonZeroU32;

use bytes::Bytes;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;
use gophership_otlp::demo::demo_logs;
use gophership_otlp::demo::demo_metrics;
use gophership_otlp::demo::demo_traces;
use gophership_otlp::wire_to_json;
use gophership_otlp_client::Encoding;

/// Different requests; fewer if they are large.
const BODIES_MAX: usize = 16;
const BODIES_BYTES_MAX: usize = 8 << 20;
const JSON_LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: 512 << 20, depth_max: 96 };

/// The requests.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// As protobuf.
    wires: Vec<Bytes>,
    /// Their mean length in the form in which they are sent, before compression.
    mean_len: u64,
}

impl Bodies {
    /// Makes requests of so many records, which happened then. There is at least one.
    pub(crate) fn new(
        signal: Signal,
        records: NonZeroU32,
        encoding: Encoding,
        time_unix_nano: u64,
    ) -> Self {
        let records = usize::try_from(records.get()).unwrap_or(usize::MAX);
        let make = |seed| match signal {
            Signal::Logs => demo_logs(records, seed, time_unix_nano),
            Signal::Traces => demo_traces(records, seed, time_unix_nano),
            Signal::Metrics => demo_metrics(records, seed, time_unix_nano),
        };
        let first = make(0);
        let count = (BODIES_BYTES_MAX / first.len().max(1)).clamp(1, BODIES_MAX);
        let rest = (1..count as u64).map(make);
        let wires: Vec<Bytes> = std::iter::once(first).chain(rest).collect();
        let sum: u64 = wires.iter().map(|wire| len_as(encoding, signal, wire)).sum();
        Self { mean_len: sum / wires.len() as u64, wires }
    }

    /// What the request with this number is.
    pub(crate) fn of(&self, number: u64) -> Bytes {
        let idx = usize::try_from(number % self.wires.len() as u64).unwrap_or(0);
        self.wires[idx].clone()
    }

    pub(crate) const fn mean_len(&self) -> u64 {
        self.mean_len
    }
}

fn len_as(encoding: Encoding, signal: Signal, wire: &[u8]) -> u64 {
    let mut json = Vec::new();
    match encoding {
        Encoding::Protobuf => wire.len() as u64,
        Encoding::Json => {
            let written = wire_to_json(signal, wire, &JSON_LIMITS, &mut json);
            written.map_or(0, |()| json.len() as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use gophership_otlp::prescan;

    use super::*;

    #[test]
    fn each_signal_has_requests_of_the_wanted_records() {
        let records = NonZeroU32::new(30).unwrap();
        for signal in Signal::ALL {
            let bodies = Bodies::new(signal, records, Encoding::Protobuf, 1);
            assert_eq!(bodies.wires.len(), BODIES_MAX);
            for number in 0..20 {
                let wire = bodies.of(number);
                assert_eq!(prescan(signal, &wire).unwrap().records, 30, "{signal}");
                assert!(wire.len() as u64 <= 2 * bodies.mean_len());
            }
            let json = Bodies::new(signal, records, Encoding::Json, 1);
            assert!(bodies.mean_len() < json.mean_len(), "{signal}");
        }
    }

    #[test]
    fn large_requests_are_fewer() {
        let records = NonZeroU32::new(10_000).unwrap();
        let bodies = Bodies::new(Signal::Logs, records, Encoding::Protobuf, 1);
        let len = bodies.wires.len();
        assert!((1..BODIES_MAX).contains(&len), "{len}");
    }
}
