//! Dividing a request into parts of a bounded size, on the wire form.
//!
//! A part has whole records, and around them what surrounded them: everything in their resource,
//! scope and metric that is no record. That is repeated in every part, as it is, unknown fields
//! included.
//!
//! ```text
//! request              part 1               part 2
//! +- resource A        +- resource A        +- resource A
//!    +- scope X           +- scope X           +- scope Y
//!    |  +- 1              |  +- 1                 +- 4
//!    |  +- 2              |  +- 2
//!    +- scope Y           +- scope Y
//!       +- 3                 +- 3
//!       +- 4
//! ```

use std::ops::Range;

use bytes::Bytes;

use super::editor::point_attributes;
use super::error::{LocatedFault, WireError};
use super::locate::malformed;
use super::merge::MergeLimits;
use super::signal::Signal;
use super::wire::{Field, Fields, WireType, close_message, put_key, varint_len};

/// A part of a request.
#[derive(Debug, Clone)]
pub struct Part {
    /// A request by itself.
    pub bytes: Bytes,
    /// Its log records, spans or data points.
    pub records: u64,
    /// Whether nothing of the request is left behind it.
    pub is_last: bool,
}

/// The parts of a request, made one by one as they are asked for.
///
/// A part is within the limits unless a single record is not. One exception keeps a request from
/// growing beyond measure: where resource, scope and metric alone take more than half of the limit in
/// bytes, their records stay together.
///
/// A request within the limits, or of one record, is its only part, the very same bytes. Of another
/// one, a resource or scope that holds nothing is in no part; a metric without data points is.
#[derive(Debug)]
pub struct Parts {
    signal: Signal,
    bytes: Bytes,
    limits: MergeLimits,
    /// The way from the request down to where its records are read.
    levels: Vec<Level>,
    /// Metrics without data points count too, as records do.
    counts_empty: bool,
    /// What did not fit any more.
    next: Option<Leaf>,
    is_whole: bool,
    is_done: bool,
    /// The part that is being made.
    out: Vec<u8>,
    records: u64,
    /// What counts against the limit of records.
    weight: u64,
}

impl Parts {
    /// Begins to divide a request of so many records.
    #[must_use]
    pub fn new(signal: Signal, bytes: &Bytes, records: u64, limits: MergeLimits) -> Self {
        Self {
            signal,
            bytes: bytes.clone(),
            limits,
            levels: Vec::new(),
            counts_empty: false,
            next: None,
            is_whole: records <= 1 || limits.allow(bytes.len() as u64, records),
            is_done: false,
            out: Vec::new(),
            records,
            weight: 0,
        }
    }

    /// Begins to divide a request into pieces of so many records, or metrics without data points, however
    /// many bytes they have: resources and scopes that hold nothing are in no piece, even if it is the only
    /// one.
    #[must_use]
    pub fn pieces(signal: Signal, bytes: &Bytes, leaves_max: u64) -> Self {
        let limits = MergeLimits { bytes: u64::MAX, records: leaves_max };
        let whole = Self::new(signal, bytes, 0, limits);
        Self { counts_empty: true, is_whole: false, ..whole }
    }

    fn next_part(&mut self) -> Result<Part, LocatedFault> {
        if self.is_whole {
            return Ok(Part { bytes: self.bytes.clone(), records: self.records, is_last: true });
        }
        if self.levels.is_empty() {
            let request = self.level(Inside::Request, 0, 1, 0..self.bytes.len())?;
            self.levels.push(request);
        }
        (self.records, self.weight) = (0, 0);
        while let Some(leaf) = self.next_leaf()? {
            if !self.takes(&leaf) {
                self.next = Some(leaf);
                break;
            }
            self.append(&leaf);
        }
        for depth in (0..self.levels.len()).rev() {
            self.close(depth);
        }
        let bytes = std::mem::take(&mut self.out).into();
        Ok(Part { bytes, records: self.records, is_last: self.next.is_none() })
    }

