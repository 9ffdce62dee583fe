//! Limits log lines that repeat: what a peer causes a hundred thousand times is not said as often.
//!
//! A cause is a place in the code together with the component it speaks of. Each cause has a bucket of
//! lines that fills up again slowly. What finds it empty is left out and counted, and told every ten
//! seconds with the text of one of the lines.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::fmt::Write as _;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use prometheus::IntCounter;
use tracing::Event;
use tracing::Level;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::callsite::Identifier;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one cause that are written one after the other.
const BURST: u32 = 100;
/// After that one line each so long.
const ONE_LINE_EVERY: Duration = Duration::from_secs(1);
/// Causes that are told apart; those beyond share a bucket for each place in the code.
const CAUSES_MAX: usize = 1024;
/// The text of a line that stands for those that are left out is cut here.
const EXAMPLE_CHARS_MAX: usize = 200;
/// Fields that name a component.
const OWNERS: [&str; 5] = ["component", "sink", "source", "vault", "endpoint"];

/// The limit; a [`Layer`] in front of what writes lines.
///
/// `DEBUG` and `TRACE` are not limited: whoever asks for them wants them all.
pub struct RepeatLimit {
    causes: Mutex<HashMap<Cause, Bucket>>,
    suppressed: IntCounter,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Cause {
    place: Identifier,
    /// The hash of the component's name; 0 for those beyond [`CAUSES_MAX`].
    owner: u64,
}

struct Bucket {
    lines: u32,
    filled: Instant,
    /// Lines left out since that was told last.
    suppressed: u64,
    /// Since when.
    since: Instant,
    example: String,
}

impl Bucket {
    const fn full(now: Instant) -> Self {
        Self { lines: BURST, filled: now, suppressed: 0, since: now, example: String::new() }
    }

    /// Whether one more line may be written.
    fn takes(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        let lines = passed.as_millis() / ONE_LINE_EVERY.as_millis().max(1);
        if lines > 0 {
            let lines = u32::try_from(lines).unwrap_or(BURST);
            self.lines = self.lines.saturating_add(lines).min(BURST);
            self.filled = now;
        }
        let is_left = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        is_left
    }
}

impl RepeatLimit {
    /// How often is told what is left out.
    pub(super) const TELL_EVERY: Duration = Duration::from_secs(10);

    /// Makes a limit that counts what it leaves out.
    #[must_use]
    pub fn new(suppressed: IntCounter) -> Self {
        Self { causes: Mutex::default(), suppressed }
    }

    /// The limit as a layer.
    #[must_use]
    pub fn layer<S: Subscriber>(self: &Arc<Self>) -> impl Layer<S> + use<S> {
        RepeatLayer(Arc::clone(self))
    }

    /// Whether a line may be written; if not, `text` describes it.
    fn admits(&self, now: Instant, cause: Cause, text: impl FnOnce() -> String) -> bool {
        let mut causes = self.lock();
        let is_known = causes.contains_key(&cause) || causes.len() < CAUSES_MAX;
        let cause = if is_known { cause } else { Cause { owner: 0, ..cause } };
        let bucket = causes.entry(cause).or_insert_with(|| Bucket::full(now));
        if bucket.takes(now) {
            return true;
        }
        if bucket.suppressed == 0 {
            bucket.since = now;
            bucket.example = text();
        }
        bucket.suppressed += 1;
        self.suppressed.inc();
        false
    }

    /// Tells what was left out for so long or longer.
    pub(super) fn tell(&self, now: Instant, after: Duration) {
        for (suppressed, example) in self.due(now, after) {
            tracing::warn!(suppressed, "Suppressed log lines like this one: {example}");
        }
    }

