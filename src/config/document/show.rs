//! The configuration in force, as it is shown: with defaults and variables filled in, and without secrets.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::component::ComponentId;
use crate::component::OutputId;
use crate::config::document::config::Config;
use crate::config::sections::BufferConfig;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Whose whole value is a secret, wherever it stands.
const SECRETS: [&str; 6] = ["headers", "password", "secret", "token", "api_key", "authorization"];

impl Config {
    /// Returns the configuration as a document without secrets: values of headers, the key of `redact`, and
    /// users and queries of URLs are stars.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut sources = Map::new();
        for (id, entry) in &self.sources {
            sources.insert(id.to_string(), options(&entry.kind, entry.config.values()));
        }
        let mut transforms = Map::new();
        for (id, entry) in &self.transforms {
            let mut value = component(
                options(&entry.kind, entry.config.values()),
                &entry.inputs,
                &entry.buffer,
            );
            if let Some(zone) = entry.shed_in {
                value["shed_in"] = json!(zone.name());
            }
            transforms.insert(id.to_string(), value);
        }
        let mut sinks = Map::new();
        for (id, entry) in &self.sinks {
            let mut value = component(
                options(&entry.kind, entry.config.values()),
                &entry.inputs,
                &entry.buffer,
            );
            if !entry.formerly.is_empty() {
                value["formerly"] = entry.formerly.iter().map(ComponentId::as_str).collect();
            }
            sinks.insert(id.to_string(), value);
        }
        let mut shown = json!({
            "data_dir": self.data_dir,
            "sources": sources,
            "transforms": transforms,
            "sinks": sinks,
            "somatic": self.somatic,
            "control": self.control,
            "metrics": self.metrics,
            "shutdown": self.shutdown,
        });
        hide(&mut shown);
        shown
    }
}

/// The options of a component, beside its type.
fn options(kind: &str, values: Option<Value>) -> Value {
    let mut options = values.filter(Value::is_object).unwrap_or_else(|| json!({}));
    options["type"] = json!(kind);
    options
}

/// Adds what stands beside the component's own options.
fn component(mut value: Value, inputs: &[OutputId], buffer: &BufferConfig) -> Value {
    value["inputs"] = inputs.iter().map(ToString::to_string).collect();
    value["buffer"] = json!(buffer);
    value
}

/// Hides secrets in a value and in everything below it.
fn hide(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            let is_redact = entries.get("type").is_some_and(|kind| kind == "redact");
            for (key, value) in entries {
                let is_secret = SECRETS.contains(&key.as_str()) || (is_redact && key == "key");
                if is_secret { hide_whole(value) } else { hide(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => *text = without_credentials(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Hides every text below a value; names of headers stay.
fn hide_whole(value: &mut Value) {
    match value {
        Value::Object(entries) => entries.values_mut().for_each(hide_whole),
        Value::Array(items) => items.iter_mut().for_each(hide_whole),
        Value::Null => {}
        Value::String(_) | Value::Bool(_) | Value::Number(_) => *value = json!(HIDDEN),
    }
}

/// A URL without its user and its query; any other text as it is.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, format!("?{HIDDEN}")),
        None => (rest, String::new()),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = match host.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => host.to_owned(),
    };
    format!("{scheme}://{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::without_credentials;
    use crate::config::load_text;

    #[test]
    fn users_and_queries_of_urls_are_hidden() {
        for (text, shown) in [
            ("http://u:p@h:1/a?b=c", "http://***@h:1/a?***"),
            ("http://h:1/a@b", "http://h:1/a@b"),
            ("u@h", "u@h"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn what_is_shown_has_defaults_and_variables_and_no_secret() {
        let text = "
sources: { s: { type: demo } }
transforms:
  r: { type: redact, inputs: [s], action: hash, key: hunter2-key-hunter2-key-hunter2-key, patterns: [email] }
sinks:
  b:
    type: otlp
    inputs: [r]
    endpoint: https://${HOST}:4317
    headers: { authorization: Bearer hunter2, x-tenant: '${SECRET}' }
";
        let set = |name: &str| match name {
            "HOST" => Some("backend.example".to_owned()),
            _ => Some("hunter2".to_owned()),
        };
        let config = match load_text("c.yaml", text, &set) {
            Ok(config) => config,
            Err(error) => panic!("{error}"),
        };
        let shown = config.shown();
        let written = shown.to_string();
        assert!(!written.contains("hunter2"), "{written}");
        assert_eq!(shown["sinks"]["b"]["headers"]["authorization"], "***");
        assert!(written.contains("https://backend.example:4317"), "{written}");
        assert_eq!(shown["sources"]["s"]["type"], "demo");
        assert_eq!(shown["sinks"]["b"]["inputs"][0], "r");
        assert_eq!(shown["shutdown"]["grace"], "30s");
    }
}
