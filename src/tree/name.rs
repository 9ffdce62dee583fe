//! The deserializer of a name: a key or a choice.

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::EnumAccess;
use serde::de::Error as _;
use serde::de::Unexpected;
use serde::de::VariantAccess;
use serde::de::Visitor;

use crate::tree::failure::FailureKind;
use crate::tree::trace::Trace;
use crate::tree::trace::Trail;

/// A name: a key or a choice. It notes failures itself, with the place of the value it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) trail: &'a Trail<'a>,
    pub(super) trace: &'a Trace,
}

impl<'de> Deserializer<'de> for Name<'_> {
    type Error = FailureKind;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FailureKind> {
        self.trace.watch(self.trail, visitor.visit_str(self.text))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FailureKind> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, FailureKind> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FailureKind> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Name<'_> {
    type Error = FailureKind;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), FailureKind> {
        Ok((seed.deserialize(self)?, self))
    }
}

/// A name alone has no content.
impl<'de> VariantAccess<'de> for Name<'_> {
    type Error = FailureKind;

    fn unit_variant(self) -> Result<(), FailureKind> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, FailureKind> {
        Err(FailureKind::invalid_type(Unexpected::UnitVariant, &"a name with a value"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, FailureKind> {
        Err(FailureKind::invalid_type(Unexpected::UnitVariant, &"a name with a value"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FailureKind> {
        Err(FailureKind::invalid_type(Unexpected::UnitVariant, &"a name with a value"))
    }
}
