//! Follows a vault and brings its segments to the bucket, one after the other or several at a time. The
//! cursor passes a segment, durably, when everything of it is confirmed; until then the vault keeps it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gophership_units::unix_ns;
use gophership_vault::CursorHandle;
use gophership_vault::Log;
use gophership_vault::SegmentId;
use gophership_vault::SegmentInfo;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use super::backlog::Lag;
use super::backlog::UploadBacklog;
use super::upload::Uploader;
use crate::component::ComponentId;
use crate::component::Stop;
use crate::component::copy_cursor_name;

/// How often it looks for segments.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A segment whose key holds something else is looked at again after this time: an operator may have acted.
const ALARM_REST: Duration = Duration::from_mins(10);
/// A segment that could not be read or compressed is tried again after this time.
const RETRY_REST: Duration = Duration::from_secs(2);
/// Abandoned uploads are looked for so often, and given up at that age.
const SWEEP_EVERY: Duration = Duration::from_hours(6);
const SWEEP_AGE: Duration = Duration::from_hours(24);

/// How a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shipped {
    /// All of it is in the bucket.
    Done,
    /// It will never be; the vault has it set aside, or lost it.
    Skip(&'static str),
    /// An operator must look.
    Alarm(&'static str),
    /// It is to be tried again.
    Later,
    /// The sink was asked to stop.
    Stopped,
}

/// Brings one segment to the bucket.
#[async_trait]
pub(super) trait Ship: Send + Sync + 'static {
    /// Does it. A future that is dropped loses nothing.
    async fn ship(&self, segment: SegmentInfo, next_seq: Option<u64>, is_doubtful: bool)
    -> Shipped;
}

/// Follows one vault for a sink.
pub(super) struct Follower<S> {
    pub(super) id: ComponentId,
    pub(super) uploader: Arc<Uploader>,
    pub(super) ship: Arc<S>,
    pub(super) concurrency: usize,
    /// How the keys begin that may have abandoned uploads.
    pub(super) sweep: Option<String>,
}

/// The vault as it is open now.
struct Open {
    log: Arc<Log>,
    cursor: CursorHandle,
    has_unsaved: bool,
}

type Task = (SegmentInfo, Shipped);

