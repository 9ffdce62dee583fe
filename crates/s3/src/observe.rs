//! What is told about each request, for metrics.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::error::S3ErrorKind;

/// Is told about each request when it has ended. It must not wait.
pub type Observer = Arc<dyn Fn(&RequestReport) + Send + Sync>;

/// A request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestReport {
    /// What was asked for.
    pub operation: Operation,
    /// What came of it.
    pub outcome: RequestOutcome,
    /// The bytes of the body that was sent, or should have been.
    pub sent_bytes: u64,
    /// The bytes of the object that was received.
    pub received_bytes: u64,
    /// From the call to the end.
    pub elapsed: Duration,
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// The server did it.
    Done,
    /// A condition did not hold.
    Refused,
    /// There is no such object.
    Missing,
    /// The caller no longer waited for the end.
    Cancelled,
    /// It failed.
    Failed(S3ErrorKind),
}

impl RequestOutcome {
    /// Returns the name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::Cancelled => "cancelled",
            Self::Failed(kind) => kind.name(),
        }
    }
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
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
    /// Lists uploads that have not ended.
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

impl Operation {
    /// Every kind, for metrics.
    pub const ALL: [Self; 10] = [
        Self::Put,
        Self::CreateUpload,
        Self::UploadPart,
        Self::CompleteUpload,
        Self::AbortUpload,
        Self::ListUploads,
        Self::Head,
        Self::Get,
        Self::List,
        Self::Delete,
    ];

    /// Returns the name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::CreateUpload => "create_upload",
            Self::UploadPart => "upload_part",
            Self::CompleteUpload => "complete_upload",
            Self::AbortUpload => "abort_upload",
            Self::ListUploads => "list_uploads",
            Self::Head => "head",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }

    /// What it does, in front of the name of an object.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::CreateUpload => "begin upload of",
            Self::UploadPart => "upload a part of",
            Self::CompleteUpload => "complete upload of",
            Self::AbortUpload => "give up upload of",
            Self::ListUploads => "list uploads of",
            Self::Head => "look at",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// A request on its way. It reports when it is dropped; until an outcome is set, that is
/// [`RequestOutcome::Cancelled`].
pub(crate) struct RequestWatch {
    observer: Option<Observer>,
    started: Instant,
    report: RequestReport,
}

impl RequestWatch {
    pub(crate) fn start(observer: Option<Observer>, operation: Operation, sent_bytes: u64) -> Self {
        let report = RequestReport {
            operation,
            outcome: RequestOutcome::Cancelled,
            sent_bytes,
            received_bytes: 0,
            elapsed: Duration::ZERO,
        };
        Self { observer, started: Instant::now(), report }
    }

    pub(crate) const fn operation(&self) -> Operation {
        self.report.operation
    }

    pub(crate) fn set_outcome(&mut self, outcome: RequestOutcome) {
        self.report.outcome = outcome;
    }

    pub(crate) fn add_received(&mut self, bytes: u64) {
        self.report.received_bytes += bytes;
    }
}

impl Drop for RequestWatch {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer {
            observer(&RequestReport { elapsed: self.started.elapsed(), ..self.report });
        }
    }
}
