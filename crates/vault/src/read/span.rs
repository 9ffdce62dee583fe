//! What a reader that takes the newest segment first is at.

/// Unread records of one segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The next seq to look at.
    pub(super) next: u64,
    pub(super) last: u64,
}
