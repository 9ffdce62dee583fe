//! Every file in `config/examples` can be copied: it loads as it is, and runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use gophership::app::DEFAULT_CONFIG;
use gophership::component::list;
use gophership::config::Config;
use gophership::config::ConfigDiff;
use rcgen::CertifiedKey;

use super::stage::Stage;
use super::stage::load;
use super::stage::start;

/// Returns the examples, each with its file name.
pub(super) fn examples() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    examples.sort();
    examples
}

/// Writes the certificates that the examples name, all of them the same one, and a token.
pub(super) fn write_certificates(dir: &Path) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::create_dir_all(dir).unwrap();
    for name in ["server.pem", "ca.pem", "clients.pem", "client.pem", "backend-ca.pem"] {
        fs::write(dir.join(name), cert.pem()).unwrap();
    }
    for name in ["server.key", "client.key"] {
        fs::write(dir.join(name), signing_key.serialize_pem()).unwrap();
    }
    fs::write(dir.join("token"), "a token\n").unwrap();
}

fn is_sentence(line: &str) -> bool {
    let text = line.strip_prefix("# ").unwrap_or_default();
    text.starts_with(char::is_uppercase) && text.ends_with('.') && text.len() > 20
}

/// Scenario: the examples are loaded in an empty environment.
/// Guarantees: all are valid, each says first what it is for, and together they use every component.
#[test]
fn every_example_is_valid_as_it_is_and_says_what_it_is_for() {
    let mut used = BTreeSet::new();
    for (name, text) in examples() {
        assert!(is_sentence(text.lines().next().unwrap()), "{name} begins with no sentence");
        let when = text.lines().find_map(|line| line.strip_prefix("# When to use it: "));
        assert!(when.is_some_and(|when| 20 < when.len()), "{name} does not say when to use it");
        let config = load(&name, &text, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let sources = config.sources.values().map(|entry| ("source", entry.kind.clone()));
        let transforms = config.transforms.values().map(|entry| ("transform", entry.kind.clone()));
        let sinks = config.sinks.values().map(|entry| ("sink", entry.kind.clone()));
        used.extend(sources.chain(transforms).chain(sinks));
    }
    // It is of use to tests and measurements only.
    used.insert(("sink", "blackhole".to_owned()));
    // What other tests register is no component of the program.
    let of_program = list().into_iter().filter(|info| !info.name.starts_with("test_"));
    let all = of_program.map(|info| (info.section, info.name.to_owned()));
    let all: BTreeSet<_> = all.map(|(section, name)| (section.to_string(), name)).collect();
    let used: BTreeSet<_> =
        used.into_iter().map(|(section, name)| (section.to_owned(), name)).collect();
    assert_eq!(used, all, "components without an example");
}

/// Scenario: the example for the quick start beside the configuration in the program.
/// Guarantees: they say the same.
#[test]
fn the_quick_start_is_the_built_in_default() {
    let (_, text) = examples().into_iter().find(|(name, _)| name == "quickstart.yaml").unwrap();
    let quick_start: Config = load("quickstart.yaml", &text, &[]).unwrap();
    let default = load("default", DEFAULT_CONFIG, &[]).unwrap();
    assert!(ConfigDiff::between(&default, &quick_start).is_empty());
    assert_eq!(default.data_dir, quick_start.data_dir);
}

/// Scenario: each example in a directory and on ports of its own, its certificates in place.
/// Guarantees: each listener answers, and every component ends in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_runs() {
    for (name, text) in examples() {
        let mut stage = Stage::new();
        let tls_dir = stage.path().join("tls");
        write_certificates(&tls_dir);
        let variables = [("TLS_DIR", tls_dir.to_str().unwrap())];
        let mut config = load(&name, &text, &variables).unwrap();
        stage.tame(&mut config);
        let running = start(config).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        for address in &running.addresses {
            let connected = tokio::net::TcpStream::connect(address).await;
            assert!(connected.is_ok(), "{name} does not listen on {address}");
        }
        let cut_short = running.shut_down(Duration::from_secs(10)).await;
        assert_eq!(cut_short, 0, "{name}");
    }
}
