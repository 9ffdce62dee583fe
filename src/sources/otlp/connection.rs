//! The options of connections: how long each may take for what.

use std::time::Duration;

use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::OptionProblem;
use crate::net::ConnectionTimeouts;

/// Timeouts of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConnectionOptions {
    /// Close a connection if, this long after accept, its TLS handshake and HTTP/2 preface are
    /// incomplete, or no byte of an HTTP/1 request has arrived.
    handshake_timeout: HumanDuration,
    /// Close an HTTP/2 connection if it has sent no request this long after accept. Keep it above
    /// the time between a sender's connect and its first export; for metrics that is 60s.
    first_request_timeout: HumanDuration,
    /// Close an HTTP/1 connection if the headers of a request are incomplete this long after its
    /// first byte.
    header_timeout: HumanDuration,
    /// Close a connection if its sender reads nothing of a pending answer for this long.
    write_timeout: HumanDuration,
    /// Close a connection if it has sent no request for this long. Keep it above the idle timeout
    /// of load balancers, which is 60s for most: if the load balancer closes first, no request is
    /// lost.
    idle_timeout: HumanDuration,
    /// Ask the sender to reconnect at this age (HTTP/2: GOAWAY; HTTP/1: `connection: close` with
    /// the next answer), so that connections spread over new instances behind a load balancer. The
    /// age varies randomly by 10%. `0s`: no limit.
    age_max: HumanDuration,
    /// How long requests in progress at `age_max` may take to end. Then GopherShip closes the
    /// connection.
    age_grace: HumanDuration,
    /// The HTTP/2 server of both listeners. HTTP/1 has the server of hyper always.
    pub(super) http2: Http2Server,
}

/// The HTTP/2 server of both listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Http2Server {
    /// GopherShip's own server, made for OTLP.
    #[default]
    Builtin,
    /// The server of the library hyper. Choose it if a sender has a problem with the built-in
    /// server, and report the problem. A later release removes this choice.
    Hyper,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        let seconds = HumanDuration::seconds;
        Self {
            handshake_timeout: seconds(10),
            first_request_timeout: seconds(120),
            header_timeout: seconds(10),
            write_timeout: seconds(30),
            idle_timeout: seconds(300),
            age_max: seconds(0),
            age_grace: seconds(30),
            http2: Http2Server::default(),
        }
    }
}

impl ConnectionOptions {
    pub(super) const fn timeouts(&self) -> ConnectionTimeouts {
        ConnectionTimeouts {
            handshake: self.handshake_timeout.0,
            first_request: self.first_request_timeout.0,
            header: self.header_timeout.0,
            write: self.write_timeout.0,
            idle: self.idle_timeout.0,
            age: if self.age_max.0.is_zero() { None } else { Some(self.age_max.0) },
            age_grace: self.age_grace.0,
        }
    }

    pub(super) fn problems(&self) -> Vec<OptionProblem> {
        let named = [
            ("handshake_timeout", self.handshake_timeout),
            ("first_request_timeout", self.first_request_timeout),
            ("header_timeout", self.header_timeout),
            ("write_timeout", self.write_timeout),
            ("idle_timeout", self.idle_timeout),
            ("age_grace", self.age_grace),
        ];
        let zero = named.into_iter().filter(|(_, value)| value.0.is_zero());
        zero.map(|(name, _)| {
            OptionProblem::new(format!("connection.{name}"), "must be more than 0")
        })
        .collect()
    }
}

/// The same, with an age that differs by up to 10% from connection to connection, so that those that
/// were opened together do not come back together.
pub(super) fn spread(timeouts: ConnectionTimeouts) -> ConnectionTimeouts {
    let around = |age: Duration| age.mul_f64(0.9 + fastrand::f64() / 5.0);
    ConnectionTimeouts { age: timeouts.age.map(around), ..timeouts }
}
