//! Files cut at every length (B2), blocks that are zero, garbage, swapped, repeated or of another time
//! and place (B3).

use std::ops::Range;

use gophership_vault::Options;
use gophership_vault::Writer;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::bench::Bench;
use super::flips::Specimen;
use super::oracle::Ids;
use super::parse;
use super::parse::Region;
use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![
        Suite {
            id: "B2",
            title: "a segment cut at every length: exactly the whole records before the cut are there, \
                    and the vault goes on",
            fast: 30_000,
            long: 500_000,
            run: cut_everywhere,
        },
        Suite {
            id: "B3",
            title: "every block of 512 and 4,096 bytes zero, random, swapped, repeated, another \
                    segment's or another vault's: noticed, every other record intact",
            fast: 8_000,
            long: 60_000,
            run: replace_blocks,
        },
    ]
}

fn cut_everywhere(run: &mut Run) {
    for is_sealed in [true, false] {
        let specimen = Specimen::new(is_sealed, 1);
        let lengths = specimen.bytes.len() + 1;
        let step = (2 * lengths as u64).div_ceil(run.runs.max(1)).max(1);
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let first = usize::try_from(run.seed).unwrap_or(0) % step;
        for (count, len) in (first..lengths).step_by(step).enumerate() {
            if let Err(what) = cut(&specimen, len, count % 256 == 0) {
                run.violation(run.seed, format!("sealed {is_sealed}, cut to {len}: {what}"));
            }
            run.done(1);
        }
    }
}

fn cut(specimen: &Specimen, len: usize, is_written: bool) -> Result<(), String> {
    let files = specimen.files.fork();
    files.set_len(&specimen.path, len as u64);
    let (ids, _) = specimen.survivors(&files)?;
    let mut whole = Ids::default();
    for id in specimen.all.list() {
        if parse::end_of(&specimen.regions, id) <= len {
            whole.insert(id);
        }
    }
    if ids != whole {
        return Err(format!("{:?} instead of {:?}", ids.list(), whole.list()));
    }
    if is_written { go_on(&files) } else { Ok(()) }
}

/// Opens a vault and appends one record.
fn go_on(files: &SimFileSystem) -> Result<(), String> {
    let options = Options { segment_bytes: 256 << 10, ..bench::options() };
    let opened = Writer::open_on(&files.shared(), options);
    let (writer, report) = opened.map_err(|error| format!("does not open: {error:?}"))?;
    let bench = Bench::new(files, writer);
    bench.offer(127, b"after").map_err(|refused| format!("refused: {}", refused.reason))?;
    let receipt = bench.answer().1.map_err(|error| format!("not stored: {error:?}"))?;
    if receipt.seq == report.next_seq { Ok(()) } else { Err(format!("seq {receipt:?}")) }
}

/// What stands in a block's place.
#[derive(Debug, Clone, Copy)]
enum Instead {
    Zero,
    Random,
    Swapped,
    Repeated,
    /// The same place of another segment of the same vault.
    OtherSegment,
    /// The same place of another vault: what a recycled disk may still hold.
    Stale,
}

const INSTEAD: [Instead; 6] = [
    Instead::Zero,
    Instead::Random,
    Instead::Swapped,
    Instead::Repeated,
    Instead::OtherSegment,
    Instead::Stale,
];

/// The second segment of the specimen's vault, written after it was recovered.
fn second_segment(specimen: &Specimen) -> Vec<u8> {
    let files = specimen.files.fork();
    let options = Options { segment_bytes: 256 << 10, ..bench::options() };
    let opened = Writer::open_on(&files.shared(), options);
    let bench = Bench::new(&files, opened.expect("a healthy disk opens").0);
    for (id, payload) in specimen.sent.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
        bench.append_all(&[(id as u64, payload)]);
    }
    bench.writer.close().expect("a healthy disk closes");
    let second = bench.writer.log().segments()[1].path.clone();
    files.bytes_of(&second).expect("is there")
}

fn replace_blocks(run: &mut Run) {
    let stale = Specimen::new(true, 60).bytes;
    for is_sealed in [true, false] {
        let specimen = Specimen::new(is_sealed, 1);
        let others = [second_segment(&specimen), stale.clone()];
        let per_round = specimen.bytes.len() / 512 * INSTEAD.len() * 9 / 8;
        let rounds = run.runs.div_ceil(2 * per_round as u64).max(1);
        let mut random = fastrand::Rng::with_seed(run.seed);
        for _ in 0..rounds {
            for size in [512, 4096] {
                for block in 0..specimen.bytes.len() / size {
                    for instead in INSTEAD {
                        let done = replace(&specimen, &others, size, block, instead, &mut random);
                        if let Err(what) = done {
                            let what = format!(
                                "sealed {is_sealed}, block {block} of {size}, {instead:?}: {what}"
                            );
                            run.violation(run.seed, what);
                        }
                        run.done(1);
                    }
                }
            }
        }
    }
}

fn replace(
    specimen: &Specimen,
    others: &[Vec<u8>; 2],
    size: usize,
    block: usize,
    instead: Instead,
    random: &mut fastrand::Rng,
) -> Result<(), String> {
    let mut bytes = specimen.bytes.clone();
    let range = block * size..(block + 1) * size;
    let other = random.usize(..bytes.len() / size) * size;
    let other = other..other + size;
    let mut damaged = vec![range.clone()];
    match instead {
        Instead::Zero => bytes[range].fill(0),
        Instead::Random => random.fill(&mut bytes[range]),
        Instead::Repeated => bytes.copy_within(other, range.start),
        Instead::Swapped => {
            bytes[range.clone()].copy_from_slice(&specimen.bytes[other.clone()]);
            bytes[other.clone()].copy_from_slice(&specimen.bytes[range]);
            damaged.push(other);
        }
        Instead::OtherSegment | Instead::Stale => {
            let other = &others[usize::from(matches!(instead, Instead::Stale))];
            let Some(piece) = other.get(range.clone()) else { return Ok(()) };
            bytes[range].copy_from_slice(piece);
        }
    }
    if bytes == specimen.bytes {
        return Ok(());
    }
    judge(specimen, &bytes, &damaged)
}

/// Only records in a damaged place may be gone, and the damage must be noticed.
fn judge(specimen: &Specimen, bytes: &[u8], damaged: &[Range<usize>]) -> Result<(), String> {
    let files = specimen.files.fork();
    files.poke(&specimen.path, 0, bytes);
    let survivors = specimen.survivors(&files);
    if damaged[0].start == 0 && survivors.as_ref().is_err_and(|what| what.contains("Foreign")) {
        // The header of another vault: nothing is touched, and the operator is told.
        return Ok(());
    }
    let (ids, is_noticed) = survivors?;
    let mut excused = Ids::default();
    let mut is_index = true;
    for range in damaged {
        for region in specimen.touched(range) {
            // Without its last watermark an open segment is as good as a moment before.
            is_index &= match region {
                Region::Index | Region::Beyond => true,
                Region::Watermark | Region::Padding => !specimen.is_sealed,
                _ => false,
            };
            if let Some(id) = parse::id_of(region) {
                excused.insert(id);
            }
        }
    }
    let lost = specimen.all.without(ids).without(excused);
    if lost != Ids::default() {
        return Err(format!("lost {:?} beside {:?}", lost.list(), excused.list()));
    }
    if !is_noticed && !is_index {
        return Err("not noticed".to_owned());
    }
    Ok(())
}
