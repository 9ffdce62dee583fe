//! How a backend behaves.

use std::time::Duration;

use http::HeaderMap;

/// How the backend behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Takes everything.
    Accept,
    /// Takes everything, so long after it came.
    Slow(Duration),
    /// Takes everything, with so many workers, each of them so long busy with a request.
    Serve(usize, Duration),
    /// Takes everything and says that it rejected so many records of it.
    AcceptExcept(i64),
    /// Says that it cannot now: `UNAVAILABLE`, 503.
    Unavailable,
    /// Says never: `INVALID_ARGUMENT`, 400.
    Reject,
    /// Says this.
    Refuse(BackendRefusal),
    /// Says this to one request of so many, always to the same ones, and takes the others.
    RefuseOneOf(u8, BackendRefusal),
    /// Says this to every so many-th request that comes, and takes the others.
    RefuseEvery(u64, BackendRefusal),
    /// Takes whoever has this token, and does not know anybody else: `UNAUTHENTICATED`, 401.
    Knows(&'static str),
    /// Answers as something between us and a backend does, or one that is broken.
    Break(Broken),
    /// Takes everything whose path begins with `/moved`, and says 308 to the rest; the body is ours.
    Moved,
    /// Reads requests and does not answer; when the mode changes they are refused as unavailable.
    Hang,
    /// Reads requests and does not answer; when the mode changes they are answered as that says.
    Stall,
    /// Closes every connection, and refuses new ones.
    Gone,
}

impl Mode {
    /// What a request is refused with, whatever is in it.
    pub(super) fn refusal(
        self,
        attempt: u64,
        is_moved: bool,
        headers: &HeaderMap,
    ) -> Option<BackendRefusal> {
        match self {
            Self::Accept
            | Self::Slow(_)
            | Self::Serve(..)
            | Self::AcceptExcept(_)
            | Self::RefuseOneOf(..)
            | Self::Break(_) => None,
            Self::RefuseEvery(of, refusal) => attempt.is_multiple_of(of).then_some(refusal),
            Self::Knows(token) => {
                let is_known = headers.get("authorization").is_some_and(|value| {
                    value.as_bytes().strip_prefix(b"Bearer ") == Some(token.as_bytes())
                });
                (!is_known).then_some(BackendRefusal::new(16, 401))
            }
            Self::Moved => (!is_moved).then_some(BackendRefusal::new(2, 308)),
            Self::Unavailable | Self::Hang | Self::Stall | Self::Gone => {
                Some(BackendRefusal::UNAVAILABLE)
            }
            Self::Reject => Some(BackendRefusal::new(3, 400)),
            Self::Refuse(refusal) => Some(refusal),
        }
    }

    /// What a request is refused with for what is in it.
    pub(super) fn refusal_of(self, wire: &[u8]) -> Option<BackendRefusal> {
        let Self::RefuseOneOf(of, refusal) = self else { return None };
        blake3::hash(wire).as_bytes()[0].is_multiple_of(of).then_some(refusal)
    }

    /// Whether a request that it does not refuse is taken.
    pub(super) const fn takes(self, is_grpc: bool) -> bool {
        match self {
            Self::Break(Broken::Page) => !is_grpc,
            Self::Break(broken) => matches!(broken, Broken::NoStatus | Broken::Long),
            _ => true,
        }
    }
}

/// What is no answer, or a strange one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The request was taken, and the end of the answer was cut off.
    NoStatus,
    /// A page in HTML, with 200. Over gRPC the request was not taken.
    Page,
    /// A code that is none.
    Junk,
    /// OK, and nothing more.
    NoMessage,
    /// OK, with details that are not of base 64.
    Details,
    /// OK, with a longer answer than anybody reads. The request was taken.
    Long,
}

/// A refusal in both protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendRefusal {
    /// The number of the gRPC code.
    pub code: i32,
    /// The `RetryInfo` beside it, and the delay in that.
    pub retry_info: Option<Option<Duration>>,
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` beside it.
    pub retry_after: Option<&'static str>,
}

impl BackendRefusal {
    /// It cannot now.
    pub const UNAVAILABLE: Self = Self::new(14, 503);

    /// A refusal without hints.
    #[must_use]
    pub const fn new(code: i32, status: u16) -> Self {
        Self { code, retry_info: None, status, retry_after: None }
    }
}
