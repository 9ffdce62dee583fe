//! Draws the pipeline of a configuration.

use std::fmt::Write;

use gophership::component::OutputId;
use gophership::config::Config;

use crate::args::GraphFormat;

/// One arrow of the drawing.
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    kind: Kind<'a>,
}

/// What goes along an arrow.
enum Kind<'a> {
    /// All that comes out.
    All,
    /// What comes out of one of several outputs.
    Output(&'a str),
    /// What the pipeline does by itself; drawn dotted.
    Other(&'static str),
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
            arrows.push(Arrow { from: id.as_str(), to: vault, kind: Kind::Other("pivot") });
        }
        if let Some(vault) = source.config.replays() {
            arrows.push(Arrow { from: vault, to: id.as_str(), kind: Kind::Other("replay") });
        }
    }
    let transforms = config.transforms.iter().map(|(id, entry)| (id, &entry.inputs));
    let sinks = config.sinks.iter().map(|(id, entry)| (id, &entry.inputs));
    for (id, inputs) in transforms.chain(sinks) {
        let arrow = |OutputId { component, port }: &'a OutputId| {
            let kind = port.as_deref().map_or(Kind::All, Kind::Output);
            Arrow { from: component.as_str(), to: id.as_str(), kind }
        };
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
    for Arrow { from, to, kind } in arrows(config) {
        let (from, to) = (mermaid_id(from), mermaid_id(to));
        match kind {
            Kind::All => writeln!(out, "  {from} --> {to}")?,
            Kind::Output(port) => writeln!(out, "  {from} -- \"{port}\" --> {to}")?,
            Kind::Other(word) => writeln!(out, "  {from} -. {word} .-> {to}")?,
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
    for Arrow { from, to, kind } in arrows(config) {
        let style = match kind {
            Kind::All => String::new(),
            Kind::Output(port) => format!(" [label=\"{port}\"]"),
            Kind::Other(word) => format!(" [style=dotted, label=\"{word}\"]"),
        };
        writeln!(out, "  \"{from}\" -> \"{to}\"{style};")?;
    }
    writeln!(out, "}}")
}
