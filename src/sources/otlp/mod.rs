//! The `otlp` source: OTLP over gRPC (4317) and HTTP (4318), all signals, raw bytes kept.
//!
//! ```text
//!   listener           one address, TLS
//!    v
//!   connection_server  connections, kept when a reload replaces the source (knows HTTP, not OTLP);
//!    |                  HTTP/2 goes to http2, our own server, which calls the same as hyper does:
//!    |- grpc           unary calls whose messages stay bytes; frame reads them
//!    |- http           POST /v1/{logs,traces,metrics}, protobuf and JSON; json converts
//!    |   body, inflate, filling: into memory; admission has taken room for it before
//!    |   auth: who may send; cors: which web pages; health: for probes over gRPC
//!    v
//!   ingest_handler     pre-scan, the acceptor; every protocol ends here; response_delay in Yellow
//!    v
//!   answer             what the sender is told, for both protocols in one table
//! ```

mod active_handler;
mod admission;
mod answer;
mod auth;
mod body;
mod connection;
mod connection_server;
mod cors;
mod deadline;
mod filling;
mod frame;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod grpc;
mod health;
mod http;
mod http2;
mod inflate;
mod ingest_handler;
mod json;
mod limits;
mod listener;
mod listener_config;
mod listener_protocol;
mod origin;
mod partial_success;
mod problems;
mod response_delay;
mod screen;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::NamedFile;
use crate::component::OptionProblem;
use crate::component::PivotOption;
use crate::component::Resource;
use crate::component::RunError;
use crate::component::Site;
use crate::component::Source;
use crate::component::SourceConfig;
use crate::component::Stop;
use crate::flow::Acceptor;
use crate::flow::AckLevel;
use crate::flow::Output;
use crate::flow::accept::Waits;
use crate::somatic::WorkKind;
use crate::tls::ServerTls;

use admission::Admission;
use auth::Auth;
use auth::AuthConfig;
use connection::ConnectionOptions;
use connection_server::ConnectionServer;
use connection_server::Terms;
use cors::CorsConfig;
use ingest_handler::IngestHandler;
use limits::RequestLimits;
use listener::Listener;
use listener_config::HttpListenerConfig;
use listener_config::ListenerConfig;
use listener_protocol::ListenerProtocol;
use origin::Origins;
use response_delay::ResponseDelay;

/// What its requests do until they are answered.
const WAITS: &str = "requests wait for their answer";

/// Receives OTLP requests over gRPC and HTTP, and keeps their bytes unchanged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OtlpConfig {
    /// The gRPC listener. If neither `grpc` nor `http` is given, both listen on 127.0.0.1, on ports
    /// 4317 and 4318. If one is given, the other is off.
    grpc: Option<ListenerConfig>,
    /// The HTTP listener: protobuf and JSON on the same port.
    http: Option<HttpListenerConfig>,
    /// Who may send: bearer tokens and users with passwords. By default everyone, or with `client_ca`
    /// everyone with a certificate.
    auth: Option<AuthConfig>,
    /// What an OK answer guarantees.
    ack: AckOption,
    /// How long a request may wait for delivery. Then GopherShip spills it to the vault, and the
    /// sender gets its OK. Without a `pivot` this has no effect.
    patience: HumanDuration,
    /// The vault that takes requests when an edge is full or the zone is red. `off`: none. The
    /// default is the only vault without `inputs`, if the components that read this source are
    /// exactly those that read its replay.
    #[schemars(with = "Option<String>")]
    pivot: PivotOption,
    /// The sender gets an answer within this time. Keep it below the sender's own deadline, which
    /// is 10s in most SDKs.
    answer_within: HumanDuration,
    /// The largest request. The limit also holds after decompression, and after conversion of JSON
    /// to protobuf. With a `pivot` at most 64MiB.
    message_size_max: ByteSize,
    /// The highest ratio of decompressed to compressed size; 4MiB of decompressed data are always
    /// allowed. GopherShip refuses a larger request while it decompresses it. Without this limit a
    /// few kilobytes could take `message_size_max` of memory.
    compression_ratio_max: u32,
    /// The maximum number of log records, spans or data points in one request. Transforms and sinks
    /// need memory for each record, and a record can be as small as 2 bytes.
    records_max: u64,
    /// The maximum number of resources and scopes in one request, counted together: the entries of
    /// `resource_logs` and `scope_logs`, and the same for traces and metrics.
    resources_max: u64,
    /// The maximum bytes of requests that are being received or wait for their answer. With `ack:
    /// received`, requests count until they are delivered or in the vault. If a request gets no
    /// memory within `patience`, here or in the `ingest` share of `somatic.memory`, GopherShip
    /// refuses it with a retryable error.
    in_flight_max: ByteSize,
    /// GopherShip aborts a request if its sender delivers less than 64KiB, or less than 1/16 of the
    /// memory reserved for the request, within this time.
    read_idle_timeout: HumanDuration,
    /// Request headers (gRPC metadata) that the vault stores with the request, such as a tenant's
    /// name. At most 16, with values of up to 1KiB.
    keep_headers: Vec<String>,
    /// The maximum number of open connections per listener. At the limit, a new connection replaces
    /// the one that has been idle longest; connections without any request yet are closed first.
    connections_max: u32,
    /// Timeouts of connections.
    connection: ConnectionOptions,
    /// The maximum number of concurrent requests per connection.
    streams_max: u32,
}

