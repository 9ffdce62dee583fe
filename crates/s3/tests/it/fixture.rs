//! A server, a bucket on it, and what was told about its requests.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;
use gophership_s3::ObjectBody;
use gophership_s3::PutCondition;
use gophership_s3::PutOptions;
use gophership_s3::RequestReport;
use gophership_s3_sim::ACCESS_KEY;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::SECRET_KEY;
use gophership_units::HumanDuration;
use gophership_units::Secret;

/// The name of the bucket.
pub(crate) const BUCKET: &str = "archive";

/// A server with a bucket.
pub(crate) struct Fixture {
    pub(crate) server: S3Server,
    pub(crate) bucket: BucketClient,
    reports: Arc<Mutex<Vec<RequestReport>>>,
    pub(crate) folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut BucketOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start(&folder.path().join("server")).unwrap();
        server.create_bucket(BUCKET).unwrap();
        let mut options = options(&server);
        change(&mut options);
        let reports = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reports);
        let bucket = BucketClient::connect(&options).await.unwrap();
        let bucket = bucket.with_observer(Arc::new(move |it| told.lock().unwrap().push(*it)));
        Self { server, bucket, reports, folder }
    }

    /// The reports since the last call.
    pub(crate) fn reports(&self) -> Vec<RequestReport> {
        std::mem::take(&mut *self.reports.lock().unwrap())
    }

    /// All of an object.
    pub(crate) async fn read(&self, key: &str) -> Option<Vec<u8>> {
        let reader = self.bucket.get(key, None).await.unwrap()?;
        Some(reader.read_all(usize::MAX).await.unwrap())
    }
}

/// Options for the bucket of a server, with short times.
pub(crate) fn options(server: &S3Server) -> BucketOptions {
    let mut options = BucketOptions::new(BUCKET);
    options.endpoint = Some(server.endpoint());
    options.region = Some("us-east-1".to_owned());
    options.path_style = true;
    options.credentials.access_key_id = Some(Secret(ACCESS_KEY.to_owned()));
    options.credentials.secret_access_key = Some(Secret(SECRET_KEY.to_owned()));
    options.attempt_timeout = HumanDuration(Duration::from_millis(700));
    options
}

/// Bytes in memory.
pub(crate) fn body(text: &'static str) -> ObjectBody {
    ObjectBody::Bytes(Bytes::from_static(text.as_bytes()))
}

/// Bytes that do not repeat.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(next).collect()
}

/// To be written once.
pub(crate) fn if_absent() -> PutOptions {
    PutOptions { condition: PutCondition::IfAbsent, ..PutOptions::default() }
}
