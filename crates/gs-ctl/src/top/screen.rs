//! Draws the screen of `top`.

use gophership_control::json::zone_name;
use gophership_control::proto;
use ratatui::Frame;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::symbols::border;
use ratatui::text::Line;
use ratatui::text::Span;
use ratatui::widgets::Block;
use ratatui::widgets::Clear;
use ratatui::widgets::Paragraph;

use super::palette::Palette;
use super::panels;
use super::state::Panel;
use super::state::TopState;
use super::text;

/// What the keys do.
const HELP: [&str; 9] = [
    "1-5, Tab    switch panels",
    "s           sort by configuration, name, rate or fill",
    "p, Space    pause or continue",
    "Up, Down    scroll",
    "?           this help",
    "q, Ctrl-C   quit",
    "",
    "Zones of the last 15 minutes: . green, y yellow, # red.",
    "Rates are means of 10 seconds.",
];

/// Of characters that every terminal has.
const BORDER: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Draws everything.
pub(super) fn draw(state: &TopState, palette: Palette, frame: &mut Frame<'_>) {
    let areas =
        Layout::vertical([Constraint::Length(5), Constraint::Min(0), Constraint::Length(1)]);
    let [head, body, foot] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(heading(state, palette, head.width)), head);
    panels::draw(state, palette, frame, body);
    frame.render_widget(Paragraph::new(footer(state)), foot);
    if state.is_help {
        help(frame);
    }
}

/// The process, its zone now and before, and what moves.
fn heading(state: &TopState, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let status = &state.status;
    let up = text::duration(status.uptime_seconds);
    let first = format!("gophership {}  up {up}  {} tasks", status.version, status.tasks);
    let mut first = vec![Span::styled(first, Palette::head())];
    if let Some(error) = &state.lost {
        let lost = format!("  NO CONNECTION, trying again: {error}");
        first.push(Span::styled(lost, palette.zone(proto::Zone::Red)));
    } else if state.is_paused {
        first.push(Span::styled("  PAUSED", palette.zone(proto::Zone::Yellow)));
    } else if !gophership_control::json::is_ready(status) {
        first.push(Span::styled("  NOT READY", palette.zone(proto::Zone::Red)));
    }
    let zone = status.zone();
    let held = match zone_name(status.held) {
        "none" => String::new(),
        held => format!(", held at {held}"),
    };
    let name = Span::styled(zone_name(status.zone).to_uppercase(), palette.zone(zone));
    let since = text::duration(status.zone_seconds);
    let reason = format!(" for {since}: {}{held}", status.zone_reason);
    let strip = text::zone_strip(&status.zone_history, usize::from(width.saturating_sub(8)));
    let cell = |zone: &proto::Zone| {
        let mark = match zone {
            proto::Zone::Unspecified => " ",
            proto::Zone::Green => ".",
            proto::Zone::Yellow => "y",
            proto::Zone::Red => "#",
        };
        Span::styled(mark, palette.zone(*zone))
    };
    let mut history = vec![Span::raw("-15 min ")];
    history.extend(strip.iter().map(cell));
    let rates = status.rates.unwrap_or_default();
    let rates = format!(
        "records/s  in {}  out {}  rejected {}",
        text::count(rates.received),
        text::count(rates.delivered),
        text::count(rates.rejected)
    );
    vec![
        Line::from(first),
        Line::from(vec![Span::raw("zone "), name, Span::raw(reason)]),
        Line::from(history),
        Line::from(rates),
        Line::from(tabs(state.panel)),
    ]
}

fn tabs(shown: Panel) -> Vec<Span<'static>> {
    let tab = |(idx, panel): (usize, &Panel)| {
        let style = if *panel == shown {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        [Span::styled(format!("{} {}", idx + 1, panel.name()), style), Span::raw("  ")]
    };
    Panel::ALL.iter().enumerate().flat_map(tab).collect()
}

fn footer(state: &TopState) -> Line<'static> {
    let text = format!("q quit  ? help  p pause  s sort: {}  Tab panel", state.sort.name());
    Line::styled(text, Style::new().add_modifier(Modifier::DIM))
}

fn help(frame: &mut Frame<'_>) {
    let width = HELP.iter().map(|line| line.len()).max().unwrap_or(0) + 4;
    let all = frame.area();
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(all.width);
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX).min(all.height);
    let area = Rect::new((all.width - width) / 2, (all.height - height) / 2, width, height);
    frame.render_widget(Clear, area);
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().border_set(BORDER).title("keys")),
        area,
    );
}
