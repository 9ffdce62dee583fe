//! The screens are what the committed files say; `UPDATE_GOLDEN=1` rewrites the files.

use std::fs;
use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::buffer::Cell;
use ratatui::style::Color;

use super::palette::Palette;
use super::screen;
use super::state::Key;
use super::state::PollOutcome;
use super::state::TopState;
use crate::render::golden::calm;
use crate::render::golden::troubled;

fn drawn(state: &TopState, palette: Palette, size: (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| screen::draw(state, palette, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content().chunks(width).map(|cells| {
        let line: String = cells.iter().map(Cell::symbol).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn check(name: &str, state: &TopState, size: (u16, u16)) {
    let shown = text(&drawn(state, Palette::Plain, size));
    assert!(shown.is_ascii(), "{shown}");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = dir.join(format!("top_{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, shown, "{}; UPDATE_GOLDEN=1 rewrites it", path.display());
}

#[test]
fn every_screen_is_what_its_file_says() {
    let mut state = TopState::new(troubled());
    for name in ["overview", "components", "sinks", "vaults", "pressures"] {
        check(name, &state, (80, 24));
        state.key(Key::Tab);
    }
    check("overview_wide", &state, (200, 60));
    state.key(Key::Char('?'));
    state.answer(PollOutcome::Lost("GopherShip closed the connection".to_owned()));
    check("help", &state, (80, 24));
    check("calm", &TopState::new(calm()), (80, 24));
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let mut state = TopState::new(troubled());
    state.key(Key::Char('?'));
    for width in [0, 1, 7, 20, 300] {
        for height in [0, 1, 3, 6, 9, 100] {
            drawn(&state, Palette::Colours, (width, height));
        }
    }
}

#[test]
fn without_colour_the_screen_has_none_and_the_same_text() {
    let state = TopState::new(troubled());
    let (plain, coloured) =
        (drawn(&state, Palette::Plain, (80, 24)), drawn(&state, Palette::Colours, (80, 24)));
    assert_eq!(text(&plain), text(&coloured));
    let has_colour = |buffer: &Buffer| buffer.content().iter().any(|cell| cell.fg != Color::Reset);
    assert!(!has_colour(&plain) && has_colour(&coloured));
}
