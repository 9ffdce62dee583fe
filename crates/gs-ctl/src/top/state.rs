//! What the screen of `top` shows: a pure function of the answers and the keys so far.

use gophership_control::proto;

/// What is shown below the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    /// A little of everything.
    Overview,
    /// Sources, transforms and sinks, with rates and queues.
    Components,
    /// The endpoints of sinks.
    Sinks,
    /// Vaults and replays.
    Vaults,
    /// Every pressure.
    Pressures,
}

impl Panel {
    /// In the order of their keys.
    pub(super) const ALL: [Self; 5] =
        [Self::Overview, Self::Components, Self::Sinks, Self::Vaults, Self::Pressures];

    /// What it is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Components => "components",
            Self::Sinks => "sinks",
            Self::Vaults => "vaults",
            Self::Pressures => "pressures",
        }
    }

    fn next(self, by: usize) -> Self {
        let idx = Self::ALL.iter().position(|panel| *panel == self).unwrap_or(0);
        Self::ALL[(idx + by) % Self::ALL.len()]
    }
}

/// The order of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// As the configuration has them.
    Configured,
    /// By name.
    Name,
    /// What moves most first.
    Rate,
    /// What is fullest first.
    Fill,
}

impl Sort {
    /// What it is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Configured => "configuration",
            Self::Name => "name",
            Self::Rate => "rate",
            Self::Fill => "fill",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Configured => Self::Name,
            Self::Name => Self::Rate,
            Self::Rate => Self::Fill,
            Self::Fill => Self::Configured,
        }
    }
}

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A letter or a digit.
    Char(char),
    /// To the next panel.
    Tab,
    /// To the panel before.
    BackTab,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// Closes the help.
    Escape,
    /// The terminal has another size.
    Resize,
}

/// What a key asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// To go on.
    Continue,
    /// To end.
    Quit,
}

/// What came of a question.
#[derive(Clone, Debug)]
pub(super) enum PollOutcome {
    /// The status.
    Status(Box<proto::StatusResponse>),
    /// There is no connection, and why.
    Lost(String),
}

/// All that the screen depends on.
#[derive(Clone, Debug)]
pub(super) struct TopState {
    /// The newest answer.
    pub(super) status: proto::StatusResponse,
    /// Why there is no newer one.
    pub(super) lost: Option<String>,
    pub(super) panel: Panel,
    pub(super) sort: Sort,
    pub(super) is_paused: bool,
    pub(super) is_help: bool,
    /// The first line that is shown of a table.
    pub(super) first: usize,
}

impl TopState {
    /// Begins with a first answer.
    pub(super) const fn new(status: proto::StatusResponse) -> Self {
        let (panel, sort) = (Panel::Overview, Sort::Configured);
        Self { status, lost: None, panel, sort, is_paused: false, is_help: false, first: 0 }
    }

    /// Takes an answer in. While it is paused, only that the connection is lost or back.
    pub(super) fn answer(&mut self, answer: PollOutcome) {
        match answer {
            PollOutcome::Status(status) => {
                self.lost = None;
                if !self.is_paused {
                    self.status = *status;
                }
            }
            PollOutcome::Lost(error) => self.lost = Some(error),
        }
    }

    /// Follows a key.
    pub(super) fn key(&mut self, key: Key) -> Flow {
        if self.is_help && key != Key::Resize && key != Key::Char('q') {
            self.is_help = false;
            return Flow::Continue;
        }
        match key {
            Key::Char('q') => return Flow::Quit,
            Key::Char('?' | 'h') => self.is_help = true,
            Key::Char('p' | ' ') => self.is_paused = !self.is_paused,
            Key::Char('s') => self.sort = self.sort.next(),
            Key::Char(digit @ '1'..='5') => {
                let idx = usize::from(u8::try_from(digit).unwrap_or(b'1') - b'1');
                self.show(Panel::ALL[idx]);
            }
            Key::Tab => self.show(self.panel.next(1)),
            Key::BackTab => self.show(self.panel.next(Panel::ALL.len() - 1)),
            Key::Up | Key::Char('k') => self.first = self.first.saturating_sub(1),
            Key::Down | Key::Char('j') => self.first = (self.first + 1).min(self.lines()),
            Key::Char(_) | Key::Escape | Key::Resize => {}
        }
        Flow::Continue
    }

