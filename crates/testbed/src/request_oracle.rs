//! The oracle of whole requests: what was sent, what was acknowledged, and whether a backend agrees, to the
//! byte.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use gophership_otlp::Signal;
use tokio::time::Instant;

use crate::arrived::Arrived;
use crate::bits::Bits;
use crate::kinds::Kinds;
use crate::lock;
use crate::recording::RecordingBackend;
use crate::traffic::Fingerprint;
use crate::traffic::NumberedRequest;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Remembers every request from before it is sent.
#[derive(Default)]
pub struct RequestOracle(Mutex<Sent>);

/// Requests by their numbers: that of the first is 0.
#[derive(Default)]
struct Sent {
    numbers: HashMap<Fingerprint, u32>,
    /// The records of each.
    records: Vec<Vec<u64>>,
    acknowledged: Bits,
}

/// Both ends compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    /// Records of acknowledged requests that the backend does not have.
    pub missing: BTreeSet<u64>,
    /// Requests that the backend has and nobody sent: their bytes were altered.
    pub altered: u64,
    /// Requests that the backend has without anybody having been told so: allowed.
    pub unacknowledged: u64,
    /// Copies too many.
    pub duplicates: u64,
}

impl RequestOracle {
    /// Notes a request before it is sent.
    pub fn sends(&self, parcel: &NumberedRequest) {
        let sent = &mut *lock(&self.0);
        let number = u32::try_from(sent.records.len()).unwrap_or(u32::MAX);
        sent.numbers.insert(parcel.fingerprint, number);
        sent.records.push(parcel.numbers.clone());
    }

    /// Notes that a request was answered with OK.
    ///
    /// # Panics
    ///
    /// When it was not noted before.
    pub fn acknowledged(&self, parcel: &NumberedRequest) {
        let sent = &mut *lock(&self.0);
        let number = sent.numbers.get(&parcel.fingerprint).expect("it was noted before");
        sent.acknowledged.insert(*number);
    }

    /// The records of all requests that were answered with OK.
    pub fn acknowledged_records(&self) -> BTreeSet<u64> {
        let sent = lock(&self.0);
        let acknowledged = (0..).zip(&sent.records).filter(|(idx, _)| sent.acknowledged.has(*idx));
        acknowledged.flat_map(|(_, numbers)| numbers.iter().copied()).collect()
    }

    /// Compares what was sent with what the backend has.
    pub fn audit(&self, backend: &RecordingBackend) -> Audit {
        let sent = &*lock(&self.0);
        let mut arrived = Arrived::new(1);
        arrived.altered = backend.unreadable();
        for (fingerprint, times) in backend.fingerprints() {
            if let Some(number) = sent.numbers.get(&fingerprint) {
                arrived.add(0, *number, times);
            } else {
                arrived.altered += 1;
                arrived.repeated += times - 1;
            }
        }
        let end = u32::try_from(sent.records.len()).unwrap_or(u32::MAX);
        let runs = sent.acknowledged.runs_missing_in(arrived.of(0), &Kinds::ALL, usize::MAX);
        let missing = runs.into_iter().flat_map(|(first, last)| first..=last);
        Audit {
            acknowledged: sent.acknowledged.len(),
            missing: missing.flat_map(|number| sent.records[number as usize].clone()).collect(),
            altered: arrived.altered,
            unacknowledged: arrived.of(0).missing_in(&sent.acknowledged, &Kinds::ALL, end),
            duplicates: arrived.repeated,
        }
    }

    /// Records of acknowledged requests that the backend does not have, whatever a transform did
    /// to the bytes.
    pub fn missing_records(&self, backend: &RecordingBackend) -> BTreeSet<u64> {
        let taken: BTreeSet<u64> =
            Signal::ALL.iter().flat_map(|signal| backend.records(*signal).into_keys()).collect();
        let sent = lock(&self.0);
        let acknowledged = (0..).zip(&sent.records).filter(|(idx, _)| sent.acknowledged.has(*idx));
        let numbers = acknowledged.flat_map(|(_, numbers)| numbers.iter().copied());
        numbers.filter(|number| !taken.contains(number)).collect()
    }

    /// Waits until nothing that was acknowledged is missing, or the time is up.
    pub async fn settle(&self, backend: &RecordingBackend, within: Duration) -> Audit {
        let deadline = Instant::now() + within;
        loop {
            let audit = self.audit(backend);
            if audit.missing.is_empty() || Instant::now() >= deadline {
                return audit;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Audit {
    /// Checks that the promise was kept.
    ///
    /// # Panics
    ///
    /// When it was not.
    #[track_caller]
    pub fn assert_kept(&self, context: &dyn fmt::Display) {
        assert!(
            self.missing.is_empty() && self.altered == 0,
            "{context}: {} of records that were acknowledged are missing, {} requests altered: {self:?}",
            self.missing.len(),
            self.altered,
        );
    }
}
