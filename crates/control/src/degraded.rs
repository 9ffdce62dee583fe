//! Which sinks do not deliver all that they get, in one sentence each: the same in `/readyz`, in `gs-ctl status`
//! and on the page for people.

use std::time::Duration;

use gophership_units::HumanDuration;

use crate::proto;

/// A backlog that is younger is not told: a queue that was full for a moment is no news.
const TOLD_AFTER_SECONDS: u64 = 1;
/// Of a circuit that lets requests through.
const CLOSED: &str = "closed";

/// A sink, or one of its endpoints, that is out or behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// What is wrong, since when, and what waits in the vault.
    pub sentence: String,
    /// What the backend said, or what happened last; empty if nothing did.
    pub reason: String,
}

impl Degraded {
    /// Both, in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { sentence, reason } = self;
        if reason.is_empty() { sentence.clone() } else { format!("{sentence}: {reason}") }
    }
}

/// Tells of each sink that is out or for which a vault keeps requests, and of each endpoint that is out beside others.
#[must_use]
pub fn degraded(status: &proto::StatusResponse) -> Vec<Degraded> {
    let mut told = Vec::new();
    for sink in sinks(status) {
        let backlog = status.sink_backlogs.iter().find(|backlog| backlog.sink == sink);
        let backlog = backlog.filter(|it| 0 < it.requests && TOLD_AFTER_SECONDS <= it.seconds);
        let waits = backlog.map(waiting);
        let outages = || outages(status, sink);
        if is_out(status, sink) {
            // It is out since its last endpoint is.
            let Some((_, outage)) = outages().min_by_key(|(_, outage)| outage.seconds) else {
                continue;
            };
            let waits = waits.map(|waits| format!(", {waits}")).unwrap_or_default();
            let lasts = duration(outage.seconds);
            told.push(Degraded {
                sentence: format!("sink {sink} has been out for {lasts}{waits}"),
                reason: outage.reason.clone(),
            });
        } else {
            told.extend(outages().map(|(endpoint, outage)| Degraded {
                sentence: format!(
                    "endpoint {endpoint} of sink {sink} has been out for {}",
                    duration(outage.seconds)
                ),
                reason: outage.reason.clone(),
            }));
            told.extend(waits.map(|waits| Degraded {
                sentence: format!("sink {sink} has {waits}"),
                reason: String::new(),
            }));
        }
    }
    told
}

/// The sinks of which something is to be told, each once.
fn sinks(status: &proto::StatusResponse) -> Vec<&str> {
    let outages = status.outages.iter().filter_map(place).map(|(sink, _)| sink);
    let backlogs = status.sink_backlogs.iter().map(|backlog| backlog.sink.as_str());
    let mut sinks: Vec<&str> = outages.chain(backlogs).collect();
    sinks.sort_unstable();
    sinks.dedup();
    sinks
}

/// The sink and the endpoint.
fn place(outage: &proto::Outage) -> Option<(&str, &str)> {
    outage.place.split_once(' ')
}

/// The endpoints of a sink that are out.
fn outages<'s>(
    status: &'s proto::StatusResponse,
    sink: &str,
) -> impl Iterator<Item = (&'s str, &'s proto::Outage)> {
    let of_sink = move |outage: &'s proto::Outage| {
        let (name, endpoint) = place(outage)?;
        (name == sink).then_some((endpoint, outage))
    };
    status.outages.iter().filter_map(of_sink)
}

/// Whether no endpoint of a sink takes requests.
fn is_out(status: &proto::StatusResponse, sink: &str) -> bool {
    let delivery = status.deliveries.iter().find(|delivery| delivery.id == sink);
    let is_closed = |endpoint: &proto::DeliveryEndpoint| endpoint.circuit == CLOSED;
    delivery.is_some_and(|it| !it.endpoints.iter().any(is_closed))
}

/// What waits for a sink in the vault.
fn waiting(backlog: &proto::SinkBacklog) -> String {
    let proto::SinkBacklog { requests, records, bytes, oldest_seconds, drain_seconds, .. } =
        backlog;
    // It is not known before a request was read.
    let records =
        if *records == 0 { String::new() } else { format!("{} records, ", count(*records)) };
    let drained = drain_seconds.map(|it| format!(", drained in about {}", duration(it)));
    format!(
        "{} requests ({records}{}) in the vault, oldest {}{}",
        count(*requests),
        size(*bytes),
        duration(*oldest_seconds),
        drained.unwrap_or_default()
    )
}

