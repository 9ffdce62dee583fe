//! The client of a server under test: what it sends comes from a [`Workload`], one export after the other,
//! each with the retries of an OpenTelemetry SDK.
//!
//! Source: OTLP specification 1.11, "OTLP/gRPC Throttling", and the SDKs' retry policy: from 1 s to 5 s,
//! each pause half as long again as the one before, spread by a fifth.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use gophership_http_client::ConnectOptions;
use gophership_otlp::Signal;
use gophership_otlp_client::OtlpClient;
use gophership_otlp_client::Protocol;
use gophership_otlp_client::Reply;
use http::HeaderMap;
use http::Uri;
use tokio::time::Instant;

/// An export with its retries.
pub(crate) const EXPORT_WITHIN: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(5);
const RETRY_GROWTH: f64 = 1.5;
const RETRY_SPREAD: f64 = 0.2;

/// A client with connections of its own. Cheap to clone.
#[derive(Clone)]
pub struct WorkloadClient {
    otlp: OtlpClient,
    uri: Uri,
}

impl WorkloadClient {
    /// Makes a client; it connects when the first request is sent. `opened` counts its connections.
    ///
    /// # Panics
    ///
    /// Never: an address makes a URI.
    #[must_use]
    pub fn new(address: SocketAddr, protocol: Protocol, opened: Arc<AtomicU64>) -> Self {
        let options = ConnectOptions { opened, ..ConnectOptions::default() };
        let uri = format!("http://{address}").parse().expect("an address makes a URI");
        Self { otlp: OtlpClient::new(protocol, options), uri }
    }

    /// Sends a request once; `None` if there is no answer within the timeout. The server may have it all the same.
    async fn send(&self, signal: Signal, wire: Bytes, deadline: Instant) -> Option<Reply> {
        let headers = HeaderMap::new();
        let sent = self.otlp.send(&self.uri, &headers, signal, wire);
        tokio::time::timeout_at(deadline, sent).await.ok()
    }
}

/// A request that a client is to send.
pub(crate) struct PlannedExport<T> {
    pub(crate) signal: Signal,
    pub(crate) wire: Bytes,
    /// What the workload knows it by.
    pub(crate) content: T,
}

/// What comes after an answer.
pub(crate) enum AfterAttempt {
    /// The next export.
    Over,
    /// The export is sent again, not before this long.
    Retry(Option<Duration>),
}

/// What a client has to send, and who learns what came of it.
pub(crate) trait Workload: Send {
    /// What it knows a request by.
    type Content: Send + Sync;

    /// Waits for the next export; there is none at the end.
    fn next(&mut self) -> impl Future<Output = Option<PlannedExport<Self::Content>>> + Send;

    /// An attempt that began then has this reply, or none in time.
    fn seen(
        &mut self,
        content: &Self::Content,
        reply: Option<Reply>,
        begun: Instant,
    ) -> AfterAttempt;

    /// There is no time for another attempt.
    fn given_up(&mut self, content: &Self::Content);
}

/// Sends a whole workload.
pub(crate) async fn run(client: WorkloadClient, mut workload: impl Workload) {
    while let Some(export) = workload.next().await {
        let deadline = Instant::now() + EXPORT_WITHIN;
        let mut pause = RETRY_MIN;
        loop {
            let begun = Instant::now();
            let reply = client.send(export.signal, export.wire.clone(), deadline).await;
            let AfterAttempt::Retry(after) = workload.seen(&export.content, reply, begun) else {
                break;
            };
            let spread = pause.mul_f64(1.0 + RETRY_SPREAD * (2.0 * fastrand::f64() - 1.0));
            let until = Instant::now() + after.unwrap_or_default().max(spread);
            if deadline <= until {
                workload.given_up(&export.content);
                break;
            }
            tokio::time::sleep_until(until).await;
            pause = pause.mul_f64(RETRY_GROWTH).min(RETRY_MAX);
        }
    }
}
