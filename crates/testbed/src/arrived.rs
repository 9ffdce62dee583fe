//! What both oracles are made of: what arrived at a backend of what clients sent, by its numbers.
//!
//! What has a number is a record, where the way may divide and join requests and change attributes
//! ([`RecordOracle`](crate::RecordOracle)), or a whole request, where not a byte may change
//! ([`RequestOracle`](crate::RequestOracle)).

use crate::bits::Bits;

/// What one backend has.
#[derive(Debug)]
pub struct Arrived {
    /// By client.
    taken: Vec<Bits>,
    /// What came again.
    pub repeated: u64,
    /// What came with other bytes than it was sent with.
    pub altered: u64,
    /// What none of the clients sent.
    pub strangers: u64,
    /// Requests that could not be read.
    pub unreadable: u64,
}

impl Arrived {
    pub(crate) fn new(clients: usize) -> Self {
        let taken = vec![Bits::default(); clients];
        Self { taken, repeated: 0, altered: 0, strangers: 0, unreadable: 0 }
    }

    /// Adds what came so many times; returns whether it was not there before.
    pub(crate) fn add(&mut self, client: usize, number: u32, times: u64) -> bool {
        let Some(taken) = self.taken.get_mut(client) else {
            self.strangers += times;
            return false;
        };
        let is_new = taken.insert(number);
        self.repeated += times - u64::from(is_new);
        is_new
    }

    /// What of this client is here.
    pub(crate) fn of(&self, client: usize) -> &Bits {
        &self.taken[client]
    }
}
