//! The terminal of `top`: taken over, and given back as it was whatever ends the program.

use std::io;
use std::io::Stdout;
use std::io::Write;
use std::panic;

use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor;
use ratatui::crossterm::event;
use ratatui::crossterm::event::Event;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyEventKind;
use ratatui::crossterm::event::KeyModifiers;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal;
use tokio::sync::mpsc;

use super::state::Key;

/// The screen; the terminal is as it was before when this is dropped.
pub(super) struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes the terminal over. A panic gives it back before it is told.
    pub(super) fn open() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        terminal::enable_raw_mode()?;
        let entered = execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide);
        let opened = entered.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        opened.map(Self).inspect_err(|_| restore())
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back.
fn restore() {
    // If the terminal is gone there is nothing to give back.
    let _gone = terminal::disable_raw_mode();
    let _gone = execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
    let _gone = io::stdout().flush();
}

/// The keys that mean something, read by a thread of its own, which ends with the program.
pub(super) fn keys(waiting_max: usize) -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(waiting_max);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let key = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => of(key),
                Event::Resize(..) => Some(Key::Resize),
                _ => None,
            };
            if let Some(key) = key
                && sender.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    keys
}

fn of(event: KeyEvent) -> Option<Key> {
    let is_control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        // In this mode the terminal makes no signal of it.
        KeyCode::Char('c' | 'd') if is_control => Some(Key::Char('q')),
        KeyCode::Char(_) if is_control => None,
        KeyCode::Char(letter) => Some(Key::Char(letter)),
        KeyCode::Tab => Some(Key::Tab),
        KeyCode::BackTab => Some(Key::BackTab),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::Esc => Some(Key::Escape),
        _ => None,
    }
}
