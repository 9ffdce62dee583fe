//! Uploads keep to a pace, piece by piece.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use gophership_s3::BucketClient;
use gophership_s3::ObjectBody;
use gophership_s3::PutOptions;
use gophership_s3::PutOutcome;
use gophership_s3::S3ErrorKind;
use gophership_s3::Turn;
use gophership_s3::UploadPacer;

use crate::fixture::Fixture;
use crate::fixture::if_absent;
use crate::fixture::noise;

const MIB: usize = 1 << 20;

/// Holds pieces back so that they keep to a rate, and notes when each is sent.
struct Pacer {
    bytes_per_second: u64,
    free_at: Mutex<Instant>,
    sent: Mutex<Vec<(Instant, u64)>>,
    turns: Mutex<u32>,
}

impl Pacer {
    fn new(bytes_per_second: u64) -> Arc<Self> {
        let free_at = Mutex::new(Instant::now());
        Arc::new(Self { bytes_per_second, free_at, sent: Mutex::default(), turns: Mutex::new(0) })
    }

    fn all_sent(&self) -> u64 {
        self.sent.lock().unwrap().iter().map(|(_, bytes)| bytes).sum()
    }

    /// The most bytes that were sent within so long.
    fn most_within(&self, span: Duration) -> u64 {
        let sent = self.sent.lock().unwrap();
        let within = |from: Instant| -> u64 {
            let ours = sent.iter().filter(|(at, _)| from <= *at && *at < from + span);
            ours.map(|(_, bytes)| bytes).sum()
        };
        sent.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
    }
}

impl UploadPacer for Pacer {
    fn hold(&self, bytes: u64) -> Duration {
        let (now, mut free_at) = (Instant::now(), self.free_at.lock().unwrap());
        let begins = (*free_at).max(now);
        *free_at = begins + Duration::from_micros(bytes * 1_000_000 / self.bytes_per_second);
        begins - now
    }

    fn sent(&self, bytes: u64) {
        self.sent.lock().unwrap().push((Instant::now(), bytes));
    }

    fn turn(&self) -> Turn<'_> {
        *self.turns.lock().unwrap() += 1;
        Box::pin(async {})
    }
}

fn paced(fixture: &Fixture, pacer: &Arc<Pacer>) -> BucketClient {
    fixture.bucket.clone().with_pacer(Arc::clone(pacer) as Arc<dyn UploadPacer>)
}

/// Scenario: a file is uploaded in one request, so slowly that it takes longer than a request may.
/// Guarantees: the bytes are spread over the time instead of sent at once; the time for which they are held back
/// does not count against the request; what arrives is the file.
#[tokio::test]
async fn a_request_keeps_to_the_rate_and_may_take_the_time_for_it() {
    let fixture = Fixture::with(|it| {
        it.attempt_timeout = gophership_units::HumanDuration(Duration::from_millis(900));
        it.timeout = it.attempt_timeout;
    })
    .await;
    let (bytes, path) = (noise(MIB), fixture.folder.path().join("file"));
    std::fs::write(&path, &bytes).unwrap();
    let pacer = Pacer::new(MIB as u64 / 2);
    let put = PutOptions { crc32: Some(crc32fast::hash(&bytes)), ..if_absent() };
    let began = Instant::now();
    let body = ObjectBody::File { path, bytes: MIB as u64 };
    let outcome = paced(&fixture, &pacer).put("file", body, &put).await.unwrap();
    assert!(matches!(outcome, PutOutcome::Written { .. }));
    assert!(Duration::from_millis(1700) < began.elapsed(), "{:?}", began.elapsed());
    assert_eq!(pacer.all_sent(), MIB as u64);
    // At the rate 256 KiB are sent in half a second; a busy machine may send what it was late with.
    let most = pacer.most_within(Duration::from_millis(500));
    assert!(most <= 512 << 10, "{most} bytes in half a second");
    assert_eq!(fixture.read("file").await.unwrap(), bytes);
}

/// Scenario: a file is uploaded in three parts.
/// Guarantees: the pacer is asked for a turn before each part, and hears of all bytes; what arrives is the file.
#[tokio::test]
async fn each_part_has_its_turn_and_keeps_to_the_rate() {
    let fixture = Fixture::new().await;
    let (bytes, path) = (noise(12 * MIB), fixture.folder.path().join("file"));
    std::fs::write(&path, &bytes).unwrap();
    let pacer = Pacer::new(8 * MIB as u64);
    let put = PutOptions { crc32: Some(crc32fast::hash(&bytes)), ..if_absent() };
    let began = Instant::now();
    let bucket = paced(&fixture, &pacer);
    let outcome = bucket.put_multipart("file", &path, 5 * MIB as u64, &put).await.unwrap();
    assert!(matches!(outcome, PutOutcome::Written { .. }));
    assert!(Duration::from_millis(1300) < began.elapsed(), "{:?}", began.elapsed());
    assert_eq!((pacer.all_sent(), *pacer.turns.lock().unwrap()), (12 * MIB as u64, 3));
    assert_eq!(fixture.read("file").await.unwrap(), bytes);
}

/// Scenario: the server takes a paced request and never answers.
/// Guarantees: the time that the pacer does not take still counts: it is a timeout.
#[tokio::test]
async fn a_paced_request_without_an_answer_still_ends() {
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join("file");
    std::fs::write(&path, noise(MIB / 4)).unwrap();
    fixture
        .server
        .faults()
        .always(gophership_s3_sim::RequestKind::Put, gophership_s3_sim::Fault::Stall);
    let pacer = Pacer::new(MIB as u64);
    let began = Instant::now();
    let body = ObjectBody::File { path, bytes: MIB as u64 / 4 };
    let error = paced(&fixture, &pacer).put("file", body, &if_absent()).await.unwrap_err();
    assert_eq!(error.kind, S3ErrorKind::Timeout, "{error}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Scenario: a file has become shorter than it was when it was described.
/// Guarantees: an error of the local file, before anything is sent.
#[tokio::test]
async fn a_file_that_is_too_short_is_not_sent() {
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join("file");
    std::fs::write(&path, noise(1000)).unwrap();
    let body = ObjectBody::File { path, bytes: 1001 };
    let error = fixture.bucket.put("file", body, &if_absent()).await.unwrap_err();
    assert_eq!(error.kind, S3ErrorKind::LocalFile, "{error}");
    assert!(error.to_string().contains("1000 bytes instead of 1001"), "{error}");
    assert_eq!(fixture.server.faults().seen_all(), 0);
}
