//! The vault that takes over for a source: named, `off`, or the only one that stands by.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use crate::config::piece::AnyConfig;
use crate::config::piece::Piece;

/// Says that no vault takes over.
const OFF: &str = "off";

/// An option `pivot`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PivotOption(Option<String>);

impl PivotOption {
    /// Returns the vault, if one takes over.
    #[must_use]
    pub fn vault(&self) -> Option<&str> {
        self.0.as_deref().filter(|name| *name != OFF)
    }

    /// Whether the option says nothing.
    #[must_use]
    pub const fn is_unset(&self) -> bool {
        self.0.is_none()
    }

    /// Names the vault that takes over, unless the option says something.
    pub fn set_default(&mut self, vault: &str) {
        self.0.get_or_insert_with(|| vault.to_owned());
    }
}

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
