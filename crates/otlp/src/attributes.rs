//! The attributes of one message while edits are applied to them.

use std::ops::Range;

use super::edit::{Edit, EditOperation};
use super::error::{LocatedFault, WireFaultKind};
use super::patch::{GROWTH, Patches};
use super::value::{AnyValueView, Value, entry_key, entry_value, put_attribute};
use super::wire::{Field, Fields, put_bytes, put_message};

/// One attribute.
#[derive(Debug)]
struct Attribute<'x> {
    /// Where it stands in the request; `None` for a new one.
    source: Option<Field>,
    key: &'x [u8],
    /// The value an edit gave it; `None` for the one it came with.
    value: Option<&'x Value>,
    is_renamed: bool,
    is_removed: bool,
}

/// The attributes of one message, in their order. Kept between messages for its memory.
#[derive(Debug)]
pub(super) struct Attributes<'x> {
    bytes: &'x [u8],
    list: Vec<Attribute<'x>>,
    /// How many there may be.
    len_max: usize,
}

impl<'x> Attributes<'x> {
    /// An empty list for messages of this request, that takes at most `room` bytes.
    pub(super) fn new(bytes: &'x [u8], room: usize) -> Self {
        let len_max = room / size_of::<Attribute<'_>>() / GROWTH;
        Self { bytes, list: Vec::new(), len_max }
    }

    /// Forgets the attributes of the last message.
    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    /// Adds the attributes of the message at `span`, which holds them as field `number`.
    pub(super) fn load(&mut self, span: Range<usize>, number: u32) -> Result<(), LocatedFault> {
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next_message(number)? {
            if self.len_max <= self.list.len() {
                return Err(LocatedFault { offset: field.start, kind: WireFaultKind::NoRoom });
            }
            self.list.push(Attribute {
                key: entry_key(self.bytes, &field)?,
                source: Some(field),
                value: None,
                is_renamed: false,
                is_removed: false,
            });
        }
        Ok(())
    }

    /// Applies one edit.
    pub(super) fn apply(&mut self, edit: &'x Edit) -> Result<(), LocatedFault> {
        let key = edit.key.as_bytes();
        match &edit.operation {
            EditOperation::Set(value) => self.set(key, value),
            EditOperation::SetIfAbsent(value) => {
                self.set_if_absent(key, value);
                Ok(())
            }
            EditOperation::Rename { to } => {
                self.rename(key, to.as_bytes());
                Ok(())
            }
            EditOperation::Delete => {
                self.remove(key, 0);
                Ok(())
            }
            EditOperation::Lookup { from, table, if_absent, default } => {
                let found = match self.find(from.as_bytes(), 0) {
                    Some(idx) => self.view(idx)?.to_text().and_then(|text| table.get(&*text)),
                    None => None,
                };
                match found.or(default.as_ref()) {
                    Some(value) if *if_absent => {
                        self.set_if_absent(key, value);
                        Ok(())
                    }
                    Some(value) => self.set(key, value),
                    None => Ok(()),
                }
            }
        }
    }

    /// Records the changes; new attributes go behind the message that ends at `end`. Returns by
    /// how many bytes the content of the message grows that `contains` each change.
    pub(super) fn store(
        &self,
        number: u32,
        within: Range<usize>,
        with_new: bool,
        patches: &mut Patches,
    ) -> isize {
        let mut delta = 0;
        for attribute in &self.list {
            let Some(field) = attribute.source else { continue };
            if !within.contains(&field.start) {
                continue;
            }
            let span = field.start..field.end;
            delta += match (attribute.is_removed, attribute.value) {
                (true, _) => patches.replace(span, |_| ()),
                (false, Some(value)) => {
                    patches.replace(span, |out| put_attribute(out, number, attribute.key, value))
                }
                (false, None) if attribute.is_renamed => patches.replace(span, |out| {
                    put_message(out, number, |out| self.put_renamed(out, &field, attribute.key));
                }),
                (false, None) => 0,
            };
        }
        if with_new && self.has_new() {
            delta += patches.replace(within.end..within.end, |out| self.put_new(out, number));
        }
        delta
    }

    /// Whether attributes were added.
    pub(super) fn has_new(&self) -> bool {
        self.list.iter().any(Attribute::is_new)
    }

    /// Appends the added attributes.
    pub(super) fn put_new(&self, out: &mut Vec<u8>, number: u32) {
        for attribute in self.list.iter().filter(|attribute| attribute.is_new()) {
            if let Some(value) = attribute.value {
                put_attribute(out, number, attribute.key, value);
            }
        }
    }

    fn set(&mut self, key: &'x [u8], value: &'x Value) -> Result<(), LocatedFault> {
        let Some(idx) = self.find(key, 0) else {
            self.push(key, value);
            return Ok(());
        };
        if !self.view(idx)?.equals(value) {
            self.list[idx].value = Some(value);
        }
        self.remove(key, idx + 1);
        Ok(())
    }

    fn set_if_absent(&mut self, key: &'x [u8], value: &'x Value) {
        if self.find(key, 0).is_none() {
            self.push(key, value);
        }
    }

    fn rename(&mut self, key: &[u8], to: &'x [u8]) {
        if key == to {
            return;
        }
        if let Some(idx) = self.find(key, 0) {
            self.remove(to, 0);
            self.remove(key, idx + 1);
            self.list[idx].key = to;
            self.list[idx].is_renamed = true;
        }
    }

    /// Removes what has this key, from position `from` on.
    fn remove(&mut self, key: &[u8], from: usize) {
        for attribute in self.list.iter_mut().skip(from).filter(|attribute| attribute.key == key) {
            attribute.is_removed = true;
        }
    }

    fn find(&self, key: &[u8], from: usize) -> Option<usize> {
        let mut rest = self.list.iter().enumerate().skip(from);
        rest.find(|(_, attribute)| !attribute.is_removed && attribute.key == key)
            .map(|(idx, _)| idx)
    }

    fn push(&mut self, key: &'x [u8], value: &'x Value) {
        self.list.push(Attribute {
            source: None,
            key,
            value: Some(value),
            is_renamed: false,
            is_removed: false,
        });
    }

    fn view(&self, idx: usize) -> Result<AnyValueView<'x>, LocatedFault> {
        match &self.list[idx] {
            Attribute { value: Some(value), .. } => Ok((*value).into()),
            Attribute { source: Some(field), .. } => entry_value(self.bytes, field),
            Attribute { .. } => Ok(AnyValueView::Empty),
        }
    }

    /// Appends the content of the `KeyValue` in `field` with another key.
    fn put_renamed(&self, out: &mut Vec<u8>, field: &Field, key: &[u8]) {
        put_bytes(out, 1, key);
        let mut fields = Fields::new(self.bytes, field.span());
        // The entry was read without a fault when its key was looked up.
        while let Ok(Some(inner)) = fields.next() {
            if inner.number != 1 {
                out.extend_from_slice(&self.bytes[inner.start..inner.end]);
            }
        }
    }
}

impl Attribute<'_> {
    fn is_new(&self) -> bool {
        self.source.is_none() && !self.is_removed
    }
}
