//! The `otlp` sink: forwards each request at once, over gRPC or HTTP, until a backend has it.
//!
//! It is a [`Transport`](crate::delivery::Courier) for the delivery engine, and its options.

mod client;
mod options;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use gophership_http_client::Compression;
use gophership_otlp_client::CodeOption;
use gophership_otlp_client::Protocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ByteSize;
use crate::config::ComponentInfo;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::config::Secret;
use crate::config::Section;
use crate::config::SinkConfig;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::Sink;
use crate::delivery::Balance;
use crate::delivery::ConcurrencyOption;
use crate::delivery::KeepaliveConfig;
use crate::delivery::RetryConfig;
use crate::delivery::defaults;
use crate::tls::ClientTls;

use client::Client;

/// Forwards requests to an OTLP backend.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OtlpSinkConfig {
    /// The backend: `https://host:4317`, or `http://host:4317` in plain text; without a port it is 443
    /// or 80. With `protocol: http` it may have a path, and `/v1/logs`, `/v1/traces` and `/v1/metrics`
    /// are appended. Either this or `endpoints` is needed.
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
    headers: BTreeMap<String, Secret>,
    /// Headers whose values are in files, by the path of each file. A file is read at start and
    /// every 2 seconds; blanks and line ends around the value are left out. While it cannot be read
    /// its last value is used.
    #[serde(default)]
    headers_from: BTreeMap<String, PathBuf>,
    /// A file with a token, sent as `Authorization: Bearer TOKEN`, and followed like those of
    /// `headers_from`.
    #[serde(default)]
    bearer_token_file: Option<PathBuf>,
    /// Credentials may be sent to `http` endpoints, where whoever is on the way can read them; without
    /// this they need `https`, but for a backend on loopback. Credentials are `bearer_token_file`,
    /// `headers_from`, and `headers` with a name like `authorization` or `api-key`.
    #[serde(default)]
    allow_credentials_in_plain_text: bool,
    /// How requests are compressed.
    #[serde(default)]
    compression: Compression,
    /// A connection that takes longer to open has failed, and so has the attempt.
    #[serde(default = "defaults::connect_timeout")]
    connect_timeout: HumanDuration,
    /// An attempt that takes longer, connecting included, has failed, and is repeated.
    #[serde(default = "defaults::timeout")]
    timeout: HumanDuration,
    /// How a connection is found to be dead that nobody closed.
    #[serde(default)]
    keepalive: KeepaliveConfig,
    /// Requests on their way at the same time, to all endpoints together: `auto`, which is as many
    /// as make round trips no longer than a backend needs to be busy, or a number.
    #[serde(default)]
    concurrency: ConcurrencyOption,
    /// The most that `concurrency: auto` comes to.
    #[serde(default = "defaults::concurrency_max")]
    concurrency_max: u32,
    /// Bytes on their way at the same time.
    #[serde(default = "defaults::in_flight_max")]
    in_flight_max: ByteSize,
    /// While `concurrency` or `in_flight_max` make requests wait, those that wait travel together: up to
    /// so many bytes, and 8,192 records, of one signal in one request. An idle sink sends each at once.
    /// By default each travels by itself and arrives as it came, and what comes from a vault always
    /// does.
    #[serde(default = "defaults::batch_max_bytes")]
    batch_max_bytes: ByteSize,
    /// How long to wait between attempts; they never end.
    #[serde(default)]
    retry: RetryConfig,
    /// Codes of gRPC, such as `INTERNAL`, and statuses of HTTP, such as `500`, with which the backend
    /// refuses what is in the request, so that sending it again cannot help. `INVALID_ARGUMENT`, `ALREADY_EXISTS`, 400,
    /// 413 and 422 do so without being named.
    #[serde(default)]
    final_codes: Vec<CodeOption>,
    /// Codes and statuses after which a request is sent again, whatever it is. What OTLP calls retryable
    /// needs not be named; every other code is taken for a backend that is out, unless it takes other
    /// requests meanwhile.
    #[serde(default)]
    retryable_codes: Vec<CodeOption>,
    /// TLS 1.3 towards `https` endpoints; without it the certificates of the system are trusted. Given,
    /// every endpoint must be `https`.
    #[serde(default)]
    tls: Option<ClientTls>,
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

    fn descriptors_max(&self) -> u64 {
        self.network().connections_max()
    }

    fn problems(&self) -> Vec<OptionProblem> {
        self.find_problems()
    }

    fn warnings(&self) -> Vec<OptionProblem> {
        self.network().warnings()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let network = self.network();
        network.build(context, |connect, endpoints, headers| {
            Client::new(self, connect, endpoints, headers)
        })
    }
}
