//! Reading the newest segment first.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use gophership_vault::ReadOrder;
use gophership_vault::Reader;
use gophership_vault::SegmentState;
use gophership_vault_sim::SimFileSystem;
use proptest::prelude::*;

use super::Bench;
use super::check_identical;
use super::payload;
use super::sim_options;

fn fill(bench: &Bench, ids: std::ops::RangeInclusive<u64>) -> BTreeMap<u64, Vec<u8>> {
    let append = |id: u64| {
        let bytes = payload(id * 2, 9000);
        assert_eq!(bench.append(id, &bytes).expect("is stored").seq, id);
        (id, bytes)
    };
    ids.map(append).collect()
}

fn open(bench: &Bench) -> Reader {
    Reader::open_in(&bench.writer.log(), "test", ReadOrder::NewestFirst).expect("opens")
}

fn read(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count
        && let Some(record) = reader.next().expect("reads")
    {
        seqs.push(record.seq);
    }
    seqs
}

#[test]
fn the_newest_segment_comes_first_and_its_records_in_order() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    fill(&bench, 1..=20);
    let firsts: Vec<u64> =
        bench.writer.log().segments().iter().map(|info| info.first_seq).collect();
    assert!(3 <= firsts.len(), "several segments: {firsts:?}");
    let mut reader = open(&bench);
    let newest = *firsts.last().expect("there is one");
    let newest_len = usize::try_from(20 - newest + 1).expect("few");
    assert_eq!(read(&mut reader, newest_len), (newest..=20).collect::<Vec<_>>());
    let before = firsts[firsts.len() - 2];
    assert_eq!(read(&mut reader, 1), [before]);
    fill(&bench, 21..=21);
    // The segment begun is read to its end; then what came meanwhile, then the older ones.
    let rest = read(&mut reader, 100);
    let begun: Vec<u64> = (before + 1..newest).collect();
    assert_eq!(rest[..begun.len()], begun);
    assert_eq!(rest[begun.len()], 21);
    assert_eq!(rest.len() + newest_len + 1, 21);
    assert!(read(&mut reader, 1).is_empty());
}

#[test]
fn a_segment_read_out_of_order_may_go_and_is_not_missed() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    fill(&bench, 1..=40);
    super::wait_until("sealed", || {
        let segments = bench.writer.log().segments();
        segments.iter().rev().skip(1).all(|info| info.state == SegmentState::Sealed)
    });
    let segments = bench.writer.log().segments();
    let mut reader = open(&bench);
    let kept = segments[1].last_seq;
    for seq in read(&mut reader, 100) {
        if kept < seq {
            reader.ack(seq);
        }
    }
    reader.save().expect("saves");
    assert_eq!(reader.backlog().records, kept);
    let gone = bench.writer.log().prune().expect("prunes");
    assert_eq!(gone, segments.len() - 3, "all but two old ones and the newest");
    drop(reader);
    drop(bench);
    let (bench, report) = Bench::open_sim(&files, sim_options());
    assert!(report.acknowledged_lost.is_empty() && report.faults.is_empty(), "{report:?}");
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    assert_eq!(read(&mut reader, 100), (1..=kept).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is acknowledged, in whichever order it is read from session to session, everything
    /// else comes again and nothing comes twice in one session.
    #[test]
    fn every_order_gives_every_record(
        steps in prop::collection::vec((any::<bool>(), 1_u64..12, 0_usize..30, 2_u64..6), 1..12),
    ) {
        let files = SimFileSystem::default();
        let (mut appended, mut acknowledged) = (BTreeMap::new(), BTreeSet::new());
        for (is_newest, appends, reads, skip_every) in steps {
            let (bench, report) = Bench::open_sim(&files, sim_options());
            prop_assert!(report.acknowledged_lost.is_empty(), "{report:?}");
            let order = if is_newest { ReadOrder::NewestFirst } else { ReadOrder::OldestFirst };
            let mut reader = Reader::open_in(&bench.writer.log(), "test", order).expect("opens");
            let first = appended.len() as u64 + 1;
            appended.extend(fill(&bench, first..=first + appends - 1));
            let mut seen = BTreeSet::new();
            for _ in 0..reads {
                let Some(record) = reader.next().expect("reads") else { break };
                check_identical(std::slice::from_ref(&record), &appended);
                prop_assert!(seen.insert(record.seq), "{} came twice", record.seq);
                prop_assert!(!acknowledged.contains(&record.seq), "{} came again", record.seq);
                if !record.seq.is_multiple_of(skip_every) {
                    reader.ack(record.seq);
                    acknowledged.insert(record.seq);
                }
            }
            reader.save().expect("saves");
            bench.writer.log().prune().expect("prunes");
            let left = appended.len() - acknowledged.len();
            prop_assert_eq!(reader.backlog().records, left as u64);
        }
        let (bench, _) = Bench::open_sim(&files, sim_options());
        let mut reader = open(&bench);
        let left: BTreeSet<u64> = read(&mut reader, 1000).into_iter().collect();
        let all: BTreeSet<u64> = appended.keys().copied().collect();
        prop_assert_eq!(left, all.difference(&acknowledged).copied().collect::<BTreeSet<_>>());
    }
}
