//! Whether a record is kept; pure.

use super::tracestate::SPACE;
use super::tracestate::Sampling;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is taken out.
    Drop,
    /// It stays as it is.
    Keep,
    /// It stays, with this threshold in its trace state, or with none.
    KeepWith(Option<u64>),
}

/// The randomness of a trace id: its last 56 bits; `None` if it is no trace id.
pub(super) fn randomness(trace_id: &[u8]) -> Option<u64> {
    let id: [u8; 16] = trace_id.try_into().ok()?;
    let number = u128::from_be_bytes(id);
    let low = u64::try_from(number & u128::from(SPACE - 1)).ok()?;
    (number != 0).then_some(low)
}

/// Decides as an equalizing downstream sampler of the specification does: the threshold is raised
/// where it is lower, and left where it is higher already.
pub(super) fn decide(threshold: Option<u64>, random: u64, before: Sampling) -> Decision {
    let Some(threshold) = threshold else { return Decision::Drop };
    // Nothing is sampled, so nothing is said about it.
    if threshold == 0 {
        return Decision::Keep;
    }
    match before.threshold {
        // What came here cannot have been kept by that threshold: its probability is unknown.
        Some(inconsistent) if random < inconsistent => {
            if random < threshold {
                Decision::Drop
            } else {
                Decision::KeepWith(None)
            }
        }
        Some(higher) if higher >= threshold => Decision::Keep,
        _ if random >= threshold => Decision::KeepWith(Some(threshold)),
        _ => Decision::Drop,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tracestate::threshold;
    use super::*;

    fn before(threshold: Option<u64>) -> Sampling {
        Sampling { threshold, random: None }
    }

    #[test]
    fn the_last_seven_bytes_of_a_trace_id_are_its_randomness() {
        let mut id = [0; 16];
        assert_eq!(randomness(&id), None);
        id[8] = 0xff;
        assert_eq!(randomness(&id), Some(0));
        id[9] = 1;
        assert_eq!(randomness(&id), Some(1 << 48));
        assert_eq!(randomness(&id[1..]), None);
    }

    #[test]
    fn thresholds_are_raised_never_lowered_and_erased_when_they_cannot_be() {
        let (quarter, half) = (threshold(0.25), threshold(0.5));
        let high = SPACE - 1;
        assert_eq!(decide(half, high, before(None)), Decision::KeepWith(half));
        assert_eq!(decide(half, high, before(Some(0))), Decision::KeepWith(half));
        assert_eq!(decide(quarter, high, before(half)), Decision::KeepWith(quarter));
        assert_eq!(decide(half, high, before(quarter)), Decision::Keep);
        assert_eq!(decide(half, SPACE / 2 - 1, before(None)), Decision::Drop);
        assert_eq!(decide(half, SPACE / 2, before(None)), Decision::KeepWith(half));
        assert_eq!(decide(half, SPACE / 2, before(quarter)), Decision::KeepWith(None));
        assert_eq!(decide(None, high, before(None)), Decision::Drop);
        assert_eq!(decide(Some(0), 0, before(None)), Decision::Keep);
    }

    proptest! {
        /// Whatever is kept at a rate is kept at every higher rate.
        #[test]
        fn decisions_are_consistent(random in 0..SPACE, one in 0.0_f64..1.0, two in 0.0_f64..1.0) {
            let (low, high) = (one.min(two), one.max(two));
            let is_kept = |ratio| decide(threshold(ratio), random, before(None)) != Decision::Drop;
            prop_assert!(!is_kept(low) || is_kept(high));
        }
    }
}