    /// Finds what is to be put into a part next; it stands in the innermost level.
    fn next_leaf(&mut self) -> Result<Option<Leaf>, LocatedFault> {
        if let Some(leaf) = self.next.take() {
            return Ok(Some(leaf));
        }
        while let Some(level) = self.levels.last_mut() {
            let Some(field) = level.next_child(&self.bytes)? else {
                self.close(self.levels.len() - 1);
                self.levels.pop();
                continue;
            };
            match level.inside {
                Inside::Request => {
                    let resource = self.level(Inside::Resource, 1, 2, field.span())?;
                    self.levels.push(resource);
                }
                Inside::Resource => {
                    let scope = self.level(Inside::Scope, 2, 2, field.span())?;
                    self.levels.push(scope);
                }
                Inside::Scope if self.signal == Signal::Metrics => {
                    if let Some(leaf) = self.metric(&field)? {
                        return Ok(Some(leaf));
                    }
                }
                Inside::Scope | Inside::Metric | Inside::Data => {
                    return Ok(Some(Leaf { span: field.start..field.end, records: 1, weight: 1 }));
                }
            }
        }
        Ok(None)
    }

    /// Makes the level of the message at `span`, field `number` around it, `child` inside it.
    fn level(
        &self,
        inside: Inside,
        number: u32,
        child: u32,
        span: Range<usize>,
    ) -> Result<Level, LocatedFault> {
        let mut shell = Vec::new();
        copy_except(&self.bytes, span.clone(), child, &mut shell)?;
        Ok(Level {
            inside,
            number,
            child,
            left: span,
            around: 0..0,
            shell,
            begun: None,
            content: 0,
        })
    }

    /// A metric that fits into a part is put there as a whole; of another one the levels are made
    /// that its points are in.
    ///
    /// Where the wire has several kinds of data, the last counts. Pieces of one kind are one message
    /// to any parser, so they are one level.
    fn metric(&mut self, metric: &Field) -> Result<Option<Leaf>, LocatedFault> {
        let Data { kind, since, points } = data(&self.bytes, metric)?;
        let span = metric.start..metric.end;
        let weight = if self.counts_empty { points.max(1) } else { points };
        let leaf = Leaf { span, records: points, weight };
        let fits = self.limits.allow(self.size_with(leaf.span.len(), true), points);
        if points <= 1 || fits {
            return Ok(Some(leaf));
        }
        let mut shell = Vec::new();
        copy_except(&self.bytes, metric.value..since, 0, &mut shell)?;
        copy_except(&self.bytes, since..metric.end, kind, &mut shell)?;
        let mut inner = Vec::new();
        let mut pieces = Fields::new(&self.bytes, since..metric.end);
        while let Some(piece) = pieces.next()? {
            if piece.number == kind {
                copy_except(&self.bytes, piece.span(), 1, &mut inner)?;
            }
        }
        let level = |inside, number, around, shell| {
            let (child, left) =
                if inside == Inside::Data { (1, since..since) } else { (kind, 0..0) };
            Level { inside, number, child, left, around, shell, begun: None, content: 0 }
        };
        self.levels.push(level(Inside::Metric, 2, 0..0, shell));
        self.levels.push(level(Inside::Data, kind, since..metric.end, inner));
        Ok(None)
    }

    /// Whether the part takes the leaf too.
    fn takes(&self, leaf: &Leaf) -> bool {
        let Some(request) = self.levels.first() else { return false };
        if request.begun.is_none() {
            return true;
        }
        let bytes = self.size_with(leaf.span.len(), false);
        let begun = self.levels.iter().filter(|level| level.begun.is_some());
        let repeated: usize = begun.map(|level| level.shell.len()).sum();
        self.limits.allow(bytes, self.weight + leaf.weight)
            || repeated as u64 > self.limits.bytes / 2
    }

    /// The size of the part, or of a fresh one, with so many bytes more in the innermost level.
    fn size_with(&self, leaf_bytes: usize, is_fresh: bool) -> u64 {
        let mut bytes = leaf_bytes;
        for (depth, level) in self.levels.iter().enumerate().rev() {
            let is_begun = level.begun.is_some() && !is_fresh;
            bytes += if is_begun { level.content } else { level.shell.len() };
            if depth > 0 {
                bytes = level.field_bytes(bytes);
            }
        }
        bytes as u64
    }

    fn append(&mut self, leaf: &Leaf) {
        for (depth, level) in self.levels.iter_mut().enumerate() {
            if level.begun.is_some() {
                continue;
            }
            if depth > 0 {
                put_key(&mut self.out, level.number, 2);
                // For the length, which is known when the level is closed.
                self.out.push(0);
            }
            level.begun = Some(self.out.len());
            level.content = level.shell.len();
            self.out.extend_from_slice(&level.shell);
        }
        self.out.extend_from_slice(&self.bytes[leaf.span.clone()]);
        self.records += leaf.records;
        self.weight += leaf.weight;
        if let Some(level) = self.levels.last_mut() {
            level.content += leaf.span.len();
        }
    }

