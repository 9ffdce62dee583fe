//! What the engine needs of a protocol.

use std::future::Future;

use gophership_http_client::Answer;

use crate::event::Batch;

/// Makes requests, sends them, and judges what is answered: all of a protocol that the engine needs.
pub trait Transport: Send + Sync + 'static {
    /// Sends batches of one signal to an endpoint, in one request, once. Dropped half-way it gives
    /// the request up; the backend may have it.
    fn send(&self, endpoint_idx: usize, batches: &[Batch]) -> impl Future<Output = Answer> + Send;
}
