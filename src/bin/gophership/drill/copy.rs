//! The copy of a configuration that is drilled: the same but for its addresses and its paths.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use http::HeaderName;
use http::HeaderValue;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use gophership::config::Config;
use gophership::config::ConfigDiff;
use gophership::delivery::is_credential;
use gophership_units::ByteSize;

use super::plan::BY_PACE;

/// No drill sends so many in a second.
const ENOUGH_RECORDS: u64 = 1_000_000_000;

/// Where the copy stands.
pub(super) struct Places<'a> {
    pub(super) dir: &'a Path,
    pub(super) socket: &'a Path,
    pub(super) metrics: SocketAddr,
    /// The `max_size` of every vault, instead of its own.
    pub(super) vault_max: Option<ByteSize>,
    /// Takes an address for a listener: the source, and `grpc` or `http`.
    pub(super) listen: &'a mut dyn FnMut(&str, &'static str) -> SocketAddr,
    /// The backend that stands for that of a sink.
    pub(super) backend: &'a dyn Fn(&str) -> SocketAddr,
}

/// Writes the document of the copy, in which a `throttle` removes nothing. Every default stands in it, and every variable is filled in.
pub(super) fn document(config: &Config, places: &mut Places<'_>) -> Value {
    let mut sources = Map::new();
    for (id, entry) in &config.sources {
        let mut options = entry.config.values().unwrap_or_default();
        if entry.kind == "otlp" {
            // The clients of the drill know no secrets.
            options["auth"] = Value::Null;
            let is_default = options["grpc"].is_null() && options["http"].is_null();
            for protocol in ["grpc", "http"] {
                if is_default || options[protocol].is_object() {
                    let listen = (places.listen)(id.as_str(), protocol);
                    options[protocol] = json!({ "listen": listen });
                }
            }
        }
        options["type"] = json!(entry.kind);
        sources.insert(id.to_string(), options);
    }
    let mut transforms = Map::new();
    for (id, entry) in &config.transforms {
        let mut options = entry.config.values().unwrap_or_default();
        options["type"] = json!(entry.kind);
        options["inputs"] = json!(entry.inputs);
        options["buffer"] = json!(entry.buffer);
        options["shed_in"] = json!(entry.shed_in);
        if entry.kind == BY_PACE {
            open_up(&mut options);
        }
        transforms.insert(id.to_string(), options);
    }
    let mut sinks = Map::new();
    for (id, entry) in &config.sinks {
        let mut options = entry.config.values().unwrap_or_default();
        match entry.kind.as_str() {
            "otlp" => redirect(&mut options, (places.backend)(id.as_str())),
            "raw_vault" => {
                options["path"] = Value::Null;
                if let Some(max) = places.vault_max {
                    options["max_size"] = json!(max);
                }
            }
            "file" => options["path"] = json!(file(places.dir, id.as_str(), &options["path"])),
            _ => {}
        }
        options["type"] = json!(entry.kind);
        if !entry.inputs.is_empty() {
            options["inputs"] = json!(entry.inputs);
        }
        options["buffer"] = json!(entry.buffer);
        sinks.insert(id.to_string(), options);
    }
    let mut document = json!({
        "data_dir": places.dir.join("data"),
        "sources": sources,
        "transforms": transforms,
        "sinks": sinks,
        "somatic": config.somatic,
        "control": { "socket": places.socket },
        "metrics": { "listen": places.metrics },
        "shutdown": config.shutdown,
    });
    settle(&mut document);
    document
}

/// Lets a throttle take everything: what it removes depends on the pace of the drill, and could not be told from a
/// loss.
fn open_up(options: &mut Value) {
    options["records"] = json!(ENOUGH_RECORDS);
    options["bytes"] = Value::Null;
    options["limits"] = json!({});
}

/// Points an OTLP sink at the backend of the drill.
fn redirect(options: &mut Value, backend: SocketAddr) {
    options["endpoint"] = json!(format!("http://{backend}"));
    // There is one backend, and it gets no secrets.
    for option in ["endpoints", "tls", "bearer_token_file", "headers_from"] {
        options[option] = Value::Null;
    }
    options["proxy"] = json!("off");
    if let Some(headers) = options["headers"].as_object_mut() {
        headers.retain(|name, value| !is_secret(name, value));
    }
}

