//! Draws the pipeline of a configuration.

use std::fmt::Write;

use gophership::config::ComponentId;
use gophership::config::Config;

use crate::args::GraphFormat;

/// One arrow of the drawing.
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    /// Drawn dotted, with this word.
    label: Option<&'static str>,
}

/// Returns the drawing as text.
pub(crate) fn render(config: &Config, format: GraphFormat) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = match format {
        GraphFormat::Mermaid => mermaid(config, &mut text),
        GraphFormat::Dot => dot(config, &mut text),
    };
    text
}

fn arrows<'a>(config: &'a Config) -> Vec<Arrow<'a>> {
    let mut arrows = Vec::new();
    for (id, source) in &config.sources {
        if let Some(vault) = source.config.pivot() {
            arrows.push(Arrow { from: id.as_str(), to: vault, label: Some("pivot") });
        }
        if let Some(vault) = source.config.replays() {
            arrows.push(Arrow { from: vault, to: id.as_str(), label: Some("replay") });
        }
    }
    let transforms = config.transforms.iter().map(|(id, entry)| (id, &entry.inputs));
    let sinks = config.sinks.iter().map(|(id, entry)| (id, &entry.inputs));
    for (id, inputs) in transforms.chain(sinks) {
        let arrow =
            |from: &'a ComponentId| Arrow { from: from.as_str(), to: id.as_str(), label: None };
        arrows.extend(inputs.iter().map(arrow));
    }
    arrows
}

fn mermaid(config: &Config, out: &mut String) -> std::fmt::Result {
    writeln!(out, "flowchart LR")?;
    for (id, entry) in &config.sources {
        writeln!(out, "  {}([\"{id}<br/>{}\"])", mermaid_id(id.as_str()), entry.kind)?;
    }
    for (id, entry) in &config.transforms {
        writeln!(out, "  {}[\"{id}<br/>{}\"]", mermaid_id(id.as_str()), entry.kind)?;
    }
    for (id, entry) in &config.sinks {
        let (open, close) = if entry.config.is_vault() { ("[(", ")]") } else { ("[/", "/]") };
        writeln!(out, "  {}{open}\"{id}<br/>{}\"{close}", mermaid_id(id.as_str()), entry.kind)?;
    }
    for Arrow { from, to, label } in arrows(config) {
        let (from, to) = (mermaid_id(from), mermaid_id(to));
        match label {
            None => writeln!(out, "  {from} --> {to}")?,
            Some(label) => writeln!(out, "  {from} -. {label} .-> {to}")?,
        }
    }
    Ok(())
}

/// Mermaid takes no dots or dashes in the id of a node.
fn mermaid_id(id: &str) -> String {
    format!("n_{}", id.replace(['.', '-'], "_"))
}

fn dot(config: &Config, out: &mut String) -> std::fmt::Result {
    writeln!(out, "digraph gophership {{\n  rankdir=LR;")?;
    for (id, entry) in &config.sources {
        writeln!(out, "  \"{id}\" [shape=oval, label=\"{id}\\n{}\"];", entry.kind)?;
    }
    for (id, entry) in &config.transforms {
        writeln!(out, "  \"{id}\" [shape=box, label=\"{id}\\n{}\"];", entry.kind)?;
    }
    for (id, entry) in &config.sinks {
        let shape = if entry.config.is_vault() { "cylinder" } else { "parallelogram" };
        writeln!(out, "  \"{id}\" [shape={shape}, label=\"{id}\\n{}\"];", entry.kind)?;
    }
    for Arrow { from, to, label } in arrows(config) {
        match label {
            None => writeln!(out, "  \"{from}\" -> \"{to}\";")?,
            Some(label) => {
                writeln!(out, "  \"{from}\" -> \"{to}\" [style=dotted, label=\"{label}\"];")?;
            }
        }
    }
    writeln!(out, "}}")
}