impl<S: Ship> Follower<S> {
    /// Follows the vault that `find` finds, until `stop`; or, if `is_closing` says so, until everything is
    /// uploaded or the bucket fails.
    pub(super) async fn run(
        &self,
        find: impl Fn() -> Option<Arc<Log>>,
        is_closing: impl Fn() -> bool,
        stop: &Stop,
    ) {
        self.empty_spool();
        let mut backlog = UploadBacklog::default();
        let mut open: Option<Open> = None;
        let mut tasks: JoinSet<Task> = JoinSet::new();
        let mut sweep_at = Instant::now();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => {}
                Some(ended) = tasks.join_next() => {
                    if let (Ok((segment, shipped)), Some(open)) = (ended, &mut open) {
                        self.take(open, &mut backlog, &segment, shipped).await;
                    }
                }
            }
            // Asked before the look, which then sees the last segment that the close has sealed.
            let is_last = is_closing();
            self.renew(&mut open, &mut backlog, &mut tasks, find()).await;
            let Some(open) = &mut open else { continue };
            self.look(open, &mut backlog, &mut tasks);
            if open.has_unsaved {
                self.save(open).await;
            }
            self.uploader.attempts.age();
            if sweep_at <= Instant::now() && self.sweep().await.is_continue() {
                sweep_at = Instant::now() + SWEEP_EVERY;
            }
            let is_over = backlog.under_way() == 0 || self.uploader.attempts.is_open();
            if is_last && is_over {
                break;
            }
        }
        tasks.shutdown().await;
    }

    /// Takes another log into use when the vault was opened anew.
    async fn renew(
        &self,
        open: &mut Option<Open>,
        backlog: &mut UploadBacklog,
        tasks: &mut JoinSet<Task>,
        found: Option<Arc<Log>>,
    ) {
        let is_same = match (&open, &found) {
            (Some(open), Some(found)) => Arc::ptr_eq(&open.log, found),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        // What is under way is of the former log, and must not move the cursor of this one.
        tasks.shutdown().await;
        *backlog = UploadBacklog::default();
        *open = None;
        let Some(log) = found else { return };
        let name = copy_cursor_name(&self.id);
        let (of, cursor) = (Arc::clone(&log), name.clone());
        let ensured = tokio::task::spawn_blocking(move || of.ensure_cursor(&cursor)).await;
        match ensured {
            Ok(Ok(())) => {
                *open = log.cursor(&name).map(|cursor| Open { log, cursor, has_unsaved: false });
            }
            Ok(Err(error)) => {
                tracing::warn!(sink = %self.id, %error, "Cannot create a cursor; the sink retries.");
            }
            Err(panic) => tracing::error!(sink = %self.id, %panic, "Cannot create a cursor."),
        }
    }

    /// Looks what there is, and begins what there is room for.
    fn look(&self, open: &Open, backlog: &mut UploadBacklog, tasks: &mut JoinSet<Task>) {
        let segments = open.log.segments();
        let is_passed = |info: &SegmentInfo| open.cursor.covers(info.first_seq, info.last_seq);
        let look = backlog.look(&segments, is_passed, self.concurrency, Instant::now());
        for segment in look.gone {
            self.skip(segment, "gone");
        }
        self.show(look.lag);
        self.uploader.figures.alarm("different", backlog.alarms());
        for (segment, is_doubtful) in look.next {
            let next = segments.iter().find(|info| segment.id < info.id);
            let next_seq = next.map(|info| info.first_seq);
            let ship = Arc::clone(&self.ship);
            tasks.spawn(async move {
                let shipped = ship.ship(segment.clone(), next_seq, is_doubtful).await;
                (segment, shipped)
            });
        }
    }

    /// Takes how a segment ended.
    async fn take(
        &self,
        open: &mut Open,
        backlog: &mut UploadBacklog,
        segment: &SegmentInfo,
        shipped: Shipped,
    ) {
        let id = segment.id;
        match shipped {
            Shipped::Done | Shipped::Skip(_) => {
                if let Shipped::Skip(reason) = shipped {
                    self.skip(id, reason);
                } else {
                    self.uploader.figures.segments.inc();
                }
                open.cursor.pass(segment.first_seq, segment.last_seq);
                backlog.passed(id);
                self.save(open).await;
            }
            Shipped::Alarm(reason) => {
                tracing::error!(
                    sink = %self.id, segment = %id, reason,
                    "Segment cannot be archived: its key in the bucket holds something else, or the \
                     segment is damaged. The vault keeps the segment. Check the bucket, then reload."
                );
                backlog.rest(id, Instant::now() + ALARM_REST, true);
            }
            Shipped::Later => backlog.rest(id, Instant::now() + RETRY_REST, false),
            Shipped::Stopped => backlog.done(id),
        }
    }

    fn skip(&self, segment: SegmentId, reason: &'static str) {
        self.uploader.figures.skip(reason);
        tracing::error!(
            sink = %self.id, %segment, reason,
            "Segment is not archived: the vault dropped it, or has set it aside."
        );
    }

    /// Makes what the cursor has passed durable: only then may the vault let go of it.
    async fn save(&self, open: &mut Open) {
        let cursor = open.cursor.clone();
        let saved = tokio::task::spawn_blocking(move || cursor.save()).await;
        open.has_unsaved = !matches!(saved, Ok(Ok(())));
        if let Ok(Err(error)) = saved {
            tracing::warn!(sink = %self.id, %error, "Cannot save the cursor; the sink retries.");
        }
    }

    fn show(&self, lag: Lag) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let figures = &self.uploader.figures;
        figures.lag_segments.set(gauge(lag.segments));
        figures.lag_bytes.set(gauge(lag.bytes));
        let age = lag.oldest_unix_ns.map(|at| unix_ns().saturating_sub(at));
        figures.lag_seconds(Duration::from_nanos(age.unwrap_or(0)).as_secs_f64());
    }

    /// Removes what an earlier process left in the spool of objects: it is made again.
    fn empty_spool(&self) {
        let entries = std::fs::read_dir(&self.uploader.spool).into_iter().flatten().flatten();
        for entry in entries {
            if let Err(error) = std::fs::remove_file(entry.path()) {
                let file = entry.path().display().to_string();
                tracing::warn!(sink = %self.id, file, %error, "Cannot remove a spooled object.");
            }
        }
    }

    /// Gives up uploads in parts that an earlier process left. Breaks when it is to be tried again.
    async fn sweep(&self) -> ControlFlow<()> {
        let Some(prefix) = &self.sweep else { return ControlFlow::Continue(()) };
        if self.uploader.attempts.is_open() {
            return ControlFlow::Break(());
        }
        match self.uploader.bucket.sweep_uploads(prefix, SWEEP_AGE).await {
            Ok(swept) => self.uploader.figures.swept.inc_by(swept),
            Err(error) => {
                tracing::warn!(sink = %self.id, %error, "Cannot look for abandoned uploads.");
            }
        }
        ControlFlow::Continue(())
    }
}
