//! How many connections a listener has, and which of them makes room for a new one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::activity::Activity;
use super::activity::now_ns;
use super::descriptors::DescriptorShare;
use super::descriptors::Descriptors;
use gophership_units::ns_of;

/// A connection that has been idle for less than this is not asked to make room: its next request may be
/// on its way.
const EVICTABLE_AFTER: Duration = Duration::from_secs(1);
/// How often a connection that waits for a slot asks another one to make room.
const EVICT_EVERY: Duration = Duration::from_millis(50);

/// The connections of one listener. A lock is taken when one begins or ends, and when there are too many.
#[derive(Debug)]
pub struct ConnectionSlots {
    limit: usize,
    descriptors: Option<Arc<Descriptors>>,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    connections: BTreeMap<u64, Arc<Activity>>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
    activity: Arc<Activity>,
    _share: Option<DescriptorShare>,
}

impl ConnectionSlots {
    /// So many at the same time, and no more than there are `descriptors` for, if they count.
    #[must_use]
    pub fn new(limit: usize, descriptors: Option<Arc<Descriptors>>) -> Arc<Self> {
        let (open, freed) = (Mutex::default(), Notify::new());
        Arc::new(Self { limit, descriptors, open, freed })
    }

    /// Opens a connection, if there is a slot.
    #[must_use]
    pub fn try_open(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut open = self.lock();
        if self.limit <= open.connections.len() {
            return None;
        }
        let share = match &self.descriptors {
            Some(descriptors) => Some(descriptors.try_take()?),
            None => None,
        };
        let (id, activity) = (open.next_id, Activity::new());
        open.next_id += 1;
        open.connections.insert(id, Arc::clone(&activity));
        drop(open);
        Some(ConnectionSlot { slots: Arc::clone(self), id, activity, _share: share })
    }

    /// Opens a connection; while there is no slot, connections that are idle are asked to make room, the
    /// longest idle first, and those first that never had a request. `None` if none did `within` a time.
    pub async fn open(self: &Arc<Self>, within: Duration) -> Option<ConnectionSlot> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(slot) = self.try_open() {
                return Some(slot);
            }
            let now = Instant::now();
            if deadline <= now {
                return None;
            }
            self.evict();
            let wait = EVICT_EVERY.min(deadline - now);
            let _freed_or_not = tokio::time::timeout(wait, self.freed.notified()).await;
        }
    }

    /// Connections at the moment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks the connection to close that has been idle for longest, one after the other: one that was
    /// asked is cut off soon if it does not go.
    fn evict(&self) {
        let now = now_ns();
        let open = self.lock();
        let idle = |activity: &&Arc<Activity>| {
            activity.requests() == 0
                && !activity.is_asked_to_close()
                && activity.idle_ns() + ns_of(EVICTABLE_AFTER) <= now
        };
        let longest = |activity: &&Arc<Activity>| (activity.has_served(), activity.idle_ns());
        let is_going =
            |activity: &Arc<Activity>| activity.is_asked_to_close() && activity.requests() == 0;
        if open.connections.values().any(is_going) {
            return;
        }
        if let Some(activity) = open.connections.values().filter(idle).min_by_key(longest) {
            activity.ask_to_close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }
}

impl ConnectionSlot {
    /// What the connection does.
    #[must_use]
    pub const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().connections.remove(&self.id);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(slots: &[&ConnectionSlot]) -> Vec<bool> {
        slots.iter().map(|slot| slot.activity.is_asked_to_close()).collect()
    }

    #[tokio::test]
    async fn who_never_had_a_request_goes_first_then_who_is_idle_for_longest() {
        let slots = ConnectionSlots::new(4, None);
        let open = || slots.try_open().unwrap();
        let (served_first, served_last, silent, busy) = (open(), open(), open(), open());
        assert!(slots.try_open().is_none(), "there are four");
        drop(served_first.activity.begin());
        drop(served_last.activity.begin());
        let _request = busy.activity.begin();
        slots.evict();
        let all = [&served_first, &served_last, &silent, &busy];
        assert_eq!(asked(&all), [false; 4], "nobody is idle for long enough");
        tokio::time::sleep(EVICTABLE_AFTER).await;
        slots.evict();
        slots.evict();
        assert_eq!(asked(&all), [false, false, true, false], "one at a time");
        drop(silent);
        slots.evict();
        assert_eq!(asked(&[&served_first, &served_last, &busy]), [true, false, false]);
        drop(served_first);
        slots.evict();
        assert_eq!(asked(&[&served_last, &busy]), [true, false]);
        drop(served_last);
        slots.evict();
        assert_eq!(asked(&[&busy]), [false], "it is never cut in the middle of a request");
    }

    #[tokio::test]
    async fn a_slot_that_is_given_back_is_given_to_who_waits() {
        let descriptors = Descriptors::new(1);
        let slots = ConnectionSlots::new(2, Some(Arc::clone(&descriptors)));
        let first = slots.try_open().unwrap();
        assert!(slots.try_open().is_none(), "there is one descriptor");
        assert!(slots.open(Duration::from_millis(20)).await.is_none());
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.open(Duration::from_mins(1)).await.is_some() }
        });
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(slots.is_empty());
    }
}
