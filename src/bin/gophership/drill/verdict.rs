//! The verdict: figures against limits, one requirement each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use gophership_testbed::EXPORT_LEN_MAX;
use gophership_testbed::LatencySummary;
use gophership_testbed::Phase;

use super::corrupt::Hit;
use crate::vault::size;

/// Two delays are told apart from here on: timers of clients and server go in steps of a millisecond,
/// and whether a record comes just before or just behind a step is chance.
const RESOLUTION: Duration = Duration::from_millis(1);

/// How long the records to one backend took.
#[derive(Clone, Debug, Default)]
pub(super) struct SinkDelays {
    pub(super) sink: String,
    /// Whether it took everything always.
    pub(super) stays: bool,
    /// Whether it is known of some records that they must arrive there.
    pub(super) is_judged: bool,
    /// By the part of the drill in which they were sent, as in [`Phase::ALL`].
    pub(super) phases: [LatencySummary; 3],
}

impl SinkDelays {
    /// Whether its delays may not grow.
    pub(super) const fn is_compared(&self) -> bool {
        self.stays && self.is_judged
    }
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) offered: u64,
    pub(super) acknowledged: u64,
    pub(super) dropped_by_queue: u64,
    pub(super) dropped_after_export: u64,
    pub(super) delivered: u64,
    /// Acknowledged, and removed by transforms as they should.
    pub(super) removed: u64,
    /// Acknowledged, and perhaps removed by a transform that cannot be followed.
    pub(super) unjudged: u64,
    /// Delivered to a sink that should not get them.
    pub(super) misrouted: u64,
    /// Acknowledged, and never delivered.
    pub(super) missing: u64,
    pub(super) missing_runs: Vec<(usize, u32, u32)>,
    pub(super) repeated: u64,
    pub(super) altered: u64,
    pub(super) unreadable: u64,
    pub(super) strangers: u64,
    pub(super) refused: u64,
    pub(super) reasons: BTreeMap<String, u64>,
    /// Refusals that did not say that sending again helps.
    pub(super) refused_finally: u64,
    /// Refusals while, as far as is known, no vault was full.
    pub(super) refused_with_room: u64,
    pub(super) full_for: Duration,
    /// The most that vaults had on disk.
    pub(super) vault_bytes_max: u64,
    /// What was made corrupt on purpose, and how many of its records are missing.
    pub(super) hit: Option<Hit>,
    pub(super) excused: u64,
    /// Stored requests that the server found corrupt.
    pub(super) found_corrupt: u64,
    /// Records per second in the outage: offered, and acknowledged.
    pub(super) rates: (u64, u64),
    pub(super) unanswered: u64,
    pub(super) turned_away: u64,
    /// Of the whole drill under no name, and of its parts.
    pub(super) answers: Vec<(Option<Phase>, LatencySummary)>,
    pub(super) delays: Vec<SinkDelays>,
    pub(super) resident_max: u64,
    pub(super) anonymous_max: u64,
    /// Acknowledged and not delivered when the backend returned.
    pub(super) backlog: u64,
    /// From the backend's return to the last record that had been sent before; none if one is missing.
    pub(super) drain: Option<Duration>,
    pub(super) transitions: BTreeMap<String, u64>,
    /// From the kill until the server was ready again.
    pub(super) restart: Option<Duration>,
}

/// What has to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct DrillLimits {
    pub(super) lost: u64,
    pub(super) refused: u64,
    /// Refusals of a full vault are excused, and what clients drop is not judged.
    pub(super) may_fill: bool,
    /// A vault must have been full.
    pub(super) must_fill: bool,
    /// Bytes of the vaults for each byte of resident memory.
    pub(super) backlog_times: u64,
    pub(super) memory: u64,
    pub(super) p99: Duration,
    /// No answer takes longer.
    pub(super) slowest: Duration,
    pub(super) drain: Duration,
    /// By how much of it the delay to sinks that stay may grow, if that is asked for.
    pub(super) delay_growth: Option<f64>,
    /// The clients whose export may be repeated, if the server was killed.
    pub(super) killed_clients: Option<u64>,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) name: &'static str,
    /// What is asked for, and what was measured, in words.
    pub(super) limit: String,
    pub(super) measured: String,
    /// For scripts: records, exports, bytes or seconds.
    pub(super) figures: (Value, Value),
    pub(super) holds: bool,
}

