//! The transforms of a configuration, one after another, outside of a running server.

use std::time::Instant;

use gophership::component::OnLoss;
use gophership::component::Transform;
use gophership::config::Config;
use gophership::config::Leg;
use gophership::event::Batch;
use gophership::event::Divided;
use gophership::event::Pieces;
use gophership::event::SinkSet;
use gophership::pool::Memory;
use gophership::somatic::Somatic;
use gophership::topology::SharedParts;

/// What a transform takes at most, beside what it works on and for what comes out.
const ROOM_BYTES: usize = 256 << 20;

/// A transform, and of several outputs those through which the case goes on.
pub(crate) struct Stage {
    pub(crate) transform: Box<dyn Transform>,
    /// Whom each output leads to; empty if there is only one.
    reach: Vec<SinkSet>,
}

/// Takes a batch, and all that is ready because of it, through transforms one after another.
pub(crate) fn go_through(stages: &mut [Stage], batch: Option<Batch>, out: &mut Vec<Batch>) {
    let Some((Stage { transform, reach }, others)) = stages.split_first_mut() else {
        return out.extend(batch);
    };
    if !reach.is_empty() {
        let mut parts = Vec::new();
        if let Some(batch) = batch {
            in_pieces(batch, |batch| transform.share_out(batch, reach, &mut parts, ROOM_BYTES));
        }
        for (_, part) in parts {
            go_through(others, Some(part), out);
        }
        return;
    }
    let mut ready = Vec::new();
    if let Some(batch) = batch {
        in_pieces(batch, |batch| {
            ready.extend(transform.apply_within(batch, ROOM_BYTES)?);
            Ok(())
        });
    }
    ready.extend(std::iter::from_fn(|| transform.ready(Instant::now())));
    for batch in ready {
        go_through(others, Some(batch), out);
    }
}

/// Does something with a batch, in pieces if that takes more memory than there is; rejects what cannot be
/// divided.
fn in_pieces(batch: Batch, mut work: impl FnMut(Batch) -> Result<(), Batch>) {
    let mut pieces = Pieces::of(batch);
    while let Some(piece) = pieces.next() {
        let piece = piece.map_err(|unreadable| unreadable.batch);
        let Err(batch) = piece.and_then(&mut work) else { continue };
        match pieces.divide(batch, None) {
            Divided::InPieces => {}
            Divided::Alone(batch) => batch.rejected(),
            Divided::Unreadable(unreadable) => unreadable.batch.rejected(),
        }
    }
}

/// Builds the transforms of a way.
///
/// # Errors
///
/// In words, which of them cannot be built and why.
pub(crate) fn build(
    config: &Config,
    way: &[Leg<'_>],
    shared: &SharedParts,
) -> Result<Vec<Stage>, String> {
    let stage = |Leg { id, ports }: &Leg<'_>| -> Result<Stage, String> {
        let entry =
            config.transforms.get(*id).ok_or("the path has a transform that does not exist")?;
        let transform = entry
            .config
            .build(&shared.context(id, &config.data_dir))
            .map_err(|error| format!("{id}: {error}"))?;
        let reach = |port| if ports.contains(&port) { SinkSet::ALL } else { SinkSet::NONE };
        let reach = entry.config.ports().into_iter().map(reach).collect();
        Ok(Stage { transform, reach })
    };
    way.iter().map(stage).collect()
}

/// What transforms are built with: nothing of it is shared with a running process.
pub(crate) fn shared(config: &Config) -> SharedParts {
    let zone = Somatic::new(config.somatic.policy()).watch();
    SharedParts::new(zone, Memory::new(&config.somatic.memory.limits()), OnLoss::default())
}
