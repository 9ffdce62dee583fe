//! What is around the message of a request: gRPC puts a flag and the length in front of it, HTTP nothing.

use crate::sources::otlp::frame::HEAD_BYTES;

/// What is around the message of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    /// gRPC: the flag and the length, of which so many bytes have come.
    Prefix([u8; HEAD_BYTES], usize),
    /// HTTP: the body is the message, and its head may have told the length.
    Bare(Option<u64>),
}

impl Framing {
    /// That of gRPC, of which nothing has come.
    pub(super) const fn prefixed() -> Self {
        Self::Prefix([0; HEAD_BYTES], 0)
    }

    /// Whether nobody has told how long the message is.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Bare(None))
    }

    /// How gRPC says that the message is compressed.
    pub(super) const fn flag(self) -> u8 {
        match self {
            Self::Prefix([flag, ..], _) => flag,
            Self::Bare(_) => 0,
        }
    }

    /// Returns the message of a request that has come in one piece, and what was around it.
    pub(super) fn whole(self, piece: &[u8]) -> Option<(Self, &[u8])> {
        match self {
            Self::Prefix(..) => {
                let (prefix, message) = piece.split_first_chunk::<HEAD_BYTES>()?;
                let is_whole = message.len() == length(*prefix) as usize;
                is_whole.then_some((Self::Prefix(*prefix, HEAD_BYTES), message))
            }
            Self::Bare(_) => Some((self, piece)),
        }
    }

    /// Takes the first bytes, and returns the length of the message if it is known then, and what belongs to the
    /// message. An open one probably becomes twice as long as its first piece, if `limit` allows that.
    pub(super) fn read<'b>(&mut self, bytes: &'b [u8], limit: u64) -> (Option<u64>, &'b [u8]) {
        match self {
            Self::Prefix(prefix, filled) => {
                let (part, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - *filled));
                prefix[*filled..][..part.len()].copy_from_slice(part);
                *filled += part.len();
                ((*filled == HEAD_BYTES).then(|| length(*prefix).into()), rest)
            }
            Self::Bare(Some(told)) => (Some(*told), bytes),
            Self::Bare(None) => {
                let come = bytes.len() as u64;
                (Some(come.saturating_mul(2).min(limit).max(come)), bytes)
            }
        }
    }
}

/// The length that a prefix says.
const fn length([_flag, len @ ..]: [u8; HEAD_BYTES]) -> u32 {
    u32::from_be_bytes(len)
}