impl Figures {
    /// Records that came to a client and never to a backend.
    pub(super) fn lost(&self) -> u64 {
        let accounted = self.delivered + self.excused + self.removed + self.unjudged;
        self.offered.saturating_sub(accounted)
    }

    /// Of the whole drill.
    pub(super) fn whole(&self) -> LatencySummary {
        let whole = self.answers.iter().find(|(phase, _)| phase.is_none());
        whole.map(|(_, answers)| *answers).unwrap_or_default()
    }

    /// Judges the figures.
    pub(super) fn judge(&self, limits: &DrillLimits) -> Vec<Requirement> {
        let count = |name, most: u64, measured: u64| Requirement {
            name,
            limit: format!("at most {most}"),
            measured: measured.to_string(),
            figures: (json!(most), json!(measured)),
            holds: measured <= most,
        };
        let seconds = |duration: Duration| json!(duration.as_secs_f64());
        let mut requirements = if limits.may_fill {
            vec![
                count("acknowledged records lost", limits.lost, self.missing),
                count("refused while there was room", limits.refused, self.refused_with_room),
                count("refused for good", 0, self.refused_finally),
            ]
        } else {
            vec![
                count("records lost end to end", limits.lost, self.lost()),
                count("dropped by full client queues", limits.lost, self.dropped_by_queue),
                count("exports refused", limits.refused, self.refused),
            ]
        };
        let LatencySummary { p99, max, .. } = self.whole();
        let answers = |name, limit: Duration, measured: Duration| Requirement {
            name,
            limit: format!("within {}", time(limit)),
            measured: time(measured),
            figures: (seconds(limit), seconds(measured)),
            holds: measured <= limit,
        };
        requirements.extend([
            count("records altered", 0, self.altered + self.unreadable),
            count("records at the wrong sink", 0, self.misrouted),
            Requirement {
                name: "resident memory",
                limit: format!("below {}", megabytes(limits.memory)),
                measured: megabytes(self.resident_max),
                figures: (json!(limits.memory), json!(self.resident_max)),
                holds: self.resident_max < limits.memory,
            },
            answers("p99 answer time", limits.p99, p99),
            answers("longest answer time", limits.slowest, max),
            Requirement {
                name: "backlog delivered",
                limit: format!("within {}", time(limits.drain)),
                measured: self.drain.map_or_else(|| "never".to_owned(), time),
                figures: (seconds(limits.drain), self.drain.map_or(Value::Null, seconds)),
                holds: self.drain.is_some_and(|drain| drain <= limits.drain),
            },
        ]);
        requirements.extend(self.judge_vault(limits));
        if let Some(clients) = limits.killed_clients {
            let most = clients * u64::from(EXPORT_LEN_MAX);
            requirements.push(count("records repeated", most, self.repeated));
        }
        requirements.extend(limits.delay_growth.and_then(|growth| self.judge_delays(growth)));
        requirements
    }

    /// What is asked of the vault alone.
    fn judge_vault(&self, limits: &DrillLimits) -> Vec<Requirement> {
        let least = |name, least: u64, measured: u64, unit: &str| Requirement {
            name,
            limit: format!("at least {least}{unit}"),
            measured: format!("{measured}{unit}"),
            figures: (json!(least), json!(measured)),
            holds: least <= measured,
        };
        let mut requirements = Vec::new();
        if limits.must_fill {
            let millis = u64::try_from(self.full_for.as_millis()).unwrap_or(u64::MAX);
            requirements.push(least("vault full", 1, millis, " ms"));
        }
        if 0 < limits.backlog_times {
            let times = self.vault_bytes_max / self.resident_max.max(1);
            requirements.push(least("vault size / memory", limits.backlog_times, times, " times"));
        }
        if let Some(hit) = &self.hit {
            requirements.push(least("corrupt requests found by verify", 1, hit.named, ""));
            requirements.push(least(
                "corrupt requests found by the server",
                hit.named,
                self.found_corrupt,
                "",
            ));
        }
        requirements
    }

