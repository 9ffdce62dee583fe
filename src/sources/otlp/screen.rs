//! The look at a request before it is accepted: its records are counted, and those that are malformed are
//! taken out.

use bytes::Bytes;
use gophership_otlp::Summary;
use gophership_otlp::WireError;
use gophership_otlp::prescan;
use gophership_otlp::salvage;
use gophership_otlp::unknown_field;

use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::answer::RefusedRequest;
use super::inflate::INLINE_BYTES_MAX;
use super::partial_success::PartialSuccess;
use crate::event::Signal;

/// Counts the records of a request. If some of them are malformed, they are taken out, and the request
/// says so; if none is left, it is refused.
///
/// Allocates nothing for a request that is well formed.
#[inline]
pub(super) async fn screen(
    signal: Signal,
    received: AdmittedRequest,
    room: ConnectionAdmission<'_>,
) -> Result<(AdmittedRequest, Summary), RefusedRequest> {
    match prescan(signal, &received.wire) {
        Ok(summary) if summary.records > 0 => Ok((received, summary)),
        Ok(summary) => Ok((without_records(signal, received), summary)),
        Err(error) => without_malformed(signal, received, room, &error).await,
    }
}

/// Says what was ignored in a request that has no records.
#[cold]
fn without_records(signal: Signal, mut received: AdmittedRequest) -> AdmittedRequest {
    if received.partial.is_none()
        && let Some(ignored) = unknown_field(signal, &received.wire)
    {
        received.partial = Some(PartialSuccess::nothing_known(signal, &ignored));
    }
    received
}

/// Takes the malformed records out, with room for what is left beside the request.
#[cold]
async fn without_malformed(
    signal: Signal,
    received: AdmittedRequest,
    room: ConnectionAdmission<'_>,
    error: &WireError,
) -> Result<(AdmittedRequest, Summary), RefusedRequest> {
    let AdmittedRequest { wire, mut held, .. } = received;
    room.grow(&mut held, wire.len() as u64).await?;
    let is_short = wire.len() <= INLINE_BYTES_MAX;
    let work = move || (held, salvage(signal, &wire));
    let (mut held, salvaged) = if is_short {
        work()
    } else {
        let gone = |_| RefusedRequest::Broken("cannot check the request".to_owned());
        tokio::task::spawn_blocking(work).await.map_err(gone)?
    };
    let fault = error.to_string();
    let Some(salvaged) = salvaged else { return Err(RefusedRequest::Invalid(fault)) };
    let wire: Bytes = salvaged.bytes;
    held.shrink_to(wire.len() as u64);
    let partial = Some(PartialSuccess::rejected(signal, salvaged.rejected, &fault));
    Ok((AdmittedRequest { wire, held, partial }, salvaged.summary))
}
