//! One request that a backend never takes, and says to be taken later: it ends, and an outage ends nothing.

use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;

use crate::harness::Backend;
use crate::harness::BackendRefusal;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(20);
/// As the configuration has it; ten tries beside many others take less than half of it.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);
/// The rule of the website: so many tries count, after the first one.
const TRIES: u64 = 10;
/// The backend refuses one request of so many.
const OF: u8 = 10;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend:
    type: otlp
    inputs: [otlp]
    endpoint: "http://$BACKEND"
    protocol: $PROTOCOL
    retry: { min: 20ms, max: 50ms, give_up_after: 2s }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

fn is_never_taken(parcel: &NumberedRequest) -> bool {
    parcel.fingerprint.as_bytes()[0].is_multiple_of(OF)
}

/// The next request that the backend takes, or never does.
fn request(traffic: &Traffic, is_taken: bool) -> NumberedRequest {
    let mut requests = std::iter::repeat_with(|| traffic.request(Signal::Logs, 1));
    requests.find(|parcel| is_never_taken(parcel) != is_taken).expect("there is no end of them")
}

fn dead_letters(metrics: &Metrics) -> i64 {
    metrics.sum("gophership_vault_dead_lettered_total", &[])
}

/// Other requests, of which so many come together.
#[derive(Clone, Copy)]
struct Others {
    together: u64,
    pause: Duration,
}

impl Others {
    /// Sends them until there is a dead letter. Returns how many.
    async fn send(self, process: &Process, client: &GrpcClient, traffic: &Traffic) -> u64 {
        let (began, mut sent) = (Instant::now(), 0);
        while dead_letters(&process.metrics().await) != 1 {
            assert!(began.elapsed() < SOON, "no dead letter, beside {sent} others");
            for _ in 0..self.together {
                client.send(&request(traffic, true)).await.unwrap();
            }
            sent += self.together;
            tokio::time::sleep(self.pause).await;
        }
        sent
    }
}

/// Scenario: a backend says `UNAVAILABLE` or 503 to one request, and takes others, which are few: between
/// two of them the sink is out, because nothing is sent but what is never taken. Or they are many.
/// Guarantees: the request is a dead letter, with what was said, not before the time and not before
/// enough tries; each of the others is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_never_takes_beside_others_is_a_dead_letter_after_a_time() {
    let many = Others { together: 20, pause: Duration::ZERO };
    let few = Others { together: 1, pause: Duration::from_millis(60) };
    for (protocol, words, others) in [("grpc", "Unavailable: no", many), ("http", "HTTP 503", few)]
    {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), &YAML.replace("$PROTOCOL", protocol));
        let process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        backend.set(Mode::RefuseOneOf(OF, BackendRefusal::UNAVAILABLE));

        let began = Instant::now();
        client.send(&request(&traffic, false)).await.unwrap();
        let others = others.send(&process, &client, &traffic).await;
        let took = began.elapsed();
        assert!(GIVE_UP_AFTER <= took, "{protocol}: given up after {took:?}");
        let what = format!("{protocol}: the others are delivered");
        eventually(SOON, &what, || backend.fingerprints().len() as u64 == others).await;
        let tries = backend.attempts() - backend.requests();
        assert!(TRIES < tries, "{protocol}: given up after {tries} tries");

        let letters = process.control(&["dead-letters", "ls"]);
        let letters = String::from_utf8(letters.stdout).unwrap();
        assert!(letters.contains(words), "{protocol}: {letters}");
        assert_eq!(process.metrics().await.books("logs").imbalance(), 0, "{protocol}");
    }
}

/// Scenario: a backend says `UNAVAILABLE` to everything, for much longer than the sink tries one request.
/// Guarantees: nothing is a dead letter, and all is delivered when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_gives_nothing_up() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &YAML.replace("$PROTOCOL", "grpc"));
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..40 {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    }
    backend.set(Mode::Unavailable);
    let began = Instant::now();
    let mut kept = 40;
    while began.elapsed() < 2 * GIVE_UP_AFTER {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
        kept += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let tries = backend.attempts() - backend.requests();
    assert!(TRIES < tries, "{tries} tries");
    backend.set(Mode::Accept);
    eventually(SOON, "all is delivered", || backend.fingerprints().len() == kept).await;
    assert_eq!(dead_letters(&process.metrics().await), 0);
}
