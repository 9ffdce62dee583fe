//! The health service of gRPC on the port of the senders, for load balancers and probes.
//!
//! `Check` answers; `Watch` is not implemented, which clients take for a healthy server.
//!
//! Source: gRPC Health Checking Protocol.

use std::time::Duration;

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use gophership_otlp::Signal;
use http_body_util::BodyExt;
use http_body_util::Limited;
use hyper::body::Body as HttpBody;
use prost::Message;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;

/// Where its methods are.
pub(super) const PREFIX: &str = "/grpc.health.v1.Health/";
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// A request names a service.
const REQUEST_BYTES_MAX: usize = 1024;
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Of a frame: whether it is compressed, and the length of its message.
const FRAME_HEAD_BYTES: usize = 5;

/// Answers a call; `serves` says whether new requests are taken.
///
/// # Errors
///
/// What the caller is told.
pub(super) async fn answer<B>(path: &str, body: B, serves: bool) -> Result<Bytes, Status>
where
    B: HttpBody,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if path != CHECK {
        return Err(Status::unimplemented("use grpc.health.v1.Health/Check"));
    }
    let read = tokio::time::timeout(READ_WITHIN, Limited::new(body, REQUEST_BYTES_MAX).collect());
    let read = read.await.map_err(|_late| Status::aborted("the request did not come in time"))?;
    let frame =
        read.map_err(|_| Status::invalid_argument("the request cannot be read"))?.to_bytes();
    let service = service(&frame).ok_or_else(|| Status::invalid_argument("no health request"))?;
    let is_known = service.is_empty()
        || Signal::ALL.iter().any(|signal| {
            let path = signal.grpc_path();
            path.trim_start_matches('/').split('/').next() == Some(&*service)
        });
    if !is_known {
        return Err(Status::not_found("unknown service"));
    }
    let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
    let response = HealthCheckResponse { status: status.into() };
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + response.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(response.encoded_len()).unwrap_or(0));
    frame.put_slice(&response.encode_to_vec());
    Ok(frame.freeze())
}

/// The service that a frame asks for.
fn service(frame: &[u8]) -> Option<String> {
    let (head, message) = frame.split_at_checked(FRAME_HEAD_BYTES)?;
    let is_whole = head.first() == Some(&0);
    is_whole.then(|| HealthCheckRequest::decode(message).ok()).flatten().map(|it| it.service)
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn ask(path: &str, service: &str, serves: bool) -> Result<i32, tonic::Code> {
        let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
        let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        frame.extend(message);
        let answered = answer(path, Full::new(Bytes::from(frame)), serves).await;
        let frame = answered.map_err(|status| status.code())?;
        assert_eq!(usize::from(frame[4]), frame.len() - FRAME_HEAD_BYTES);
        Ok(HealthCheckResponse::decode(&frame[FRAME_HEAD_BYTES..]).unwrap().status)
    }

    #[tokio::test]
    async fn the_server_and_each_service_has_the_same_health() {
        let logs = "opentelemetry.proto.collector.logs.v1.LogsService";
        assert_eq!(ask(CHECK, "", true).await, Ok(ServingStatus::Serving.into()));
        assert_eq!(ask(CHECK, logs, true).await, Ok(ServingStatus::Serving.into()));
        assert_eq!(ask(CHECK, logs, false).await, Ok(ServingStatus::NotServing.into()));
        assert_eq!(ask(CHECK, "other", true).await, Err(tonic::Code::NotFound));
        let watch = "/grpc.health.v1.Health/Watch";
        assert_eq!(ask(watch, "", true).await, Err(tonic::Code::Unimplemented));
    }

    #[tokio::test]
    async fn what_is_no_health_request_is_refused() {
        for frame in [&b""[..], b"\x01\0\0\0\0", b"\0\0\0\0\x02\xff\xff"] {
            let answered = answer(CHECK, Full::new(Bytes::copy_from_slice(frame)), true).await;
            assert_eq!(answered.unwrap_err().code(), tonic::Code::InvalidArgument, "{frame:?}");
        }
        let long = Bytes::from(vec![0; REQUEST_BYTES_MAX + 1]);
        assert!(answer(CHECK, Full::new(long), true).await.is_err());
    }
}
