//! The `otlp` sink: forwards each request at once, over gRPC or HTTP, until a backend has it.
//!
//! It is a [`Transport`](crate::delivery::Transport) for the delivery engine, and its options.

mod client;
mod options;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use gophership_http_client::Compression;
use gophership_otlp_client::CodeOption;
use gophership_otlp_client::Encoding;
use gophership_otlp_client::Protocol;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::NamedFile;
use crate::component::OptionProblem;
use crate::component::Secret;
use crate::component::Sink;
use crate::component::SinkConfig;
use crate::delivery::Balance;
use crate::delivery::ConcurrencyOption;
use crate::delivery::KeepaliveConfig;
use crate::delivery::RetryConfig;
use crate::delivery::defaults;
use crate::tls::ClientTls;

use client::OtlpTransport;

/// Forwards requests to an OTLP backend.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OtlpSinkConfig {
    /// The backend: `https://host:4317`, or `http://host:4317` for plain text. The default port is
    /// 443 or 80. With `protocol: http` the URL may have a path, to which the sink appends
    /// `/v1/logs`, `/v1/traces` or `/v1/metrics`. Either `endpoint` or `endpoints` is required.
    #[serde(default)]
    endpoint: Option<String>,
    /// Several backends, at most 16. The sink may send any request to any of them.
    #[serde(default)]
    endpoints: Vec<String>,
    /// How the sink spreads requests over several endpoints. If one does not accept a request, the
    /// sink tries another at once.
    #[serde(default)]
    balance: Balance,
    /// The protocol to the backend.
    #[serde(default)]
    protocol: Protocol,
    /// How requests are written with `protocol: http`.
    #[serde(default)]
    encoding: Encoding,
    /// Headers (gRPC: metadata) sent with every request.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Headers whose values are read from files: the header name and the path. GopherShip reads
    /// each file at start and every 2 seconds, and trims whitespace. If a read fails, it keeps the
    /// last value.
    #[serde(default)]
    headers_from: BTreeMap<String, PathBuf>,
    /// Names of headers (gRPC: metadata) of the sender that the sink passes on, such as the name of
    /// a tenant. The source must keep them (`keep_headers`). A header of the sender replaces one of
    /// the same name in `headers`. Requests with different headers are not merged.
    #[serde(default)]
    forward_headers: Vec<String>,
    /// A file with a token, sent as `Authorization: Bearer TOKEN`. GopherShip re-reads it like the
    /// files of `headers_from`.
    #[serde(default)]
    bearer_token_file: Option<PathBuf>,
    /// Allow credentials on `http` endpoints, where anyone on the network path can read them. By
    /// default credentials require `https`, except for a backend on loopback. Credentials are
    /// `bearer_token_file`, `headers_from`, and `headers` with a name like `authorization` or
    /// `api-key`.
    #[serde(default)]
    allow_credentials_in_plain_text: bool,
    /// How requests are compressed.
    #[serde(default)]
    compression: Compression,
    /// The longest time to open a connection. After it the attempt fails.
    #[serde(default = "defaults::connect_timeout")]
    connect_timeout: HumanDuration,
    /// The longest time of one attempt, including the connect. After it the sink retries.
    #[serde(default = "defaults::timeout")]
    timeout: HumanDuration,
    /// How the sink detects dead connections.
    #[serde(default)]
    keepalive: KeepaliveConfig,
    /// The maximum number of concurrent requests to all endpoints together: a number, or `auto`.
    /// `auto` raises the limit while round trips stay short, and lowers it when requests queue at
    /// the backend.
    #[serde(default)]
    concurrency: ConcurrencyOption,
    /// The upper limit of `concurrency: auto`.
    #[serde(default = "defaults::concurrency_max")]
    concurrency_max: u32,
    /// The maximum bytes in flight.
    #[serde(default = "defaults::in_flight_max")]
    in_flight_max: ByteSize,
    /// While `concurrency` or `in_flight_max` delay requests, the sink merges waiting requests of
    /// one signal, up to this many bytes and 8192 records. An idle sink sends each request at once.
    /// By default requests are not merged. Replayed requests are never merged.
    #[serde(default = "defaults::batch_max_bytes")]
    batch_max_bytes: ByteSize,
    /// The pause between attempts, and when the sink gives a request up.
    #[serde(default)]
    retry: RetryConfig,
    /// gRPC codes, such as `INTERNAL`, and HTTP statuses, such as `500`, with which the backend
    /// rejects a request for good: the sink does not retry it. `INVALID_ARGUMENT`,
    /// `ALREADY_EXISTS`, 400, 413 and 422 are always final.
    #[serde(default)]
    final_codes: Vec<CodeOption>,
    /// gRPC codes and HTTP statuses after which the sink retries a request. The codes that OTLP
    /// defines as retryable are always included. Any other code counts as an outage of the backend,
    /// unless the backend accepts other requests meanwhile.
    #[serde(default)]
    retryable_codes: Vec<CodeOption>,
    /// The HTTP proxy on the way to the backend, such as `http://proxy:3128` or
    /// `http://USER:PASSWORD@proxy:3128`, or `off`. By default the sink reads `HTTPS_PROXY`, `HTTP_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY` from the environment, and uses no proxy for a backend on loopback. For
    /// `https` and gRPC it asks the proxy for a tunnel (CONNECT).
    #[serde(default)]
    proxy: Option<Secret>,
    /// TLS options for `https` endpoints. By default the sink trusts the certificates
    /// of the system. If given, every endpoint must be `https`.
    #[serde(default)]
    tls: Option<ClientTls>,
}

inventory::submit! {
    ComponentInfo::sink::<OtlpSinkConfig>(
        "otlp",
        "Forwards requests to an OTLP backend over gRPC or HTTP.",
    )
}

#[async_trait]
impl SinkConfig for OtlpSinkConfig {
    fn beside_budget_bytes(&self) -> u64 {
        self.in_flight_max.0
    }

    fn descriptors_max(&self) -> u64 {
        self.network().connections_max()
    }

    fn files(&self) -> Vec<NamedFile> {
        self.network().files()
    }

    fn forwarded_headers(&self) -> &[String] {
        &self.forward_headers
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
            OtlpTransport::new(self, connect, endpoints, headers)
        })
    }
}
