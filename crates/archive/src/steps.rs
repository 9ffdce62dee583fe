//! What to do next for a segment, given what is known of its object and its manifest. Pure.
//!
//! ```text
//!              refused (412), or doubt                       refused, or doubt
//!            +------------------------+                    +-------------------+
//!            v                        |                    v                   |
//!  look at object --absent--> put object (if absent)   look at manifest --> put manifest (if absent)
//!    |   |   ^                        |                    |   |   ^           |
//!    |   |   +------- written --------+                    |   |   +- written -+
//!    |   +-- damaged: put again (if unchanged)             |   +-- damaged or of another object: put again
//!    |                                                     |
//!    +-- same: confirmed ------------------------------->  +-- same: confirmed --> pass
//!    +-- different: alarm                                  +-- different: alarm
//! ```
//!
//! A put that was answered is looked at before it counts: "200 OK" for an object that is not there is seen.
//! A put without an answer leaves doubt, and is looked at before it is repeated.

use crate::facts::ObjectFacts;
use crate::manifest::Manifest;

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveStep {
    /// Look at the object: its length, checksum and headers.
    LookAtObject,
    /// Write the object, if there is none.
    PutObject,
    /// Write the object again, if it still is the damaged one with this etag.
    ReplaceObject(String),
    /// Read the manifest.
    LookAtManifest,
    /// Write the manifest for this object, if there is none.
    PutManifest(ObjectFacts),
    /// Write the manifest again, if it still is the unusable one with this etag.
    ReplaceManifest(ObjectFacts, String),
    /// Both are confirmed: the cursor may pass the segment.
    Pass,
    /// Something else is under the name of the object or the manifest: an operator must look.
    Alarm,
}

/// How a put ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutAnswer {
    /// It is said to be written.
    Written,
    /// There is something already, or something else by now.
    Refused,
    /// It failed; it may be written all the same.
    Unknown,
}

/// What a look at an object showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its length.
    pub bytes: u64,
    /// Its etag.
    pub etag: Option<String>,
    /// Its CRC-32, if the server tells it.
    pub crc32: Option<u32>,
    /// Its headers.
    pub metadata: Vec<(String, String)>,
}

/// What a look means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was to be there.
    Confirmed,
    /// Nothing is there, and nothing was expected.
    Absent,
    /// Nothing is there although the server had said that it is written.
    Lost,
    /// It is ours, and not whole.
    Damaged,
    /// It is something else.
    Different,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nobody knows.
    Doubt,
    Absent,
    /// Said to be written, not looked at.
    Written,
    /// Ours, and not whole.
    Damaged(String),
    Different,
}

/// How far a segment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    object: State,
    confirmed: Option<ObjectFacts>,
    manifest: State,
    has_manifest: bool,
    is_done: bool,
}

impl Steps {
    /// Begins. With `is_doubtful` an earlier process may have begun already: then it is looked first, which
    /// saves the upload of what is there.
    #[must_use]
    pub const fn new(is_doubtful: bool) -> Self {
        let object = if is_doubtful { State::Doubt } else { State::Absent };
        let manifest = if is_doubtful { State::Doubt } else { State::Absent };
        Self { object, confirmed: None, manifest, has_manifest: true, is_done: false }
    }

