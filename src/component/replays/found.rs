//! How much of a range was found.

/// What a part of a range has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundSum {
    pub(super) requests: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// When the oldest and the newest request were received.
    pub(super) oldest_unix_ns: u64,
    pub(super) newest_unix_ns: u64,
}
