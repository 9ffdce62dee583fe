//! `gophership healthcheck`: 0 while requests are taken, in every zone; 1 otherwise.

use std::process::Command;
use std::process::Output;
use std::time::Duration;

use crate::bare::site;
use crate::bare::with_vault;
use crate::harness::Site;
use crate::harness::get;

const SOON: Duration = Duration::from_secs(20);

fn healthcheck(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gophership"))
        .arg("healthcheck")
        .args(arguments)
        .output()
        .unwrap()
}

/// Asks over the metrics listener and over the control socket; returns exit codes and texts.
fn both(site: &Site) -> [(Option<i32>, String); 2] {
    let address = site.metrics().to_string();
    let socket = site.socket().display().to_string();
    [["--address", &*address], ["--socket", &*socket]].map(|arguments| {
        let output = healthcheck(&arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    })
}

/// Scenario: a server that is not there, is ready, red, draining, ready again, and gone.
/// Guarantees: 0 while it takes requests, also in red, and 1 otherwise, whatever is asked; never another code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_says_whether_requests_are_taken() {
    let site = site(&with_vault("type: blackhole"));
    let codes = || both(&site).map(|(code, _)| code.unwrap());
    assert_eq!(codes(), [1, 1], "nobody is there");
    let mut process = site.start().await;
    assert_eq!(codes(), [0, 0]);
    process.hold("red");
    let [(page, text), (socket, _)] = both(&site);
    assert_eq!((page, socket), (Some(0), Some(0)), "in red the vault takes them");
    assert!(text.contains("ready, zone red"), "{text}");
    assert!(process.control(&["drain", "--yes"]).status.success());
    let [(page, text), (socket, _)] = both(&site);
    assert_eq!((page, socket), (Some(1), Some(1)));
    assert!(text.contains("draining"), "{text}");
    let address = site.metrics().to_string();
    assert!(healthcheck(&["--live", "--address", &address]).status.success(), "it is alive");
    for path in ["/livez", "/healthz"] {
        assert_eq!(get(site.metrics(), path).await, Some((200, "alive\n".to_owned())));
    }
    assert!(process.control(&["drain", "--undo"]).status.success());
    assert_eq!(codes(), [0, 0]);
    process.stop(SOON).await;
    assert_eq!(codes(), [1, 1], "it is gone");
}
