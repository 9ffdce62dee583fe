//! The `otlp` sink: forwards each request at once, over gRPC or HTTP, until a backend has it.
//!
//! It is a [`Courier`](crate::delivery::Courier) for the delivery engine, and its options.

mod client;
mod grpc;
mod http;
mod last_words;
mod options;

use std::collections::BTreeMap;
use std::path::PathBuf;

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
use crate::config::running::RunError;
use crate::config::running::Sink;
use crate::config::running::Stop;
use crate::delivery::Balance;
use crate::delivery::ConcurrencyOption;
use crate::delivery::Engine;
use crate::delivery::Headers;
use crate::flow::EdgeReceiver;
use crate::tls::ClientTls;

use client::Client;
use options::CompressionOption;
use options::KeepaliveConfig;
use options::Protocol;
use options::RetryConfig;

/// Forwards requests to an OTLP backend.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OtlpSinkConfig {
    /// The backend: `http://host:4317` or `https://host:4317`. With `protocol: http` the paths
    /// `/v1/logs`, `/v1/traces` and `/v1/metrics` are appended. Either this or `endpoints` is
    /// needed.
    #[serde(default)]
    endpoint: Option<String>,
    /// Several of them, at most 16, each of which may have any request.
    #[serde(default)]
    endpoints: Vec<String>,
    /// How requests are spread over several endpoints. A request that one of them does not take
    /// goes to another one at once.
    #[serde(default)]
    balance: Balance,
    /// OTLP over gRPC or over HTTP with protobuf.
    #[serde(default)]
    protocol: Protocol,
    /// Headers (gRPC: metadata) sent with every request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Headers whose values are in files, by the path of each file. A file is read at start and
    /// every 2 seconds; blanks and line ends around the value are left out. While it cannot be read
    /// its last value is used.
    #[serde(default)]
    headers_from: BTreeMap<String, PathBuf>,
    /// A file with a token, sent as `Authorization: Bearer TOKEN`, and followed like those of
    /// `headers_from`.
    #[serde(default)]
    bearer_token_file: Option<PathBuf>,
    /// How requests are compressed.
    #[serde(default)]
    compression: CompressionOption,
    /// A connection that takes longer to open has failed, and so has the attempt.
    #[serde(default = "options::connect_timeout")]
    connect_timeout: HumanDuration,
    /// An attempt that takes longer, connecting included, has failed, and is repeated.
    #[serde(default = "options::timeout")]
    timeout: HumanDuration,
    /// How a connection is found to be dead that nobody closed.
    #[serde(default)]
    keepalive: KeepaliveConfig,
    /// Requests on their way at the same time, to all endpoints together: `auto`, which is as many
    /// as make round trips no longer than a backend needs to be busy, or a number.
    #[serde(default)]
    concurrency: ConcurrencyOption,
    /// The most that `concurrency: auto` comes to.
    #[serde(default = "options::concurrency_max")]
    concurrency_max: u32,
    /// Bytes on their way at the same time.
    #[serde(default = "options::in_flight_max")]
    in_flight_max: ByteSize,
    /// While `concurrency` or `in_flight_max` make requests wait, those that wait travel together: up to
    /// so many bytes, and 8,192 records, of one signal in one request. An idle sink sends each at once.
    /// By default each travels by itself and arrives as it came, and what comes from a vault always
    /// does.
    #[serde(default = "options::together_max")]
    together_max: ByteSize,
    /// How long to wait between attempts; they never end.
    #[serde(default)]
    retry: RetryConfig,
    /// TLS 1.3 towards `https` endpoints.
    #[serde(default)]
    tls: ClientTls,
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
    fn beside_budget_bytes(&self) -> u64 {
        self.in_flight_max.0
    }

    fn problems(&self) -> Vec<OptionProblem> {
        self.find_problems()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let id = context.id.as_str();
        let sources = self.header_sources().map_err(|(_, reason)| BuildError::Option(reason))?;
        let headers = sources.load(id).map_err(|(path, source)| BuildError::Io {
            operation: "read",
            what: path.display().to_string(),
            source,
        })?;
        let client = Client::new(self, headers.clone())?;
        let limits = self.limits().map_err(|(_, reason)| BuildError::Option(reason))?;
        let engine = Engine::new(id, client, limits, &context.vitals, &context.metrics);
        Ok(Box::new(OtlpSink { engine, headers }))
    }
}

/// The running sink.
struct OtlpSink {
    engine: Engine<Client>,
    headers: Headers,
}

#[async_trait]
impl Sink for OtlpSink {
    async fn run(self: Box<Self>, input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let Self { engine, headers } = *self;
        tokio::select! {
            () = engine.run(input, stop) => {}
            () = headers.follow() => {}
        }
        Ok(())
    }
}
