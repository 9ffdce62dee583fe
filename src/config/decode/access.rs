//! The parts of the deserializer that no node of their own stands behind: choices, the mapping that
//! carries a component's type, and the insides of stand-ins.

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::EnumAccess;
use serde::de::Error as _;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Unexpected;
use serde::de::VariantAccess;
use serde::de::Visitor;

use crate::config::decode::deserializer::TreeDeserializer;
use crate::config::decode::failure::Fault;
use crate::config::decode::trace::Trace;
use crate::config::decode::trace::Trail;
use crate::config::node::Entry;

/// A choice: a name alone, or a name with content.
pub(super) struct Choice<'a> {
    pub(super) tree: TreeDeserializer<'a>,
    pub(super) name: &'a str,
    /// The content; a stand-in has none and pretends.
    pub(super) entry: Option<&'a Entry>,
}

impl Choice<'_> {
    /// Hands the content to `read`.
    fn content<T>(
        self,
        read: impl FnOnce(TreeDeserializer<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match self.entry {
            Some(entry) => {
                let trail = Trail::Key(self.tree.trail(), &entry.key);
                read(self.tree.at(&entry.node, &trail))
            }
            None if self.tree.is_stand_in() => read(self.tree),
            None => Err(Fault::invalid_type(
                Unexpected::UnitVariant,
                &format!("`{}:` with options under it", self.name).as_str(),
            )),
        }
    }
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(self.tree.name(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        if self.entry.is_none() {
            return Ok(());
        }
        let expected = format!("`{}` alone", self.name);
        Err(Fault::invalid_type(Unexpected::Map, &expected.as_str()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.content(|tree| seed.deserialize(tree))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.content(|tree| tree.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.content(|tree| tree.deserialize_struct("", fields, visitor))
    }
}

/// Presents `{listen: ...}` as `{otlp: {listen: ...}}`, the form in which typetag reads a trait
/// object without buffering it.
pub(super) struct Tagged<'a> {
    pub(super) tag: &'a str,
    pub(super) tree: TreeDeserializer<'a>,
}

impl<'de> Deserializer<'de> for Tagged<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
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
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(tag) = self.tag.take() else { return Ok(None) };
        seed.deserialize(self.tree.name(tag)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(self.tree)
    }
}

/// A list of stand-ins.
pub(super) struct StandInItems<'a> {
    pub(super) tree: TreeDeserializer<'a>,
    pub(super) remaining_len: usize,
}

impl<'de> SeqAccess<'de> for StandInItems<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(remaining_len) = self.remaining_len.checked_sub(1) else { return Ok(None) };
        self.remaining_len = remaining_len;
        seed.deserialize(self.tree).map(Some)
    }
}

/// A mapping with a stand-in for each field of a struct.
pub(super) struct StandInFields<'a> {
    pub(super) tree: TreeDeserializer<'a>,
    pub(super) fields: std::slice::Iter<'static, &'static str>,
}

impl<'de> MapAccess<'de> for StandInFields<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        seed.deserialize(self.tree.name(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(self.tree)
    }
}

/// A name: a key, a choice or a type. It notes failures itself, since what refuses a name may be
/// an erased type, beyond which the complaint is a mere text.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) trail: &'a Trail<'a>,
    pub(super) trace: &'a Trace,
}

impl<'de> Deserializer<'de> for Name<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.trace.watch(self.trail, visitor.visit_str(self.text))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Name<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(self)?, self))
    }
}

/// A name alone has no content.
impl<'de> VariantAccess<'de> for Name<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"a name with content"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"a name with content"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"a name with content"))
    }
}
