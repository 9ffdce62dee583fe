//! One case of the model: the vault, and the list it is compared with.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use gophership_vault::AppendError;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::RecoveryReport;
use gophership_vault::RefusalReason;
use gophership_vault::StoredRecord;
use gophership_vault::Writer;
use gophership_vault_sim::Call;
use gophership_vault_sim::InjectedFault;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::bench::Bench;
use super::model::Step;
use super::oracle;
use super::oracle::CURSOR;
use super::parse;

pub(super) struct World {
    files: SimFileSystem,
    bench: Option<Bench>,
    reader: Option<Reader>,
    /// Payload by id, from 1; empty ones never are.
    sent: Vec<Vec<u8>>,
    /// Told `Ok`: seq and id.
    stored: BTreeMap<u64, u64>,
    /// Acknowledged on the cursor since it was opened, or saved before.
    taken: BTreeSet<u64>,
    /// In a save that ended well: must not come again.
    saved: BTreeSet<u64>,
    /// In a save that began: may be gone.
    maybe_saved: BTreeSet<u64>,
    /// Ids of records that were damaged.
    damaged: BTreeSet<u64>,
    damaged_files: BTreeSet<OsString>,
    /// Calls armed to fail since the vault was opened.
    troubles: u32,
    is_full: bool,
}

fn options() -> Options {
    Options { max_bytes: 64 << 20, ..bench::options() }
}

impl World {
    pub(super) fn open() -> Result<Self, String> {
        let mut world = Self {
            files: SimFileSystem::default(),
            bench: None,
            reader: None,
            sent: vec![Vec::new()],
            stored: BTreeMap::new(),
            taken: BTreeSet::new(),
            saved: BTreeSet::new(),
            maybe_saved: BTreeSet::new(),
            damaged: BTreeSet::new(),
            damaged_files: BTreeSet::new(),
            troubles: 0,
            is_full: false,
        };
        world.reopen()?;
        Ok(world)
    }

    fn reopen(&mut self) -> Result<(), String> {
        let opened = Writer::open_on(&self.files.shared(), options());
        let (writer, report) = opened.map_err(|error| format!("does not open: {error:?}"))?;
        self.check_report(&report)?;
        let bench = Bench::new(&self.files, writer);
        let reader = Reader::open(&bench.writer.log(), CURSOR);
        match reader {
            Ok(reader) => self.reader = Some(reader),
            // A new cursor needs space; an existing one never does.
            Err(error) if !self.is_full => return Err(format!("no reader: {error:?}")),
            Err(_) => {}
        }
        self.bench = Some(bench);
        Ok(())
    }

