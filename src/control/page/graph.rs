//! The pipeline as a drawing: sources on the left, sinks on the right, vaults at the bottom.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write;

use gophership_control::proto;

use super::markup::level;
use super::markup::number;
use super::markup::rate;
use super::markup::text;
use super::view::Link;
use super::view::LinkKind;
use super::view::View;

/// A pipeline with more components is only listed.
const COMPONENTS_MAX: usize = 100;
/// Longer ids are cut; the title has all of them.
const ID_LEN_MAX: usize = 20;

const WIDTH: usize = 172;
const HEIGHT: usize = 54;
const ACROSS: usize = 68;
const DOWN: usize = 20;
const MARGIN: usize = 10;
/// Below the last row, where replays come back.
const BELOW: usize = 24;

/// A component and its place.
struct Node<'a> {
    component: &'a proto::Component,
    x: usize,
    y: usize,
}

type Nodes<'a> = BTreeMap<&'a str, Node<'a>>;

/// Draws the pipeline; nothing if it is too large for a drawing.
pub(super) fn render(view: &View, out: &mut String) {
    if view.status.components.is_empty() || COMPONENTS_MAX < view.status.components.len() {
        return;
    }
    let nodes = place(view);
    let live = live(view);
    let width = nodes.values().map(|node| node.x + WIDTH).max().unwrap_or(0) + MARGIN;
    let bottom = nodes.values().map(|node| node.y + HEIGHT).max().unwrap_or(0);
    let height = bottom + BELOW + MARGIN;
    // Writing to a string cannot fail.
    let _written = write!(
        out,
        "<div class=\"graph\" tabindex=\"0\"><svg width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"The pipeline as a graph; the \
         table of components below has the same figures.\">"
    );
    for link in &view.links {
        draw_link(link, &nodes, &live, bottom + BELOW, out);
    }
    for node in nodes.values() {
        draw_node(node, view, out);
    }
    out.push_str("</svg></div>");
}

/// Columns by the longest way from a source; sinks are in the last one.
fn place(view: &View) -> Nodes<'_> {
    let components = &view.status.components;
    let mut columns: BTreeMap<&str, usize> =
        components.iter().map(|component| (component.id.as_str(), 0)).collect();
    let inputs = || view.links.iter().filter(|link| link.kind == LinkKind::Input);
    // There are no circles, so no way is longer than there are components.
    for _ in 0..components.len() {
        for link in inputs() {
            let Some(from) = columns.get(link.from.as_str()).copied() else { continue };
            if let Some(to) = columns.get_mut(link.to.as_str()) {
                *to = (*to).max(from + 1).min(components.len());
            }
        }
    }
    let last = columns.values().copied().max().unwrap_or(0).max(1);
    let column = |component: &proto::Component| match component.section.as_str() {
        "sink" => last,
        _ => columns.get(component.id.as_str()).copied().unwrap_or(0),
    };
    let ends = |kinds: &[LinkKind], end: fn(&Link) -> &str| -> BTreeSet<&str> {
        view.links.iter().filter(|link| kinds.contains(&link.kind)).map(end).collect()
    };
    let vaults: BTreeSet<&str> = view.status.vaults.iter().map(|vault| vault.id.as_str()).collect();
    let replays = ends(&[LinkKind::Replay], |link| &link.to);
    let is_low = |id: &str| vaults.contains(id) || replays.contains(id);
    let mut order: Vec<&proto::Component> = components.iter().collect();
    order.sort_by_key(|component| (is_low(&component.id), component.id.as_str()));
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut nodes = Nodes::new();
    for component in order {
        let column = column(component);
        let row = rows.entry(column).or_default();
        let (x, y) = (MARGIN + column * (WIDTH + ACROSS), MARGIN + *row * (HEIGHT + DOWN));
        nodes.insert(component.id.as_str(), Node { component, x, y });
        *row += 1;
    }
    nodes
}

/// The components that something moves through: sources that receive, replays at work, and what is behind
/// them.
fn live(view: &View) -> BTreeSet<&str> {
    let is_moving = |id: &&str| view.rates.sources.get(*id).is_some_and(|rate| 0.0 < *rate);
    let sources = view.status.components.iter().filter(|component| component.section == "source");
    let mut live: BTreeSet<&str> =
        sources.map(|source| source.id.as_str()).filter(is_moving).collect();
    let is_replayed =
        |vault: &str| view.rates.vaults.get(vault).is_some_and(|rates| 0.0 < rates.replayed);
    let replays = view.links.iter().filter(|link| link.kind == LinkKind::Replay);
    live.extend(replays.filter(|link| is_replayed(&link.from)).map(|link| link.to.as_str()));
    for _ in 0..view.status.components.len() {
        let inputs = view.links.iter().filter(|link| link.kind == LinkKind::Input);
        let behind: Vec<&str> = inputs
            .filter(|link| live.contains(link.from.as_str()))
            .map(|link| link.to.as_str())
            .collect();
        let before = live.len();
        live.extend(behind);
        if live.len() == before {
            break;
        }
    }
    live
}

