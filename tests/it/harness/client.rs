//! Clients: gRPC with bytes as they are, and HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp_client::RawCodec;
use http::HeaderMap;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::transport::Endpoint;

use super::NumberedRequest;

/// As SDKs do.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A gRPC client with one connection.
#[derive(Clone)]
pub(crate) struct GrpcClient {
    channel: Channel,
    compression: Option<CompressionEncoding>,
    header: Option<(&'static str, &'static str)>,
}

impl GrpcClient {
    /// Connects when the first request is sent.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let connector = tower::service_fn(move |_uri: Uri| async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        });
        let channel = endpoint.timeout(TIMEOUT).connect_with_connector_lazy(connector);
        Self { channel, compression: None, header: None }
    }

    /// Compresses what it sends.
    pub(crate) fn compressed(mut self, compression: Option<CompressionEncoding>) -> Self {
        self.compression = compression;
        self
    }

    /// Sends a header with each request.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Sends a request; OK means that it is acknowledged.
    pub(crate) async fn send(&self, parcel: &NumberedRequest) -> Result<Bytes, Status> {
        self.send_to(parcel.signal.grpc_path(), parcel.wire.clone()).await
    }

    /// Sends any bytes anywhere.
    pub(crate) async fn send_to(&self, path: &'static str, wire: Bytes) -> Result<Bytes, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        if let Some(compression) = self.compression {
            grpc = grpc.send_compressed(compression);
        }
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = PathAndQuery::from_static(path);
        let mut request = tonic::Request::new(wire);
        if let Some((name, value)) = self.header {
            request.metadata_mut().insert(name, MetadataValue::from_static(value));
        }
        let response = grpc.unary(request, path, RawCodec).await?;
        Ok(response.into_inner())
    }
}

/// An HTTP client; connections are pooled.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl HttpClient {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { client, address }
    }

    /// Posts a body with these headers.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> HttpAnswer {
        self.request("POST", path, headers, body.into()).await
    }

    /// Sends a request of any method.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> HttpAnswer {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        let answer = tokio::time::timeout(TIMEOUT, self.client.request(request));
        let (head, body) = answer.await.expect("answered in time").unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        HttpAnswer { status: head.status, headers: head.headers, body }
    }
}
