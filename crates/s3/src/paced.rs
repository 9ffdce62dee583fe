//! The body of an upload, piece by piece: a pacer holds each piece back, and hears of it when it is sent.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::Frame;
use http_body::SizeHint;
use tokio::fs::File;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::error::S3Error;
use crate::error::S3ErrorKind;

/// What is sent at once.
const PIECE_BYTES: usize = 64 << 10;

/// A future of a pacer.
pub type Turn<'p> = Pin<Box<dyn Future<Output = ()> + Send + 'p>>;

/// Holds uploads back, and hears how far they are. Its functions must not block.
pub trait UploadPacer: Send + Sync {
    /// Takes the next piece of a body; returns how long it is held back. A server ends a connection on which
    /// nothing comes for some 20 seconds.
    fn hold(&self, bytes: u64) -> Duration;

    /// A piece goes to the connection now.
    fn sent(&self, bytes: u64);

    /// Waits before a part of an upload while uploads pause. A future that is dropped changes nothing.
    fn turn(&self) -> Turn<'_>;
}

/// The time for which a request was held back; it does not count against its limit.
#[derive(Clone, Default)]
pub(crate) struct HeldTime(Arc<AtomicU64>);

impl HeldTime {
    fn add(&self, hold: Duration) {
        let nanos = u64::try_from(hold.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }

    fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Waits for a future as long as `limit` beside what is held back; nothing if that was not enough.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let began = Instant::now();
        tokio::pin!(work);
        loop {
            let until = began + limit + self.total();
            tokio::select! {
                done = &mut work => return Some(done),
                () = tokio::time::sleep_until(until) => {
                    if began + limit + self.total() <= Instant::now() {
                        return None;
                    }
                }
            }
        }
    }
}

/// Where pieces come from.
enum Source {
    Bytes(Bytes),
    File(File),
}

/// A body of a known length.
pub(crate) struct PacedBody {
    source: Source,
    /// Not read yet.
    left: u64,
    /// Read, and held back.
    piece: Option<Bytes>,
    hold: Option<Pin<Box<Sleep>>>,
    pacer: Option<Arc<dyn UploadPacer>>,
    held: HeldTime,
}

impl PacedBody {
    pub(crate) fn of_bytes(
        bytes: Bytes,
        pacer: Option<Arc<dyn UploadPacer>>,
        held: HeldTime,
    ) -> Self {
        let left = bytes.len() as u64;
        Self { source: Source::Bytes(bytes), left, piece: None, hold: None, pacer, held }
    }

    /// The first bytes of a file.
    ///
    /// # Errors
    ///
    /// `LocalFile`, also if the file is shorter.
    pub(crate) async fn of_file(
        path: &Path,
        bytes: u64,
        pacer: Option<Arc<dyn UploadPacer>>,
        held: HeldTime,
    ) -> Result<Self, S3Error> {
        let unreadable = |reason: String| {
            let message = format!("cannot read {}: {reason}", path.display());
            S3Error::new(S3ErrorKind::LocalFile, message)
        };
        let file = File::open(path).await.map_err(|error| unreadable(error.to_string()))?;
        let there = file.metadata().await.map_err(|error| unreadable(error.to_string()))?.len();
        if there < bytes {
            return Err(unreadable(format!("it has {there} bytes instead of {bytes}")));
        }
        Ok(Self { source: Source::File(file), left: bytes, piece: None, hold: None, pacer, held })
    }

    pub(crate) fn into_stream(self) -> ByteStream {
        ByteStream::new(SdkBody::from_body_1_x(self))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let len = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        match &mut self.source {
            Source::Bytes(bytes) => Poll::Ready(Ok(bytes.split_to(len))),
            Source::File(file) => {
                let mut piece = vec![0; len];
                let mut space = ReadBuf::new(&mut piece);
                ready!(Pin::new(file).poll_read(context, &mut space))?;
                let read = space.filled().len();
                if read == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                piece.truncate(read);
                Poll::Ready(Ok(piece.into()))
            }
        }
    }
}

impl http_body::Body for PacedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            if let Some(hold) = &mut this.hold {
                ready!(hold.as_mut().poll(context));
                this.hold = None;
            }
            if let Some(piece) = this.piece.take() {
                if let Some(pacer) = &this.pacer {
                    pacer.sent(piece.len() as u64);
                }
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.left == 0 {
                return Poll::Ready(None);
            }
            let piece = ready!(this.poll_piece(context))?;
            let bytes = piece.len() as u64;
            this.left = this.left.saturating_sub(bytes);
            this.piece = Some(piece);
            let hold = this.pacer.as_ref().map_or(Duration::ZERO, |pacer| pacer.hold(bytes));
            if !hold.is_zero() {
                this.held.add(hold);
                this.hold = Some(Box::pin(tokio::time::sleep(hold)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.piece.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left + self.piece.as_ref().map_or(0, Bytes::len) as u64)
    }
}
