//! The content of the page: everything is there without a script.

use std::fmt::Write;

use gophership_control::json::is_ready;
use gophership_control::json::zone_name;
use gophership_control::proto;

use super::graph;
use super::markup::bar;
use super::markup::bytes;
use super::markup::duration;
use super::markup::element;
use super::markup::number;
use super::markup::percent;
use super::markup::permille;
use super::markup::rate;
use super::markup::text;
use super::view::View;
use crate::control::history::ZONE_SECONDS;
use crate::event::Bucket;
use crate::event::Signal;

/// Adds the content.
pub(super) fn render(view: &View, out: &mut String) {
    heading(view, out);
    notices(view, out);
    zones(view, out);
    tiles(view, out);
    out.push_str("<section><h2>Pipeline</h2>");
    graph::render(view, out);
    components(view, out);
    out.push_str("</section><section><h2>Vaults</h2>");
    vaults(view, out);
    out.push_str("</section><div class=\"pair\"><section><h2>Pressure</h2>");
    pressures(view, out);
    out.push_str("</section><section><h2>Memory</h2>");
    memory(view, out);
    out.push_str("</section></div><section><h2>Ledger</h2>");
    ledger(view, out);
    out.push_str("</section>");
}

fn heading(view: &View, out: &mut String) {
    let status = &view.status;
    let zone = zone_name(status.zone);
    // Writing to a string cannot fail.
    let _written = write!(
        out,
        "<header><h1>GopherShip</h1><p><strong class=\"badge {zone}\">{zone}</strong> "
    );
    let lasts = duration(status.zone_seconds);
    text(out, format_args!("for {lasts}: {}", status.zone_reason));
    out.push_str("</p>");
    let ready = if is_ready(&view.status) { "ready" } else { "not ready" };
    let (version, up) = (&status.version, duration(status.uptime_seconds));
    let generation = status.generation;
    let line = format!("{ready}; version {version}; up {up}; configuration {generation}");
    element(out, "p", "quiet", line);
    out.push_str("</header>");
}

/// What is unusual.
fn notices(view: &View, out: &mut String) {
    let status = &view.status;
    let mut notices = Vec::new();
    for proto::Stall { component, waits, waiting, seconds } in &status.stalls {
        let lasts = duration(*seconds);
        notices.push(format!("{component} makes no progress for {lasts}: {waiting} {waits}."));
    }
    // What a backend said is not shown: whoever asks has proved nothing.
    for degraded in gophership_control::degraded(status) {
        notices.push(format!("Degraded: {}.", degraded.sentence));
    }
    for vault in &status.vaults {
        if vault.failed {
            notices.push(format!("The vault {} cannot write.", vault.id));
        }
        if vault.full {
            notices.push(format!("The vault {} is full.", vault.id));
        }
    }
    if status.held != 0 {
        let held = zone_name(status.held);
        let left = status.held_seconds_left.map(|left| format!(" for {}", duration(left)));
        notices.push(format!("An operator holds {held}{}.", left.unwrap_or_default()));
    }
    if status.observing {
        let sensed = zone_name(status.sensed);
        notices.push(format!("somatic.mode is observe; the sensors ask for {sensed}."));
    }
    if status.replay_paused {
        notices.push("An operator has paused all replays.".to_owned());
    }
    if !status.left_vaults.is_empty() {
        let sum = |of: fn(&proto::LeftVault) -> u64| {
            number(status.left_vaults.iter().map(of).sum::<u64>())
        };
        let (requests, letters) = (sum(|left| left.requests), sum(|left| left.dead_letters));
        notices.push(format!(
            "{requests} undelivered requests and {letters} dead letters are in directories that the \
             configuration does not contain."
        ));
    }
    if notices.is_empty() {
        return;
    }
    out.push_str("<ul class=\"notices\">");
    for notice in notices {
        element(out, "li", "", notice);
    }
    out.push_str("</ul>");
}

/// The last 15 minutes, the newest on the right.
fn zones(view: &View, out: &mut String) {
    let known: usize = view.zones.iter().map(|span| span.seconds).sum();
    let _written = write!(
        out,
        "<section><h2>Zone, last 15 minutes</h2><svg class=\"zones\" viewBox=\"0 0 {ZONE_SECONDS} \
         10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\""
    );
    let mut seconds = [0; 3];
    for span in &view.zones {
        seconds[span.zone as usize] += span.seconds as u64;
    }
    let [green, yellow, red] = seconds.map(duration);
    let summary = format!("green {green}, yellow {yellow}, red {red}");
    text(out, &summary);
    out.push_str("\">");
    let mut x = ZONE_SECONDS.saturating_sub(known);
    for span in &view.zones {
        let (zone, width) = (span.zone.name(), span.seconds);
        let _written =
            write!(out, "<rect class=\"{zone}\" x=\"{x}\" width=\"{width}\" height=\"10\"/>");
        x += width;
    }
    out.push_str("</svg>");
    element(out, "p", "quiet", summary);
    out.push_str("</section>");
}

