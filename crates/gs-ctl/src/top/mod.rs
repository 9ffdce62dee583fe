//! `gs-ctl top`: a live screen of what the process does.
//!
//! ```text
//!   asker (a task) -- answers --> TopState --> screen --> terminal
//!   reader (a thread) -- keys -----^
//! ```

mod palette;
mod panels;
mod screen;
mod state;
mod terminal;
mod text;

#[cfg(test)]
mod tests;

use std::io;
use std::io::IsTerminal;
use std::time::Duration;

use gophership_control::Client;
use gophership_control::ClientError;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

use crate::error::CtlError;
use crate::target::Target;
use palette::Palette;
use state::Flow;
use state::PollOutcome;
use state::TopState;
use terminal::Screen;

/// Answers and keys that wait to be shown.
const WAITING_MAX: usize = 64;

/// Shows the screen until a key or a signal ends it. A connection that is lost is made again.
///
/// # Errors
///
/// When there is no terminal, or GopherShip cannot be reached at first.
pub(crate) async fn run(
    target: &Target,
    timeout: Duration,
    interval: Duration,
) -> Result<u8, CtlError> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(CtlError::Usage(
            "top needs a terminal; `gs-ctl status --watch` writes to a file or a pipe".to_owned(),
        ));
    }
    let mut client = target.connect(timeout).await?;
    let mut state = TopState::new(client.status().await?);
    let (sender, mut answers) = mpsc::channel(WAITING_MAX);
    let asker = Asker { target: target.clone(), timeout, interval, sender };
    let asker = tokio::spawn(asker.run(Some(client)));
    let listen = |kind| signal(kind).map_err(ClientError::Local);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let palette = if no_colour { Palette::Plain } else { Palette::Colours };
    let mut screen = Screen::open()?;
    let mut keys = terminal::keys(WAITING_MAX);
    loop {
        screen.draw(|frame| screen::draw(&state, palette, frame))?;
        tokio::select! {
            Some(answer) = answers.recv() => state.answer(answer),
            key = keys.recv() => match key {
                Some(key) if state.key(key) == Flow::Continue => {}
                // Without a keyboard nobody could end it.
                Some(_) | None => break,
            },
            _ = terminate.recv() => break,
            _ = hangup.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    asker.abort();
    Ok(0)
}

/// Asks again and again.
struct Asker {
    target: Target,
    timeout: Duration,
    interval: Duration,
    sender: mpsc::Sender<PollOutcome>,
}

impl Asker {
    async fn run(self, mut client: Option<Client>) {
        loop {
            tokio::time::sleep(self.interval).await;
            let answer = match self.ask(&mut client).await {
                Ok(answer) => answer,
                Err(error) => {
                    client = None;
                    PollOutcome::Lost(error.to_string())
                }
            };
            if self.sender.send(answer).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, client: &mut Option<Client>) -> Result<PollOutcome, CtlError> {
        let client = match client {
            Some(client) => client,
            None => client.insert(self.target.connect(self.timeout).await?),
        };
        Ok(PollOutcome::Status(Box::new(client.status().await?)))
    }
}
