//! What `gs-ctl` has done without asking anybody: contexts and certificates.

use std::fmt::Write;

use serde_json::json;

use super::document;
use super::table;
use crate::args::Format;
use crate::certs::Made;
use crate::contexts::Contexts;
use crate::target::Target;

/// Renders the contexts.
pub(crate) fn contexts(contexts: &Contexts, format: Format) -> String {
    match format {
        Format::Table => {
            let mut rows = vec![["CONTEXT", "CURRENT", "TARGET"].map(String::from).to_vec()];
            for (name, target) in &contexts.contexts {
                let is_current = contexts.current.as_ref() == Some(name);
                let target = match target {
                    Target::Socket { socket } => socket.display().to_string(),
                    Target::Remote { endpoint, .. } => endpoint.clone(),
                };
                let current = if is_current { "*" } else { "" };
                rows.push(vec![name.clone(), current.to_owned(), target]);
            }
            if rows.len() == 1 {
                return "no contexts; `gs-ctl context set NAME --socket PATH` makes one\n"
                    .to_owned();
            }
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _written = table(&rows, 1, &mut text);
            text
        }
        Format::Json | Format::Yaml => {
            let value = json!({ "current": contexts.current, "contexts": contexts.contexts });
            document(&value, format)
        }
    }
}

/// Renders which certificates were made, and what to do with them.
pub(crate) fn certificates(made: &Made, format: Format) -> String {
    let (ca, server) = (made.ca.display().to_string(), made.server.display().to_string());
    let key = server.replace(".pem", ".key");
    match format {
        Format::Table => {
            let mut text = format!("CA:      {ca}\nserver:  {server}\n");
            let first = made.clients.first();
            for (name, path) in &made.clients {
                // Writing to a string cannot fail.
                let _written = writeln!(text, "client:  {} ({name})", path.display());
            }
            let (name, client) = first.map_or(("admin", String::new()), |(name, path)| {
                (name.as_str(), path.display().to_string())
            });
            let client_key = client.replace(".pem", ".key");
            let _written = write!(
                text,
                "\nIn the configuration of GopherShip:\n\n\
                 control:\n  listen: 127.0.0.1:9092\n  tls:\n    cert: {server}\n    \
                 key: {key}\n    client_ca: {ca}\n  roles:\n    \
                 - {{ role: operator, cn: {name} }}\n\n\
                 Then:\n\n\
                 gs-ctl status --endpoint localhost:9092 \\\n  --ca {ca} \\\n  \
                 --cert {client} \\\n  --key {client_key}\n"
            );
            text
        }
        Format::Json | Format::Yaml => {
            let client = |(name, path): &(String, std::path::PathBuf)| {
                let cert = path.display().to_string();
                json!({ "name": name, "key": cert.replace(".pem", ".key"), "cert": cert })
            };
            let clients: Vec<_> = made.clients.iter().map(client).collect();
            let server = json!({ "cert": server, "key": key });
            document(&json!({ "ca": ca, "server": server, "clients": clients }), format)
        }
    }
}
