//! The vault against a model: a list of records and a set of acknowledged ones.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use gophership_vault::Reader;
use gophership_vault_sim::SimFileSystem;
use proptest::prelude::*;

use super::Bench;
use super::check_identical;
use super::payload;
use super::sim_options;

#[derive(Debug, Clone)]
enum Step {
    Append { len: usize, count: u64 },
    Read { count: usize, skip_every: u64 },
    Save,
    Prune,
    Reopen,
    PowerCut { seed: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..20_000, 1_u64..6).prop_map(|(len, count)| Step::Append { len, count }),
        3 => (0_usize..12, 2_u64..6).prop_map(|(count, skip_every)| Step::Read { count, skip_every }),
        2 => Just(Step::Save),
        1 => Just(Step::Prune),
        1 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(|seed| Step::PowerCut { seed }),
    ]
}

struct World {
    files: SimFileSystem,
    bench: Option<Bench>,
    reader: Option<Reader>,
    appended: BTreeMap<u64, Vec<u8>>,
    acknowledged: BTreeSet<u64>,
    saved: BTreeSet<u64>,
}

impl World {
    fn open(files: SimFileSystem) -> Self {
        let mut world = Self {
            files,
            bench: None,
            reader: None,
            appended: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            saved: BTreeSet::new(),
        };
        world.reopen();
        world
    }

    fn reopen(&mut self) {
        let (bench, report) = Bench::open_sim(&self.files, sim_options());
        assert!(report.acknowledged_lost.is_empty(), "{report:?}");
        assert_eq!(report.next_seq, self.appended.len() as u64 + 1);
        self.reader = Some(Reader::open(&bench.writer.log(), "test").expect("opens"));
        self.bench = Some(bench);
    }

    fn apply(&mut self, step: &Step) {
        let (Some(bench), Some(reader)) = (&self.bench, &mut self.reader) else { return };
        match *step {
            Step::Append { len, count } => {
                for _ in 0..count {
                    let id = self.appended.len() as u64 + 1;
                    let bytes = payload(id, len);
                    assert_eq!(bench.append(id, &bytes).expect("is stored").seq, id);
                    self.appended.insert(id, bytes);
                }
            }
            Step::Read { count, skip_every } => {
                for _ in 0..count {
                    let Some(record) = reader.next().expect("reads") else { break };
                    check_identical(std::slice::from_ref(&record), &self.appended);
                    assert!(!self.acknowledged.contains(&record.seq), "came again");
                    if !record.seq.is_multiple_of(skip_every) {
                        reader.ack(record.seq);
                        self.acknowledged.insert(record.seq);
                    }
                }
            }
            Step::Save => {
                reader.save().expect("saves");
                self.saved = self.acknowledged.clone();
            }
            Step::Prune => drop(bench.writer.log().prune().expect("prunes")),
            Step::Reopen | Step::PowerCut { .. } => self.restart(step),
        }
    }

    fn restart(&mut self, step: &Step) {
        self.reader = None;
        if let Step::PowerCut { seed } = *step {
            self.files.cut_power();
            self.bench = None;
            self.files = self.files.after_power_cut(seed);
        } else {
            self.bench = None;
        }
        self.acknowledged = self.saved.clone();
        self.reopen();
    }

    /// Everything not acknowledged is there, in order.
    fn check_rest(&mut self) {
        self.restart(&Step::Reopen);
        let Some(reader) = &mut self.reader else { return };
        let mut seqs = BTreeSet::new();
        while let Some(record) = reader.next().expect("reads") {
            check_identical(std::slice::from_ref(&record), &self.appended);
            seqs.insert(record.seq);
        }
        let all: BTreeSet<_> = self.appended.keys().copied().collect();
        let expected: BTreeSet<_> = all.difference(&self.saved).copied().collect();
        assert_eq!(seqs, expected);
        assert_eq!(reader.backlog().records, expected.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_vault_behaves_like_a_list(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::open(SimFileSystem::default());
        for step in &steps {
            world.apply(step);
        }
        world.check_rest();
    }
}
