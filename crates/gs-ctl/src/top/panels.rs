//! The panels of `top`: tables of what the status has.

use gophership_control::proto;
use ratatui::Frame;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::Cell;
use ratatui::widgets::Paragraph;
use ratatui::widgets::Row;
use ratatui::widgets::Table;

use super::palette::Palette;
use super::state::Panel;
use super::state::TopState;
use super::text;
use crate::render::millis;

/// The width of a bar.
const BAR: usize = 12;
/// A bar with its percentage.
const BAR_COLUMN: u16 = 19;

/// Draws the panel that is shown.
pub(super) fn draw(state: &TopState, palette: Palette, frame: &mut Frame<'_>, area: Rect) {
    match state.panel {
        Panel::Overview => overview(state, palette, frame, area),
        Panel::Components => components(state, palette, frame, area),
        Panel::Sinks => sinks(state, palette, frame, area),
        Panel::Vaults => replays(state, palette, frame, area),
        Panel::Pressures => pressures(state, palette, frame, area),
    }
}

/// Pressure and memory beside each other, components, sinks and vaults below, each as far as there is room.
fn overview(state: &TopState, palette: Palette, frame: &mut Frame<'_>, area: Rect) {
    // With its head; without lines there is no head.
    let len = |len: usize| u16::try_from(len + usize::from(len != 0)).unwrap_or(u16::MAX);
    let status = &state.status;
    let endpoints = status.deliveries.iter().map(|delivery| delivery.endpoints.len()).sum();
    let top = len(status.memory.len().max(5));
    let areas = Layout::vertical([
        Constraint::Max(top),
        Constraint::Max(len(status.vaults.len())),
        Constraint::Max(len(endpoints)),
        Constraint::Min(0),
    ]);
    let [top, vault_area, sink_area, component_area] = areas.areas(area);
    let halves =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(1), Constraint::Fill(1)]);
    let [left, _, right] = halves.areas(top);
    pressures(state, palette, frame, left);
    memory(state, frame, right);
    vaults(state, palette, frame, vault_area);
    sinks(state, palette, frame, sink_area);
    components(state, palette, frame, component_area);
}

/// A table from the line that is scrolled to.
fn table(
    state: &TopState,
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[(&'static str, Constraint)],
    rows: Vec<Row<'static>>,
) {
    let first = if state.panel == Panel::Overview { 0 } else { state.first };
    let head = Row::new(columns.iter().map(|(name, _)| Cell::from(*name))).style(Palette::head());
    let widths = columns.iter().map(|(_, width)| *width);
    let table = Table::new(rows.into_iter().skip(first), widths).header(head).column_spacing(1);
    frame.render_widget(table, area);
}

fn bar(palette: Palette, permille: u64) -> Cell<'static> {
    Cell::from(text::bar(permille, BAR)).style(palette.fill(permille))
}

fn text_cell(text: impl Into<String>) -> Cell<'static> {
    Cell::from(text.into().replace(char::is_control, " "))
}