    /// Compares the p99 delay to sinks that stay with that of the warm-up; the worst case is told.
    fn judge_delays(&self, growth: f64) -> Option<Requirement> {
        let staying = self.delays.iter().filter(|delays| delays.is_compared());
        let cases = staying.flat_map(|delays| {
            let [before, rest @ ..] = delays.phases;
            let phases = Phase::ALL.into_iter().skip(1).zip(rest);
            phases.map(move |(phase, during)| (&delays.sink, phase, before, during))
        });
        let limit = |before: LatencySummary| {
            let grown = before.p99.mul_f64(1.0 + growth);
            grown.max(before.p99 + RESOLUTION)
        };
        // Without a record there is nothing to compare, which is the worst.
        let over = |before: LatencySummary, during: LatencySummary| {
            let is_empty = before.count == 0 || during.count == 0;
            if is_empty { f64::MAX } else { during.p99.div_duration_f64(limit(before)) }
        };
        let worst =
            cases.max_by(|(_, _, a, b), (_, _, c, d)| over(*a, *b).total_cmp(&over(*c, *d)));
        let (sink, phase, before, during) = worst?;
        let (most, p99) = (limit(before), during.p99);
        Some(Requirement {
            name: "p99 delay, healthy sinks",
            limit: format!("within {} (warm-up {})", time(most), time(before.p99)),
            measured: format!("{} ({sink}, {})", time(p99), phase.name()),
            figures: (json!(most.as_secs_f64()), json!(p99.as_secs_f64())),
            holds: over(before, during) <= 1.0,
        })
    }
}

/// A time for people.
pub(super) fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

