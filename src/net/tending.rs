//! The one timer of a connection, and the loop that serves it.

use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use tokio::time::Instant;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::activity::instant_of;
use super::activity::now_ns;
use super::timeouts::CloseCause;
use super::timeouts::ConnectionTimeouts;
use super::timeouts::Due;

/// A connection that can be served: what hyper makes of a stream.
pub trait GracefulConnection {
    /// What it ends with.
    type Output;

    /// Goes on with it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Self::Output>;

    /// Tells the peer to go when it has finished what it has begun.
    fn close(&mut self);

    /// How many answers the peer has taken, if others wait for it to make room for them, while so many
    /// requests are being answered.
    fn unsent(&self, _requests: u32) -> Option<u64> {
        None
    }
}

/// A connection of hyper that keeps its streams elsewhere.
pub struct PlainConnection<C> {
    connection: Pin<Box<C>>,
    close: fn(Pin<&mut C>),
}

impl<C> PlainConnection<C> {
    /// Makes one, with what tells it to close.
    pub fn new(connection: C, close: fn(Pin<&mut C>)) -> Self {
        Self { connection: Box::pin(connection), close }
    }
}

impl<C: Future> GracefulConnection for PlainConnection<C> {
    type Output = C::Output;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<C::Output> {
        self.connection.as_mut().poll(context)
    }

    fn close(&mut self) {
        (self.close)(self.connection.as_mut());
    }
}

/// How a connection ended.
#[derive(Debug)]
pub enum ConnectionEnd<T> {
    /// By itself: the peer closed it, or broke it.
    Ended(T),
    /// It was asked to, because the listener is to stop.
    Stopped,
    /// GopherShip closed it.
    Closed(CloseCause),
}

impl<T, E> ConnectionEnd<Result<T, E>> {
    /// Why it ended, for metrics.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Ended(Ok(_)) => "ended",
            Self::Ended(Err(_)) => "error",
            Self::Stopped => "stopped",
            Self::Closed(cause) => cause.name(),
        }
    }
}

/// What is to be done with a connection.
enum Verdict {
    Close,
    Cut(CloseCause),
}

enum Event<T> {
    Ended(T),
    Verdict(Verdict),
    Stop,
    Cut,
}

/// Watches over the time that a connection takes. There is one timer for each connection; it is set anew
/// only when something is due earlier than before, and looks again when it goes off, so a request costs a
/// few loads.
pub struct Tending {
    activity: Arc<Activity>,
    timeouts: ConnectionTimeouts,
    sleep: Pin<Box<Sleep>>,
    armed_ns: u64,
    is_registered: bool,
    /// Since when answers wait, and how many the peer had taken then.
    unsent: Option<(u64, u64)>,
    closing: Option<Due>,
}

impl Tending {
    /// Begins with a connection.
    #[must_use]
    pub fn new(activity: Arc<Activity>, timeouts: ConnectionTimeouts) -> Self {
        let sleep = Box::pin(tokio::time::sleep_until(Instant::now()));
        let armed_ns = u64::MAX;
        let (is_registered, unsent, closing) = (false, None, None);
        Self { activity, timeouts, sleep, armed_ns, is_registered, unsent, closing }
    }

    /// Serves a connection to its end. `stop` asks it to end, and then `cut` ends it.
    pub async fn serve<C: GracefulConnection>(
        mut self,
        connection: &mut C,
        stop: &CancellationToken,
        cut: &CancellationToken,
    ) -> ConnectionEnd<C::Output> {
        let (mut stopped, mut cut_off) = (pin!(stop.cancelled()), pin!(cut.cancelled()));
        let mut is_stopped = false;
        loop {
            let event = poll_fn(|context| {
                if let Poll::Ready(output) = connection.poll(context) {
                    return Poll::Ready(Event::Ended(output));
                }
                let unsent = connection.unsent(self.activity.requests());
                if let Poll::Ready(verdict) = self.poll(context, unsent) {
                    return Poll::Ready(Event::Verdict(verdict));
                }
                if is_stopped {
                    return cut_off.as_mut().poll(context).map(|()| Event::Cut);
                }
                stopped.as_mut().poll(context).map(|()| Event::Stop)
            });
            match event.await {
                Event::Ended(output) => {
                    return match self.closing {
                        Some((_, cause)) => ConnectionEnd::Closed(cause),
                        None if is_stopped => ConnectionEnd::Stopped,
                        None => ConnectionEnd::Ended(output),
                    };
                }
                Event::Verdict(Verdict::Close) => connection.close(),
                Event::Verdict(Verdict::Cut(cause)) => return ConnectionEnd::Closed(cause),
                Event::Stop => {
                    is_stopped = true;
                    connection.close();
                }
                Event::Cut => return ConnectionEnd::Stopped,
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, unsent: Option<u64>) -> Poll<Verdict> {
        if !self.is_registered {
            self.is_registered = true;
            self.activity.wake_when_asked(context);
        }
        if unsent != self.unsent.map(|(_, taken)| taken) {
            self.unsent = unsent.map(|taken| (now_ns(), taken));
        }
        if self.closing.is_none() && self.activity.is_asked_to_close() {
            self.closing = Some((now_ns(), CloseCause::Evicted));
            let is_known = self.activity.has_served() || self.activity.has_preface();
            let verdict = if is_known { Verdict::Close } else { Verdict::Cut(CloseCause::Evicted) };
            return Poll::Ready(verdict);
        }
        loop {
            let unsent_ns = self.unsent.map(|(since, _)| since);
            let due = self.timeouts.due(&self.activity, unsent_ns, self.closing);
            if let Some((at, _)) = due.filter(|(at, _)| *at < self.armed_ns) {
                self.armed_ns = at;
                self.sleep.as_mut().reset(instant_of(at).into());
                if self.sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            } else if self.armed_ns == u64::MAX || !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            self.armed_ns = u64::MAX;
            let now = now_ns();
            let Some((_, cause)) = due.filter(|(at, _)| *at <= now) else { continue };
            if !cause.is_graceful() || self.closing.is_some() {
                return Poll::Ready(Verdict::Cut(cause));
            }
            self.closing = Some((now, cause));
            return Poll::Ready(Verdict::Close);
        }
    }
}
