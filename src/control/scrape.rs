//! HTTP for machines: `/metrics`, `/healthz`, `/readyz`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::service::Plant;
use crate::config::running::Stop;

const CONNECTIONS_MAX: usize = 64;
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

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

    /// Answers until stopped; `ready` is what `/readyz` says.
    pub async fn serve(self, plant: Plant, ready: Arc<AtomicBool>, stop: Stop) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let Ok((stream, _peer)) = accepted else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            let (plant, ready, stop) = (plant.clone(), Arc::clone(&ready), stop.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(&plant, &ready, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADERS_WITHIN)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    served = connection => if let Err(error) = served {
                        tracing::debug!(%error, "Metrics connection ended.");
                    },
                    () = stop.cancelled() => {}
                }
                drop(slot);
            });
        }
    }
}

fn answer(plant: &Plant, ready: &AtomicBool, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
    }
    match request.uri().path() {
        "/metrics" => match plant.render_metrics() {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        "/healthz" => text(StatusCode::OK, "alive\n".to_owned()),
        "/readyz" if ready.load(Ordering::Acquire) && plant.zones.is_intake_stuck() => {
            let stalls = plant.zones.stalls();
            let lines: Vec<String> = stalls.iter().map(ToString::to_string).collect();
            let body = format!("nothing moves\n{}\n", lines.join("\n"));
            text(StatusCode::SERVICE_UNAVAILABLE, body)
        }
        "/readyz" if ready.load(Ordering::Acquire) => {
            text(StatusCode::OK, format!("ready, zone {}\n", plant.zones.report().zone))
        }
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n".to_owned()),
        _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
