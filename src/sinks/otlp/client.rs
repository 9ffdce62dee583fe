//! The transport of the sink: joins batches to a request, and hands it to the client.

use bytes::Bytes;
use gophership_http_client::Answer;
use gophership_http_client::ConnectOptions;
use gophership_otlp_client::OtlpClient;
use http::Uri;

use super::OtlpSinkConfig;
use crate::delivery::Endpoint;
use crate::delivery::ForwardedHeaders;
use crate::delivery::Headers;
use crate::delivery::Transport;
use crate::event::Batch;

/// Sends single requests to the endpoints of one sink.
pub(super) struct OtlpTransport {
    otlp: OtlpClient,
    endpoints: Vec<Uri>,
    headers: Headers,
    forwarded: ForwardedHeaders,
}

impl OtlpTransport {
    /// Makes a client; connects when the first request is sent.
    pub(super) fn new(
        config: &OtlpSinkConfig,
        connect: ConnectOptions,
        endpoints: &[Endpoint],
        headers: Headers,
    ) -> Self {
        let otlp = OtlpClient::new(config.protocol, connect);
        Self {
            otlp: otlp
                .compressed(config.compression)
                .encoded(config.encoding)
                .overruled(config.codes()),
            endpoints: endpoints.iter().map(|endpoint| endpoint.uri().clone()).collect(),
            headers,
            forwarded: ForwardedHeaders::new(&config.forward_headers),
        }
    }
}

impl Transport for OtlpTransport {
    async fn send(&self, endpoint_idx: usize, batches: &[Batch]) -> Answer {
        let endpoint = self.endpoints.get(endpoint_idx);
        let (Some(endpoint), Some(first)) = (endpoint, batches.first()) else {
            return Answer::unanswered("no batch to send, or no such endpoint");
        };
        let wires: Vec<Bytes> = batches.iter().map(|batch| batch.wire().clone()).collect();
        let (signal, wire) = (first.signal(), gophership_otlp::merge(&wires));
        let headers = self.headers.current();
        // Batches that go together came with the same headers.
        let forwarded = self.forwarded.join(&headers, first.provenance());
        let headers = forwarded.as_ref().unwrap_or(&headers);
        self.otlp.send(endpoint, headers, signal, wire).await.answer
    }
}
