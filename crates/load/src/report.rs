//! What came of a load: a table for people, one document for scripts.

use std::fmt::Write;
use std::time::Duration;

use gophership_http_client::Compression;
use gophership_units::HumanDuration;
use gophership_units::columns;
use gophership_units::grouped;
use serde_json::Value;
use serde_json::json;

use crate::latency::Percentiles;
use crate::load::Load;
use crate::tally::Count;
use crate::tally::Tally;
use crate::text::bytes;
use crate::text::latency;

/// A generator that is later than this tells more about its own machine than about the target.
const LATENESS_MAX: Duration = Duration::from_millis(5);

/// What came of a load.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// What load it was.
    pub load: Load,
    /// The mean size of a request before compression.
    pub bytes_per_request: u64,
    /// Requests that became due.
    pub offered: u64,
    /// Requests that became due and were not sent, because too many others were not answered.
    pub not_sent: u64,
    /// For how long requests became due.
    pub offered_for: Duration,
    /// What came of those that were sent.
    pub tally: Tally,
    /// How late the generator itself was: from when a request was due until it was given to the connections.
    pub lateness: Percentiles,
    /// Connections that were opened, those in place of broken ones included.
    pub connections_opened: u64,
    /// What the target said if it refused the empty request that opens a connection.
    pub refusal: Option<String>,
    /// Whether the schedule was cut short.
    pub is_interrupted: bool,
}

impl LoadReport {
    /// Whether every request that became due was accepted, with all of its records.
    #[must_use]
    pub const fn is_all_accepted(&self) -> bool {
        self.tally.accepted.requests == self.offered && self.tally.rejected_records == 0
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let latencies = ["latency", ">requests", ">p50", ">p90", ">p99", ">p99.9", ">max"];
        let mut text = format!(
            "{}\n\n{}\n{}\n{}\n",
            self.subject(),
            columns(&["result", ">requests", ">records", ">size"], &self.count_rows()),
            columns(&["rate", ">requests/s", ">records/s", ">size/s"], &self.rate_rows()),
            columns(&latencies, &self.latency_rows()),
        );
        for (reason, count) in &self.tally.reasons {
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{reason} ({})", requests(*count));
        }
        for note in self.notes() {
            let _written = writeln!(text, "note: {note}");
        }
        let _written = writeln!(text, "{}", self.verdict());
        text
    }

    fn subject(&self) -> String {
        let Load { target, schedule, connections, streams, .. } = &self.load;
        let compression = match target.compression {
            Compression::None => "",
            Compression::Gzip => " before gzip",
            Compression::Zstd => " before zstd",
        };
        format!(
            "{} to {}: {}, {} records/s for {}\nrequests of {} records ({}{compression}) over {connections} connections, at most {streams} at a time on each",
            target.protocol_name(),
            target.address(),
            target.signal,
            grouped(schedule.rate.get()),
            HumanDuration(schedule.lasts),
            grouped(schedule.records.get()),
            bytes(self.bytes_per_request),
        )
    }

    /// So many requests with their records, by the mean size.
    fn counted(&self, requests: u64) -> Count {
        let records = requests * u64::from(self.load.schedule.records.get());
        Count { requests, records, bytes: requests * self.bytes_per_request }
    }

    fn count_rows(&self) -> Vec<Vec<String>> {
        let tally = &self.tally;
        let row = |name: &str, count: Count| {
            let [requests, records] = [count.requests, count.records].map(grouped);
            vec![name.to_owned(), requests, records, bytes(count.bytes)]
        };
        let mut rows = vec![
            row("offered", self.counted(self.offered)),
            row("accepted", self.accepted()),
            row("refused", tally.refused),
        ];
        for (code, requests) in &tally.refused_by_code {
            rows.push(row(&format!("  {code}"), self.counted(*requests)));
        }
        if 0 < tally.rejected_records {
            let [requests, records] = [tally.partly_rejected, tally.rejected_records].map(grouped);
            rows.push(vec!["partly rejected".to_owned(), requests, records]);
        }
        rows.push(row("not connected", tally.not_connected));
        rows.push(row("not answered", tally.unanswered));
        rows.push(row("not sent", self.counted(self.not_sent)));
        rows
    }

