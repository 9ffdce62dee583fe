//! The `otlp` sink: forwards each request at once, over gRPC or HTTP, until the backend has it.
//!
//! ```text
//!   edge -> at most `concurrency` deliveries -> client (grpc | http) -> verdict
//!                     ^                                                    |
//!                     +------- backoff, unless the vault took over --------+  retryable
//! ```

mod client;
mod delivery;
mod grpc;
mod health;
mod http;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ByteSize;
use crate::config::ComponentInfo;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::config::Section;
use crate::config::SinkConfig;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::Sink;
use crate::tls::ClientTls;

use client::Client;
use delivery::Delivery;
use delivery::Limits;
use health::Health;

/// Forwards requests to an OTLP backend.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OtlpSinkConfig {
    /// The backend: `http://host:4317` or `https://host:4317`. With `protocol: http` the paths
    /// `/v1/logs`, `/v1/traces` and `/v1/metrics` are appended.
    endpoint: String,
    /// OTLP over gRPC or over HTTP with protobuf.
    #[serde(default)]
    protocol: Protocol,
    /// Headers (gRPC: metadata) sent with every request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// How requests are compressed.
    #[serde(default)]
    compression: CompressionOption,
    /// An attempt that takes longer has failed, and is repeated.
    #[serde(default = "timeout_default")]
    timeout: HumanDuration,
    /// Requests on their way at the same time.
    #[serde(default = "concurrency_default")]
    concurrency: u32,
    /// Bytes on their way at the same time.
    #[serde(default = "in_flight_default")]
    in_flight_max: ByteSize,
    /// How long to wait between attempts; they never end.
    #[serde(default)]
    retry: RetryConfig,
    /// TLS 1.3 towards an `https` endpoint.
    #[serde(default)]
    tls: ClientTls,
}

/// The pause between attempts doubles from the shortest to the longest, each spread by chance.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RetryConfig {
    /// After the first failure.
    min: HumanDuration,
    /// After many failures.
    max: HumanDuration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            min: HumanDuration(Duration::from_millis(100)),
            max: HumanDuration(Duration::from_secs(5)),
        }
    }
}

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CompressionOption {
    /// Not at all.
    #[default]
    None,
    /// gzip, which every backend understands.
    Gzip,
    /// zstd, which many do.
    Zstd,
}

fn timeout_default() -> HumanDuration {
    HumanDuration(Duration::from_secs(10))
}

fn concurrency_default() -> u32 {
    16
}

fn in_flight_default() -> ByteSize {
    ByteSize(32 << 20)
}

inventory::submit! {
    ComponentInfo {
        section: Section::Sink,
        name: "otlp",
        summary: "Forwards requests to an OTLP backend over gRPC or HTTP.",
        schema: |generator| generator.subschema_for::<OtlpSinkConfig>(),
    }
}

#[async_trait]
#[typetag::serde(name = "otlp")]
impl SinkConfig for OtlpSinkConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if let Err(reason) = client::endpoint(&self.endpoint) {
            problems.push(OptionProblem::new("endpoint", reason));
        }
        if let Err((name, reason)) = client::headers(&self.headers) {
            problems.push(OptionProblem::new(format!("headers.{name}"), reason));
        }
        if !(1..=1024).contains(&self.concurrency) {
            problems.push(OptionProblem::new("concurrency", "must be from 1 to 1024"));
        }
        if self.timeout.0.is_zero() {
            problems.push(OptionProblem::new("timeout", "must be more than 0"));
        }
        if self.in_flight_max.0 == 0 {
            problems.push(OptionProblem::new("in_flight_max", "must be more than 0"));
        }
        if self.retry.min.0.is_zero() || self.retry.max.0 < self.retry.min.0 {
            problems.push(OptionProblem::new("retry", "needs 0 < min <= max"));
        }
        if self.tls.is_half() {
            problems.push(OptionProblem::new("tls", "`cert` and `key` go together"));
        }
        problems
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let client = Client::new(self)?;
        let limits = Limits {
            concurrency: self.concurrency as usize,
            in_flight_bytes: self.in_flight_max.0,
            timeout: self.timeout.0,
            retry_min: self.retry.min.0,
            retry_max: self.retry.max.0,
        };
        let metrics = context.metrics.sink(context.id.as_str());
        let health = Health::new(&context.vitals, context.id.as_str());
        Ok(Box::new(Delivery::new(context.id.clone(), client, limits, metrics, health)))
    }
}