fn tiles(view: &View, out: &mut String) {
    let backlog: u64 = view.status.vaults.iter().map(|vault| vault.backlog_requests).sum();
    let records = |bucket: Bucket| number(view.records(bucket.name()));
    let tiles = [
        ("records received", rate(view.rates.received), records(Bucket::Received)),
        ("records delivered", rate(view.rates.delivered), records(Bucket::Delivered)),
        ("records rejected", rate(view.rates.rejected), rejected(view)),
        ("records in flight", records(Bucket::InFlight), String::new()),
        ("requests in vaults", number(backlog), debt(view)),
        ("dead letters", records(Bucket::DeadLettered), String::new()),
    ];
    out.push_str("<div class=\"tiles\">");
    for (label, figure, below) in tiles {
        out.push_str("<div class=\"tile\">");
        element(out, "span", "quiet", label);
        element(out, "b", "", figure);
        element(out, "span", "quiet", below);
        out.push_str("</div>");
    }
    out.push_str("</div>");
    let over = view.rates.seconds;
    element(out, "p", "quiet", format!("Rates are means of the last {over:.0} s."));
}

/// The records of all buckets that are refusals.
fn rejected(view: &View) -> String {
    let rejected = Bucket::ALL.iter().filter(|bucket| bucket.name().starts_with("rejected"));
    number(rejected.map(|bucket| view.records(bucket.name())).sum::<i64>())
}

/// When the last vault is empty.
fn debt(view: &View) -> String {
    let one = |vault: &proto::Vault| estimate(view, vault);
    let estimates: Option<Vec<u64>> = view.status.vaults.iter().map(one).collect();
    match estimates.map(|estimates| estimates.into_iter().max().unwrap_or(0)) {
        Some(0) => "nothing to replay".to_owned(),
        Some(seconds) => format!("empty in {}", duration(seconds)),
        None => "not shrinking".to_owned(),
    }
}

/// In how many seconds a vault is empty; `None` if that cannot be told.
fn estimate(view: &View, vault: &proto::Vault) -> Option<u64> {
    if vault.backlog_requests == 0 {
        return Some(0);
    }
    view.rates.vaults.get(&vault.id)?.drain_seconds
}

/// Begins a table; its columns from `right` on are numbers.
fn table(out: &mut String, columns: &[&str], right: usize) {
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for (idx, column) in columns.iter().enumerate() {
        let class = if idx < right { "" } else { "number" };
        element(out, "th", class, column);
    }
    out.push_str("</tr></thead><tbody>");
}

fn end_table(out: &mut String) {
    out.push_str("</tbody></table></div>");
}

