//! A backend for tests: it records every request that it takes, and ends with its test.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::backend::BackendLoad;
use crate::backend::Mode;
use crate::backend::RequestRecorder;
use crate::lock;
use crate::traffic::Fingerprint;
use crate::traffic::numbers;

/// What was taken.
#[derive(Default)]
struct Taken {
    /// How often each request came.
    requests: HashMap<Fingerprint, u64>,
    /// How often each record came, by signal.
    records: BTreeMap<(Signal, u64), u64>,
    /// The last request.
    last: Bytes,
    last_headers: HeaderMap,
    unreadable: u64,
}

#[derive(Default)]
struct Recording(Mutex<Taken>);

impl RequestRecorder for Recording {
    fn taken(&self, signal: Signal, wire: Bytes, headers: HeaderMap) {
        let Some(numbers) = numbers(signal, &wire) else { return self.unreadable() };
        let mut taken = lock(&self.0);
        *taken.requests.entry(blake3::hash(&wire)).or_default() += 1;
        for number in numbers {
            *taken.records.entry((signal, number)).or_default() += 1;
        }
        taken.last = wire;
        taken.last_headers = headers;
    }

    fn unreadable(&self) {
        lock(&self.0).unreadable += 1;
    }
}

/// The backend; it ends when dropped.
pub struct RecordingBackend {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    recording: Arc<Recording>,
    work: Arc<BackendLoad>,
    task: JoinHandle<()>,
}

impl RecordingBackend {
    /// Starts a backend that takes everything.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[expect(clippy::unused_async, reason = "it needs the runtime that its caller is on")]
    pub async fn start() -> Self {
        let backend = Backend::bind().expect("loopback has a free port");
        let (address, work) = (backend.address(), backend.work());
        let mode = watch::Sender::new(Mode::Accept);
        let recording = Arc::<Recording>::default();
        let serving = backend.serve(recording.clone(), mode.subscribe());
        let task = tokio::spawn(async { serving.await.expect("its port stays its own") });
        Self { address, mode, recording, work, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves like this from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits until all senders are gone, and what they had sent before is answered.
    pub async fn forgotten(&self) {
        self.work.over().await;
    }

    /// Requests that came so far, taken or not.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.work.attempts()
    }

    /// Requests that it could not read, or whose records have no numbers.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        lock(&self.recording.0).unreadable
    }

    /// Requests that were taken so far, copies included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        lock(&self.recording.0).requests.values().sum()
    }

    /// How often each request was taken.
    #[must_use]
    pub fn fingerprints(&self) -> HashMap<Fingerprint, u64> {
        lock(&self.recording.0).requests.clone()
    }

    /// How often a request was taken.
    #[must_use]
    pub fn has(&self, fingerprint: &Fingerprint) -> u64 {
        lock(&self.recording.0).requests.get(fingerprint).copied().unwrap_or(0)
    }

    /// Records of a signal that were taken so far, each with how often.
    #[must_use]
    pub fn records(&self, signal: Signal) -> BTreeMap<u64, u64> {
        let taken = lock(&self.recording.0);
        let of_signal = taken.records.iter().filter(|((of, _), _)| *of == signal);
        of_signal.map(|((_, number), times)| (*number, *times)).collect()
    }

    /// A header of the last request that was taken.
    #[must_use]
    pub fn last_header(&self, name: &str) -> Option<String> {
        let taken = lock(&self.recording.0);
        Some(taken.last_headers.get(name)?.to_str().ok()?.to_owned())
    }

    /// The last request that was taken.
    #[must_use]
    pub fn last(&self) -> Bytes {
        lock(&self.recording.0).last.clone()
    }
}

impl Drop for RecordingBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}
