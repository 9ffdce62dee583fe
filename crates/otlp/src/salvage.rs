//! What is left of a request of which some records are malformed: the others, byte for byte.
//!
//! A fault is fatal for the smallest element around it: a record, a metric, or everything of one scope
//! or resource. Only a fault between the resources makes the whole request unreadable.

use std::ops::Range;

use bytes::Bytes;

use super::check::{DEPTH_MAX, check, check_field};
use super::error::LocatedFault;
use super::prescan::{Summary, prescan};
use super::schema::{Kind, Message};
use super::signal::Signal;
use super::wire::{Field, Fields, WireType, close_message, put_key};

/// A request without its malformed records.
#[derive(Debug, Clone)]
pub struct Salvaged {
    /// What is left of it.
    pub bytes: Bytes,
    /// What that holds.
    pub summary: Summary,
    /// How many records were taken out.
    pub rejected: u64,
}

/// Takes the malformed records out of a request that [`prescan`] refuses.
///
/// A scope, resource or metric that loses its last record goes too; all else stays as it is. `None` when
/// no record is left, or when it cannot be told where one ends. Takes as much memory as the request.
#[must_use]
pub fn salvage(signal: Signal, bytes: &[u8]) -> Option<Salvaged> {
    let out = Vec::with_capacity(bytes.len());
    let mut salvage = Salvage { bytes, out, kept: 0, rejected: 0 };
    salvage.message(Message::request(signal), 0..bytes.len(), DEPTH_MAX).ok()?;
    let Salvage { mut out, rejected, .. } = salvage;
    out.shrink_to_fit();
    // Also because parsers forget what another kind of data replaces in a metric, and count differently.
    let summary = prescan(signal, &out).ok().filter(|summary| summary.records > 0)?;
    Some(Salvaged { bytes: out.into(), summary, rejected })
}

struct Salvage<'a> {
    bytes: &'a [u8],
    /// What is left so far.
    out: Vec<u8>,
    /// Records in it.
    kept: u64,
    rejected: u64,
}

impl Salvage<'_> {
    /// Copies the fields of a message that contains elements, without those that are malformed.
    fn message(
        &mut self,
        message: Message,
        span: Range<usize>,
        levels: u32,
    ) -> Result<(), LocatedFault> {
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next()? {
            if let Some(inner) = element(message, field.number) {
                field.expect(WireType::Len)?;
                self.element(message, inner, &field, levels - 1)?;
            } else {
                check_field(self.bytes, message, &field, levels)?;
                self.copy(&field);
            }
        }
        Ok(())
    }

    /// Copies an element, or what is left of it; one without a record that is left is passed over.
    fn element(
        &mut self,
        parent: Message,
        inner: Message,
        field: &Field,
        levels: u32,
    ) -> Result<(), LocatedFault> {
        let (len, kept, rejected) = (self.out.len(), self.kept, self.rejected);
        let done = if inner.is_record() {
            let checked = check(self.bytes, inner, field.span(), levels);
            if checked.is_ok() {
                self.copy(field);
                self.kept += 1;
            }
            checked
        } else {
            put_key(&mut self.out, field.number, 2);
            let len_at = self.out.len();
            self.out.push(0);
            let walked = self.message(inner, field.span(), levels);
            close_message(&mut self.out, len_at);
            walked
        };
        // The data of a metric go only with the metric: without them an earlier kind of data would count.
        let is_data = parent == Message::Metric;
        match done {
            Ok(()) if is_data || self.kept > kept || self.rejected == rejected => {}
            Ok(()) => self.out.truncate(len),
            Err(fault) if is_data => return Err(fault),
            Err(_) => {
                self.out.truncate(len);
                self.kept = kept;
                // What is a fault in itself is one record at least.
                self.rejected = rejected + count(self.bytes, inner, field.span()).max(1);
            }
        }
        Ok(())
    }

    fn copy(&mut self, field: &Field) {
        self.out.extend_from_slice(&self.bytes[field.start..field.end]);
    }
}

/// The message in a field, if it is a record or contains records.
fn element(message: Message, number: u32) -> Option<Message> {
    let (_, schema) = message.field(number)?;
    match schema.kind {
        Kind::Message(inner) if inner.is_record() || inner.has_records() => Some(inner),
        _ => None,
    }
}

/// How many records a message has, up to where it cannot be read.
fn count(bytes: &[u8], message: Message, span: Range<usize>) -> u64 {
    if message.is_record() {
        return 1;
    }
    let mut fields = Fields::new(bytes, span);
    let mut records = 0;
    while let Ok(Some(field)) = fields.next() {
        if let Some(inner) = element(message, field.number)
            && field.wire_type == WireType::Len
        {
            records += count(bytes, inner, field.span());
        }
    }
    records
}