fn duration(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

/// A number up to a million with every digit, a larger one with one behind the point.
fn count(number: u64) -> String {
    match number {
        0..1_000_000 => gophership_units::grouped(number),
        1_000_000..1_000_000_000 => format!("{} M", tenths(number, 1_000_000)),
        _ => format!("{} G", tenths(number, 1_000_000_000)),
    }
}

fn size(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >> shift != 0 {
            return format!("{} {unit}", tenths(bytes, 1 << shift));
        }
    }
    format!("{bytes} B")
}

/// How often a unit is in a number, with one digit behind the point.
fn tenths(number: u64, unit: u64) -> String {
    let tenths = u128::from(number) * 10 / u128::from(unit);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(place: &str, seconds: u64) -> proto::Outage {
        proto::Outage { place: place.to_owned(), seconds, reason: "Unavailable: no".to_owned() }
    }

    fn delivery(id: &str, endpoints: &[(&str, &str)]) -> proto::Delivery {
        let endpoint = |(name, circuit): &(&str, &str)| proto::DeliveryEndpoint {
            name: (*name).to_owned(),
            circuit: (*circuit).to_owned(),
        };
        proto::Delivery {
            id: id.to_owned(),
            endpoints: endpoints.iter().map(endpoint).collect(),
            ..proto::Delivery::default()
        }
    }

    fn backlog(sink: &str) -> proto::SinkBacklog {
        proto::SinkBacklog {
            sink: sink.to_owned(),
            requests: 14_200,
            records: 7_134_000,
            bytes: 1_400_000_000,
            seconds: 192,
            oldest_seconds: 190,
            drain_seconds: Some(40),
            ..proto::SinkBacklog::default()
        }
    }

    fn lines(status: &proto::StatusResponse) -> Vec<String> {
        degraded(status).iter().map(Degraded::line).collect()
    }

    #[test]
    fn a_sink_that_is_out_says_since_when_what_waits_and_why() {
        let mut status = proto::StatusResponse {
            outages: vec![outage("backend http://a", 192)],
            deliveries: vec![delivery("backend", &[("http://a", "open")])],
            ..proto::StatusResponse::default()
        };
        assert_eq!(lines(&status), ["sink backend has been out for 3m12s: Unavailable: no"]);
        status.sink_backlogs = vec![backlog("backend")];
        let waits = "14,200 requests (7.1 M records, 1.3 GiB) in the vault, oldest 3m10s, drained in about 40s";
        assert_eq!(
            lines(&status),
            [format!("sink backend has been out for 3m12s, {waits}: Unavailable: no")]
        );
        status.outages.clear();
        status.deliveries = vec![delivery("backend", &[("http://a", CLOSED)])];
        assert_eq!(lines(&status), [format!("sink backend has {waits}")]);
        status.sink_backlogs[0].seconds = 0;
        assert!(lines(&status).is_empty(), "a moment is not told");
    }

    #[test]
    fn an_endpoint_that_is_out_beside_another_does_not_put_the_sink_out() {
        let ends = |second| vec![delivery("b", &[("http://a", "open"), ("http://c", second)])];
        let mut status = proto::StatusResponse {
            outages: vec![outage("b http://a", 60), outage("bb http://x", 3)],
            deliveries: ends(CLOSED),
            ..proto::StatusResponse::default()
        };
        let said = "Unavailable: no";
        assert_eq!(
            lines(&status),
            [
                format!("endpoint http://a of sink b has been out for 1m: {said}"),
                format!("endpoint http://x of sink bb has been out for 3s: {said}"),
            ]
        );
        status.outages[1] = outage("b http://c", 5);
        status.deliveries = ends("denied");
        assert_eq!(lines(&status), [format!("sink b has been out for 5s: {said}")]);
    }

    #[test]
    fn numbers_are_short_and_what_is_not_known_is_not_told() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (999_999, "999,999"),
            (1_000_000, "1.0 M"),
            (2_590_000_000, "2.5 G"),
        ] {
            assert_eq!(count(number), shown);
        }
        for (bytes, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 40, "1.0 TiB")]
        {
            assert_eq!(size(bytes), shown);
        }
        let unread = proto::SinkBacklog { records: 0, drain_seconds: None, ..backlog("b") };
        assert_eq!(waiting(&unread), "14,200 requests (1.3 GiB) in the vault, oldest 3m10s");
    }
}
