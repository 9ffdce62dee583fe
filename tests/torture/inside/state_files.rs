//! Damage to the small files beside the segments: cursors, the vault's id, the lock (B4).

use std::path::PathBuf;

use gophership_vault::Reader;
use gophership_vault::Writer;
use gophership_vault::recover_on;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::bench::Bench;
use super::oracle;
use super::oracle::CURSOR;
use super::oracle::Ids;
use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![Suite {
        id: "B4",
        title: "cursor, vault_id and LOCK flipped in every byte, cut at every length, slots and files \
                removed: it starts, records may come again, none is lost",
        fast: 40_000,
        long: 300_000,
        run: damage_state,
    }]
}

struct Vault {
    files: SimFileSystem,
    sent: Vec<Vec<u8>>,
    /// What the older of the cursor's two slots does not know of.
    owed: Ids,
}

fn vault() -> Vault {
    let files = SimFileSystem::default();
    let opened = Writer::open_on(&files.shared(), bench::options());
    let bench = Bench::new(&files, opened.expect("a healthy disk opens").0);
    let mut reader = Reader::open(&bench.writer.log(), CURSOR).expect("opens");
    let mut sent = vec![Vec::new(); 128];
    let mut owed = Ids::default();
    for id in 1..=30 {
        let payload = bench::payload(id, 300);
        assert_eq!(bench.append_all(&[(id, &payload)]).len(), 1);
        sent[usize::try_from(id).expect("small")] = payload;
        if id <= 20 {
            let record = reader.next().expect("reads").expect("is durable");
            reader.ack(record.seq);
        } else {
            owed.insert(id);
        }
        if id == 10 || id == 20 {
            reader.save().expect("saves");
        }
    }
    drop(reader);
    bench.writer.close().expect("a healthy disk closes");
    drop(bench);
    Vault { files: files.after_kill(), sent, owed }
}

fn damage_state(run: &mut Run) {
    let vault = vault();
    let names = [PathBuf::from("cursors").join(CURSOR), "vault_id".into(), "LOCK".into()];
    let paths = names.map(|name| bench::dir().join(name));
    let bits = if run.runs < 100_000 { 1 } else { 8 };
    for path in &paths {
        let bytes = vault.files.bytes_of(path).expect("is there");
        for (at, byte) in bytes.iter().enumerate() {
            for bit in 0..bits {
                let bit = (at + bit) % 8;
                check(run, &vault, &format!("{} byte {at} bit {bit}", path.display()), |bad| {
                    bad.poke(path, at as u64, &[byte ^ (1 << bit)]);
                });
            }
            check(run, &vault, &format!("{} cut to {at}", path.display()), |bad| {
                bad.set_len(path, at as u64);
            });
        }
        for slot in 0..=2_usize {
            for filler in [0, 7, 0xff] {
                check(run, &vault, &format!("{} slot {slot} is {filler}", path.display()), |bad| {
                    let slots = if slot == 2 { 0..2 } else { slot..slot + 1 };
                    let block = [filler; 4096];
                    slots.for_each(|slot| bad.poke(path, slot as u64 * 4096, &block));
                });
            }
        }
        check(run, &vault, &format!("{} removed", path.display()), |bad| {
            bad.take(path);
        });
    }
    check(run, &vault, "all removed", |bad| {
        for path in &paths {
            bad.take(path);
        }
    });
}

fn check(run: &mut Run, vault: &Vault, what: &str, damage: impl Fn(&SimFileSystem)) {
    let bad = vault.files.fork();
    damage(&bad);
    if let Err(error) = judge(vault, &bad) {
        run.violation(run.seed, format!("{what}: {error}"));
    }
    run.done(1);
}

fn judge(vault: &Vault, bad: &SimFileSystem) -> Result<(), String> {
    let recovered = recover_on(&bad.shared(), &bench::dir());
    let (log, report) = recovered.map_err(|error| format!("does not recover: {error:?}"))?;
    let ids = oracle::read_all(&log, CURSOR, &vault.sent)?;
    let lost = vault.owed.without(ids);
    if lost != Ids::default() || !report.acknowledged_lost.is_empty() {
        return Err(format!("{:?} never come; {report:?}", lost.list()));
    }
    Ok(())
}
