//! What becomes of a batch when a transform is done with it: the same for all of them.

use std::fmt::Display;

use gophership_otlp::Retained;
use gophership_otlp::WireError;

use super::Batch;

/// Goes on with what is left of the batch's request, or settles the batch if nothing is left.
///
/// A request that could not be read is rejected; `done` says in the log of component `id` what cannot be
/// done with it, as in "filtered".
pub fn settle(
    id: &impl Display,
    done: &str,
    mut batch: Batch,
    left: Result<Retained, WireError>,
) -> Option<Batch> {
    match left {
        Ok(left) if left.kept == 0 && left.dropped > 0 => {
            batch.filtered();
            None
        }
        Ok(left) => {
            batch.replace(left.bytes, left.kept);
            Some(batch)
        }
        Err(error) => {
            tracing::warn!(
                component = %id, %error,
                "Request cannot be {done}: it is invalid. The request is rejected."
            );
            batch.rejected();
            None
        }
    }
}
