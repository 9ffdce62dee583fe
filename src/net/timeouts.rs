//! When a connection is closed, and why: a pure function of what it does.

use std::time::Duration;

use super::activity::Activity;
use super::activity::Speaks;
use gophership_units::ns_of;

/// A connection that is asked to close while it is idle has so long for it.
const CLOSE_GRACE: Duration = Duration::from_millis(500);
/// What a peer still sends after its answer is thrown away for so long at most.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionTimeouts {
    /// From being accepted to the end of the TLS handshake and of the HTTP/2 preface, or to the first
    /// byte of HTTP/1.
    pub handshake: Duration,
    /// From being accepted to the first request.
    pub first_request: Duration,
    /// From the first byte of an HTTP/1 request to the end of its headers.
    pub header: Duration,
    /// For the peer to take something of what is written.
    pub write: Duration,
    /// Without a request.
    pub idle: Duration,
    /// In all, with requests; then it is told to go, and has `age_grace` for what it has begun.
    pub age: Option<Duration>,
    /// For the requests that are under way at that age.
    pub age_grace: Duration,
}

/// Why GopherShip closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// No TLS handshake, preface or first byte in time.
    Handshake,
    /// No request in time.
    FirstRequest,
    /// The headers of a request were not complete in time.
    Header,
    /// The peer took nothing of its answers in time.
    Write,
    /// No request for long.
    Idle,
    /// It is older than a connection may become.
    Age,
    /// It was idle when another connection needed its place.
    Evicted,
    /// The peer went on sending after its answer.
    Linger,
}

impl CloseCause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::Handshake,
        Self::FirstRequest,
        Self::Header,
        Self::Write,
        Self::Idle,
        Self::Age,
        Self::Evicted,
        Self::Linger,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake_timeout",
            Self::FirstRequest => "first_request_timeout",
            Self::Header => "header_timeout",
            Self::Write => "write_timeout",
            Self::Idle => "idle_timeout",
            Self::Age => "age",
            Self::Evicted => "evicted",
            Self::Linger => "linger_timeout",
        }
    }

    /// Whether the peer is told before, and may finish what it has begun.
    pub(super) const fn is_graceful(self) -> bool {
        matches!(self, Self::FirstRequest | Self::Idle | Self::Age | Self::Evicted)
    }
}

/// Something that happens at a time on the clock of connections, unless something else does before.
pub(super) type Due = (u64, CloseCause);

impl ConnectionTimeouts {
    /// When a connection is closed if nothing happens until then. `unsent_ns`: since when an answer waits
    /// for the peer to make room for it. `closing`: since when the peer is told to go, and why.
    pub(super) fn due(
        &self,
        activity: &Activity,
        unsent_ns: Option<u64>,
        closing: Option<Due>,
    ) -> Option<Due> {
        let after = |since: u64, wait: Duration| since.saturating_add(ns_of(wait));
        if let Some(since) = activity.linger_ns() {
            return Some((after(since, LINGER_TIMEOUT), CloseCause::Linger));
        }
        let stuck = [activity.blocked_ns(), unsent_ns].into_iter().flatten().min();
        let write = stuck.map(|since| (after(since, self.write), CloseCause::Write));
        let is_idle = activity.requests() == 0;
        let other = match closing {
            Some((since, CloseCause::Age)) => Some((after(since, self.age_grace), CloseCause::Age)),
            Some((since, cause)) if is_idle => {
                Some((after(since.max(stuck.unwrap_or(0)), CLOSE_GRACE), cause))
            }
            Some(_) => None,
            None => {
                let age = self.age.map(|age| (after(activity.opened_ns(), age), CloseCause::Age));
                let idle = is_idle.then(|| self.idle_due(activity));
                age.into_iter().chain(idle).min_by_key(|(at, _)| *at)
            }
        };
        write.into_iter().chain(other).min_by_key(|(at, _)| *at)
    }

    /// When a connection without a request is closed.
    fn idle_due(&self, activity: &Activity) -> Due {
        let after = |since: u64, wait: Duration| since.saturating_add(ns_of(wait));
        let idle = (after(activity.idle_ns(), self.idle), CloseCause::Idle);
        let head = || activity.head_ns().filter(|_| activity.speaks() == Speaks::Http1);
        if let Some(since) = head() {
            return earlier((after(since, self.header), CloseCause::Header), idle);
        }
        if activity.has_served() {
            return idle;
        }
        let opened = activity.opened_ns();
        if activity.has_preface() {
            let first = (after(opened, self.first_request), CloseCause::FirstRequest);
            return earlier(first, idle);
        }
        earlier((after(opened, self.handshake), CloseCause::Handshake), idle)
    }
}

/// What is due first.
fn earlier(one: Due, other: Due) -> Due {
    if other.0 < one.0 { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
        handshake: seconds(10),
        first_request: seconds(120),
        header: seconds(11),
        write: seconds(30),
        idle: seconds(300),
        age: None,
        age_grace: seconds(20),
    };

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// After how many whole seconds, from now, what happens.
    fn due(activity: &Activity, closing: Option<Due>) -> Option<(u64, CloseCause)> {
        let due = TIMEOUTS.due(activity, None, closing);
        let second = ns_of(Duration::from_secs(1));
        due.map(|(at, cause)| ((at - activity.opened_ns()) / second, cause))
    }

    #[test]
    fn every_state_without_a_request_has_its_end() {
        let activity = Activity::new();
        assert_eq!(due(&activity, None), Some((10, CloseCause::Handshake)), "silent");
        activity.read(&PREFACE[..7]);
        assert_eq!(due(&activity, None), Some((10, CloseCause::Handshake)), "half a preface");
        activity.read(&PREFACE[7..]);
        assert_eq!(due(&activity, None), Some((10, CloseCause::Handshake)), "no settings");
        activity.read(SETTINGS);
        assert_eq!(due(&activity, None), Some((120, CloseCause::FirstRequest)));
        let request = activity.begin();
        assert_eq!(due(&activity, None), None, "requests have limits of their own");
        drop(request);
        assert_eq!(due(&activity, None), Some((300, CloseCause::Idle)));

        let activity = Activity::new();
        activity.read(b"POST");
        assert_eq!(due(&activity, None), Some((11, CloseCause::Header)));
    }

    #[test]
    fn a_peer_that_takes_nothing_is_cut_off_whatever_it_does_besides() {
        let activity = Activity::new();
        let _request = activity.begin();
        activity.write(true);
        assert_eq!(due(&activity, None), Some((30, CloseCause::Write)));
        activity.write(false);
        assert_eq!(due(&activity, None), None);
        let unsent = TIMEOUTS.due(&activity, Some(activity.opened_ns()), None);
        assert_eq!(unsent.map(|(_, cause)| cause), Some(CloseCause::Write));
    }

    #[test]
    fn what_is_told_to_go_may_finish_its_request() {
        let activity = Activity::new();
        let request = activity.begin();
        let evicted = Some((activity.opened_ns(), CloseCause::Evicted));
        assert_eq!(due(&activity, evicted), None);
        drop(request);
        assert_eq!(due(&activity, evicted), Some((0, CloseCause::Evicted)));
        let old = Some((activity.opened_ns(), CloseCause::Age));
        let _request = activity.begin();
        assert_eq!(due(&activity, old), Some((20, CloseCause::Age)));
        let timeouts = ConnectionTimeouts { age: Some(seconds(60)), ..TIMEOUTS };
        assert_eq!(timeouts.due(&activity, None, None).unwrap().1, CloseCause::Age);
    }
}
