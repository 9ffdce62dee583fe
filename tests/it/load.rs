//! The load generator and the server agree on what was accepted.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use gophership_http_client::Compression;
use gophership_load::Load;
use gophership_load::LoadReport;
use gophership_load::LoadTarget;
use gophership_load::SendSchedule;
use gophership_otlp::Signal;
use gophership_otlp_client::Encoding;
use gophership_otlp_client::Protocol;
use http::HeaderMap;
use tokio::sync::watch;

use crate::harness::Site;
use crate::harness::free_address;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, http: { listen: "$HTTP" } }
sinks:
  out: { type: blackhole, inputs: [otlp] }
"#;

/// Puts 100 requests of 10 records each on a listener.
async fn put(address: SocketAddr, protocol: Protocol, encoding: Encoding) -> LoadReport {
    let target = LoadTarget {
        url: format!("http://{address}").parse().unwrap(),
        protocol,
        encoding,
        compression: Compression::None,
        signal: Signal::Logs,
        headers: HeaderMap::new(),
        ca_file: None,
    };
    let [rate, records] = [5_000, 10].map(|number| NonZeroU32::new(number).unwrap());
    let load = Load {
        target,
        schedule: SendSchedule { rate, records, lasts: Duration::from_millis(200) },
        connections: 2,
        streams: 1,
        in_flight_max: 1_000,
        timeout: Duration::from_secs(10),
    };
    // Nobody interrupts it.
    let interrupts = watch::Sender::new(0).subscribe();
    gophership_load::run(load, interrupts, |_| {}).await.unwrap()
}

/// Scenario: the generator puts a load on both listeners of a server, in each protocol and form.
/// Guarantees: the server takes everything, the empty requests before the start included, and has booked as many
/// records as the report says.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_load_generator_reports_is_what_the_server_has_booked() {
    let site = Site::new(free_address(), YAML);
    let server = site.start().await;
    let mut accepted = 0;
    for (address, protocol, encoding) in [
        (site.grpc(), Protocol::Grpc, Encoding::Protobuf),
        (site.http(), Protocol::Http, Encoding::Protobuf),
        (site.http(), Protocol::Http, Encoding::Json),
    ] {
        let report = put(address, protocol, encoding).await;
        assert!(report.is_all_accepted() && report.refusal.is_none(), "{}", report.text());
        accepted += i64::try_from(report.tally.accepted.records).unwrap();
    }
    let books = server.metrics().await.books("logs");
    assert_eq!((books.count("received"), accepted), (3_000, 3_000));
}