/// What an OK answer guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AckOption {
    /// The request is in memory.
    Received,
    /// Every sink on the path has delivered the request, or the vault has stored it at its
    /// durability level.
    Delivered,
    /// The vault has stored the request at its durability level. The replay delivers it.
    Journaled,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            grpc: None,
            http: None,
            auth: None,
            ack: AckOption::Delivered,
            patience: HumanDuration(Duration::from_secs(1)),
            pivot: PivotOption::default(),
            answer_within: HumanDuration(Duration::from_secs(8)),
            message_size_max: ByteSize(64 << 20),
            compression_ratio_max: 200,
            records_max: 1_000_000,
            resources_max: 100_000,
            in_flight_max: ByteSize(96 << 20),
            read_idle_timeout: HumanDuration(Duration::from_secs(10)),
            keep_headers: Vec::new(),
            connections_max: 1024,
            connection: ConnectionOptions::default(),
            streams_max: 128,
        }
    }
}

inventory::submit! {
    ComponentInfo::source::<OtlpConfig>("otlp", "Receives OTLP requests over gRPC and HTTP.")
}

impl OtlpConfig {
    /// The listeners in force: what is configured, or both on loopback.
    fn listeners(&self) -> (Option<ListenerConfig>, Option<ListenerConfig>) {
        if self.grpc.is_some() || self.http.is_some() {
            return (self.grpc.clone(), self.http.as_ref().map(HttpListenerConfig::listener));
        }
        let on = |port| Some(ListenerConfig { listen: ([127, 0, 0, 1], port).into(), tls: None });
        (on(4317), on(4318))
    }

    fn limits(&self) -> RequestLimits {
        RequestLimits {
            bytes: self.message_size_max.0,
            compression_ratio: self.compression_ratio_max.into(),
            records: self.records_max,
            resources: self.resources_max,
            read_idle: self.read_idle_timeout.0,
        }
    }

    fn level(&self) -> AckLevel {
        match self.ack {
            AckOption::Received => AckLevel::Received,
            AckOption::Delivered => AckLevel::Delivered,
            AckOption::Journaled => AckLevel::Journaled,
        }
    }
}

#[async_trait]
impl SourceConfig for OtlpConfig {
    fn resources(&self, _site: &Site<'_>) -> Vec<Resource> {
        let (grpc, http) = self.listeners();
        [grpc, http].into_iter().flatten().map(|listener| Resource::Tcp(listener.listen)).collect()
    }

    fn files(&self) -> Vec<NamedFile> {
        let (grpc, http) = self.listeners();
        let (of_grpc, of_http) = (ListenerProtocol::Grpc, ListenerProtocol::Http);
        let listeners = [(of_grpc.tls_group(), grpc), (of_http.tls_group(), http)].into_iter();
        let tls = listeners.flat_map(|(option, listener)| listener_config::files(option, listener));
        tls.chain(self.auth.iter().flat_map(AuthConfig::files)).collect()
    }

    fn pivot(&self) -> Option<&str> {
        self.pivot.vault()
    }

    fn wants_pivot(&self) -> bool {
        self.pivot.is_unset()
    }

    fn pivot_by_default(&mut self, vault: &str) {
        self.pivot.set_default(vault);
    }

    fn kept_headers(&self) -> Option<&[String]> {
        Some(&self.keep_headers)
    }

    fn is_journaled(&self) -> bool {
        self.ack == AckOption::Journaled
    }

