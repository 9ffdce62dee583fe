//! Serves connections, and lets requests fail as told.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use s3s::Body;
use s3s::service::S3Service;
use tokio::net::TcpStream;

use crate::fault::Fault;
use crate::fault::RequestKind;
use crate::faults::Faults;
use crate::half::HalfBody;
use crate::half::HalfEnd;
use crate::line::Reset;
use crate::line::ResettableStream;

/// What connections are served with.
pub(crate) struct ServeContext {
    service: S3Service,
    faults: Faults,
    root: PathBuf,
}

impl ServeContext {
    pub(crate) const fn new(service: S3Service, faults: Faults, root: PathBuf) -> Self {
        Self { service, faults, root }
    }

    async fn request(
        &self,
        request: Request<Incoming>,
        reset: Reset,
    ) -> Result<Response<Body>, io::Error> {
        let kind = RequestKind::of(&request);
        let path = decoded(request.uri().path());
        let Some(fault) = self.faults.begin(kind, &path) else { return self.call(request).await };
        match fault {
            Fault::Answer { status, code } => {
                drain(request.into_body()).await;
                answer(kind, status, code)
            }
            Fault::Stall => std::future::pending().await,
            Fault::Close => Err(io::Error::other("closed as told")),
            Fault::ResetBody if kind.sends_object() => {
                read_half(request.into_body()).await;
                reset.set();
                Err(io::Error::other("reset as told"))
            }
            Fault::ResetBody => self.half(request, HalfEnd::Reset(reset)).await,
            Fault::TruncatedBody => self.half(request, HalfEnd::Close).await,
            Fault::StallBody => self.half(request, HalfEnd::Stall).await,
            Fault::NotStored => {
                drain(request.into_body()).await;
                let answer =
                    Response::builder().header("etag", "\"d41d8cd98f00b204e9800998ecf8427e\"");
                answer.body(Body::empty()).map_err(io::Error::other)
            }
            Fault::AnswerLost => {
                self.call(request).await?;
                reset.set();
                Err(io::Error::other("lost as told"))
            }
            Fault::Corrupt => {
                let response = self.call(request).await?;
                change(&self.root.join(path.trim_matches('/')), |bytes| {
                    let idx = bytes.len() / 2;
                    if let Some(byte) = bytes.get_mut(idx) {
                        *byte ^= 1;
                    }
                })?;
                Ok(response)
            }
            Fault::Shortened => {
                let response = self.call(request).await?;
                change(&self.root.join(path.trim_matches('/')), |bytes| {
                    bytes.truncate(bytes.len() / 2);
                })?;
                Ok(response)
            }
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                self.call(request).await
            }
        }
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        let response = self.service.call(request.map(Body::from)).await;
        response.map_err(|error| io::Error::other(format!("{error:?}")))
    }

    async fn half(
        &self,
        request: Request<Incoming>,
        end: HalfEnd,
    ) -> Result<Response<Body>, io::Error> {
        let (parts, body) = self.call(request).await?.into_parts();
        let whole = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(parts, Body::http_body_unsync(HalfBody::new(&whole, end))))
    }
}

/// Serves a connection until it ends.
pub(crate) async fn connection(stream: TcpStream, served: Arc<ServeContext>) {
    let (line, reset) = ResettableStream::new(stream);
    let service = service_fn(move |request| {
        let (served, reset) = (Arc::clone(&served), reset.clone());
        async move { served.request(request, reset).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(line), service);
    // How a connection ends is what tests are about.
    let _has_ended_well = connection.await.is_ok();
}

/// Reads a body to its end, so that the client has sent it when the answer comes.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Reads half of a body.
async fn read_half(mut body: Incoming) {
    let whole_bytes = body.size_hint().lower();
    let mut bytes = 0;
    while bytes <= whole_bytes / 2
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
}

fn answer(kind: RequestKind, status: u16, code: &str) -> Result<Response<Body>, io::Error> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/xml")
        .header("x-amz-request-id", "TESTREQUEST");
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>As the test demands.</Message><RequestId>TESTREQUEST</RequestId></Error>"
    );
    // The answer to HEAD has no body.
    let body = if kind == RequestKind::Head { Body::empty() } else { Body::from(text) };
    response.body(body).map_err(io::Error::other)
}

/// Changes a stored object.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    fs::write(path, bytes)
}

/// A path without percent signs.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded() {
        assert_eq!(decoded("/b/date%3D2026-11-29/a"), "/b/date=2026-11-29/a");
        assert_eq!(decoded("/b/100%"), "/b/100%");
    }
}
