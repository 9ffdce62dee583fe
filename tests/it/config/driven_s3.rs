//! Examples with a bucket: `s3-objects.yaml` fills one, `s3-replay.yaml` reads one.

use std::fs;
use std::io::Read;
use std::time::Duration;

use gophership_otlp::Signal;
use gophership_s3_sim::S3Server;

use super::driven::example;
use super::driven::log;
use super::driven::site;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Process;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::vault_archive::BUCKET;
use crate::vault_archive::PREFIX;
use crate::vault_archive::archive;
use crate::vault_archive::server;
use crate::vault_tools::make_of;

const SOON: Duration = Duration::from_secs(30);
const LAKE: &str = "telemetry-lake";

/// Scenario: the example for a data lake gets a log record of a service.
/// Guarantees: an object in the folder of that service has it, as a line of JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lake_has_an_object_for_each_service() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(folder.path()).unwrap();
    server.create_bucket(LAKE).unwrap();
    let backend = Backend::start().await;
    let mut site = site(&example("s3-objects.yaml"), &backend);
    site.env = server.environment();
    site.env.push(("S3_PATH_STYLE", "true".to_owned()));
    site.env.push(("OBJECT_AGE", "300ms".to_owned()));
    let mut process = site.start().await;
    let wire = log(1, 9, "order placed", "shop");
    GrpcClient::new(site.grpc()).send_to(Signal::Logs.grpc_path(), wire).await.unwrap();
    let object = || {
        let keys = server.objects(LAKE).unwrap().into_keys();
        let is_ours = |key: &String| key.starts_with("telemetry/logs/") && key.contains("/shop/");
        keys.filter(is_ours).find(|key| !key.contains("/."))
    };
    eventually(SOON, "an object of the service", || object().is_some()).await;
    let packed = fs::File::open(server.object_path(LAKE, &object().unwrap())).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    assert!(text.contains("order placed") && text.ends_with("}\n"), "{text}");
    process.stop(SOON).await;
}

/// Scenario: the example for the way back, on an archive of a vault.
/// Guarantees: every request of the archive is delivered, and the process ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_comes_back_through_the_example() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let vault = folder.path().join("vault");
    fs::create_dir(&vault).unwrap();
    let requests = make_of(&Traffic::default(), &vault, 12, 0);
    archive(&server, &vault, "node-a");
    let backend = Backend::start().await;
    let text =
        example("s3-replay.yaml").replace("prefix: gophership", &format!("prefix: {PREFIX}"));
    let mut site = site(&text, &backend);
    site.env = server.environment();
    site.env.push(("S3_BUCKET", BUCKET.to_owned()));
    site.env.push(("BACKEND", format!("http://{}", backend.address())));
    let mut process = Process::spawn(&site);
    let status = process.exit(SOON).await;
    assert!(status.success(), "{status}:\n{}", process.log());
    for request in requests {
        assert_eq!(backend.has(&request.fingerprint), 1, "{request:?}");
    }
}
