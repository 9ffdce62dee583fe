//! A tap in force, as whoever asked for it holds it.

use std::sync::Arc;

use super::taps::TapPlace;
use super::taps::TapRefusal;
use super::wiring::Wiring;
use crate::flow::Tap;

/// A tap in force, which ends when it is dropped.
pub struct Tapping {
    wiring: Arc<Wiring>,
    tap: Arc<Tap>,
}

impl Tapping {
    /// Puts a tap in force: the next request passes it.
    ///
    /// # Errors
    ///
    /// [`TapRefusal`].
    pub fn begin(wiring: &Arc<Wiring>, place: TapPlace, tap: Arc<Tap>) -> Result<Self, TapRefusal> {
        wiring.tap(place, &tap)?;
        Ok(Self { wiring: Arc::clone(wiring), tap })
    }

    /// The tap.
    #[must_use]
    pub fn tap(&self) -> &Tap {
        &self.tap
    }
}

impl Drop for Tapping {
    fn drop(&mut self) {
        self.wiring.untap(&self.tap);
    }
}
