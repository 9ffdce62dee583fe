//! The serde deserializer over a [`Node`], which notes the path of the first failure.

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::EnumAccess;
use serde::de::Error as _;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Unexpected;
use serde::de::VariantAccess;
use serde::de::Visitor;

use crate::tree::failure::DecodeResult;
use crate::tree::failure::FailureKind;
use crate::tree::name::Name;
use crate::tree::node::MapEntry;
use crate::tree::node::Node;
use crate::tree::node::NodeValue;
use crate::tree::node::Plain;
use crate::tree::scalar::Wanted;
use crate::tree::scalar::choice;
use crate::tree::scalar::variants_list;
use crate::tree::scalar::visit_scalar;
use crate::tree::stand_in::StandInFields;
use crate::tree::stand_in::StandInItems;
use crate::tree::stand_in::stand_in_text;
use crate::tree::trace::Trace;
use crate::tree::trace::Trail;

/// Presents a node to serde.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TreeDeserializer<'a> {
    node: &'a Node,
    trail: &'a Trail<'a>,
    trace: &'a Trace,
}

impl<'a> TreeDeserializer<'a> {
    /// Makes the deserializer of a value.
    pub(crate) const fn new(node: &'a Node, trail: &'a Trail<'a>, trace: &'a Trace) -> Self {
        Self { node, trail, trace }
    }

    /// Lets the visitor see the value, as the wanted type if it can be that.
    fn visit<'de, V: Visitor<'de>>(self, wanted: Wanted, visitor: V) -> DecodeResult<V::Value> {
        let result = match &self.node.value {
            NodeValue::Map(entries) => {
                visitor.visit_map(Entries { tree: self, remaining: entries.iter(), current: None })
            }
            NodeValue::Seq(items) => {
                visitor.visit_seq(Items { tree: self, remaining: items.iter(), next_idx: 0 })
            }
            NodeValue::Scalar(scalar) => visit_scalar(scalar, wanted, visitor),
            NodeValue::StandIn(text_idx) => match wanted {
                Wanted::Bool => visitor.visit_bool(false),
                Wanted::Integer => visitor.visit_u64(1),
                Wanted::Float => visitor.visit_f64(1.0),
                Wanted::Anything | Wanted::Text => visitor.visit_str(stand_in_text(*text_idx)),
            },
        };
        self.trace.watch(self.trail, result)
    }

    /// Lets the visitor see a mapping, which may be left empty: `grpc:` alone takes all defaults.
    fn visit_mapping<'de, V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> DecodeResult<V::Value> {
        let is_stand_in = self.is_stand_in();
        if !is_stand_in && !self.node.is_null() {
            return self.visit(Wanted::Anything, visitor);
        }
        let fields = if is_stand_in { fields.iter() } else { [].iter() };
        let fields = StandInFields { tree: self, name: self.name(""), fields };
        self.trace.watch(self.trail, visitor.visit_map(fields))
    }

    /// Lets the visitor see a list.
    fn visit_list<'de, V: Visitor<'de>>(self, len: usize, visitor: V) -> DecodeResult<V::Value> {
        if self.is_stand_in() {
            let items = StandInItems { tree: self, remaining_len: len };
            return self.trace.watch(self.trail, visitor.visit_seq(items));
        }
        self.visit(Wanted::Anything, visitor)
    }

    /// Makes the deserializer of a value further in.
    const fn at<'b>(self, node: &'b Node, trail: &'b Trail<'b>) -> TreeDeserializer<'b>
    where
        'a: 'b,
    {
        TreeDeserializer { node, trail, trace: self.trace }
    }

    /// Makes the deserializer of a name that belongs to this value.
    pub(super) const fn name(self, text: &'a str) -> Name<'a> {
        Name { text, trail: self.trail, trace: self.trace }
    }

    /// Whether this value was reported already.
    const fn is_stand_in(self) -> bool {
        matches!(self.node.value, NodeValue::StandIn(_))
    }
}

