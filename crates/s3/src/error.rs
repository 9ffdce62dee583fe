//! What a request to a bucket can fail with, by what the caller can do.

use std::fmt;

/// A request to a bucket failed. `Display` has all that an operator needs.
#[derive(Clone, Debug)]
pub struct S3Error {
    /// What the caller can do.
    pub kind: S3ErrorKind,
    /// What GopherShip was doing, and what happened.
    pub message: String,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The id of the request at the server, which its support asks for.
    pub request_id: Option<String>,
}

impl S3Error {
    pub(crate) fn new(kind: S3ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), status: None, request_id: None }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

impl fmt::Display for S3Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if let Some(id) = &self.request_id {
            write!(formatter, " (request {id})")?;
        }
        if let Some(help) = self.kind.help() {
            write!(formatter, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for S3Error {}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum S3ErrorKind {
    /// The server asks for fewer requests.
    Throttled,
    /// There was no answer in time. The request may have had its effect.
    Timeout,
    /// There is no connection, or it ended. The request may have had its effect.
    Connection,
    /// The server failed.
    Server,
    /// There are no credentials, or the server does not accept them.
    Credentials,
    /// The credentials do not allow the request.
    Denied,
    /// The bucket does not exist.
    NoSuchBucket,
    /// Another request for the same key was on its way.
    Conflict,
    /// The bytes that arrived are not those that were sent.
    Checksum,
    /// A local file could not be read.
    LocalFile,
    /// The server will never accept this request.
    Invalid,
    /// Anything else.
    Other,
}

impl S3ErrorKind {
    /// Every kind, for metrics.
    pub const ALL: [Self; 12] = [
        Self::Throttled,
        Self::Timeout,
        Self::Connection,
        Self::Server,
        Self::Credentials,
        Self::Denied,
        Self::NoSuchBucket,
        Self::Conflict,
        Self::Checksum,
        Self::LocalFile,
        Self::Invalid,
        Self::Other,
    ];

    /// Whether the same request may succeed later, by itself or after an operator's act. Credentials
    /// expire and policies are edited, so both are worth another attempt, and an alarm.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Invalid)
    }

    /// Whether an operator must act before a request can succeed.
    #[must_use]
    pub const fn needs_operator(self) -> bool {
        matches!(self, Self::Credentials | Self::Denied | Self::NoSuchBucket | Self::Invalid)
    }

    /// Returns the name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Credentials => "credentials",
            Self::Denied => "denied",
            Self::NoSuchBucket => "no_such_bucket",
            Self::Conflict => "conflict",
            Self::Checksum => "checksum",
            Self::LocalFile => "local_file",
            Self::Invalid => "invalid",
            Self::Other => "other",
        }
    }

    /// What an operator can do.
    const fn help(self) -> Option<&'static str> {
        match self {
            Self::Credentials => Some("check the access key, the profile or the role"),
            Self::Denied => Some("grant the permission in the policy of the role or the bucket"),
            Self::NoSuchBucket => Some("create the bucket, or correct its name"),
            _ => None,
        }
    }
}
