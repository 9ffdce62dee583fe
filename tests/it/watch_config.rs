//! `--watch-config`: a changed configuration file is a reload, also behind the links of a `ConfigMap`.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::bare::site;
use crate::bare::with_vault;
use crate::harness::Process;
use crate::harness::Site;

/// Some looks at the file, 2 seconds apart, and the reload.
const SOON: Duration = Duration::from_secs(30);

/// Publishes a configuration as Kubernetes mounts a `ConfigMap`: `gophership.yaml` leads to
/// `..data/gophership.yaml`, and `..data` to a directory that is replaced with every change.
fn publish(site: &Site, version: &str, text: &str) {
    let fresh = site.dir().join(version);
    fs::create_dir(&fresh).unwrap();
    fs::write(fresh.join("gophership.yaml"), text).unwrap();
    let (link, data) = (site.dir().join("..data_tmp"), site.dir().join("..data"));
    symlink(version, &link).unwrap();
    fs::rename(link, data).unwrap();
    if !site.config().is_symlink() {
        fs::remove_file(site.config()).unwrap();
        symlink("..data/gophership.yaml", site.config()).unwrap();
    }
}

/// Waits until so many reloads succeeded and so many failed.
async fn reloads(process: &Process, ok: i64, failed: i64) {
    process
        .measured(SOON, &format!("{ok} reloads succeeded, {failed} failed"), |metrics| {
            let count =
                |result| metrics.sum("gophership_config_reloads_total", &[("result", result)]);
            [count("ok"), count("failed")] == [ok, failed]
        })
        .await;
}

/// Scenario: a `ConfigMap` changes, to a good configuration, to one with a mistake, and back to a good one.
/// Guarantees: each is read once, without a signal; a mistake changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_config_map_is_put_in_force() {
    let mut site = site(&with_vault("type: blackhole"));
    site.env.push(("GOPHERSHIP_WATCH_CONFIG", "true".to_owned()));
    let text = fs::read_to_string(site.config()).unwrap();
    publish(&site, "..1", &text);
    let mut process = site.start().await;
    publish(&site, "..2", &text.replace("grace: 30s", "grace: 29s"));
    reloads(&process, 1, 0).await;
    publish(&site, "..3", &text.replace("type: blackhole", "type: blakchole"));
    reloads(&process, 1, 1).await;
    assert!(process.log().contains("blakchole"), "{}", process.log());
    publish(&site, "..4", &text.replace("grace: 30s", "grace: 28s"));
    reloads(&process, 2, 1).await;
    assert_eq!(process.count_in_log("The configuration changed"), 3);
    let log = process.stop(SOON).await;
    assert!(log.contains("grace_seconds=28"), "{log}");
}
