//! What the controller decides, case by case.

use super::Bench;
use super::DWELL;
use super::Policy;
use super::PressureKind;
use super::Zone;
use super::Zone::{Green, Red, Yellow};
use super::ZoneHold;
use super::readings;
use crate::somatic::Cause;
use crate::somatic::Marks;
use crate::somatic::OverrideCommand;
use crate::somatic::Somatic;
use std::time::Duration;
use std::time::Instant;

/// Feeds `(second, permille)` of an edge and returns the zone after each.
fn zones(steps: &[(u64, u32)]) -> Vec<Zone> {
    let mut bench = Bench::new();
    steps
        .iter()
        .map(|(second, edge)| bench.zone(second * 1000, &[(PressureKind::Edge, *edge)]))
        .collect()
}

#[test]
fn rises_at_once_and_falls_one_zone_per_dwell() {
    assert_eq!(
        zones(&[(0, 100), (1, 1000), (2, 0), (6, 0), (7, 0), (8, 0), (12, 0), (13, 0)]),
        [Green, Red, Red, Red, Yellow, Yellow, Green, Green],
    );
}

#[test]
fn between_recover_and_yellow_the_zone_stays() {
    assert_eq!(
        zones(&[(0, 900), (10, 300), (20, 300), (21, 100), (25, 300), (26, 100), (31, 100)]),
        [Red, Red, Red, Red, Red, Red, Yellow],
    );
}

#[test]
fn a_store_that_fills_turns_yellow_and_no_further() {
    let mut bench = Bench::new();
    let mut zone = |second: u64, edge, vault| {
        bench.zone(second * 1000, &[(PressureKind::Edge, edge), (PressureKind::Vault, vault)])
    };
    assert_eq!(zone(0, 0, 700), Yellow);
    assert_eq!(zone(10, 0, 1000), Yellow);
    assert_eq!(zone(11, 900, 1000), Red);
    assert_eq!(zone(12, 0, 1000), Red);
    assert_eq!(zone(17, 0, 1000), Yellow);
    assert_eq!(zone(30, 0, 660), Yellow);
    assert_eq!(zone(31, 0, 640), Yellow);
    assert_eq!(zone(36, 0, 640), Green);
}

#[test]
fn what_is_only_shown_decides_nothing() {
    let mut bench = Bench::new();
    let numbers = [(PressureKind::CpuStall, 1000), (PressureKind::IoStall, 1000)];
    assert_eq!(bench.zone(0, &numbers), Green);
    assert_eq!(bench.zone(100_000, &numbers), Green);
}

#[test]
fn a_rise_names_every_number_that_asked_for_it_the_highest_first() {
    let mut bench = Bench::new();
    let numbers =
        [(PressureKind::Lag, 1000), (PressureKind::Edge, 900), (PressureKind::Memory, 960)];
    let transition = bench.step(0, &numbers, None).unwrap();
    assert_eq!((transition.from, transition.to), (Green, Red));
    assert_eq!(
        transition.cause.to_string(),
        "the memory share of here is 96.0% used, the edge of here is 90.0% full"
    );
    assert_eq!(transition.cause.name(), "memory");
}

#[test]
fn marks_are_per_sense() {
    let mut policy = Policy { dwell: DWELL, ..Policy::default() };
    policy.set(PressureKind::CpuStall, Marks::new(Some(500), Some(900), 100));
    policy.set(PressureKind::Edge, Marks::OFF);
    let mut bench = Bench::under(policy);
    assert_eq!(bench.zone(0, &[(PressureKind::Edge, 1000), (PressureKind::CpuStall, 499)]), Green);
    assert_eq!(bench.zone(1, &[(PressureKind::CpuStall, 500)]), Yellow);
    assert_eq!(bench.zone(2, &[(PressureKind::CpuStall, 900)]), Red);
}

#[test]
fn an_override_wins_over_every_reading_until_it_ends() {
    let mut bench = Bench::new();
    let lease = |zone, bench: &Bench, ttl| {
        ZoneHold::new(zone, bench.at(0), Some(Duration::from_secs(ttl)), "drill".to_owned())
    };
    let (green, red) = (lease(Green, &bench, 10), lease(Red, &bench, 10));
    let high = [(PressureKind::Edge, 1000)];
    assert_eq!(bench.step(0, &high, Some(&green)), None);
    let transition = bench.step(1, &[], Some(&red)).unwrap();
    assert_eq!(transition.cause.to_string(), "operator override: drill");
    assert_eq!(bench.step(9_999, &[], Some(&red)), None);
    let transition = bench.step(10_000, &[], Some(&red)).unwrap();
    // The readings had a dwell of calm meanwhile, once.
    assert_eq!((transition.to, transition.cause), (Yellow, Cause::OverrideEnded));
}

#[test]
fn observing_tells_and_changes_nothing() {
    let policy = Policy { dwell: DWELL, is_observing: true, ..Policy::default() };
    let mut bench = Bench::under(policy.clone());
    let transition = bench.step(0, &[(PressureKind::Edge, 1000)], None).unwrap();
    assert_eq!((transition.to, transition.is_in_force), (Red, false));
    assert_eq!((bench.controller.zone(), bench.controller.sensed()), (Green, Red));
    let acting = Policy { is_observing: false, ..policy.clone() };
    bench.controller.configure(acting);
    let transition = bench.step(1, &[(PressureKind::Edge, 1000)], None).unwrap();
    assert_eq!((transition.to, transition.cause, transition.is_in_force), (Red, Cause::Mode, true));
    bench.controller.configure(policy);
    let transition = bench.step(2, &[(PressureKind::Edge, 1000)], None).unwrap();
    assert_eq!(
        (transition.to, transition.cause, transition.is_in_force),
        (Green, Cause::Mode, true)
    );
}

#[test]
fn a_hold_is_told_until_it_ends_by_itself() {
    let somatic = Somatic::new(Policy::default());
    let ttl = Some(Duration::from_mins(1));
    let hold = OverrideCommand::Hold { zone: Red, ttl, reason: String::new() };
    let transition = somatic.command(hold, &readings(&[])).unwrap();
    assert_eq!(transition.to, Red);
    assert_eq!(somatic.report().held.unwrap().zone, Red);
    let later = Instant::now() + Duration::from_secs(61);
    assert_eq!(somatic.step(later, &readings(&[])).unwrap().cause, Cause::OverrideEnded);
    assert_eq!((somatic.report().held, somatic.zone()), (None, Green));
}
