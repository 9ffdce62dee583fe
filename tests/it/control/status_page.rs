//! The page on the metrics listener shows what `/metrics` says, and changes nothing.

use std::fs;

use gophership_otlp::Signal;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::figures::assert_same_figures;
use super::port::SOON;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually_async;
use crate::harness::get;

const PIPELINE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
transforms:
  even: { type: filter, inputs: [otlp, replay], drop: [{ attribute: test.parity, equals: odd }] }
sinks:
  backend: { type: otlp, inputs: [even], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

async fn figures(site: &Site) -> Value {
    let (status, text) = get(site.metrics(), "/status.json").await.expect("it is served");
    assert_eq!(status, 200);
    serde_json::from_str(&text).unwrap()
}

/// The answer to a request, with its head.
async fn raw(site: &Site, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(site.metrics()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Scenario: some requests are delivered, and some go to the vault in Red while replays are paused; then
/// replay goes on.
/// Guarantees: `/status.json` says what `/metrics` says, remembers the zones, has the rates, the links
/// and the estimate of the vault; the page shows the same figures; nothing but GET and HEAD is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_what_the_metrics_say() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PIPELINE);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    assert!(process.control(&["replay", "pause"]).status.success());
    for zone in ["green", "red"] {
        process.hold(zone);
        for _ in 0..5 {
            client.send(&traffic.request(Signal::Logs, 6)).await.unwrap();
        }
    }
    let waits = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 5;
    process.measured(SOON, "five wait", waits).await;
    eventually_async(SOON, "the rates are there", async || {
        let figures = figures(&site).await;
        figures["rates"]["over_seconds"] != json!(0.0)
            && figures["zone_history"].as_array().unwrap().iter().any(|span| span["zone"] == "red")
    })
    .await;

    let (figures, metrics) = (figures(&site).await, process.metrics().await);
    assert_same_figures(&figures, &metrics);
    assert_eq!((figures["zone"].as_str(), metrics.zone()), (Some("red"), 2));
    assert_eq!(figures["held"], "red");
    assert_eq!(figures["replay_paused"], true);
    assert_eq!(figures["vaults"][0]["drain_seconds"], Value::Null);
    let link = json!({ "from": "otlp", "output": null, "to": "even", "kind": "input" });
    assert!(figures["links"].as_array().unwrap().contains(&link), "{figures}");

    let page = raw(&site, "GET", "/").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    for part in [
        "content-security-policy: default-src 'none'; ",
        "x-content-type-options: nosniff\r\n",
        "cache-control: no-store\r\n",
        "<strong class=\"badge red\">red</strong>",
        "An operator holds red.",
        "5 requests kept",
        "<th>received</th><td class=\"number\">60</td>",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let head = raw(&site, "HEAD", "/").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(raw(&site, "POST", "/").await.starts_with("HTTP/1.1 405 "));

    process.hold("auto");
    assert!(process.control(&["replay", "resume"]).status.success());
    eventually_async(SOON, "the vault is empty", async || {
        self::figures(&site).await["vaults"][0]["drain_seconds"] == json!(0)
    })
    .await;
}

fn reload(process: &Process) {
    let output = process.control(&["reload", "--wait"]);
    assert!(output.status.success(), "{output:?}");
}

/// Scenario: the page is switched off and on again by reloads.
/// Guarantees: off it answers 404 as any unknown path, and metrics and health are as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_off_is_not_found() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PIPELINE);
    let process = site.start().await;
    let on = fs::read_to_string(site.config()).unwrap();
    let listen = format!("listen: \"{}\" }}", site.metrics());
    let off = on.replacen(&listen, &listen.replace(" }", ", page: off }"), 1);
    assert_ne!(on, off);
    for (config, status) in [(&off, 404), (&on, 200)] {
        fs::write(site.config(), config).unwrap();
        reload(&process);
        for path in ["/", "/status.json"] {
            assert_eq!(get(site.metrics(), path).await.unwrap().0, status, "{path}");
        }
        for path in ["/metrics", "/readyz", "/healthz"] {
            assert_eq!(get(site.metrics(), path).await.unwrap().0, 200, "{path}");
        }
    }
}
