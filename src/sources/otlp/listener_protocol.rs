//! What a listener speaks.

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerProtocol {
    /// OTLP/gRPC, HTTP/2 only.
    Grpc,
    /// OTLP/HTTP; a gRPC request that comes here is answered as well.
    Http,
}

impl ListenerProtocol {
    /// The option that holds the TLS options of its listener.
    pub(super) const fn tls_group(self) -> &'static str {
        match self {
            Self::Grpc => "grpc.tls",
            Self::Http => "http.tls",
        }
    }
}
