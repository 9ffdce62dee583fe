//! Certificates, authorities and revocation lists change while the process runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use gophership_control::ClientError;
use rcgen::SerialNumber;
use rustix::process::Signal as ProcessSignal;

use super::authority::Authority;
use super::port::Port;
use super::port::SOON;
use crate::harness::eventually_async;

const RELOADED: &str = "Reloaded the certificates of control.tls.";
const KEPT: &str = "Cannot reload the certificates of control.tls; GopherShip keeps the old ones.";

/// Puts a link to another folder in place at once, as Kubernetes does with secrets.
fn point(link: &Path, to: &Path) {
    let fresh = link.with_extension("new");
    symlink(to, &fresh).unwrap();
    fs::rename(fresh, link).unwrap();
}

/// Scenario: a client is revoked while it is connected, by a list behind a link that changes.
/// Guarantees: its open connection is ended and it is not let in again; others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_loses_its_open_connection() {
    let port = Port::start(", crl: $DIR/crl.pem").await;
    let dir = port.site.dir();
    port.authority.client(dir, "carol", |it| it.serial_number = Some(SerialNumber::from(78)));
    // The file becomes a link into a folder that is a link.
    for (name, serials) in [("one", &[77][..]), ("two", &[77, 78])] {
        fs::create_dir(dir.join(name)).unwrap();
        port.authority.revoke(dir.join(name).join("crl.pem"), serials);
    }
    point(&dir.join("data-link"), &dir.join("one"));
    point(&dir.join("crl.pem"), &dir.join("data-link/crl.pem"));
    port.process.logged(SOON, &[RELOADED]).await;
    let mut carol = port.connect("carol").await.unwrap();
    carol.status().await.unwrap();
    assert_eq!(port.process.count_in_log(RELOADED), 1);

    point(&dir.join("data-link"), &dir.join("two"));
    eventually_async(SOON, "the connection of a revoked client ends", async || {
        carol.status().await.is_err()
    })
    .await;
    let error = port.connect("carol").await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ClientError::Forbidden { .. }), "{error}");
    port.connect("bob").await.unwrap().status().await.unwrap();
}

/// Scenario: another authority takes over and the server has a new certificate of it; then a file is
/// broken, and put right again.
/// Guarantees: clients of the new authority are let in and those of the old are not, without a restart; a
/// broken file changes nothing and is told of once; `SIGHUP` reads at once what was put right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_takes_over_and_a_broken_file_changes_nothing() {
    let port = Port::start("").await;
    let dir = port.site.dir();
    let successor = Authority::new("next CA");
    let old = dir.join("old");
    fs::create_dir(&old).unwrap();
    for name in ["ca.pem", "bob.pem", "bob.key"] {
        fs::copy(dir.join(name), old.join(name)).unwrap();
    }
    let new = dir.join("new");
    fs::create_dir(&new).unwrap();
    successor.server(&new);
    successor.client(&new, "dave", |_| {});
    successor.write(new.join("ca.pem"));
    for name in ["server.key", "server.pem", "dave.pem", "dave.key", "ca.pem"] {
        fs::rename(new.join(name), dir.join(name)).unwrap();
    }
    port.process.logged(SOON, &[RELOADED]).await;
    eventually_async(SOON, "a client of the new authority is let in", async || {
        port.connect("dave").await.is_ok()
    })
    .await;
    let error = port.connect("bob").await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ClientError::Forbidden { .. }), "{error}");

    let kept = port.process.count_in_log(KEPT);
    fs::rename(dir.join("server.pem"), dir.join("aside.pem")).unwrap();
    fs::write(dir.join("server.pem"), "no certificate").unwrap();
    eventually_async(SOON, "the broken file is told of", async || {
        port.process.count_in_log(KEPT) > kept
    })
    .await;
    let told = port.process.count_in_log(KEPT);
    port.connect("dave").await.unwrap().status().await.unwrap();
    assert_eq!(port.process.count_in_log(KEPT), told, "it is told of once");

    fs::rename(dir.join("aside.pem"), dir.join("server.pem")).unwrap();
    let reloaded = port.process.count_in_log(RELOADED);
    port.process.signal(ProcessSignal::HUP);
    eventually_async(SOON, "what was put right is read", async || {
        port.process.count_in_log(RELOADED) > reloaded
    })
    .await;
    port.connect("dave").await.unwrap().status().await.unwrap();
}
