//! What can be wrong with the options of the `otlp` source.

use gophership_units::ByteSize;

use super::OtlpConfig;
use super::listener_config::ListenerConfig;
use crate::component::OptionProblem;
use crate::component::SourceConfig;
use crate::event::note;

impl OtlpConfig {
    /// What is wrong with the options beyond their types.
    pub(super) fn find_problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.is_journaled() && self.pivot().is_none() {
            problems.push(OptionProblem::new(
                "ack",
                "`journaled` needs a `pivot`: the vault that stores requests",
            ));
        }
        if note::HEADERS_MAX < self.keep_headers.len() {
            let message = format!("at most {} headers", note::HEADERS_MAX);
            problems.push(OptionProblem::new("keep_headers", message));
        }
        for name in &self.keep_headers {
            if name.parse::<::http::HeaderName>().is_err() {
                let message = format!("{name:?} is not a header name");
                problems.push(OptionProblem::new("keep_headers", message));
            }
        }
        for (path, value) in
            [("patience", self.patience), ("read_idle_timeout", self.read_idle_timeout)]
        {
            if value.0.is_zero() {
                problems.push(OptionProblem::new(path, "must be more than 0"));
            }
        }
        if self.answer_within.0 <= self.patience.0 {
            problems.push(OptionProblem::new("answer_within", "must be longer than `patience`"));
        }
        for (path, value) in [
            ("message_size_max", self.message_size_max.0),
            ("compression_ratio_max", u64::from(self.compression_ratio_max)),
            ("records_max", self.records_max),
            ("resources_max", self.resources_max),
            ("in_flight_max", self.in_flight_max.0),
            ("connections_max", u64::from(self.connections_max)),
            ("streams_max", u64::from(self.streams_max)),
        ] {
            if value == 0 {
                problems.push(OptionProblem::new(path, "must be more than 0"));
            }
        }
        problems.extend(self.connection.problems());
        if self.message_size_max.0 > u64::from(u32::MAX) {
            problems.push(OptionProblem::new("message_size_max", "must be below 4GiB"));
        }
        // The vault would refuse it each time it is sent again.
        let kept_max = gophership_vault::Options::new("").record_bytes_max;
        if self.pivot().is_some() && kept_max < self.message_size_max.0 {
            let kept_max = ByteSize(kept_max);
            let message = format!(
                "must be at most {kept_max} with a `pivot`: a vault stores no larger request"
            );
            problems.push(OptionProblem::new("message_size_max", message));
        }
        if let Some(auth) = &self.auth {
            let (grpc, http) = self.listeners();
            let is_readable = [grpc, http].iter().flatten().any(ListenerConfig::is_readable);
            problems.extend(auth.problems(is_readable));
        }
        let cors = self.http.as_ref().and_then(|http| http.cors.as_ref());
        problems.extend(cors.map(|cors| cors.problems("http.cors")).unwrap_or_default());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::PivotOption;

    #[test]
    fn a_source_with_a_vault_takes_nothing_that_the_vault_does_not() {
        let problems = |vault: &str, mib: u64| {
            let mut pivot = PivotOption::default();
            pivot.set_default(vault);
            let message_size_max = ByteSize(mib << 20);
            OtlpConfig { pivot, message_size_max, ..OtlpConfig::default() }.problems().len()
        };
        assert_eq!([problems("v", 64), problems("v", 65), problems("off", 65)], [0, 1, 0]);
    }
}