fn components(view: &View, out: &mut String) {
    table(out, &["Component", "Section", "Type", "Records", "Waiting", "Bytes", "Full"], 3);
    for component in &view.status.components {
        out.push_str("<tr>");
        element(out, "th", "", &component.id);
        element(out, "td", "", &component.section);
        element(out, "td", "", &component.r#type);
        element(out, "td", "number", view.rate(component).map(rate).unwrap_or_default());
        element(out, "td", "number", number(component.edge_batches));
        element(out, "td", "number", bytes(component.edge_bytes));
        element(out, "td", "number", percent(component.edge_permille.into()));
        out.push_str("</tr>");
    }
    end_table(out);
}

fn vaults(view: &View, out: &mut String) {
    if view.status.vaults.is_empty() {
        return element(out, "p", "quiet", "The configuration has no vault.");
    }
    table(out, &["Vault", "Waiting", "Replayed", "Empty in", "Used", "Limit", "Full", ""], 1);
    for vault in &view.status.vaults {
        let replayed = view.rates.vaults.get(&vault.id).map_or(0.0, |rates| rates.replayed);
        let empty_in = match estimate(view, vault) {
            Some(0) => "is empty".to_owned(),
            Some(seconds) => duration(seconds),
            None => "not shrinking".to_owned(),
        };
        let full = permille(vault.used_bytes, vault.max_bytes);
        out.push_str("<tr>");
        element(out, "th", "", &vault.id);
        element(out, "td", "number", number(vault.backlog_requests));
        element(out, "td", "number", rate(replayed));
        element(out, "td", "number", empty_in);
        element(out, "td", "number", bytes(vault.used_bytes));
        element(out, "td", "number", bytes(vault.max_bytes));
        element(out, "td", "number", percent(full));
        out.push_str("<td>");
        bar(out, full);
        out.push_str("</td></tr>");
    }
    end_table(out);
}

fn pressures(view: &View, out: &mut String) {
    table(out, &["Kind", "Place", "", "Pressure"], 3);
    for pressure in &view.status.pressures {
        out.push_str("<tr>");
        element(out, "th", "", &pressure.kind);
        element(out, "td", "", &pressure.place);
        out.push_str("<td>");
        bar(out, pressure.permille.into());
        out.push_str("</td>");
        element(out, "td", "number", percent(pressure.permille.into()));
        out.push_str("</tr>");
    }
    end_table(out);
}

fn memory(view: &View, out: &mut String) {
    table(out, &["Share", "", "Used", "Limit"], 2);
    for share in &view.status.memory {
        out.push_str("<tr>");
        element(out, "th", "", &share.name);
        out.push_str("<td>");
        bar(out, permille(share.used_bytes, share.limit_bytes));
        out.push_str("</td>");
        element(out, "td", "number", bytes(share.used_bytes));
        element(out, "td", "number", bytes(share.limit_bytes));
        out.push_str("</tr>");
    }
    end_table(out);
}

fn ledger(view: &View, out: &mut String) {
    let signals = Signal::ALL.map(Signal::name);
    let mut columns = vec!["Records"];
    columns.extend(signals);
    table(out, &columns, 1);
    for bucket in Bucket::ALL {
        out.push_str("<tr>");
        element(out, "th", "", bucket.name());
        for signal in signals {
            let is_it = |row: &&proto::Bucket| row.signal == signal && row.bucket == bucket.name();
            let records = view.status.ledger.iter().find(is_it).map_or(0, |row| row.records);
            element(out, "td", "number", number(records));
        }
        out.push_str("</tr>");
    }
    end_table(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::history::VaultRates;
    use crate::control::page::view::tests::view;

    fn rendered(view: &View) -> String {
        let mut out = String::new();
        render(view, &mut out);
        out
    }

    #[test]
    fn the_tables_have_every_figure() {
        let text = rendered(&view());
        for part in [
            "<strong class=\"badge yellow\">yellow</strong> for 1 min 1 s: the edge of a&amp;b is",
            "ready; version 0.1.0; up 1 h 2 min",
            "<rect class=\"green\" x=\"870\" width=\"30\" height=\"10\"/>",
            "<th>received</th><td class=\"number\">1,234,567</td>",
            "<th>backend</th><td>sink</td><td>otlp</td><td class=\"number\">0/s</td>\
             <td class=\"number\">7</td><td class=\"number\">7.0 KiB</td>\
             <td class=\"number\">12.5%</td>",
            "<td class=\"number\">70.1%</td>",
            "<td class=\"number\">25.0%</td>",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("notices"));
    }

    #[test]
    fn a_vault_says_when_it_is_empty_or_that_it_is_not_shrinking() {
        let mut view = view();
        assert!(rendered(&view).contains("not shrinking"));
        let rates = VaultRates { replayed: 2.0, drain_seconds: Some(21) };
        view.rates.vaults.insert("vault".to_owned(), rates);
        let text = rendered(&view);
        assert!(text.contains("empty in 21 s") && text.contains("<td class=\"number\">21 s</td>"));
        view.status.vaults[0].backlog_requests = 0;
        assert!(rendered(&view).contains("nothing to replay"));
    }

    #[test]
    fn what_is_unusual_is_told_and_what_others_wrote_stays_text() {
        let mut view = view();
        let nasty = "<img onerror=\"x\">".to_owned();
        view.status.zone_reason.clone_from(&nasty);
        view.status.components[3].id.clone_from(&nasty);
        view.status.vaults[0].id.clone_from(&nasty);
        view.status.vaults[0].full = true;
        view.status.pressures[0].place.clone_from(&nasty);
        view.status.memory[0].name.clone_from(&nasty);
        view.status.held = proto::Zone::Red.into();
        view.status.held_reason.clone_from(&nasty);
        view.status.replay_paused = true;
        view.status.outages.push(proto::Outage {
            place: format!("b {nasty}"),
            seconds: 5,
            reason: "hunter2".to_owned(),
        });
        let text = rendered(&view);
        assert!(!text.contains("<img") && !text.contains("hunter2"), "{text}");
        assert!(text.contains(
            "<li>Degraded: endpoint &lt;img onerror=&quot;x&quot;&gt; of sink b has been out for 5s.</li>"
        ), "{text}");
        assert!(text.contains("An operator holds red."));
        assert!(text.contains("An operator has paused all replays."));
    }
}