/// A size for people, in both units: the limit is in one, tools show the other.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB ({})", bytes / 1_000_000, bytes / 100_000 % 10, size(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DrillLimits = DrillLimits {
        lost: 0,
        refused: 0,
        memory: 45_000_000,
        p99: Duration::from_millis(10),
        slowest: Duration::from_millis(250),
        drain: Duration::from_secs(5),
        killed_clients: Some(8),
        delay_growth: Some(0.1),
        may_fill: false,
        must_fill: false,
        backlog_times: 0,
    };

    fn good() -> Figures {
        let answers = LatencySummary::of((1..=1000).map(|idx| idx * 10).collect());
        Figures {
            offered: 1000,
            delivered: 1000,
            resident_max: 44_999_999,
            drain: Some(Duration::from_secs(5)),
            repeated: 4096,
            answers: vec![(None, answers)],
            ..Figures::default()
        }
    }

    fn failing(figures: &Figures) -> Vec<&'static str> {
        let judged = figures.judge(&LIMITS).into_iter();
        judged.filter(|one| !one.holds).map(|one| one.name).collect()
    }

    #[test]
    fn every_limit_is_kept_at_its_edge_and_broken_behind_it() {
        assert_eq!(failing(&good()), [""; 0]);
        let broken = |change: &dyn Fn(&mut Figures)| {
            let mut figures = good();
            change(&mut figures);
            failing(&figures)
        };
        assert_eq!(broken(&|figures| figures.offered += 1), ["records lost end to end"]);
        assert_eq!(broken(&|figures| figures.altered += 1), ["records altered"]);
        assert_eq!(broken(&|figures| figures.misrouted += 1), ["records at the wrong sink"]);
        let removed = |figures: &mut Figures| {
            figures.offered += 2;
            (figures.removed, figures.unjudged) = (1, 1);
        };
        assert_eq!(broken(&removed), [""; 0]);
        assert_eq!(broken(&|figures| figures.refused += 1), ["exports refused"]);
        let overflow = |figures: &mut Figures| figures.dropped_by_queue += 1;
        assert_eq!(broken(&overflow), ["dropped by full client queues"]);
        let mut once: Vec<u32> = vec![10; 999];
        once.push(250_001);
        let slowest = LatencySummary::of(once);
        let change = |figures: &mut Figures| figures.answers = vec![(None, slowest)];
        assert_eq!(broken(&change), ["longest answer time"]);
        assert_eq!(broken(&|figures| figures.resident_max += 1), ["resident memory"]);
        assert_eq!(broken(&|figures| figures.drain = None), ["backlog delivered"]);
        let late = Some(Duration::from_millis(5001));
        assert_eq!(broken(&|figures| figures.drain = late), ["backlog delivered"]);
        assert_eq!(broken(&|figures| figures.repeated += 1), ["records repeated"]);
        let slow = LatencySummary::of(vec![10_001; 100]);
        let change = |figures: &mut Figures| figures.answers = vec![(None, slow)];
        assert_eq!(broken(&change), ["p99 answer time"]);
    }

    #[test]
    fn a_vault_that_may_be_full_excuses_what_it_must_and_no_more() {
        let limits = DrillLimits { may_fill: true, must_fill: true, backlog_times: 20, ..LIMITS };
        let failing = |change: &dyn Fn(&mut Figures)| {
            let mut figures = Figures {
                offered: 2000,
                refused: 7,
                full_for: Duration::from_secs(1),
                vault_bytes_max: 1_000_000_000,
                hit: Some(Hit { named: 1, ..Hit::default() }),
                found_corrupt: 1,
                ..good()
            };
            change(&mut figures);
            let judged = figures.judge(&limits).into_iter();
            judged.filter(|one| !one.holds).map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!(failing(&|_| {}), [""; 0]);
        assert_eq!(failing(&|figures| figures.missing = 1), ["acknowledged records lost"]);
        let with_room = |figures: &mut Figures| figures.refused_with_room = 1;
        assert_eq!(failing(&with_room), ["refused while there was room"]);
        assert_eq!(failing(&|figures| figures.refused_finally = 1), ["refused for good"]);
        assert_eq!(failing(&|figures| figures.full_for = Duration::ZERO), ["vault full"]);
        let small = |figures: &mut Figures| figures.vault_bytes_max = 800_000_000;
        assert_eq!(failing(&small), ["vault size / memory"]);
        assert_eq!(
            failing(&|figures| figures.found_corrupt = 0),
            ["corrupt requests found by the server"]
        );
        let unnamed = |figures: &mut Figures| figures.hit = Some(Hit::default());
        assert_eq!(failing(&unnamed), ["corrupt requests found by verify"]);
    }

    #[test]
    fn a_sink_that_stays_gets_its_records_as_early_as_before() {
        let delays = |stays: bool, millis: [u32; 3]| SinkDelays {
            sink: "other".to_owned(),
            stays,
            is_judged: true,
            phases: millis.map(|millis| LatencySummary::of(vec![millis * 1000; 9])),
        };
        let failing_with =
            |delays: &[SinkDelays]| failing(&Figures { delays: delays.to_vec(), ..good() });
        let name = ["p99 delay, healthy sinks"];
        assert_eq!(failing_with(&[delays(true, [100, 110, 110])]), [""; 0]);
        assert_eq!(failing_with(&[delays(true, [100, 111, 100])]), name);
        assert_eq!(failing_with(&[delays(true, [100, 100, 111])]), name);
        // One step of a timer.
        assert_eq!(failing_with(&[delays(true, [3, 4, 4])]), [""; 0]);
        assert_eq!(failing_with(&[delays(true, [3, 5, 3])]), name);
        // Those that are out are late, which is no fault; one bad one is enough.
        let out = delays(false, [3, 40_000, 500]);
        assert_eq!(failing_with(&[out.clone(), delays(true, [3, 3, 3])]), [""; 0]);
        assert_eq!(failing_with(&[out, delays(true, [3; 3]), delays(true, [3, 9, 3])]), name);
        // Where nothing came nothing was in time.
        let mut none = delays(true, [3; 3]);
        none.phases[1] = LatencySummary::default();
        assert_eq!(failing_with(&[none]), name);
    }
}
