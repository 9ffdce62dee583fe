//! The options of connections: how long each may take for what.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::net::Timeouts;

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConnectionOptions {
    /// A connection is closed if this long after it was accepted the TLS handshake and the HTTP/2 preface
    /// are not complete, or no byte of an HTTP/1 request has come.
    handshake_timeout: HumanDuration,
    /// An HTTP/2 connection is closed if it has sent no request this long after it was accepted.
    /// Longer than senders wait between connecting and their first export; metrics wait for 60s.
    first_request_timeout: HumanDuration,
    /// An HTTP/1 connection is closed if this long after the first byte of a request its headers are
    /// not complete.
    header_timeout: HumanDuration,
    /// A connection is closed if its sender takes nothing of its answers for this long.
    write_timeout: HumanDuration,
    /// A connection is closed if it has sent no request for this long. Longer than load balancers keep
    /// idle connections, which is 60s for most: who closes second never loses a request.
    idle_timeout: HumanDuration,
    /// A connection that is so old is told to go (HTTP/2: GOAWAY; HTTP/1: `connection: close` with its
    /// next answer), so that long-lived connections spread over new instances behind a load balancer.
    /// 10% more or less by chance; 0s: connections may become as old as they like.
    age_max: HumanDuration,
    /// Requests that are under way at `age_max` have this long to end; then the connection is closed.
    age_grace: HumanDuration,
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
        }
    }
}

impl ConnectionOptions {
    pub(super) const fn timeouts(&self) -> Timeouts {
        Timeouts {
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
pub(super) fn spread(timeouts: Timeouts) -> Timeouts {
    let around = |age: Duration| age.mul_f64(0.9 + fastrand::f64() / 5.0);
    Timeouts { age: timeouts.age.map(around), ..timeouts }
}
