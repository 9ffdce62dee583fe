//! The memory of the process: budgets that say how much may be used, and buffers to use.
//!
//! ```text
//!  Memory        what all components of a process share
//!   |- Shares    one Budget for each part: ingest, edges, processing, vault, replay
//!   |   |- Grant   bytes taken from a budget; given back when dropped
//!   |   `- Portion one of equal parts, so that nobody waits for what others hold
//!   `- Pool      page-aligned buffers by size class, kept for the next one who needs one
//!       `- PooledBuffer --freeze--> Bytes   the buffer returns when the last clone is dropped
//! ```
//!
//! `idle` gives what is free back to the system.
//!
//! A budget only counts: it refuses, or makes wait, before anything is allocated. Taking from a
//! budget, and taking a buffer that the pool has, costs no memory from the heap.

mod budget;
mod buffer;
mod idle;
mod memory;
mod portion;

#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use budget::Grant;
pub use buffer::Pool;
pub use buffer::PooledBuffer;
pub use memory::Memory;
pub use memory::MemoryLimits;
pub use portion::FairPermit;
pub use portion::Portion;
