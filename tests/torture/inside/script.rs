//! A working day of a vault, recorded: appends, rotation, reading, saving, retention, a clean end or
//! none.

use std::time::Duration;

use gophership_vault::Reader;
use gophership_vault::Writer;
use gophership_vault_sim::Op;
use gophership_vault_sim::Playback;
use gophership_vault_sim::Recording;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::bench::Bench;
use super::oracle::CURSOR;
use super::oracle::Ids;
use super::oracle::Promised;

/// Marks below this are ids that were told `Ok`.
const SAVE_BEGINS: u64 = 1 << 20;
const SAVE_ENDS: u64 = 2 << 20;

/// What happened, and what was promised when.
pub(super) struct Script {
    pub(super) recording: Recording,
    /// Payload by id; empty where none was sent.
    pub(super) sent: Vec<Vec<u8>>,
    /// What the cursor had acknowledged at each save.
    saves: Vec<Ids>,
}

/// Plays a day; the same seed does the same things.
pub(super) fn play(seed: u64) -> Script {
    let mut random = fastrand::Rng::with_seed(seed);
    let files = SimFileSystem::default();
    files.record();
    if random.bool() {
        // Groups gather, and are written ahead.
        files.set_sync_pause(Duration::from_micros(50));
    }
    let mut script =
        Script { recording: Recording::default(), sent: vec![Vec::new(); 128], saves: Vec::new() };
    let mut next_id = 1;
    let mut taken = Ids::default();
    for _ in 0..random.u32(1..=2) {
        let opened = Writer::open_on(&files.shared(), bench::options());
        let bench = Bench::new(&files, opened.expect("a healthy disk opens").0);
        let mut reader = Reader::open(&bench.writer.log(), CURSOR).expect("opens");
        for _ in 0..random.u32(2..=8) {
            append(&bench, &mut script.sent, &mut next_id, &mut random);
            if random.bool() {
                read(&mut reader, &mut taken, &mut random);
                save(&files, &mut reader, &mut script.saves, taken);
                bench.writer.log().prune().expect("a healthy disk deletes");
            }
        }
        drop(reader);
        if random.bool() {
            bench.writer.close().expect("a healthy disk closes");
        }
    }
    script.recording = files.recorded();
    script
}

fn append(bench: &Bench, sent: &mut [Vec<u8>], next_id: &mut u64, random: &mut fastrand::Rng) {
    let first = *next_id;
    let last = (first + random.u64(0..=4)).min(127);
    for id in first..=last {
        let len = match random.u32(0..8) {
            0 => random.usize(20_000..50_000),
            1..=3 => random.usize(1..300),
            _ => random.usize(1000..9000),
        };
        sent[usize::try_from(id).expect("small")] = bench::payload(id, len);
    }
    let group: Vec<_> =
        (first..=last).map(|id| (id, &sent[usize::try_from(id).expect("small")][..])).collect();
    bench.append_all(&group);
    *next_id = last + 1;
}

fn read(reader: &mut Reader, taken: &mut Ids, random: &mut fastrand::Rng) {
    for _ in 0..random.u32(0..10) {
        let Some(record) = reader.next().expect("a healthy disk reads") else { return };
        if random.u32(0..10) < 9 {
            reader.ack(record.seq);
            taken.insert(record.received_unix_ns);
        }
    }
}

fn save(files: &SimFileSystem, reader: &mut Reader, saves: &mut Vec<Ids>, taken: Ids) {
    let number = saves.len() as u64;
    saves.push(taken);
    files.mark(SAVE_BEGINS + number);
    reader.save().expect("a healthy disk saves");
    files.mark(SAVE_ENDS + number);
}

impl Script {
    /// Shows every moment after a change, with what was promised by then, until `visit` has enough.
    pub(super) fn walk(&self, mut visit: impl FnMut(&Playback, &Promised, &Op) -> bool) {
        let mut playback = self.recording.play();
        let mut promised = Promised::default();
        while let Some(op) = playback.step() {
            self.note(&op, &mut promised);
            if !visit(&playback, &promised, &op) {
                return;
            }
        }
    }

    /// The disk after so many changes, and what was promised by then.
    pub(super) fn moment(&self, changes: usize) -> (Playback, Promised) {
        let mut playback = self.recording.play();
        let mut promised = Promised::default();
        for _ in 0..changes {
            let Some(op) = playback.step() else { break };
            self.note(&op, &mut promised);
        }
        (playback, promised)
    }

    fn note(&self, op: &Op, promised: &mut Promised) {
        let Op::Mark(value) = *op else { return };
        let save = |from: u64| self.saves[usize::try_from(value - from).expect("small")];
        if value < SAVE_BEGINS {
            promised.acked.insert(value);
        } else if value < SAVE_ENDS {
            promised.maybe_taken = save(SAVE_BEGINS);
        } else {
            promised.taken = save(SAVE_ENDS);
        }
    }
}
