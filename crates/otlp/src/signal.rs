//! The three signals of OTLP and what each is called.

use std::fmt;
use std::str::FromStr;

/// A kind of telemetry; a request holds one kind only.
///
/// The numbers are part of the vault's format and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Signal {
    /// Log records.
    Logs = 1,
    /// Spans.
    Traces = 2,
    /// Metrics; their records are data points.
    Metrics = 3,
}

impl Signal {
    /// Every signal, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Traces, Self::Metrics];

    /// The name used in configuration, metric labels and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn idx(self) -> usize {
        match self {
            Self::Logs => 0,
            Self::Traces => 1,
            Self::Metrics => 2,
        }
    }

    /// The signal with this number.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Logs),
            2 => Some(Self::Traces),
            3 => Some(Self::Metrics),
            _ => None,
        }
    }

    /// The path of the OTLP/gRPC method that takes requests of this signal.
    #[must_use]
    pub const fn grpc_path(self) -> &'static str {
        match self {
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// The path of the OTLP/HTTP endpoint that takes requests of this signal.
    #[must_use]
    pub const fn http_path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {name:?}, expected logs, traces or metrics")]
pub struct UnknownSignal {
    /// The text.
    pub name: String,
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(name: &str) -> Result<Self, UnknownSignal> {
        let known = Self::ALL.into_iter().find(|signal| signal.name() == name);
        known.ok_or_else(|| UnknownSignal { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_their_signal() {
        for signal in Signal::ALL {
            assert_eq!(Signal::from_u8(signal as u8), Some(signal));
            assert_eq!(signal.name().parse(), Ok(signal));
            assert_eq!(signal.http_path(), format!("/v1/{signal}"));
        }
        assert_eq!(Signal::from_u8(0), None);
        assert!("profiles".parse::<Signal>().is_err());
    }
}