fn is_secret(name: &str, value: &Value) -> bool {
    let name = HeaderName::from_bytes(name.as_bytes());
    let value = HeaderValue::from_str(value.as_str().unwrap_or_default());
    matches!((name, value), (Ok(name), Ok(value)) if is_credential(&name, &value))
}

fn file(dir: &Path, id: &str, path: &Value) -> PathBuf {
    let name = path.as_str().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    dir.join("files").join(id).join(name)
}

/// Takes out what is not set, and makes sure that no value is taken for a variable.
fn settle(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        _ => {}
    }
}

/// Says what of the copy is not as it should be; nothing, unless a component cannot be written down.
pub(super) fn difference(config: &Config, copy: &Config) -> Option<String> {
    let diff = ConfigDiff::between(config, copy);
    let moved = |kind: &str| ["otlp", "raw_vault", "file", BY_PACE].contains(&kind);
    let kind = |id: &gophership::component::ComponentId| {
        let source = config.sources.get(id).map(|entry| entry.kind.as_str());
        let sink = config.sinks.get(id).map(|entry| entry.kind.as_str());
        let transform = config.transforms.get(id).map(|entry| entry.kind.as_str());
        source.or(sink).or(transform).unwrap_or_default()
    };
    let sections = [&diff.sources, &diff.transforms, &diff.sinks];
    let mut differs: Vec<String> = sections
        .iter()
        .flat_map(|section| section.changed.iter().filter(|id| !moved(kind(id))))
        .chain(sections.iter().flat_map(|section| &section.added))
        .chain(sections.iter().flat_map(|section| &section.removed))
        .chain(sections.iter().flat_map(|section| &section.rewired))
        .map(ToString::to_string)
        .collect();
    let settings = ["data_dir", "control", "metrics"];
    let others = diff.settings.iter().filter(|key| !settings.contains(*key));
    differs.extend(others.map(ToString::to_string));
    (!differs.is_empty()).then(|| differs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_copied_with_nothing_changed_but_its_places() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
        let address = SocketAddr::from(([127, 0, 0, 1], 12_345));
        for example in std::fs::read_dir(examples).unwrap() {
            let path = example.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let config = gophership::config::load_file(&path, &|_| None).unwrap();
            let mut port = 20_000;
            let mut listen = |_: &str, _| {
                port += 1;
                SocketAddr::from(([127, 0, 0, 1], port))
            };
            let mut places = Places {
                dir: Path::new("/tmp/drill"),
                socket: Path::new("/tmp/drill/control.sock"),
                metrics: address,
                vault_max: None,
                listen: &mut listen,
                backend: &|_| address,
            };
            let text = serde_json::to_string(&document(&config, &mut places)).unwrap();
            let copy = gophership::config::load_text("copy", &text, &|_| None).unwrap();
            assert_eq!(difference(&config, &copy), None, "{}", path.display());
            assert!(!text.contains("tls"), "{text}");
            assert!(!text.contains("gophership-data"), "{text}");
        }
    }

    #[test]
    fn a_dollar_stays_a_dollar_and_another_option_is_told() {
        let load = |text: &str| gophership::config::load_text("x", text, &|_| None).unwrap();
        let yaml = |buffer: u32| {
            format!(
                "sources: {{ a: {{ type: demo }} }}\nsinks:\n  b: {{ type: otlp, inputs: [a], \
                 endpoint: 'https://b:1', headers: {{ x: '$${{y}}', api-key: z }} }}\n  \
                 c: {{ type: blackhole, inputs: [a], buffer: {{ batches: {buffer} }} }}"
            )
        };
        let config = load(&yaml(5));
        assert_eq!(difference(&config, &load(&yaml(6))).as_deref(), Some("c"));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut places = Places {
            dir: Path::new("/x"),
            socket: Path::new("/x/s"),
            metrics: address,
            vault_max: None,
            listen: &mut |_, _| address,
            backend: &|_| address,
        };
        let copy = load(&document(&config, &mut places).to_string());
        let headers = copy.sinks["b"].config.values().unwrap_or_default()["headers"].take();
        assert_eq!(headers, json!({ "x": "${y}" }), "a key is not handed to the stand-in");
    }
}
