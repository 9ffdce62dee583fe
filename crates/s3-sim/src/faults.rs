//! Which request fails and how, and how many requests there were.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;

use crate::fault::Fault;
use crate::fault::RequestKind;

/// Which requests are meant.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// Of this kind; of any kind if it is not given.
    pub kind: Option<RequestKind>,
    /// With this in the path.
    pub path_part: String,
}

impl Which {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Returns the same requests, but only those with a text in their path.
    #[must_use]
    pub fn with(self, path_part: &str) -> Self {
        Self { path_part: path_part.to_owned(), ..self }
    }

    fn is_met(&self, kind: RequestKind, path: &str) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind) && path.contains(&self.path_part)
    }
}

impl From<RequestKind> for Which {
    fn from(kind: RequestKind) -> Self {
        Self { kind: Some(kind), path_part: String::new() }
    }
}

/// The faults of a server. Clones are the same.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Mutex<State>>,
    begun: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Each with how many requests it is still for; the first that fits counts.
    plan: Vec<(Which, Option<u32>, Fault)>,
    seen: BTreeMap<RequestKind, u64>,
    injected: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { shared: Arc::default(), begun: watch::Sender::new(0) }
    }
}

impl Faults {
    /// The next `count` of some requests fail. Faults for the same requests come one after the other.
    pub fn next(&self, which: impl Into<Which>, count: u32, fault: Fault) {
        self.state().plan.push((which.into(), Some(count), fault));
    }

    /// Some requests fail from now on.
    pub fn always(&self, which: impl Into<Which>, fault: Fault) {
        self.state().plan.push((which.into(), None, fault));
    }

    /// No request fails from now on.
    pub fn clear(&self) {
        self.state().plan.clear();
    }

    /// Returns how many requests of a kind have begun, with those that failed.
    #[must_use]
    pub fn seen(&self, kind: RequestKind) -> u64 {
        self.state().seen.get(&kind).copied().unwrap_or(0)
    }

    /// Returns how many requests have begun.
    #[must_use]
    pub fn seen_all(&self) -> u64 {
        self.state().seen.values().sum()
    }

    /// Returns how many requests have failed as told.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.state().injected
    }

    /// Waits until so many requests of a kind have begun.
    pub async fn until_seen(&self, kind: RequestKind, count: u64) {
        let mut begun = self.begun.subscribe();
        while self.seen(kind) < count {
            // The sender lives in `self`.
            if begun.changed().await.is_err() {
                return;
            }
        }
    }

    /// A request begins; how it fails.
    pub(crate) fn begin(&self, kind: RequestKind, path: &str) -> Option<Fault> {
        let mut state = self.state();
        *state.seen.entry(kind).or_default() += 1;
        let found = state.plan.iter().position(|(which, _, _)| which.is_met(kind, path));
        let fault = found.map(|idx| {
            let (_, count, fault) = &mut state.plan[idx];
            let fault = *fault;
            if let Some(count) = count {
                *count = count.saturating_sub(1);
            }
            state.plan.retain(|(_, count, _)| *count != Some(0));
            state.injected += 1;
            fault
        });
        drop(state);
        self.begun.send_modify(|begun| *begun += 1);
        fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
