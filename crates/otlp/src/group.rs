//! Taking a request apart by what its resources are.

use std::collections::HashMap;

use bytes::Bytes;

use super::error::{LocatedFault, WireError};
use super::locate::malformed;
use super::prescan::prescan_envelope;
use super::retain::pieces;
use super::signal::Signal;
use super::value::AnyValueView;
use super::view::find_attribute;
use super::wire::{Field, Fields, WireType};

/// A resource, read in place.
#[derive(Debug, Clone, Copy)]
pub struct ResourceView<'a> {
    bytes: &'a [u8],
    /// The pieces of the resource, usually one; none if there is no resource.
    pieces: &'a [Field],
}

impl<'a> ResourceView<'a> {
    /// An attribute of the resource; the first, if it is given twice.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<AnyValueView<'a>> {
        find_attribute(self.bytes, self.pieces, 1, key)
    }
}

/// What became of a request.
#[derive(Debug, Clone)]
pub enum Grouped {
    /// All its resources have this key.
    Whole(u64),
    /// Several requests, together all of it, in the order in which their keys were seen first.
    Apart(Vec<Group>),
}

/// The resources of a request that have the same key.
#[derive(Debug, Clone)]
pub struct Group {
    /// The key.
    pub key: u64,
    /// A request by itself.
    pub bytes: Bytes,
    /// Its log records, spans or data points.
    pub records: u64,
}

/// Takes a request apart by the keys that its resources have. Copies only if there are several.
///
/// It is taken into at most `groups_max` groups; resources with further keys go with the last group.
/// A request without resources has the key of a resource without attributes.
///
/// # Errors
///
/// [`WireError::Malformed`] when the envelope cannot be read.
pub fn group(
    signal: Signal,
    bytes: &Bytes,
    groups_max: usize,
    key: impl FnMut(&ResourceView<'_>) -> u64,
) -> Result<Grouped, WireError> {
    let mut pass = Pass { bytes, key, pieces: Vec::new() };
    let at = |fault| malformed(signal, bytes, fault);
    if let Some(key) = pass.only_key().map_err(at)? {
        return Ok(Grouped::Whole(key));
    }
    let mut groups = Vec::new();
    for (key, bytes) in pass.apart(groups_max.max(1)).map_err(at)? {
        let records = prescan_envelope(signal, &bytes)?.records;
        groups.push(Group { key, bytes: bytes.into(), records });
    }
    Ok(Grouped::Apart(groups))
}

struct Pass<'a, K> {
    bytes: &'a [u8],
    key: K,
    pieces: Vec<Field>,
}

impl<K: FnMut(&ResourceView<'_>) -> u64> Pass<'_, K> {
    /// The key that all resources have, if they have the same.
    fn only_key(&mut self) -> Result<Option<u64>, LocatedFault> {
        let mut only = None;
        let mut fields = Fields::new(self.bytes, 0..self.bytes.len());
        while let Some(field) = fields.next_message(1)? {
            let key = self.key_of(&field)?;
            if *only.get_or_insert(key) != key {
                return Ok(None);
            }
        }
        let nothing = ResourceView { bytes: &[], pieces: &[] };
        Ok(Some(only.unwrap_or_else(|| (self.key)(&nothing))))
    }

    /// The requests by their keys. What is no resource container goes with the first.
    fn apart(&mut self, groups_max: usize) -> Result<Vec<(u64, Vec<u8>)>, LocatedFault> {
        let mut groups: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut idx_by_key: HashMap<u64, usize> = HashMap::new();
        let mut others = Vec::new();
        let mut fields = Fields::new(self.bytes, 0..self.bytes.len());
        while let Some(field) = fields.next()? {
            let whole = &self.bytes[field.start..field.end];
            if field.number != 1 {
                others.extend_from_slice(whole);
                continue;
            }
            let key = self.key_of(&field)?;
            let idx = match idx_by_key.get(&key) {
                Some(idx) => *idx,
                None if groups.len() == groups_max => groups_max - 1,
                None => {
                    idx_by_key.insert(key, groups.len());
                    groups.push((key, Vec::new()));
                    groups.len() - 1
                }
            };
            groups[idx].1.extend_from_slice(whole);
        }
        if let Some((_, first)) = groups.first_mut() {
            first.append(&mut others);
        }
        Ok(groups)
    }

    fn key_of(&mut self, container: &Field) -> Result<u64, LocatedFault> {
        container.expect(WireType::Len)?;
        self.pieces.clear();
        pieces(self.bytes, container.span(), &mut self.pieces)?;
        Ok((self.key)(&ResourceView { bytes: self.bytes, pieces: &self.pieces }))
    }
}
