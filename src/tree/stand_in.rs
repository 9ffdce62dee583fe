//! What a stand-in pretends to be: a text that parsers take, a list, the fields of a struct.

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::MapAccess;
use serde::de::SeqAccess;

use crate::tree::failure::FailureKind;
use crate::tree::name::Name;

/// The texts a stand-in tries, one decoding after the other: one of them pleases most parsers.
pub(crate) const STAND_IN_TEXTS: [&str; 7] =
    ["1", "1s", "1MiB", "50%", "127.0.0.1:1", "http://localhost:1", ""];

/// Returns the text a stand-in shows.
pub(super) fn stand_in_text(text_idx: usize) -> &'static str {
    STAND_IN_TEXTS.get(text_idx).copied().unwrap_or("")
}

/// A list of stand-ins, each presented by `tree`.
pub(super) struct StandInItems<D> {
    pub(super) tree: D,
    pub(super) remaining_len: usize,
}

impl<'de, D: Deserializer<'de, Error = FailureKind> + Copy> SeqAccess<'de> for StandInItems<D> {
    type Error = FailureKind;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, FailureKind> {
        let Some(remaining_len) = self.remaining_len.checked_sub(1) else { return Ok(None) };
        self.remaining_len = remaining_len;
        seed.deserialize(self.tree).map(Some)
    }
}

/// A mapping with a stand-in, presented by `tree`, for each field of a struct.
pub(super) struct StandInFields<'a, D> {
    pub(super) tree: D,
    /// Any name at the place of the stand-in, which is the place of the names of its fields too.
    pub(super) name: Name<'a>,
    pub(super) fields: std::slice::Iter<'static, &'static str>,
}

impl<'de, D: Deserializer<'de, Error = FailureKind> + Copy> MapAccess<'de>
    for StandInFields<'_, D>
{
    type Error = FailureKind;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, FailureKind> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        seed.deserialize(Name { text: field, ..self.name }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, FailureKind> {
        seed.deserialize(self.tree)
    }
}