    const fn show(&mut self, panel: Panel) {
        self.panel = panel;
        self.first = 0;
    }

    /// The last line that can be the first.
    fn lines(&self) -> usize {
        let len = match self.panel {
            Panel::Overview => 0,
            Panel::Components => self.status.components.len(),
            Panel::Sinks => self.status.deliveries.iter().map(|it| it.endpoints.len()).sum(),
            Panel::Vaults => self.status.vaults.len(),
            Panel::Pressures => self.status.pressures.len(),
        };
        len.saturating_sub(1)
    }

    /// The components in the order that was asked for.
    pub(super) fn components(&self) -> Vec<&proto::Component> {
        let mut components: Vec<_> = self.status.components.iter().collect();
        let rate = |component: &proto::Component| component.records_per_second.unwrap_or(-1.0);
        match self.sort {
            Sort::Configured => {}
            Sort::Name => components.sort_by(|one, other| one.id.cmp(&other.id)),
            Sort::Rate => components.sort_by(|one, other| rate(other).total_cmp(&rate(one))),
            Sort::Fill => {
                components.sort_by_key(|component| std::cmp::Reverse(component.edge_permille));
            }
        }
        components
    }

    /// The pressures, the highest first, or by name.
    pub(super) fn pressures(&self) -> Vec<&proto::Pressure> {
        let mut pressures: Vec<_> = self.status.pressures.iter().collect();
        match self.sort {
            Sort::Name => pressures.sort_by_key(|it| (it.kind.clone(), it.place.clone())),
            _ => pressures.sort_by_key(|pressure| std::cmp::Reverse(pressure.permille)),
        }
        pressures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: &str) -> proto::StatusResponse {
        let component = |id: &str, rate, permille| proto::Component {
            id: id.to_owned(),
            records_per_second: rate,
            edge_permille: permille,
            ..proto::Component::default()
        };
        proto::StatusResponse {
            version: version.to_owned(),
            components: vec![
                component("c", Some(5.0), 10),
                component("a", None, 900),
                component("b", Some(7.0), 0),
            ],
            ..proto::StatusResponse::default()
        }
    }

    #[test]
    fn keys_switch_panels_sort_pause_and_quit() {
        let mut state = TopState::new(status("1"));
        let ids = |state: &TopState| -> String {
            state.components().iter().map(|component| component.id.as_str()).collect()
        };
        let mut orders = vec![ids(&state)];
        for _ in 0..3 {
            assert_eq!(state.key(Key::Char('s')), Flow::Continue);
            orders.push(ids(&state));
        }
        assert_eq!(orders, ["cab", "abc", "bca", "acb"]);
        state.key(Key::Tab);
        assert_eq!(state.panel, Panel::Components);
        for _ in 0..9 {
            state.key(Key::Down);
        }
        assert_eq!(state.first, 2);
        state.key(Key::Char('4'));
        assert_eq!((state.panel, state.first), (Panel::Vaults, 0));
        state.key(Key::BackTab);
        assert_eq!(state.panel, Panel::Sinks);
        state.key(Key::Char('?'));
        assert!(state.is_help);
        state.key(Key::Char('s'));
        assert!(!state.is_help, "any key closes the help");
        assert_eq!(state.key(Key::Char('q')), Flow::Quit);
    }

    #[test]
    fn while_it_is_paused_answers_change_nothing_but_the_connection() {
        let mut state = TopState::new(status("1"));
        state.key(Key::Char('p'));
        state.answer(PollOutcome::Status(Box::new(status("2"))));
        assert_eq!(state.status.version, "1");
        state.answer(PollOutcome::Lost("closed".to_owned()));
        assert_eq!(state.lost.as_deref(), Some("closed"));
        state.key(Key::Char('p'));
        state.answer(PollOutcome::Status(Box::new(status("2"))));
        assert_eq!((state.status.version.as_str(), &state.lost), ("2", &None));
    }
}
