//! The vault that takes over for sources that name none: the only one that stands by.

use std::collections::BTreeSet;

use crate::component::AnyConfig;
use crate::config::draft::piece::Piece;

/// Lets sources that name no vault pivot to the only one that stands by, which is one that reads nothing.
///
/// What a source sends must come back to those it sends to, and to nobody else: all sources of the vault
/// have the same readers, and so has each of its replays, if somebody wrote one.
pub(super) fn set_defaults(pieces: &mut [Piece<'_>]) {
    let stands_by = |piece: &&Piece<'_>| piece.is_vault() && piece.inputs().is_empty();
    let mut vaults = pieces.iter().filter(stands_by).map(|piece| piece.id);
    let (Some(vault), None) = (vaults.next(), vaults.next()) else { return };
    let readers = |id: &str| -> BTreeSet<&str> {
        let reads = |piece: &&Piece<'_>| piece.inputs().iter().any(|input| input == id);
        pieces.iter().filter(reads).map(|piece| piece.id).collect()
    };
    let ways = |is_it: &dyn Fn(&Piece<'_>) -> bool| -> Vec<BTreeSet<&str>> {
        pieces.iter().filter(|piece| is_it(piece)).map(|piece| readers(piece.id)).collect()
    };
    let replays = ways(&|piece| piece.replays() == Some(vault));
    let sources = ways(&|piece| piece.wants_pivot() || piece.pivot() == Some(vault));
    let fits = |way: &BTreeSet<&str>| match replays.as_slice() {
        [] => sources.first() == Some(way),
        // One that nobody reads is journaled: all of it comes from the replay.
        all => way.is_empty() || all.iter().all(|replay| replay == way),
    };
    if !sources.iter().all(fits) {
        return;
    }
    for piece in pieces {
        if let Some(AnyConfig::Source(config)) = &mut piece.config {
            config.pivot_by_default(vault);
        }
    }
}