    fn rate_rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, count: Count, time: Duration| {
            let [requests, records, size] =
                [count.requests, count.records, count.bytes].map(|number| rate(number, time));
            vec![name.to_owned(), one_decimal(requests), whole(records), bytes(to_u64(size))]
        };
        vec![
            row("offered", self.counted(self.offered), self.offered_for),
            row("accepted", self.accepted(), self.accepted_in()),
        ]
    }

    /// What was accepted, without rejected records.
    fn accepted(&self) -> Count {
        let Count { requests, records, bytes } = self.tally.accepted;
        Count { requests, records: records - self.tally.rejected_records, bytes }
    }

    /// From the start to the last answer, at least as long as requests became due.
    fn accepted_in(&self) -> Duration {
        self.tally.last_answer.max(self.offered_for)
    }

    fn latency_rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, percentiles: Percentiles| {
            let Percentiles { count, p50, p90, p99, p999, max } = percentiles;
            let times = [p50, p90, p99, p999, max];
            let times =
                times.map(|time| if count == 0 { "none".to_owned() } else { latency(time) });
            [name.to_owned(), grouped(count)].into_iter().chain(times).collect()
        };
        let tally = &self.tally;
        let mut rows = vec![
            row("accepted, since due", tally.since_due.percentiles()),
            row("accepted, since sent", tally.since_sent.percentiles()),
        ];
        if 0 < tally.refused.requests {
            rows.push(row("refused, since due", tally.refused_since_due.percentiles()));
        }
        rows.push(row("generator, behind its schedule", self.lateness));
        rows
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_interrupted {
            let seconds = self.offered_for.as_secs_f64();
            notes.push(format!("interrupted after {seconds:.1} s of the schedule"));
        }
        let is_repeated = |refusal: &&String| {
            self.tally.reasons.keys().any(|reason| reason.ends_with(refusal.as_str()))
        };
        if let Some(refusal) = self.refusal.as_ref().filter(|refusal| !is_repeated(refusal)) {
            notes.push(format!("the target refused an empty request before the start: {refusal}"));
        }
        let Percentiles { p99, .. } = self.lateness;
        if LATENESS_MAX < p99 {
            notes.push(format!(
                "the generator was late itself (p99 {}), so the latencies are too long; give it a machine with more processors, or lower --rate",
                latency(p99)
            ));
        }
        if 0 < self.not_sent {
            notes.push(format!(
                "{} not sent: at most {} may be due and not answered (--in-flight-max), and the generator waits {} after the last (--timeout)",
                requests(self.not_sent),
                grouped(self.load.in_flight_max as u64),
                HumanDuration(self.load.timeout)
            ));
        }
        notes
    }

    fn verdict(&self) -> String {
        let records = self.counted(self.offered).records;
        if self.is_all_accepted() {
            return format!("all {} records were accepted", grouped(records));
        }
        let failed = records - self.accepted().records;
        let [failed, records] = [failed, records].map(grouped);
        format!("FAILED: {failed} of {records} records were not accepted")
    }

    /// For scripts: requests, records, bytes and seconds.
    #[must_use]
    pub fn document(&self) -> Value {
        let (tally, offered) = (&self.tally, self.counted(self.offered));
        let count = |count: Count| json!({ "requests": count.requests, "records": count.records, "bytes": count.bytes });
        let rates = |count: Count, time| {
            json!({
                "requests_per_second": rate(count.requests, time),
                "records_per_second": rate(count.records, time),
                "bytes_per_second": rate(count.bytes, time),
            })
        };
        json!({
            "all_accepted": self.is_all_accepted(),
            "interrupted": self.is_interrupted,
            "load": self.load_document(),
            "offered_seconds": self.offered_for.as_secs_f64(),
            "seconds": self.accepted_in().as_secs_f64(),
            "offered": count(offered),
            "accepted": count(self.accepted()),
            "partly_rejected": {
                "requests": tally.partly_rejected,
                "records": tally.rejected_records,
            },
            "refused": count(tally.refused),
            "refused_by_code": tally.refused_by_code,
            "not_connected": count(tally.not_connected),
            "not_answered": count(tally.unanswered),
            "not_sent": count(self.counted(self.not_sent)),
            "reasons": tally.reasons,
            "rates": {
                "offered": rates(offered, self.offered_for),
                "accepted": rates(self.accepted(), self.accepted_in()),
            },
            "latency": {
                "accepted_since_due": seconds(tally.since_due.percentiles()),
                "accepted_since_sent": seconds(tally.since_sent.percentiles()),
                "refused_since_due": seconds(tally.refused_since_due.percentiles()),
                "generator_behind_schedule": seconds(self.lateness),
            },
            "connections_opened": self.connections_opened,
            "notes": self.notes(),
        })
    }

    fn load_document(&self) -> Value {
        let Load { target, schedule, connections, streams, in_flight_max, timeout } = &self.load;
        json!({
            "url": target.address(),
            "protocol": target.protocol,
            "encoding": target.encoding,
            "compression": target.compression,
            "signal": target.signal.name(),
            "records_per_second": schedule.rate.get(),
            "records_per_request": schedule.records.get(),
            "bytes_per_request": self.bytes_per_request,
            "lasts_seconds": schedule.lasts.as_secs_f64(),
            "connections": connections,
            "streams": streams,
            "in_flight_max": in_flight_max,
            "timeout_seconds": timeout.as_secs_f64(),
        })
    }
}