impl<'de> Deserializer<'de> for TreeDeserializer<'_> {
    type Error = FailureKind;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Anything, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Bool, visitor)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Integer, visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Float, visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Float, visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Text, visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Text, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Text, visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit(Wanted::Text, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        if self.is_stand_in() || self.node.is_null() {
            self.trace.watch(self.trail, visitor.visit_none())
        } else {
            self.trace.watch(self.trail, visitor.visit_some(self))
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        if self.is_stand_in() {
            visitor.visit_unit()
        } else {
            self.visit(Wanted::Anything, visitor)
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> DecodeResult<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> DecodeResult<V::Value> {
        self.trace.watch(self.trail, visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit_list(0, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> DecodeResult<V::Value> {
        self.visit_list(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> DecodeResult<V::Value> {
        self.visit_list(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        self.visit_mapping(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> DecodeResult<V::Value> {
        self.visit_mapping(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> DecodeResult<V::Value> {
        let result = match &self.node.value {
            NodeValue::StandIn(_) => {
                let name = variants.first().copied().unwrap_or("");
                visitor.visit_enum(Choice { tree: self, name, entry: None })
            }
            NodeValue::Scalar(scalar) if scalar.plain != Plain::Null => {
                let name = choice(scalar, variants);
                visitor.visit_enum(Choice { tree: self, name, entry: None })
            }
            NodeValue::Map(entries) if entries.len() == 1 => {
                let entry = entries.first();
                let name = entry.map_or("", |entry| entry.key.as_str());
                visitor.visit_enum(Choice { tree: self, name, entry })
            }
            NodeValue::Map(_) => {
                Err(FailureKind::invalid_type(Unexpected::Map, &variants_list(variants).as_str()))
            }
            NodeValue::Seq(_) => {
                Err(FailureKind::invalid_type(Unexpected::Seq, &variants_list(variants).as_str()))
            }
            NodeValue::Scalar(_) => {
                Err(FailureKind::invalid_type(Unexpected::Unit, &variants_list(variants).as_str()))
            }
        };
        self.trace.watch(self.trail, result)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> DecodeResult<V::Value> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 bytes byte_buf }
}

/// The entries of a mapping.
struct Entries<'a> {
    tree: TreeDeserializer<'a>,
    remaining: std::slice::Iter<'a, MapEntry>,
    current: Option<&'a MapEntry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = FailureKind;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> DecodeResult<Option<K::Value>> {
        self.current = self.remaining.next();
        let Some(entry) = self.current else { return Ok(None) };
        let trail = Trail::Key(self.tree.trail, &entry.key);
        let key = Name { text: &entry.key, trail: &trail, trace: self.tree.trace };
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> DecodeResult<V::Value> {
        let entry =
            self.current.ok_or_else(|| FailureKind::custom("a value was read before its key"))?;
        let trail = Trail::Key(self.tree.trail, &entry.key);
        let tree = self.tree.at(&entry.node, &trail);
        self.tree.trace.watch(&trail, seed.deserialize(tree))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.remaining.len())
    }
}

/// The items of a list.
struct Items<'a> {
    tree: TreeDeserializer<'a>,
    remaining: std::slice::Iter<'a, Node>,
    next_idx: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = FailureKind;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> DecodeResult<Option<T::Value>> {
        let Some(node) = self.remaining.next() else { return Ok(None) };
        let trail = Trail::Index(self.tree.trail, self.next_idx);
        self.next_idx += 1;
        let tree = self.tree.at(node, &trail);
        self.tree.trace.watch(&trail, seed.deserialize(tree)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.remaining.len())
    }
}

/// A choice: a name alone, or a name with a value.
struct Choice<'a> {
    tree: TreeDeserializer<'a>,
    name: &'a str,
    /// The content; a stand-in has none and pretends.
    entry: Option<&'a MapEntry>,
}

impl Choice<'_> {
    /// Hands the content to `read`.
    fn content<T>(
        self,
        read: impl FnOnce(TreeDeserializer<'_>) -> DecodeResult<T>,
    ) -> DecodeResult<T> {
        match self.entry {
            Some(entry) => {
                let trail = Trail::Key(self.tree.trail, &entry.key);
                read(self.tree.at(&entry.node, &trail))
            }
            None if self.tree.is_stand_in() => read(self.tree),
            None => Err(FailureKind::invalid_type(
                Unexpected::UnitVariant,
                &format!("`{}:` with options under it", self.name).as_str(),
            )),
        }
    }
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = FailureKind;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> DecodeResult<(V::Value, Self)> {
        Ok((seed.deserialize(self.tree.name(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = FailureKind;

    fn unit_variant(self) -> DecodeResult<()> {
        if self.entry.is_none() {
            return Ok(());
        }
        let expected = format!("`{}` alone", self.name);
        Err(FailureKind::invalid_type(Unexpected::Map, &expected.as_str()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> DecodeResult<T::Value> {
        self.content(|tree| seed.deserialize(tree))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> DecodeResult<V::Value> {
        self.content(|tree| tree.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> DecodeResult<V::Value> {
        self.content(|tree| tree.deserialize_struct("", fields, visitor))
    }
}
