//! What holds for the controller whatever it reads.

use std::time::Duration;

use proptest::prelude::*;

use super::Bench;
use super::DWELL;
use super::Policy;
use super::PressureKind;
use super::Zone;
use super::Zone::{Green, Red, Yellow};
use super::ZoneHold;

/// One look: how far the clock moves, what is read, what the operator holds.
#[derive(Clone, Debug)]
struct Look {
    millis: u64,
    numbers: Vec<(PressureKind, u32)>,
    hold: Option<(Zone, u64)>,
}

fn number() -> impl Strategy<Value = (PressureKind, u32)> {
    let permille = prop_oneof![0..100_u32, 0..1100_u32, Just(u32::MAX)];
    (prop::sample::select(PressureKind::ALL.to_vec()), permille)
}

fn look() -> impl Strategy<Value = Look> {
    let zone = prop::sample::select(vec![Green, Yellow, Red]);
    // Now and then the clock jumps; a process that was stopped for an hour looks like that.
    let millis = prop_oneof![9 => 0..3_000_u64, 1 => Just(3_600_000)];
    let hold = prop::option::weighted(0.2, (zone, 0..20_000_u64));
    (millis, prop::collection::vec(number(), 0..6), hold).prop_map(|(millis, numbers, hold)| Look {
        millis,
        numbers,
        hold,
    })
}

fn asked(policy: &Policy, numbers: &[(PressureKind, u32)]) -> Zone {
    let readings = super::readings(numbers);
    readings.iter().map(|pressure| policy.asked(pressure)).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rises_at_once_falls_by_one_per_dwell_and_heeds_what_is_valid(
        looks in prop::collection::vec(look(), 1..60)
    ) {
        let mut bench = Bench::new();
        let policy = Policy { dwell: DWELL, ..Policy::default() };
        let mut now = 0;
        let mut fell_at: Option<u64> = None;
        for look in &looks {
            now += look.millis;
            let before = bench.controller.sensed();
            let lease = look.hold.map(|(zone, ends)| {
                let ttl = Some(Duration::from_millis(ends));
                ZoneHold::new(zone, bench.at(0), ttl, String::new())
            });
            bench.step(now, &look.numbers, lease.as_ref());
            let sensed = bench.controller.sensed();
            prop_assert!(asked(&policy, &look.numbers) <= sensed, "what is asked for is sensed");
            if sensed < before {
                prop_assert_eq!(sensed, before.calmer(), "one zone at a time");
                let calm = fell_at.is_none_or(|at| 5_000 <= now - at);
                prop_assert!(calm, "never twice within a dwell");
                fell_at = Some(now);
            }
            // Never ignores an override, never acts on an expired one.
            match look.hold {
                Some((zone, ends)) if now < ends => prop_assert_eq!(bench.controller.zone(), zone),
                _ => prop_assert_eq!(bench.controller.zone(), sensed),
            }
        }
        // Never stays up with every reading low, or with no reading at all.
        for numbers in [vec![(PressureKind::Edge, 0)], vec![]] {
            for step in 0..30 {
                now += 500;
                bench.step(now, &numbers, None);
                if step == 29 {
                    prop_assert_eq!(bench.controller.zone(), Green);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm(backs in prop::collection::vec(0..100_000_u64, 1..40)) {
        let mut bench = Bench::new();
        bench.step(100_000, &[(PressureKind::Edge, 1000)], None);
        for back in backs {
            bench.step(back, &[(PressureKind::Edge, 0)], None);
        }
        let mut zones = Vec::new();
        for step in 0..40 {
            zones.push(bench.zone(200_000 + step * 500, &[(PressureKind::Edge, 0)]));
        }
        prop_assert_eq!(zones[39], Green);
    }
}
