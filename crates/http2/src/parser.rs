//! Where in the stream of bytes a connection is, and the frame that is incomplete there.

use crate::error::FrameError;
use crate::exchange::StreamId;
use crate::frame::FrameHead;

/// Where in the stream of bytes a connection is.
#[derive(Debug)]
pub(crate) struct Parser {
    pub(crate) state: State,
    /// The part that has come of a head or payload.
    pub(crate) partial: Vec<u8>,
    /// The first frame was SETTINGS.
    pub(crate) is_greeted: bool,
    /// A header block that goes on in CONTINUATION.
    pub(crate) block: Option<Block>,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// The preface; so many bytes of it were there.
    Preface(usize),
    Head,
    /// A payload that is needed whole, and how much of it is needed.
    Payload(FrameHead, u32),
    /// The length of the padding of DATA.
    PadLength(FrameHead),
    Data(DataFrame),
    /// What is not needed.
    Skip(u32),
}

/// So many bytes were taken; and the stream that waits for memory, if one does.
pub(crate) type ParseProgress = (usize, Result<Option<StreamId>, FrameError>);

impl Parser {
    pub(crate) const fn new() -> Self {
        Self { state: State::Preface(0), partial: Vec::new(), is_greeted: false, block: None }
    }

    pub(crate) const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head) && self.partial.is_empty() && self.block.is_none()
    }

    /// Whether something has begun that must be whole before it can be understood.
    pub(crate) const fn is_inside_block(&self) -> bool {
        let is_partial = match self.state {
            State::Head => !self.partial.is_empty(),
            State::Payload(..) | State::PadLength(_) => true,
            State::Preface(_) | State::Data(_) | State::Skip(_) => false,
        };
        is_partial || self.block.is_some()
    }

    pub(crate) const fn skip(&mut self, bytes: u32) {
        self.state = if bytes == 0 { State::Head } else { State::Skip(bytes) };
    }
}

/// A DATA frame that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataFrame {
    pub(crate) stream: u32,
    /// Of the data.
    pub(crate) left: u32,
    pub(crate) padding: u32,
    pub(crate) is_end: bool,
}

/// A header block that is not complete.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) stream: u32,
    pub(crate) fragment: Vec<u8>,
    pub(crate) is_end: bool,
    pub(crate) depends_on_itself: bool,
    pub(crate) continuations: u32,
}