fn draw_link(
    link: &Link,
    nodes: &Nodes<'_>,
    live: &BTreeSet<&str>,
    bottom: usize,
    out: &mut String,
) {
    let (Some(from), Some(to)) = (nodes.get(link.from.as_str()), nodes.get(link.to.as_str()))
    else {
        return;
    };
    let is_live = match link.kind {
        LinkKind::Input => live.contains(link.from.as_str()),
        LinkKind::Replay => live.contains(link.to.as_str()),
        LinkKind::Pivot | LinkKind::Copy => false,
    };
    let (kind, live) = (link.kind.name(), if is_live { " live" } else { "" });
    let level = level(u64::from(to.component.edge_permille));
    let _written = write!(out, "<g class=\"link {kind} {level}{live}\"><title>");
    text(out, &link.from);
    if let Some(output) = &link.output {
        text(out, format_args!(".{output}"));
    }
    text(out, format_args!(" to {} ({kind})", link.to));
    let (x1, y1) = (from.x + WIDTH, from.y + HEIGHT / 2);
    let (x2, y2) = (to.x, to.y + HEIGHT / 2);
    let _written = if x1 < x2 {
        let bend = (x2 - x1) / 2;
        write!(
            out,
            "</title><path d=\"M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}\"/></g>",
            x1 + bend,
            x2 - bend
        )
    } else {
        // Back below everything.
        let (x1, y1) = (from.x + WIDTH / 2, from.y + HEIGHT);
        let (x2, y2) = (to.x + WIDTH / 2, to.y + HEIGHT);
        write!(out, "</title><path d=\"M{x1} {y1}C{x1} {bottom} {x2} {bottom} {x2} {y2}\"/></g>")
    };
}

fn draw_node(node: &Node<'_>, view: &View, out: &mut String) {
    let Node { component, x, y } = node;
    let proto::Component { id, section, r#type, edge_batches, edge_permille, .. } = component;
    let permille = u64::from(*edge_permille);
    let _written = write!(
        out,
        "<g class=\"node {}\" transform=\"translate({x} {y})\"><title>",
        level(permille)
    );
    text(out, format_args!("{section} {id}, type {}", component.r#type));
    let _written = write!(
        out,
        "</title><rect class=\"box\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\
         <rect class=\"fill\" x=\"1\" y=\"{}\" width=\"{}\" height=\"4\"/>\
         <text class=\"id\" x=\"10\" y=\"20\">",
        HEIGHT - 5,
        (WIDTH as u64 - 2) * permille.min(1000) / 1000
    );
    text(out, short(id));
    out.push_str("</text><text x=\"10\" y=\"38\">");
    let vault = view.status.vaults.iter().find(|vault| vault.id == *id);
    match (vault, view.rate(component)) {
        (Some(vault), _) => {
            text(out, format_args!("{} requests kept", number(vault.backlog_requests)));
        }
        (None, Some(records)) => text(out, format_args!("{}, {}", short(r#type), rate(records))),
        (None, None) => text(out, short(r#type)),
    }
    if *edge_batches != 0 {
        let _written = write!(out, "</text><text class=\"waiting\" x=\"{}\" y=\"20\">", WIDTH - 8);
        text(out, format_args!("{} wait", number(*edge_batches)));
    }
    out.push_str("</text></g>");
}

/// A name that fits into a box.
fn short(name: &str) -> String {
    if name.chars().count() <= ID_LEN_MAX {
        return name.to_owned();
    }
    name.chars().take(ID_LEN_MAX - 2).chain("..".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::view::tests::view;

    fn drawn(view: &View) -> String {
        let mut out = String::new();
        render(view, &mut out);
        out
    }

    #[test]
    fn sources_are_on_the_left_sinks_on_the_right_and_vaults_below() {
        let view = view();
        let nodes = place(&view);
        let at = |id: &str| (nodes[id].x, nodes[id].y);
        let (next, low) = (WIDTH + ACROSS, MARGIN + HEIGHT + DOWN);
        assert_eq!(at("otlp"), (MARGIN, MARGIN));
        assert_eq!(at("replay"), (MARGIN, low));
        assert_eq!(at("even"), (MARGIN + next, MARGIN));
        assert_eq!(at("backend"), (MARGIN + 2 * next, MARGIN));
        assert_eq!(at("vault"), (MARGIN + 2 * next, low));
    }

    #[test]
    fn edges_are_live_behind_what_receives_and_behind_a_replay_at_work() {
        let mut view = view();
        assert!(!drawn(&view).contains(" live"));
        view.rates.sources.insert("otlp".to_owned(), 3.5);
        let text = drawn(&view);
        assert_eq!(text.matches(" live").count(), 2);
        assert!(text.contains("otlp, 3.5/s"), "{text}");
        view.rates.vaults.entry("vault".to_owned()).or_default().replayed = 1.0;
        assert_eq!(drawn(&view).matches(" live").count(), 4);
    }

    #[test]
    fn names_are_escaped_and_cut() {
        let mut view = view();
        view.status.components[2].r#type = "<b>\"&".to_owned();
        view.status.components[0].id = "a".repeat(64);
        let text = drawn(&view);
        assert!(text.contains("&lt;b&gt;&quot;&amp;") && !text.contains("<b>"), "{text}");
        assert!(text.contains(&format!(">{}..<", "a".repeat(18))), "{text}");
    }

    #[test]
    fn a_huge_pipeline_is_only_listed() {
        let mut view = view();
        let component = view.status.components[0].clone();
        view.status.components = vec![component; COMPONENTS_MAX + 1];
        assert_eq!(drawn(&view), "");
    }
}