    fn beside_budget_bytes(&self) -> u64 {
        let unread = u64::from(connection_server::CONNECTION_WINDOW_BYTES);
        unread.saturating_mul(SourceConfig::connections_max(self))
    }

    fn connections_max(&self) -> u64 {
        let (grpc, http) = self.listeners();
        let listeners = [grpc, http].into_iter().flatten().count() as u64;
        listeners.saturating_mul(self.connections_max.into())
    }

    fn problems(&self) -> Vec<OptionProblem> {
        self.find_problems()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Source>, BuildError> {
        let (grpc, http) = self.listeners();
        let mut listeners = Vec::new();
        for (listener, protocol) in [(grpc, ListenerProtocol::Grpc), (http, ListenerProtocol::Http)]
        {
            let Some(ListenerConfig { listen, tls: tls_options }) = listener else { continue };
            let tls = tls_options.as_ref().map(ServerTls::load).transpose()?;
            let group = protocol.tls_group();
            let certificate = tls_options
                .as_ref()
                .and_then(|options| context.show_certificate(group, options.files()));
            let bound = context.listeners.bind(listen).map_err(|source| BuildError::Io {
                operation: "listen on",
                what: listen.to_string(),
                source,
            })?;
            let terms = Terms {
                protocol,
                tls: tls_options,
                connections: self.connections_max as usize,
                streams: self.streams_max,
                timeouts: self.connection.timeouts(),
                http2: self.connection.http2,
            };
            let connection_server = context.listeners.keep(
                listen,
                |kept: &ConnectionServer| kept.is_on(&terms),
                || ConnectionServer::new(terms.clone(), context.listeners.descriptors()),
            );
            listeners.push(Listener {
                socket: bound,
                tls,
                certificate,
                claim: connection_server.claim(),
                linger: self.answer_within.0 + Duration::from_secs(1),
            });
        }
        let auth = self.auth.as_ref().map(AuthConfig::load).transpose()?;
        Ok(Box::new(Otlp { config: self.clone(), context: context.clone(), listeners, auth }))
    }
}

struct Otlp {
    config: OtlpConfig,
    context: Context,
    listeners: Vec<Listener>,
    auth: Option<Auth>,
}

#[async_trait]
impl Source for Otlp {
    async fn run(self: Box<Self>, output: Output, stop: Stop) -> Result<(), RunError> {
        let metrics = self.context.metrics.source(self.context.id.as_str());
        let waits =
            Waits { patience: self.config.patience.0, answer_within: self.config.answer_within.0 };
        let (level, ledger) =
            (self.config.level(), self.context.ledgers.source(self.context.id.as_str()));
        let acceptor = Acceptor::new(output, level, waits, ledger, metrics.clone(), stop.clone());
        let origins = Origins::new(self.context.id.as_str(), &self.config.keep_headers);
        let (in_flight, patience) = (self.config.in_flight_max.0, self.config.patience.0);
        let room =
            Admission::new(in_flight, &self.context.memory, &self.context.gauges.rest, patience);
        let limits = self.config.limits();
        let response_delay =
            ResponseDelay::new(Arc::clone(&self.context.brake), waits.answer_within, stop.clone());
        let work_probes = &self.context.gauges.work_probes;
        let tally = work_probes.count(self.context.id.as_str(), WAITS, WorkKind::Intake);
        let handler = IngestHandler::new(
            acceptor.clone(),
            metrics,
            origins,
            room,
            limits,
            tally,
            response_delay,
        );
        let cors = self.config.http.as_ref().and_then(|http| http.cors.as_ref());
        let cors = cors.map(CorsConfig::build);
        let handler = Arc::new(handler.guarded(self.auth.clone(), cors));
        let listeners = TaskTracker::new();
        for listener in self.listeners {
            listener.announce(&self.context.id);
            let connections = listener.connections(&self.context.id, &self.context.metrics);
            listeners.spawn(listener.run(Arc::clone(&handler), connections, stop.clone()));
        }
        listeners.close();
        tokio::select! {
            () = listeners.wait() => {}
            () = follow(self.auth.as_ref(), &self.context.id) => {}
        }
        acceptor.drain().await;
        Ok(())
    }
}

/// Follows the files with credentials, if there are any, for ever.
async fn follow(auth: Option<&Auth>, source: &ComponentId) {
    match auth {
        Some(auth) => auth.follow(source).await,
        None => std::future::pending().await,
    }
}
