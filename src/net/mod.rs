//! Connections of any listener: what each may take how long for, how many there are, and which of them
//! makes room.
//!
//! ```text
//!   slots      how many connections a listener has; the longest idle one makes room for a new one
//!    `- activity   what one connection does now: written by its own task, without a lock
//!   opening    its first bytes, which tell HTTP/2 from HTTP/1
//!   watched    a stream that notes reads, blocked writes, and lingers at its end
//!   timeouts   when a connection is closed, and why: a pure function of its activity
//!   tending    the one timer of a connection, and the loop that serves it
//!   descriptors    how many file descriptors there are, and how many connections may use
//! ```

mod activity;
mod descriptors;
mod opening;
mod slots;
mod tending;
mod timeouts;
mod watched;

pub use activity::ActiveRequest;
pub use activity::Activity;
pub use descriptors::Descriptors;
pub use descriptors::raise_descriptor_limit;
pub use opening::Opened;
pub use opening::Opening;
pub use opening::Rewound;
pub use slots::ConnectionSlot;
pub use slots::ConnectionSlots;
pub use tending::ConnectionEnd;
pub use tending::GracefulConnection;
pub use tending::PlainConnection;
pub use tending::Tending;
pub use timeouts::CloseCause;
pub use timeouts::ConnectionTimeouts;
pub use watched::Watched;
