//! A vault with taps in front of it.

use std::sync::Arc;
use std::time::Duration;

use super::table::Full;
use super::table::Intake;
use super::tap::Taps;
use crate::event::Batch;

/// A sink without an edge, with its taps in front of it.
pub struct TappedIntake {
    /// The sink.
    pub intake: Arc<dyn Intake>,
    /// Its taps.
    pub taps: Taps,
}

impl Intake for TappedIntake {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        let passed = self.taps.look(&batch);
        let taken = self.intake.try_take(batch);
        if let (Some(passed), Ok(())) = (passed, &taken) {
            passed.offer();
        }
        taken
    }

    fn fill_permille(&self) -> u32 {
        self.intake.fill_permille()
    }

    fn has_failed(&self) -> bool {
        self.intake.has_failed()
    }

    fn retry_after(&self) -> Duration {
        self.intake.retry_after()
    }

    fn has_room(&self) -> bool {
        self.intake.has_room()
    }
}