    /// Ends the innermost level that has begun in this part, if it is this one.
    fn close(&mut self, depth: usize) {
        let level = &mut self.levels[depth];
        let Some(start) = level.begun.take() else { return };
        if depth == 0 {
            return;
        }
        close_message(&mut self.out, start - 1);
        let bytes = level.field_bytes(level.content);
        self.levels[depth - 1].content += bytes;
    }
}

impl Iterator for Parts {
    type Item = Result<Part, WireError>;

    /// The next part; `None` behind the last one, and behind an error: [`WireError::Malformed`] when
    /// the envelope cannot be read.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let part = self.next_part();
        self.is_done = part.as_ref().map_or(true, |part| part.is_last);
        Some(part.map_err(|fault| malformed(self.signal, &self.bytes, fault)))
    }
}

/// What a level is the inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Request,
    Resource,
    Scope,
    Metric,
    /// The points of a metric, in any number of pieces.
    Data,
}

/// A message on the way to the records.
#[derive(Debug)]
struct Level {
    inside: Inside,
    /// The number of the field that the message is.
    number: u32,
    /// The number of those of its fields that are divided among the parts.
    child: u32,
    /// What was not read yet.
    left: Range<usize>,
    /// Of the points of a metric, where in the metric further pieces may be.
    around: Range<usize>,
    /// All of its fields that are no children: what is repeated.
    shell: Vec<u8>,
    /// Where its content begins in the current part, if it is there.
    begun: Option<usize>,
    /// The size of its content there, without a child that has not been closed.
    content: usize,
}

impl Level {
    fn next_child(&mut self, bytes: &[u8]) -> Result<Option<Field>, LocatedFault> {
        loop {
            while let Some(field) = step(bytes, &mut self.left)? {
                if field.number == self.child {
                    field.expect(WireType::Len)?;
                    return Ok(Some(field));
                }
            }
            let Some(piece) = step(bytes, &mut self.around)? else { return Ok(None) };
            if piece.number == self.number {
                self.left = piece.span();
            }
        }
    }

    /// The size of the whole field with a content of so many bytes.
    fn field_bytes(&self, content: usize) -> usize {
        varint_len(u64::from(self.number) << 3) + varint_len(content as u64) + content
    }
}

/// What is put into a part as a whole: a record, or a metric with all its points.
#[derive(Debug)]
struct Leaf {
    span: Range<usize>,
    records: u64,
    weight: u64,
}

/// The points of a metric.
pub(super) struct Data {
    /// The number of the field that counts; 0 if there is none.
    kind: u32,
    /// Where the fields begin that count.
    since: usize,
    pub(super) points: u64,
}

pub(super) fn data(bytes: &[u8], metric: &Field) -> Result<Data, LocatedFault> {
    let mut found = Data { kind: 0, since: metric.value, points: 0 };
    let mut fields = Fields::new(bytes, metric.span());
    while let Some(field) = fields.next()? {
        if point_attributes(field.number).is_none() {
            continue;
        }
        field.expect(WireType::Len)?;
        if field.number != found.kind {
            found = Data { kind: field.number, since: field.start, points: 0 };
        }
        let mut points = Fields::new(bytes, field.span());
        while let Some(point) = points.next()? {
            found.points += u64::from(point.number == 1);
        }
    }
    Ok(found)
}

/// Reads the next field of what is left.
fn step(bytes: &[u8], left: &mut Range<usize>) -> Result<Option<Field>, LocatedFault> {
    let field = Fields::new(bytes, left.clone()).next()?;
    if let Some(field) = &field {
        left.start = field.end;
    }
    Ok(field)
}

/// Copies the fields at `span` but for those with one number.
fn copy_except(
    bytes: &[u8],
    span: Range<usize>,
    number: u32,
    out: &mut Vec<u8>,
) -> Result<(), LocatedFault> {
    let mut fields = Fields::new(bytes, span);
    while let Some(field) = fields.next()? {
        if field.number != number {
            out.extend_from_slice(&bytes[field.start..field.end]);
        }
    }
    Ok(())
}