    fn check_report(&self, report: &RecoveryReport) -> Result<(), String> {
        let last = self.stored.last_key_value().map_or(0, |(seq, _)| *seq);
        let is_damaged = !self.damaged.is_empty();
        if report.next_seq <= last && !is_damaged {
            return Err(format!("seqs would be used again: {report:?}"));
        }
        let told = report.acknowledged_lost.iter().flat_map(|(first, last)| *first..=*last);
        for seq in told {
            let id = self.stored.get(&seq);
            if !id.is_some_and(|id| self.damaged.contains(id)) && !is_damaged {
                return Err(format!("seq {seq} is told lost: {report:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Append { count, len } => self.append(count, len),
            Step::Read { count, skip_every } => self.read(count, skip_every),
            Step::Save => self.save(),
            Step::Prune => {
                let pruned = self.bench.as_ref().map(|bench| bench.writer.log().prune());
                match pruned {
                    Some(Err(error)) if self.troubles == 0 => Err(format!("prune: {error:?}")),
                    _ => Ok(()),
                }
            }
            Step::FailSync { at } => self.arm(Call::Sync, at, InjectedFault::FailOnce),
            Step::SlowSyncs { micros } => {
                self.files.set_sync_pause(Duration::from_micros(micros));
                Ok(())
            }
            Step::FailWrite { at } => self.arm(Call::Write, at, InjectedFault::FailOnce),
            Step::NoSpace { at } => self.arm(Call::Allocate, at, InjectedFault::NoSpace),
            Step::DiskFull => {
                self.files.set_capacity(Some(self.files.used_bytes()));
                self.is_full = true;
                Ok(())
            }
            Step::SpaceBack => {
                self.files.set_capacity(None);
                Ok(())
            }
            Step::Reopen | Step::Kill | Step::PowerCut { .. } => self.restart(step),
            Step::Flip { seed } | Step::Cut { seed } => {
                self.stop(Step::PowerCut { seed });
                self.damage(step, seed);
                self.reopen()
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "a step among steps")]
    fn arm(&mut self, call: Call, at: u64, trouble: InjectedFault) -> Result<(), String> {
        self.files.arm_call(call, at, trouble);
        self.troubles += 1;
        Ok(())
    }

    fn append(&mut self, count: u64, len: usize) -> Result<(), String> {
        let Some(bench) = &self.bench else { return Ok(()) };
        let mut waiting = 0;
        for _ in 0..count {
            let id = self.sent.len() as u64;
            let mut payload = bench::payload(id, len);
            payload.push(1);
            match bench.offer(id, &payload) {
                Ok(()) => waiting += 1,
                Err(refused) => match refused.reason {
                    RefusalReason::StagingFull => {}
                    RefusalReason::VaultFull | RefusalReason::Failed
                        if self.is_full || 0 < self.troubles => {}
                    reason => {
                        let stats = bench.writer.stats();
                        return Err(format!("refused without need: {reason}; {stats:?}"));
                    }
                },
            }
            self.sent.push(payload);
        }
        for _ in 0..waiting {
            let (id, answer) = bench.answer();
            match answer {
                Ok(receipt) => {
                    let last = self.stored.last_key_value().map_or(0, |(seq, _)| *seq);
                    if receipt.seq <= last && self.damaged.is_empty() {
                        return Err(format!("record {id} got seq {} after {last}", receipt.seq));
                    }
                    self.stored.insert(receipt.seq, id);
                }
                Err(AppendError::Full | AppendError::Failed)
                    if self.is_full || 0 < self.troubles => {}
                Err(error) => return Err(format!("record {id} not stored: {error}")),
            }
        }
        Ok(())
    }

    fn check_read(&self, record: &StoredRecord) -> Result<(), String> {
        let id = oracle::check_record(record, &self.sent)?;
        if self.taken.contains(&id) {
            return Err(format!("record {id} came again, seq {}", record.seq));
        }
        Ok(())
    }

    fn read(&mut self, count: u32, skip_every: u64) -> Result<(), String> {
        for _ in 0..count {
            let Some(reader) = &mut self.reader else { return Ok(()) };
            let read = reader.next().map_err(|error| format!("read: {error:?}"))?;
            let Some(record) = read else { return Ok(()) };
            self.check_read(&record)?;
            if !record.seq.is_multiple_of(skip_every) {
                self.taken.insert(record.received_unix_ns);
                if let Some(reader) = &mut self.reader {
                    reader.ack(record.seq);
                }
            }
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), String> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        self.maybe_saved.extend(&self.taken);
        match reader.save() {
            Ok(()) => self.saved = self.taken.clone(),
            Err(_) if 0 < self.troubles => {}
            Err(error) => return Err(format!("save: {error:?}")),
        }
        Ok(())
    }

    fn stop(&mut self, step: Step) {
        let credit = self.files.syncs_for_credit();
        assert_eq!(credit, 0, "a failed sync was asked again for credit");
        self.files.disarm();
        self.reader = None;
        let after = match step {
            Step::PowerCut { seed } => {
                self.files.cut_power();
                self.bench = None;
                self.files.after_power_cut(seed)
            }
            Step::Kill => {
                let after = self.files.after_kill();
                self.files.cut_power();
                self.bench = None;
                after
            }
            _ => {
                self.bench = None;
                self.files.after_kill()
            }
        };
        self.files = after;
        self.troubles = 0;
        self.is_full = false;
        // What was acknowledged and not saved comes again; after a save that failed, it may or may not.
        self.taken = self.saved.clone();
    }

    fn restart(&mut self, step: Step) -> Result<(), String> {
        self.stop(step);
        self.reopen()
    }

    /// Damages one segment that was not damaged before, and notes which records that may cost.
    fn damage(&mut self, step: Step, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut segments: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        for (path, _) in self.files.paths() {
            let bytes = self.files.bytes_of(&path).unwrap_or_default();
            let is_segment = path.parent() == Some(&bench::dir())
                && (bench::has_extension(&path, "gsv") || bench::has_extension(&path, "open"));
            if is_segment && bytes.get(4096..4100) == Some(b"GSR1") {
                segments.push((path, bytes));
            }
        }
        let stem_of = |path: &PathBuf| path.file_stem().map(OsStr::to_os_string);
        let chosen = match step {
            Step::Cut { .. } => segments.last(),
            _ => random.choice(&segments),
        };
        let Some((path, bytes)) = chosen else { return };
        if !self.damaged_files.insert(stem_of(path).unwrap_or_default()) {
            return;
        }
        let regions = parse::regions(bytes);
        let at = random.usize(..bytes.len());
        if let Step::Cut { .. } = step {
            self.files.set_len(path, at as u64);
            let lost = regions.iter().filter(|(range, _)| at < range.end);
            self.damaged.extend(lost.filter_map(|(_, region)| parse::id_of(*region)));
        } else {
            self.files.poke(path, at as u64, &[bytes[at] ^ (1 << random.u32(0..8))]);
            let hit = regions.iter().find(|(range, _)| range.contains(&at));
            self.damaged.extend(hit.and_then(|(_, region)| parse::id_of(*region)));
        }
    }

    /// Everything that was promised and not taken is there.
    pub(super) fn check_rest(&mut self) -> Result<(), String> {
        self.restart(Step::Reopen)?;
        let mut found = BTreeSet::new();
        let mut last_seq = 0;
        while let Some(reader) = &mut self.reader {
            let Some(record) = reader.next().map_err(|error| format!("read: {error:?}"))? else {
                break;
            };
            reader.ack(record.seq);
            self.check_read(&record)?;
            if record.seq <= last_seq {
                return Err(format!("seq {} after {last_seq}", record.seq));
            }
            last_seq = record.seq;
            found.insert(record.received_unix_ns);
        }
        let is_owed = |id: &&u64| {
            !found.contains(*id) && !self.maybe_saved.contains(*id) && !self.damaged.contains(*id)
        };
        let missing: Vec<_> = self.stored.values().filter(is_owed).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are missing")) }
    }
}
