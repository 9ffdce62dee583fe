//! The client of one sink: sends single requests, in the protocol that its options name.

use ::http::Uri;
use bytes::Bytes;

use super::OtlpSinkConfig;
use super::channel::Channel;
use super::grpc;
use super::http;
use super::options::Protocol;
use crate::config::running::BuildError;
use crate::delivery::Answer;
use crate::delivery::Endpoint;
use crate::delivery::Headers;
use crate::delivery::Transport;
use crate::event::Batch;
use crate::otlp_client::Verdict;

/// Sends single requests to the endpoints of one sink.
pub(super) struct Client {
    channel: Channel,
    endpoints: Vec<Uri>,
    protocol: Protocol,
}

impl Client {
    /// Makes a client; connects when the first request is sent.
    pub(super) fn new(
        config: &OtlpSinkConfig,
        endpoints: &[Endpoint],
        headers: Headers,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            channel: Channel::new(config, endpoints, headers)?,
            endpoints: endpoints.iter().map(|endpoint| endpoint.uri().clone()).collect(),
            protocol: config.protocol,
        })
    }
}

impl Transport for Client {
    async fn send(&self, endpoint_idx: usize, batches: &[Batch]) -> Answer {
        let endpoint = self.endpoints.get(endpoint_idx);
        let (Some(endpoint), Some(first)) = (endpoint, batches.first()) else {
            return Answer::unanswered("nothing to send, or nowhere to send it");
        };
        let wires: Vec<Bytes> = batches.iter().map(|batch| batch.wire().clone()).collect();
        let (signal, wire) = (first.signal(), gophership_otlp::merge(&wires));
        let verdict = match self.protocol {
            Protocol::Grpc => grpc::send(&self.channel, endpoint, signal, wire).await,
            Protocol::Http => http::send(&self.channel, endpoint, signal, wire).await,
        };
        match verdict {
            Verdict::Delivered { rejected, message } => Answer::Delivered { rejected, message },
            Verdict::Retry { after, reason } => Answer::Retry { after, reason },
            Verdict::Denied { reason } => Answer::Denied { reason },
            Verdict::Rejected { reason } => Answer::Rejected { reason },
        }
    }
}