    /// As [`Steps::new`], for an object without a manifest.
    #[must_use]
    pub fn of_object(is_doubtful: bool) -> Self {
        Self { has_manifest: false, ..Self::new(is_doubtful) }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn next(&self) -> ArchiveStep {
        if self.is_done {
            return ArchiveStep::Pass;
        }
        let Some(facts) = self.confirmed else {
            return match &self.object {
                State::Doubt | State::Written => ArchiveStep::LookAtObject,
                State::Absent => ArchiveStep::PutObject,
                State::Damaged(etag) => ArchiveStep::ReplaceObject(etag.clone()),
                State::Different => ArchiveStep::Alarm,
            };
        };
        match &self.manifest {
            State::Doubt | State::Written => ArchiveStep::LookAtManifest,
            State::Absent => ArchiveStep::PutManifest(facts),
            State::Damaged(etag) => ArchiveStep::ReplaceManifest(facts, etag.clone()),
            State::Different => ArchiveStep::Alarm,
        }
    }

    /// Returns what the confirmed object is; nothing before it is confirmed.
    #[must_use]
    pub const fn confirmed(&self) -> Option<ObjectFacts> {
        self.confirmed
    }

    /// Takes how a put of the object ended.
    pub fn object_was_put(&mut self, answer: PutAnswer) {
        self.object = after_put(answer);
    }

    /// Takes how a put of the manifest ended.
    pub fn manifest_was_put(&mut self, answer: PutAnswer) {
        self.manifest = after_put(answer);
    }

    /// Takes a look at the object; `own` is what this process would write.
    pub fn object_was_seen(&mut self, seen: Option<&Observed>, own: &ObjectFacts) -> Verdict {
        let Some(seen) = seen else { return is_missing(&mut self.object) };
        let there = ObjectFacts::read(&seen.metadata)
            .filter(|it| it.raw == own.raw && it.content == own.content);
        let Some(facts) = there else {
            self.object = State::Different;
            return Verdict::Different;
        };
        let is_whole = seen.bytes == facts.object.bytes
            && seen.crc32.is_none_or(|crc| crc == facts.object.crc32);
        if is_whole {
            self.confirmed = Some(facts);
            self.is_done = !self.has_manifest;
            return Verdict::Confirmed;
        }
        self.object = damaged(seen.etag.as_ref());
        Verdict::Damaged
    }

    /// Takes a look at the manifest, with its etag: nothing if there is none, an error if it is unusable.
    /// `own` is what this process would write for the confirmed object.
    pub fn manifest_was_seen(
        &mut self,
        seen: Option<(Option<&Manifest>, Option<&String>)>,
        own: &Manifest,
    ) -> Verdict {
        let Some((manifest, etag)) = seen else { return is_missing(&mut self.manifest) };
        match manifest {
            Some(there) if !there.is_of_same_segment(own) => {
                self.manifest = State::Different;
                Verdict::Different
            }
            Some(there) if there.object == own.object => {
                self.is_done = true;
                Verdict::Confirmed
            }
            _ => {
                self.manifest = damaged(etag);
                Verdict::Damaged
            }
        }
    }
}

fn after_put(answer: PutAnswer) -> State {
    match answer {
        PutAnswer::Written => State::Written,
        PutAnswer::Refused | PutAnswer::Unknown => State::Doubt,
    }
}

fn is_missing(state: &mut State) -> Verdict {
    let was_written = *state == State::Written;
    *state = State::Absent;
    if was_written { Verdict::Lost } else { Verdict::Absent }
}

/// Without an etag nothing can be replaced safely.
fn damaged(etag: Option<&String>) -> State {
    etag.map_or(State::Different, |etag| State::Damaged(etag.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Content;
    use crate::sums::Sums;

    fn facts(byte: u8) -> ObjectFacts {
        let raw = Sums { bytes: 100, crc32: 7, blake3: [byte; 32] };
        let object = Sums { bytes: 10, crc32: 8, blake3: [byte; 32] };
        ObjectFacts { content: Content::Segment, raw, object, requests: 1 }
    }

    fn seen(facts: &ObjectFacts) -> Observed {
        let etag = Some("\"a\"".to_owned());
        let (bytes, crc32) = (facts.object.bytes, Some(facts.object.crc32));
        Observed { bytes, etag, crc32, metadata: facts.metadata() }
    }

    fn manifest(facts: &ObjectFacts) -> Manifest {
        let segment = gophership_vault::SealedSegment {
            path: std::path::PathBuf::new(),
            vault_id: 1,
            segment: 2,
            first_seq: 3,
            last_seq: 4,
            records: 2,
            bad_records: 0,
            data_end: 0,
            file_bytes: 100,
            segment_crc: 5,
            previous_digest: [0; 32],
            digest: [1; 32],
        };
        let origin = crate::manifest::Archiver { node: "a".to_owned(), gophership: "1".to_owned() };
        Manifest::new(&segment, &crate::summary::SegmentSummary::default(), facts, &origin)
    }

    #[test]
    fn a_new_segment_is_put_looked_at_and_described() {
        let (own, mut steps) = (facts(1), Steps::new(false));
        assert_eq!(steps.next(), ArchiveStep::PutObject);
        steps.object_was_put(PutAnswer::Written);
        assert_eq!(steps.next(), ArchiveStep::LookAtObject);
        assert_eq!(steps.object_was_seen(Some(&seen(&own)), &own), Verdict::Confirmed);
        assert_eq!(steps.next(), ArchiveStep::PutManifest(own));
        steps.manifest_was_put(PutAnswer::Written);
        assert_eq!(steps.next(), ArchiveStep::LookAtManifest);
        let (own, etag) = (manifest(&own), "b".to_owned());
        assert_eq!(
            steps.manifest_was_seen(Some((Some(&own), Some(&etag))), &own),
            Verdict::Confirmed
        );
        assert_eq!(steps.next(), ArchiveStep::Pass);
    }

    #[test]
    fn written_and_not_there_is_written_again() {
        let (own, mut steps) = (facts(1), Steps::new(false));
        steps.object_was_put(PutAnswer::Written);
        assert_eq!(steps.object_was_seen(None, &own), Verdict::Lost);
        assert_eq!(steps.next(), ArchiveStep::PutObject);
    }

    #[test]
    fn without_an_answer_nothing_is_written_twice() {
        let (own, mut steps) = (facts(1), Steps::new(false));
        for answer in [PutAnswer::Unknown, PutAnswer::Refused] {
            steps.object_was_put(answer);
            assert_eq!(steps.next(), ArchiveStep::LookAtObject);
        }
        assert_eq!(steps.object_was_seen(None, &own), Verdict::Absent);
        steps.object_was_put(PutAnswer::Unknown);
        steps.object_was_seen(Some(&seen(&own)), &own);
        steps.manifest_was_put(PutAnswer::Refused);
        assert_eq!(steps.next(), ArchiveStep::LookAtManifest);
    }

    #[test]
    fn what_is_ours_and_not_whole_is_replaced_and_what_is_not_ours_is_left_alone() {
        let own = facts(1);
        let (mut short, mut other_crc) = (seen(&own), seen(&own));
        short.bytes -= 1;
        other_crc.crc32 = Some(99);
        for bad in [short, other_crc] {
            let mut steps = Steps::new(true);
            assert_eq!(steps.object_was_seen(Some(&bad), &own), Verdict::Damaged);
            assert_eq!(steps.next(), ArchiveStep::ReplaceObject("\"a\"".to_owned()));
        }
        let mut steps = Steps::new(true);
        assert_eq!(steps.object_was_seen(Some(&seen(&facts(2))), &own), Verdict::Different);
        assert_eq!(steps.next(), ArchiveStep::Alarm);
        let foreign = Observed { bytes: 10, ..Observed::default() };
        assert_eq!(steps.object_was_seen(Some(&foreign), &own), Verdict::Different);
    }

    #[test]
    fn an_object_with_other_compression_is_the_same_and_is_described_as_it_is() {
        let (own, mut there) = (facts(1), facts(1));
        there.object = Sums { bytes: 11, crc32: 12, blake3: [13; 32] };
        let mut steps = Steps::new(true);
        assert_eq!(steps.object_was_seen(Some(&seen(&there)), &own), Verdict::Confirmed);
        steps.manifest_was_put(PutAnswer::Refused);
        assert_eq!(steps.manifest_was_seen(None, &manifest(&there)), Verdict::Absent);
        assert_eq!(steps.next(), ArchiveStep::PutManifest(there));
        let etag = "m".to_owned();
        let old = manifest(&own);
        let verdict = steps.manifest_was_seen(Some((Some(&old), Some(&etag))), &manifest(&there));
        assert_eq!(verdict, Verdict::Damaged, "it describes an object that is not there");
        assert_eq!(steps.next(), ArchiveStep::ReplaceManifest(there, etag));
    }

    #[test]
    fn a_manifest_of_another_segment_is_an_alarm_and_an_unreadable_one_is_replaced() {
        let own = facts(1);
        let mut steps = Steps::new(true);
        steps.object_was_seen(Some(&seen(&own)), &own);
        let etag = "m".to_owned();
        let seen = Some((None, Some(&etag)));
        assert_eq!(steps.manifest_was_seen(seen, &manifest(&own)), Verdict::Damaged);
        let other = manifest(&facts(2));
        let seen = Some((Some(&other), Some(&etag)));
        assert_eq!(steps.manifest_was_seen(seen, &manifest(&own)), Verdict::Different);
        assert_eq!(steps.next(), ArchiveStep::Alarm);
    }
}