    /// Takes the counts that are to be told, each with a line that stands for the others.
    fn due(&self, now: Instant, after: Duration) -> Vec<(u64, String)> {
        let mut causes = self.lock();
        let is_due = |bucket: &&mut Bucket| {
            bucket.suppressed > 0 && now.saturating_duration_since(bucket.since) >= after
        };
        let take = |bucket: &mut Bucket| {
            (std::mem::take(&mut bucket.suppressed), std::mem::take(&mut bucket.example))
        };
        causes.values_mut().filter(is_due).map(take).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Cause, Bucket>> {
        self.causes.lock()
    }
}

struct RepeatLayer(Arc<RepeatLimit>);

impl<S: Subscriber> Layer<S> for RepeatLayer {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !is_limited(metadata) {
            return true;
        }
        let mut owner = Owner(DefaultHasher::new());
        event.record(&mut owner);
        let cause = Cause { place: metadata.callsite(), owner: owner.0.finish() };
        self.0.admits(Instant::now(), cause, || {
            let mut text = Text(String::new());
            event.record(&mut text);
            text.0.chars().take(EXAMPLE_CHARS_MAX).collect()
        })
    }
}

/// What tells of lines left out is not left out itself.
fn is_limited(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO && metadata.target() != module_path!()
}

/// Hashes the fields that name a component.
struct Owner(DefaultHasher);

impl Visit for Owner {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if OWNERS.contains(&field.name()) {
            format!("{value:?}").hash(&mut self.0);
        }
    }
}

/// Writes a line out: its message, and then its fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;
    use tracing::callsite::Callsite;
    use tracing::callsite::Identifier;
    use tracing::subscriber::Interest;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A place in the code that is only told apart from others.
    struct Nowhere;

    impl Callsite for Nowhere {
        fn set_interest(&self, _interest: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("nobody asks what is there")
        }
    }

    fn limit() -> Arc<RepeatLimit> {
        Arc::new(RepeatLimit::new(IntCounter::new("suppressed", "x").unwrap()))
    }

    /// Counts the events that come through.
    #[derive(Clone, Default)]
    struct Counting(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Counting {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().push(text.0);
        }
    }

    #[test]
    fn a_cause_has_a_burst_and_others_are_not_touched_by_it() {
        let (limit, counting) = (limit(), Counting::default());
        let subscriber = tracing_subscriber::registry().with(counting.clone()).with(limit.layer());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..1000 {
                let sink = if number % 2 == 0 { "a" } else { "b" };
                tracing::warn!(sink, number, "Request cannot be read.");
            }
            tracing::warn!("Something else.");
            for _ in 0..1000 {
                tracing::debug!("This was asked for.");
            }
        });
        let lines = counting.0.lock().clone();
        let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
        // The test may take a second or more on a busy machine, and one more line for each.
        let allowed = BURST as usize..BURST as usize + 30;
        assert!(allowed.contains(&count("sink=\"a\"")), "{}", count("sink=\"a\""));
        assert!(allowed.contains(&count("sink=\"b\"")));
        assert_eq!((count("Something else."), count("This was asked for.")), (1, 1000));
        let due = limit.due(Instant::now(), Duration::ZERO);
        assert_eq!(due.len(), 2);
        let suppressed: u64 = due.iter().map(|(count, _)| count).sum();
        assert_eq!(suppressed, limit.suppressed.get());
        assert!(due[0].1.starts_with("Request cannot be read. sink=\""), "{due:?}");
        assert!(limit.due(Instant::now(), Duration::ZERO).is_empty(), "it is told once");
    }

    #[test]
    fn the_bucket_fills_up_again_and_causes_are_bounded() {
        let (limit, now) = (limit(), Instant::now());
        let admitted = |now, owner, times: u32| {
            let cause = || Cause { place: Identifier(&Nowhere), owner };
            (0..times).filter(|_| limit.admits(now, cause(), || "like this".to_owned())).count()
        };
        assert_eq!(admitted(now, 1, 500), BURST as usize);
        assert_eq!(admitted(now + ONE_LINE_EVERY * 3, 1, 500), 3);
        assert!(limit.due(now + ONE_LINE_EVERY, RepeatLimit::TELL_EVERY).is_empty());
        let due = limit.due(now + RepeatLimit::TELL_EVERY, RepeatLimit::TELL_EVERY);
        assert_eq!(due, [(400 + 497, "like this".to_owned())]);
        for owner in 2..5000 {
            let _ = admitted(now, owner, 1);
        }
        assert!(limit.lock().len() <= CAUSES_MAX + 1);
    }
}
