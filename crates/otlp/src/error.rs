//! What can be wrong with a request.

use std::fmt;

/// A request could not be read, edited or converted.
///
/// None of these goes away by trying again: the bytes, or the limits, have to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are not the protobuf message they should be.
    #[error("malformed request: {fault} at byte {offset} in {path}")]
    Malformed {
        /// Where the field starts that cannot be read, in bytes from the start of the request.
        offset: usize,
        /// The message around it, as in `resource_logs.scope_logs.log_records`.
        path: String,
        /// What is wrong there.
        fault: WireFaultKind,
    },

    /// Messages are nested deeper than the limit.
    #[error("request is nested deeper than {depth_max} levels at byte {offset} in {path}")]
    TooDeep {
        /// Where the field starts that goes too deep, in bytes from the start of the request.
        offset: usize,
        /// The message around it.
        path: String,
        /// The limit in force.
        depth_max: u32,
    },

    /// The decoded request would take more memory than the limit.
    #[error("the decoded request would take {decoded_bytes} bytes; the limit is {limit_bytes}")]
    TooLarge {
        /// The estimate.
        decoded_bytes: u64,
        /// The limit in force.
        limit_bytes: u64,
    },

    /// To change it would take more memory than there is for it. It may fit in parts.
    #[error("changing the request takes more than {room_bytes} bytes of memory")]
    NoRoom {
        /// What there is, beside the request itself.
        room_bytes: usize,
    },

    /// A message that is there once is given in more pieces than anybody puts together.
    #[error("message has more than {pieces_max} pieces at byte {offset} in {path}")]
    Scattered {
        /// Where the last piece starts, in bytes from the start of the request.
        offset: usize,
        /// The message around it.
        path: String,
        /// The limit in force.
        pieces_max: usize,
    },

    /// The typed decoder refused the request: a text field is not UTF-8.
    #[error("cannot decode the request")]
    Decode {
        /// What the decoder says.
        source: prost::DecodeError,
    },

    /// The JSON form is not JSON, or not OTLP.
    #[error("cannot read the JSON request{}{path}: {reason}", if path.is_empty() { "" } else { " at " })]
    Json {
        /// The value that was being read, such as `resourceLogs[0].scopeLogs[0].logRecords[2].traceId`;
        /// empty outside of all.
        path: String,
        /// What is wrong, with line and column.
        reason: serde_json::Error,
    },
}

/// What makes bytes malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireFaultKind {
    /// A value ends behind its message.
    Truncated,
    /// A varint has more than ten bytes or more than 64 bits.
    InvalidVarint,
    /// A field has number 0 or a key of more than 32 bits.
    InvalidKey,
    /// A key has wire type 6 or 7.
    InvalidWireType,
    /// A known field does not have its own wire type.
    UnexpectedWireType,
    /// A group ends that was not begun.
    UnbalancedGroup,
    /// Groups are nested deeper than any decoder goes.
    GroupTooDeep,
    /// Messages are nested deeper than any decoder goes.
    TooDeep,
    /// What has to be noted of it takes more memory than there is.
    NoRoom,
    /// A resource or scope is given in more than 1,000 pieces. Protobuf allows any number, and readers
    /// keep a list of them.
    TooManyPieces,
}

impl fmt::Display for WireFaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Truncated => "a value ends after the end of its message",
            Self::InvalidVarint => "a varint is too long",
            Self::InvalidKey => "a field number is out of range",
            Self::InvalidWireType => "an unknown wire type",
            Self::UnexpectedWireType => "a known field has a wrong wire type",
            Self::UnbalancedGroup => "a group ends that did not begin",
            Self::GroupTooDeep => "groups are nested too deep",
            Self::TooDeep => "messages are nested too deep",
            Self::NoRoom => "the changes need more memory than allowed",
            Self::TooManyPieces => "a resource or scope has more than 1,000 pieces",
        })
    }
}

/// A fault and its place, before anyone has worked out the path to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocatedFault {
    /// Where the field starts, in bytes from the start of the request.
    pub(super) offset: usize,
    /// What is wrong there.
    pub(super) kind: WireFaultKind,
}
