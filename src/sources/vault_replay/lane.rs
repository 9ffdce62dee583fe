//! Reads the vault for one sink, and hands on what it needs.

use std::collections::VecDeque;
use std::sync::Arc;

use gophership_vault::Reader;
use gophership_vault::StoredRecord;
use gophership_vault::VaultError;

use super::VaultReplayConfig;
use super::blocking;
use super::pace::LOOK_AROUND_AT_REST;
use super::pace::LOOK_AROUND_EVERY;
use super::pace::ReplayPacer;
use super::saver::Saver;
use super::sender::Sender;
use super::window::Window;
use crate::component::Context;
use crate::component::RunError;
use crate::component::Stop;
use crate::metrics::VaultMetrics;
use crate::somatic::WatchedWorkCounter;
use crate::somatic::WorkKind;
use crate::somatic::WorkProbe;
use crate::somatic::ZoneWatch;

/// What is read at once: a hop to another thread costs as much as reading some small requests.
const CHUNK_RECORDS_MAX: usize = 32;
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// What it does while it reads.
const READS: &str = "reads of the vault wait for the disk";

/// The reading for one sink.
pub(super) struct LaneRun {
    reader: Reader,
    sender: Arc<Sender>,
    window: Window,
    pace: ReplayPacer,
    reads: WatchedWorkCounter,
    zone: ZoneWatch,
    saver: Saver,
    /// It ends when this is passed.
    until: Option<u64>,
    _work_probe: WorkProbe,
}

impl LaneRun {
    pub(super) fn new(
        config: &VaultReplayConfig,
        context: &Context,
        metrics: &VaultMetrics,
        reader: Reader,
        sender: Arc<Sender>,
    ) -> Self {
        let window = Window::new(config, &context.memory.replay);
        let work_probe = window.watch(context, metrics);
        Self {
            reader,
            sender,
            window,
            pace: ReplayPacer::new(config, Arc::clone(&context.governor)),
            reads: context.gauges.work_probes.count(context.id.as_str(), READS, WorkKind::Inside),
            zone: context.zone.clone(),
            saver: Saver::new(),
            until: None,
            _work_probe: work_probe,
        }
    }

    /// Ends when everything up to `until` is passed.
    pub(super) fn until(mut self, until: u64) -> Self {
        self.until = Some(until);
        self
    }

    /// Runs until stopped; then it waits for what is on its way, but not for long.
    pub(super) async fn run(mut self, stop: Stop) -> Result<(), RunError> {
        let mut chunk = VecDeque::new();
        loop {
            self.window.reap();
            if self.until.is_some_and(|until| until <= self.reader.handle().low()) {
                break;
            }
            self.sender.dead_letter_log.tell();
            self.saver.keep_up(&self.reader).await?;
            let is_held = self.is_held();
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.pace.wait(is_held) => {}
            }
            if self.is_held() {
                continue;
            }
            if chunk.is_empty() {
                self = self.rest(&stop).await?;
                (self, chunk) = self.read().await?;
                // It may have waited long for something to read.
                if self.is_held() {
                    continue;
                }
            }
            let Some(record) = chunk.pop_front() else { continue };
            if !self.hand_on(record, &stop).await {
                break;
            }
        }
        self.window.close().await;
        self.saver.finish().await?;
        let mut reader = self.reader;
        blocking(move || reader.save()).await
    }

    fn is_held(&self) -> bool {
        let fill_permille = self.sender.vault.log.fill_permille();
        self.pace.is_held(*self.zone.borrow(), fill_permille)
    }

    /// Sends a record that this sink needs; returns whether to go on.
    async fn hand_on(&mut self, record: StoredRecord, stop: &Stop) -> bool {
        let Some(replayed) = self.sender.understand(record) else { return true };
        self.sender.delivered.read(replayed.records());
        tokio::select! {
            () = self.sender.calm() => {}
            () = stop.cancelled() => return false,
        }
        let fill_permille = self.sender.vault.log.fill_permille();
        self.pace.spend(fill_permille, replayed.records(), replayed.len());
        let Some(permits) = self.window.reserve(stop, replayed.len()).await else { return false };
        self.window.tasks.spawn(Arc::clone(&self.sender).send(replayed, permits));
        true
    }

    /// Waits for something to read while nothing is on its way and nothing that was delivered is unsaved. It
    /// is no read that the watchdog could take for one that hangs.
    async fn rest(mut self, stop: &Stop) -> Result<Self, RunError> {
        let is_busy = !self.window.tasks.is_empty() || 0 < self.reader.unsaved();
        if is_busy || self.until.is_some() {
            return Ok(self);
        }
        let wait_end = self.reader.wait_end();
        let reader = self.reader;
        let waits = blocking(move || {
            let _is_more = reader.wait(LOOK_AROUND_AT_REST);
            Ok(reader)
        });
        tokio::pin!(waits);
        let waited = tokio::select! {
            waited = &mut waits => waited,
            () = stop.cancelled() => {
                wait_end.end();
                waits.await
            }
        };
        self.reader = waited?;
        Ok(self)
    }

    async fn read(mut self) -> Result<(Self, VecDeque<StoredRecord>), RunError> {
        let under_way = self.reads.begin();
        let reader = self.reader;
        let (back, chunk) = blocking(move || read_chunk(reader)).await?;
        self.reader = back;
        drop(under_way);
        self.reads.done();
        Ok((self, chunk))
    }
}

/// Reads what there is, waiting a while for something new; no more at once than a chunk, so that what
/// was read is soon sent. What an error came behind is returned without it: it comes again.
pub(super) fn read_chunk(
    mut reader: Reader,
) -> Result<(Reader, VecDeque<StoredRecord>), VaultError> {
    let (mut chunk, mut bytes) = (VecDeque::new(), 0);
    while chunk.len() < CHUNK_RECORDS_MAX && bytes < CHUNK_BYTES_MAX {
        let record = match reader.next() {
            Ok(None) if chunk.is_empty() && reader.wait(LOOK_AROUND_EVERY) => reader.next(),
            other => other,
        };
        match record {
            Ok(Some(record)) => {
                bytes += record.payload.len();
                chunk.push_back(record);
            }
            Err(error) if chunk.is_empty() => return Err(error),
            Ok(None) | Err(_) => break,
        }
    }
    Ok((reader, chunk))
}
