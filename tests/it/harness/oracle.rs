//! The oracle: what was sent, what was acknowledged, and whether the backend agrees.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;

use super::backend::Backend;
use super::traffic::Fingerprint;
use super::traffic::Parcel;

/// Remembers every request from before it is sent.
#[derive(Default)]
pub(crate) struct Oracle(Mutex<HashMap<Fingerprint, Entry>>);

#[derive(Default)]
struct Entry {
    numbers: Vec<u64>,
    is_acknowledged: bool,
}

/// Both ends compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Requests that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Records of acknowledged requests that the backend does not have.
    pub(crate) missing: BTreeSet<u64>,
    /// Requests that the backend has and nobody sent: their bytes were altered.
    pub(crate) altered: u64,
    /// Requests that the backend has without anybody having been told so: allowed.
    pub(crate) unacknowledged: u64,
    /// Copies too many.
    pub(crate) duplicates: u64,
}

impl Oracle {
    /// Notes a request before it is sent.
    pub(crate) fn sends(&self, parcel: &Parcel) {
        let entry = Entry { numbers: parcel.numbers.clone(), is_acknowledged: false };
        self.0.lock().unwrap().insert(parcel.fingerprint, entry);
    }

    /// Notes that a request was answered with OK.
    pub(crate) fn acknowledged(&self, parcel: &Parcel) {
        let mut entries = self.0.lock().unwrap();
        entries.get_mut(&parcel.fingerprint).expect("it was noted before").is_acknowledged = true;
    }

    /// Compares what was sent with what the backend has.
    pub(crate) fn audit(&self, backend: &Backend) -> Audit {
        let taken = backend.fingerprints();
        let entries = self.0.lock().unwrap();
        let mut audit = Audit::default();
        for (fingerprint, entry) in entries.iter() {
            let is_taken = taken.contains_key(fingerprint);
            match (entry.is_acknowledged, is_taken) {
                (true, true) => audit.acknowledged += 1,
                (true, false) => {
                    audit.acknowledged += 1;
                    audit.missing.extend(&entry.numbers);
                }
                (false, true) => audit.unacknowledged += 1,
                (false, false) => {}
            }
        }
        for (fingerprint, times) in &taken {
            audit.altered += u64::from(!entries.contains_key(fingerprint));
            audit.duplicates += times - 1;
        }
        audit
    }

    /// Records of acknowledged requests that the backend does not have, whatever a transform did
    /// to the bytes.
    pub(crate) fn missing_records(&self, backend: &Backend) -> BTreeSet<u64> {
        let taken: BTreeSet<u64> =
            Signal::ALL.iter().flat_map(|signal| backend.records(*signal).into_keys()).collect();
        let entries = self.0.lock().unwrap();
        let acknowledged = entries.values().filter(|entry| entry.is_acknowledged);
        let numbers = acknowledged.flat_map(|entry| entry.numbers.iter().copied());
        numbers.filter(|number| !taken.contains(number)).collect()
    }

    /// Waits until nothing that was acknowledged is missing, or the time is up.
    pub(crate) async fn settle(&self, backend: &Backend, within: Duration) -> Audit {
        let deadline = Instant::now() + within;
        loop {
            let audit = self.audit(backend);
            if audit.missing.is_empty() || Instant::now() >= deadline {
                return audit;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Audit {
    /// Fails the test unless the promise was kept.
    #[track_caller]
    pub(crate) fn assert_kept(&self, context: &dyn fmt::Display) {
        assert!(
            self.missing.is_empty() && self.altered == 0,
            "{context}: {} of records that were acknowledged are missing, {} requests altered: {self:?}",
            self.missing.len(),
            self.altered,
        );
    }
}