fn components(state: &TopState, palette: Palette, frame: &mut Frame<'_>, area: Rect) {
    let row = |component: &&proto::Component| {
        let rate = component.records_per_second.map_or_else(|| "-".to_owned(), text::count);
        Row::new([
            text_cell(component.id.clone()),
            text_cell(component.section.clone()),
            text_cell(component.r#type.clone()),
            text_cell(rate),
            text_cell(text::count(text::real(component.edge_batches))),
            text_cell(text::bytes(component.edge_bytes)),
            bar(palette, component.edge_permille.into()),
        ])
    };
    let columns = [
        ("COMPONENT", Constraint::Fill(1)),
        ("SECTION", Constraint::Length(9)),
        ("TYPE", Constraint::Length(12)),
        ("REC/S", Constraint::Length(6)),
        ("QUEUE", Constraint::Length(6)),
        ("BYTES", Constraint::Length(8)),
        ("FULL", Constraint::Length(BAR_COLUMN)),
    ];
    table(state, frame, area, &columns, state.components().iter().map(row).collect());
}

fn sinks(state: &TopState, palette: Palette, frame: &mut Frame<'_>, area: Rect) {
    let row = |delivery: &proto::Delivery, endpoint: &proto::DeliveryEndpoint| {
        let is_closed = endpoint.circuit == "closed";
        let zone = if is_closed { proto::Zone::Green } else { proto::Zone::Red };
        Row::new([
            text_cell(delivery.id.clone()),
            text_cell(endpoint.name.clone()),
            text_cell(endpoint.circuit.clone()).style(palette.zone(zone)),
            text_cell(format!("{}/{}", delivery.in_flight, delivery.limit)),
            text_cell(millis(delivery.p50_seconds)),
            text_cell(millis(delivery.p99_seconds)),
        ])
    };
    let deliveries = &state.status.deliveries;
    let rows = deliveries.iter().flat_map(|delivery| {
        delivery.endpoints.iter().map(move |endpoint| row(delivery, endpoint))
    });
    let columns = [
        ("SINK", Constraint::Fill(2)),
        ("ENDPOINT", Constraint::Fill(3)),
        ("CIRCUIT", Constraint::Length(7)),
        ("FLIGHT", Constraint::Length(7)),
        ("P50", Constraint::Length(10)),
        ("P99", Constraint::Length(10)),
    ];
    table(state, frame, area, &columns, rows.collect());
}

fn vaults(state: &TopState, palette: Palette, frame: &mut Frame<'_>, area: Rect) {
    let row = |vault: &proto::Vault| {
        let drain = match vault.drain_seconds {
            _ if vault.failed => "FAILED".to_owned(),
            Some(0) => "empty".to_owned(),
            Some(seconds) => format!("in {}", text::duration(seconds)),
            None => "not yet".to_owned(),
        };
        Row::new([
            text_cell(vault.id.clone()),
            text_cell(text::count(text::real(vault.backlog_requests))),
            text_cell(text::duration(vault.oldest_seconds)),
            text_cell(text::count(vault.replayed_requests_per_second)),
            text_cell(drain),
            text_cell(text::bytes(vault.used_bytes)),
            bar(palette, text::permille(vault.used_bytes, vault.max_bytes)),
        ])
    };
    let columns = [
        ("VAULT", Constraint::Fill(1)),
        ("BACKLOG", Constraint::Length(8)),
        ("OLDEST", Constraint::Length(8)),
        ("REPLAY/S", Constraint::Length(8)),
        ("EMPTY", Constraint::Length(11)),
        ("USED", Constraint::Length(8)),
        ("FULL", Constraint::Length(BAR_COLUMN)),
    ];
    let paused =
        if state.status.replay_paused { Some("replays are paused by an operator") } else { None };
    let rows: Vec<Row<'static>> = state.status.vaults.iter().map(row).collect();
    let lines = u16::try_from(rows.len() + 1).unwrap_or(u16::MAX);
    table(state, frame, area, &columns, rows);
    // Below the vaults, if there is room.
    if let Some(text) = paused
        && lines < area.height
    {
        let style: Style = palette.zone(proto::Zone::Yellow);
        let line = Rect { y: area.y + lines, height: 1, ..area };
        frame.render_widget(Paragraph::new(text).style(style), line);
    }
}

/// The vaults, and below them the replays of archives in S3.
fn replays(state: &TopState, palette: Palette, frame: &mut Frame<'_>, area: Rect) {
    let replays = &state.status.s3_replays;
    let len = if replays.is_empty() { 0 } else { replays.len() + 1 };
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    let areas = Layout::vertical([Constraint::Min(3), Constraint::Max(len)]);
    let [upper, lower] = areas.areas(area);
    vaults(state, palette, frame, upper);
    let row = |replay: &proto::S3Replay| {
        let done = replay.done_segments + replay.segments_by_others;
        Row::new([
            text_cell(replay.id.clone()),
            text_cell(format!("{done}/{}", replay.segments)),
            text_cell(text::count(text::real(replay.delivered_requests))),
            text_cell(text::count(text::real(replay.rejected_requests))),
            Cell::from(text::bar(text::permille(done, replay.segments), BAR)),
        ])
    };
    let columns = [
        ("S3 REPLAY", Constraint::Fill(1)),
        ("SEGMENTS", Constraint::Length(12)),
        ("SENT", Constraint::Length(8)),
        ("REJECTED", Constraint::Length(8)),
        ("DONE", Constraint::Length(BAR_COLUMN)),
    ];
    if 0 < len {
        table(state, frame, lower, &columns, replays.iter().map(row).collect());
    }
}

fn pressures(state: &TopState, palette: Palette, frame: &mut Frame<'_>, area: Rect) {
    let row = |pressure: &&proto::Pressure| {
        let place = pressure.place.clone();
        let permille = u64::from(pressure.permille);
        Row::new([text_cell(pressure.kind.clone()), text_cell(place), bar(palette, permille)])
    };
    let columns = [
        ("PRESSURE", Constraint::Fill(1)),
        ("PLACE", Constraint::Fill(1)),
        ("OF ITS LIMIT", Constraint::Length(BAR_COLUMN)),
    ];
    table(state, frame, area, &columns, state.pressures().iter().map(row).collect());
}

/// Without colours: a full share is no pressure by itself.
fn memory(state: &TopState, frame: &mut Frame<'_>, area: Rect) {
    let row = |share: &proto::MemoryShare| {
        Row::new([
            text_cell(share.name.clone()),
            text_cell(text::bytes(share.used_bytes)),
            Cell::from(text::bar(text::permille(share.used_bytes, share.limit_bytes), BAR)),
        ])
    };
    let columns = [
        ("MEMORY", Constraint::Fill(1)),
        ("USED", Constraint::Length(8)),
        ("OF ITS SHARE", Constraint::Length(BAR_COLUMN)),
    ];
    table(state, frame, area, &columns, state.status.memory.iter().map(row).collect());
}
