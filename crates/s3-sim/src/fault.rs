//! The kinds of requests, and the ways in which one fails.

use std::time::Duration;

use http::Method;
use http::Request;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestKind {
    /// Writes an object.
    Put,
    /// Begins an upload in parts.
    CreateUpload,
    /// Sends a part.
    UploadPart,
    /// Makes an object of the parts.
    CompleteUpload,
    /// Gives up an upload in parts.
    AbortUpload,
    /// Lists uploads in parts.
    ListUploads,
    /// Asks for what is known about an object.
    Head,
    /// Reads an object.
    Get,
    /// Lists objects.
    List,
    /// Deletes an object.
    Delete,
}

impl RequestKind {
    /// The kind of an HTTP request with the bucket in its path.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let has = |name: &str| {
            query.split('&').any(|part| part.split('=').next().unwrap_or_default() == name)
        };
        let is_bucket = request.uri().path().trim_matches('/').split('/').nth(1).is_none();
        match *request.method() {
            Method::PUT if has("partNumber") => Self::UploadPart,
            Method::PUT => Self::Put,
            Method::POST if has("uploads") => Self::CreateUpload,
            Method::POST => Self::CompleteUpload,
            Method::DELETE if has("uploadId") => Self::AbortUpload,
            Method::DELETE => Self::Delete,
            Method::HEAD => Self::Head,
            _ if has("uploads") => Self::ListUploads,
            _ if is_bucket => Self::List,
            _ => Self::Get,
        }
    }

    /// Whether its body is what is stored.
    pub(crate) const fn sends_object(self) -> bool {
        matches!(self, Self::Put | Self::UploadPart)
    }
}

/// A way in which a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server does nothing and answers with an error.
    Answer {
        /// The status.
        status: u16,
        /// The code, such as `SlowDown`.
        code: &'static str,
    },
    /// The server does nothing and never answers.
    Stall,
    /// The server closes the connection without an answer.
    Close,
    /// The connection is reset in the middle of the body: of the request, if that is what is stored, and
    /// else of the answer.
    ResetBody,
    /// The connection ends in the middle of the body of the answer.
    TruncatedBody,
    /// Nothing more comes after half of the body of the answer.
    StallBody,
    /// The server says that it did it, and did nothing.
    NotStored,
    /// The server does it, and resets the connection instead of answering.
    AnswerLost,
    /// The server does it, and one byte of the object changes on its disk.
    Corrupt,
    /// The server does it, and half of the object is lost on its disk.
    Shortened,
    /// The server waits, and then does it.
    Delay(Duration),
}

impl Fault {
    /// The server has failed.
    pub const INTERNAL_ERROR: Self = Self::Answer { status: 500, code: "InternalError" };
    /// The server asks for fewer requests.
    pub const SLOW_DOWN: Self = Self::Answer { status: 503, code: "SlowDown" };
    /// The token of the credentials has expired.
    pub const EXPIRED_TOKEN: Self = Self::Answer { status: 403, code: "ExpiredToken" };
    /// The credentials do not allow it.
    pub const ACCESS_DENIED: Self = Self::Answer { status: 403, code: "AccessDenied" };
    /// Another request for the same key is on its way.
    pub const CONFLICT: Self = Self::Answer { status: 409, code: "ConditionalRequestConflict" };
    /// A condition does not hold.
    pub const PRECONDITION_FAILED: Self = Self::Answer { status: 412, code: "PreconditionFailed" };
    /// The bytes are not what was announced.
    pub const BAD_DIGEST: Self = Self::Answer { status: 400, code: "BadDigest" };
    /// The bucket does not exist.
    pub const NO_SUCH_BUCKET: Self = Self::Answer { status: 404, code: "NoSuchBucket" };
}
