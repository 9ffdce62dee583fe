//! HTTP for machines, `/metrics`, `/livez` (also as `/healthz`) and `/readyz`, and the page for people.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header::CONTENT_TYPE;
use http::header::HOST;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;

use super::clients;
use super::page::Page;
use super::state::ControlService;
use crate::component::Stop;
use crate::net::PlainConnection;

/// The listener for metrics and health.
pub struct Scrape {
    listener: TcpListener,
}

impl Scrape {
    /// Binds the address.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await? })
    }

    /// The address, with the port that was chosen if it was 0.
    ///
    /// # Errors
    ///
    /// What the system says when it does not know the address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until stopped.
    pub async fn serve(self, service: ControlService, stop: Stop) {
        let page = Arc::new(Page::new(service.clone()));
        let connections = clients::connections("metrics", &service.metrics);
        while let Some((stream, _peer)) = connections.accept(|| self.listener.accept(), &stop).await
        {
            let admitted = tokio::select! {
                admitted = connections.admit() => admitted,
                () = stop.cancelled() => return,
            };
            let Some(admitted) = admitted else { continue };
            let (service, page, stop) = (service.clone(), Arc::clone(&page), stop.clone());
            tokio::spawn(async move {
                let activity = Arc::clone(admitted.activity());
                let service = service_fn(|request| {
                    let answer = answer(&service, &page, &request);
                    clients::counted(&activity, std::future::ready(Ok::<_, Infallible>(answer)))
                });
                let connect = |stream| {
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(None)
                        .serve_connection(TokioIo::new(stream), service);
                    PlainConnection::new(connection, http1::Connection::graceful_shutdown)
                };
                clients::serve(stream, admitted, connect, stop, None).await;
            });
        }
    }
}

fn answer(
    service: &ControlService,
    page: &Page,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        return text(StatusCode::BAD_REQUEST, "HTTP/1.1 needs a Host header\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
    }
    match request.uri().path() {
        "/metrics" => match service.render_metrics() {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        "/livez" | "/healthz" => text(StatusCode::OK, "alive\n".to_owned()),
        "/readyz" => {
            let (status, body) = service.readiness();
            text(status, body)
        }
        path => page.answer(path).unwrap_or_else(|| {
            text(StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n".to_owned())
        }),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
