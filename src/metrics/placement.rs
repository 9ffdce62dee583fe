//! Where a request was placed.

/// Where a request was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum PlacedIn {
    /// In every edge of its route.
    Edges,
    /// In a vault's staging memory.
    Vault,
}

impl PlacedIn {
    pub(super) const ALL: [Self; 2] = [Self::Edges, Self::Vault];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Edges => "edges",
            Self::Vault => "vault",
        }
    }
}
