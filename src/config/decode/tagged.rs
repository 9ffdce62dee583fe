//! The mapping that carries the type of a component.

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;

use crate::config::decode::deserializer::TreeDeserializer;
use crate::config::decode::failure::FailureKind;

/// Presents `{listen: ...}` as `{otlp: {listen: ...}}`, the form in which typetag reads a trait
/// object without buffering it.
pub(super) struct Tagged<'a> {
    pub(super) tag: &'a str,
    pub(super) tree: TreeDeserializer<'a>,
}

impl<'de> Deserializer<'de> for Tagged<'_> {
    type Error = FailureKind;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FailureKind> {
        visitor.visit_map(TaggedEntry { tag: Some(self.tag), tree: self.tree })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// The single entry of [`Tagged`].
struct TaggedEntry<'a> {
    tag: Option<&'a str>,
    tree: TreeDeserializer<'a>,
}

impl<'de> MapAccess<'de> for TaggedEntry<'_> {
    type Error = FailureKind;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, FailureKind> {
        let Some(tag) = self.tag.take() else { return Ok(None) };
        seed.deserialize(self.tree.name(tag)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, FailureKind> {
        seed.deserialize(self.tree)
    }
}
