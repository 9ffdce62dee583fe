//! Which records pass, and what options are refused.

use std::num::NonZeroU64;

use bytes::Bytes;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;
use gophership_otlp::demo::demo_logs;
use gophership_otlp::retain;

use super::*;

const SECOND_NS: u64 = 1_000_000_000;
const WIDE: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

fn throttler(key: &str, records: u64, limits: &[(&str, u64)], keys_max: usize) -> Throttler {
    let class = |records: u64| Class {
        rate: RefillRate { records: NonZeroU64::new(records), bytes: None },
        dropped: IntCounter::new("test", "test").unwrap(),
    };
    Throttler {
        level: Level::Record,
        key: Some(key.to_owned()),
        limits: limits.iter().map(|(value, it)| ((*value).to_owned(), class(*it))).collect(),
        other: class(records),
        burst_ns: 1_000_000_000,
        hasher: RandomState::new(),
        buckets: Recent::new(keys_max),
    }
}

/// A request of one log record for each of these values of `user`.
fn logs(users: &[&str]) -> Bytes {
    let record = |user: &&str| serde_json::json!({ "attributes": [{ "key": "user", "value": { "stringValue": user } }] });
    let records: Vec<_> = users.iter().map(record).collect();
    let scope = serde_json::json!({ "logRecords": records });
    let request = serde_json::json!({ "resourceLogs": [{ "scopeLogs": [scope] }] });
    gophership_otlp::json_to_wire(Signal::Logs, request.to_string().as_bytes(), &WIDE).unwrap()
}

/// How many records of a request pass.
fn passed(throttler: &mut Throttler, bytes: &Bytes, is_replayed: bool, at: u64) -> u64 {
    let keep = |record: &RecordView<'_>| throttler.passes(record, is_replayed, at);
    retain(Signal::Logs, bytes, keep).unwrap().kept
}

#[test]
fn each_value_has_its_own_rate_and_replayed_records_have_theirs() {
    let mut throttler = throttler("user", 2, &[("big", 5), ("free", 0)], 100);
    let users = ["a", "b", "big", "free"].repeat(10);
    let bytes = logs(&users);
    assert_eq!(passed(&mut throttler, &bytes, false, SECOND_NS), 2 + 2 + 5 + 10);
    assert_eq!(passed(&mut throttler, &bytes, false, SECOND_NS), 10);
    assert_eq!(passed(&mut throttler, &bytes, true, SECOND_NS), 2 + 2 + 5 + 10);
    assert_eq!(throttler.limits["big"].dropped.get(), 5 + 10 + 5);
    assert_eq!(throttler.other.dropped.get(), 16 + 20 + 16);
}

#[test]
fn records_without_the_key_share_one_rate() {
    let mut throttler = throttler("nobody.has.it", 3, &[], 100);
    let bytes = demo_logs(50, 1, 1);
    assert_eq!(passed(&mut throttler, &bytes, false, SECOND_NS), 3);
}

#[test]
fn a_flood_of_values_is_kept_within_bounds_and_the_used_ones_stay_throttled() {
    let mut throttler = throttler("user", 1, &[], 100);
    for number in 0..10_000 {
        let other = format!("user {number}");
        let bytes = logs(&["known", &other]);
        let expected = if number == 0 { 2 } else { 1 };
        assert_eq!(passed(&mut throttler, &bytes, false, SECOND_NS), expected, "{number}");
        assert!(throttler.buckets.len() <= 100);
    }
}

#[test]
fn what_lets_nothing_or_everything_pass_is_refused() {
    let problems = |config: ThrottleConfig| -> Vec<String> {
        let line = |problem: OptionProblem| format!("{}: {}", problem.path, problem.message);
        config.problems().into_iter().map(line).collect()
    };
    let base = ThrottleConfig { records: NonZeroU64::new(1), ..ThrottleConfig::default() };
    let limits = BTreeMap::from([("a".to_owned(), Limit::default())]);
    assert!(problems(base.clone()).is_empty());
    assert!(problems(ThrottleConfig::default())[0].contains("everything passes"));
    let burst = HumanDuration::seconds(0);
    assert!(problems(ThrottleConfig { burst, ..base.clone() })[0].starts_with("burst: "));
    let bytes = Some(ByteSize(0));
    assert!(problems(ThrottleConfig { bytes, ..base.clone() })[0].starts_with("bytes: "));
    assert!(problems(ThrottleConfig { limits, ..base.clone() })[0].contains("needs a `key`"));
    let keys_max = NonZeroU32::MIN;
    assert!(problems(ThrottleConfig { keys_max, ..base })[0].starts_with("keys_max: "));
}