fn seconds(percentiles: Percentiles) -> Value {
    let Percentiles { count, p50, p90, p99, p999, max } = percentiles;
    let seconds = |latency: Duration| (0 < count).then_some(latency.as_secs_f64());
    json!({
        "count": count,
        "p50_seconds": seconds(p50),
        "p90_seconds": seconds(p90),
        "p99_seconds": seconds(p99),
        "p999_seconds": seconds(p999),
        "max_seconds": seconds(max),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs fewer digits")]
fn rate(number: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { number as f64 / time.as_secs_f64() }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn to_u64(number: f64) -> u64 {
    number.round() as u64
}

fn requests(count: u64) -> String {
    format!("{} request{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn whole(number: f64) -> String {
    grouped(to_u64(number))
}

fn one_decimal(number: f64) -> String {
    let tenths = to_u64(number * 10.0);
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use gophership_otlp::Signal;
    use gophership_otlp_client::Encoding;
    use gophership_otlp_client::Protocol;
    use http::HeaderMap;

    use super::*;
    use crate::outcome::SendOutcome;
    use crate::schedule::SendSchedule;
    use crate::tally::RequestTimes;
    use crate::target::LoadTarget;

    const TEXT: &str = "\
OTLP/HTTP to http://localhost:4318/in: logs, 2,000 records/s for 5s
requests of 1,000 records (250.0 kB before gzip) over 2 connections, at most 1 at a time on each

result           requests  records      size
offered                10   10,000    2.5 MB
accepted                3    2,990  750.0 kB
refused                 2    2,000  500.0 kB
  HTTP 503              2    2,000  500.0 kB
partly rejected         1       10
not connected           0        0       0 B
not answered            1    1,000  250.0 kB
not sent                4    4,000    1.0 MB

rate      requests/s  records/s    size/s
offered          2.0      2,000  500.0 kB
accepted         0.6        598  150.0 kB

latency                         requests     p50     p90     p99   p99.9     max
accepted, since due                    3  9.0 ms  9.0 ms  9.0 ms  9.0 ms  9.0 ms
accepted, since sent                   3  7.0 ms  7.0 ms  7.0 ms  7.0 ms  7.0 ms
refused, since due                     2  9.0 ms  9.0 ms  9.0 ms  9.0 ms  9.0 ms
generator, behind its schedule        10  1.0 ms  1.0 ms  7.0 ms  7.0 ms  7.0 ms

accepted without 10 records: too old (1 request)
no answer: nothing came within 1s (1 request)
refused: full (2 requests)
note: the generator was late itself (p99 7.0 ms), so the latencies are too long; give it a machine with more processors, or lower --rate
note: 4 requests not sent: at most 4 may be due and not answered (--in-flight-max), and the generator waits 1s after the last (--timeout)
FAILED: 7,010 of 10,000 records were not accepted
";

    fn report() -> LoadReport {
        let target = LoadTarget {
            url: http::Uri::from_static("http://localhost:4318/in"),
            protocol: Protocol::Http,
            encoding: Encoding::Protobuf,
            compression: Compression::Gzip,
            signal: Signal::Logs,
            headers: HeaderMap::new(),
            ca_file: None,
        };
        let [rate, records] = [2_000, 1_000].map(|number| NonZeroU32::new(number).unwrap());
        let lasts = Duration::from_secs(5);
        let load = Load {
            target,
            schedule: SendSchedule { rate, records, lasts },
            connections: 2,
            streams: 1,
            in_flight_max: 4,
            timeout: Duration::from_secs(1),
        };
        let mut tally = Tally::default();
        let refused =
            SendOutcome::Refused { code: "HTTP 503".to_owned(), reason: "full".to_owned() };
        let accepted =
            |rejected, said: &str| SendOutcome::Accepted { rejected, said: said.to_owned() };
        let lost = SendOutcome::Unanswered { reason: "nothing came within 1s".to_owned() };
        let outcomes = [
            accepted(0, ""),
            accepted(0, ""),
            accepted(10, "too old"),
            refused.clone(),
            refused,
            lost,
        ];
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let due = Duration::from_millis(number as u64 * 500);
            let (sent, answered) = (due + Duration::from_millis(2), due + Duration::from_millis(9));
            tally.add(outcome, RequestTimes { due, sent, answered }, 1_000, 250_000);
        }
        let [early, late] = [1, 7].map(Duration::from_millis);
        LoadReport {
            load,
            bytes_per_request: 250_000,
            offered: 10,
            not_sent: 4,
            offered_for: lasts,
            tally,
            lateness: Percentiles {
                count: 10,
                p50: early,
                p90: early,
                p99: late,
                p999: late,
                max: late,
            },
            connections_opened: 2,
            refusal: Some("full".to_owned()),
            is_interrupted: false,
        }
    }

    #[test]
    fn every_request_is_in_the_report_with_what_became_of_it() {
        assert_eq!(report().text(), TEXT);
    }

    #[test]
    fn the_document_has_the_same_counts() {
        let document = report().document();
        let kinds = ["accepted", "refused", "not_connected", "not_answered", "not_sent"];
        let counted: u64 =
            kinds.iter().map(|kind| document[kind]["requests"].as_u64().unwrap()).sum();
        assert_eq!((Some(counted), counted), (document["offered"]["requests"].as_u64(), 10));
        assert_eq!(document["accepted"]["records"], 2_990);
        assert_eq!(document["all_accepted"], false);
    }
}
