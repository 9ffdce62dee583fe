//! Acknowledged records that a vault does not have any more although somebody needs them, seen from
//! outside.

use std::path::Path;

use crate::error::VaultError;
use crate::options::Known;
use crate::tools::survey;
use crate::tools::survey::Survey;
use crate::tools::survey::SurveyState;

/// Returns what is missing, as first and last seq of each range: between the segments that are there, and
/// up to what is known to have been acknowledged. What every cursor has passed, or what was dropped on
/// purpose, is not missing. Damage inside a segment is no concern of this.
///
/// # Errors
///
/// As [`Survey::take`].
pub fn missing(dir: &Path, known: &Known) -> Result<Vec<(u64, u64)>, VaultError> {
    if !survey::is_vault(dir) {
        // With the vault went its cursors: what they were known to have passed is all that is known.
        let low = known.cursors.values().min().copied().unwrap_or(0);
        let is_lost = low < known.durable_seq;
        return Ok(is_lost.then_some((low + 1, known.durable_seq)).into_iter().collect());
    }
    let survey = Survey::take_knowing(dir, &known.cursors)?;
    let mut missing = Vec::new();
    let mut there = 0;
    let used = survey.segments.iter().filter(|segment| segment.state != SurveyState::Spare);
    for segment in used.clone() {
        let (number, last_seq) = segment.prev;
        let is_there = used.clone().any(|other| other.id.get() == number);
        if 0 < number && !is_there {
            missing.extend(survey.passed.lost_in(there + 1, last_seq));
        }
        there = there.max(segment.last_seq);
    }
    missing.extend(survey.passed.lost_in(there + 1, known.durable_seq));
    Ok(missing)
}
