//! The colours of `top`, or bold and reversed text instead.

use gophership_control::proto;
use ratatui::style::Color;
use ratatui::style::Modifier;
use ratatui::style::Style;

/// Whether the screen has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    /// Green, yellow and red.
    Colours,
    /// Bold and reversed text only.
    Plain,
}

impl Palette {
    /// How a zone looks.
    pub(super) fn zone(self, zone: proto::Zone) -> Style {
        let style = Style::new();
        match (self, zone) {
            (_, proto::Zone::Unspecified) | (Self::Plain, proto::Zone::Green) => style,
            (Self::Plain, proto::Zone::Yellow) => style.add_modifier(Modifier::BOLD),
            (Self::Plain, proto::Zone::Red) => style.add_modifier(Modifier::REVERSED),
            (Self::Colours, proto::Zone::Green) => style.fg(Color::Green),
            (Self::Colours, proto::Zone::Yellow) => style.fg(Color::Yellow),
            (Self::Colours, proto::Zone::Red) => style.fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// How something looks that is so full, in thousandths.
    pub(super) fn fill(self, permille: u64) -> Style {
        self.zone(match permille {
            0..700 => proto::Zone::Green,
            700..900 => proto::Zone::Yellow,
            _ => proto::Zone::Red,
        })
    }

    /// How a head looks.
    pub(super) fn head() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}
