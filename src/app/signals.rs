//! The signals of the process, followed by a thread of its own.
//!
//! The handlers are installed before anything else is done, so that a signal that comes early is kept
//! and not the end of the process. The second request to stop is carried out by the thread itself:
//! it does not need a worker, which may be busy with what hangs.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::Signal as Listener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::Notify;

use super::StartError;
use super::refused;
use crate::component::Stop;

/// The size of a file is limited (`ulimit -f`): caught, so that the write fails with `EFBIG`.
const FILE_SIZE: SignalKind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());

/// What was asked of the process by signals. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Keeps one request, however often it was made.
    reload: Arc<Notify>,
    stop: Stop,
}

struct Listeners {
    reload: Listener,
    terminate: Listener,
    interrupt: Listener,
    unused: [Listener; 2],
    _file_size: Listener,
}

impl Listeners {
    fn install() -> io::Result<Self> {
        Ok(Self {
            _file_size: signal(FILE_SIZE)?,
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            unused: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    async fn follow(mut self, signals: Signals, at_once: impl FnOnce()) {
        let [first, second] = &mut self.unused;
        loop {
            tokio::select! {
                _ = self.reload.recv() => signals.reload.notify_one(),
                _ = self.terminate.recv() => if signals.must_end() { break },
                _ = self.interrupt.recv() => if signals.must_end() { break },
                _ = first.recv() => tracing::info!("Ignored SIGUSR1; use SIGHUP to reload."),
                _ = second.recv() => tracing::info!("Ignored SIGUSR2; use SIGHUP to reload."),
            }
        }
        at_once();
    }
}

impl Signals {
    /// Installs the handlers and follows the signals: `SIGHUP` asks for a reload, `SIGTERM` and `SIGINT`
    /// for the end; at the second of those `at_once` is called, which is to end the process.
    /// `SIGUSR1` and `SIGUSR2` are ignored, and a file that is too large is an error of its write.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler or a thread.
    pub fn listen(at_once: impl FnOnce() + Send + 'static) -> Result<Self, StartError> {
        let signals = Self { reload: Arc::default(), stop: Stop::new() };
        let followed = signals.clone();
        let start = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            let listeners = {
                let _inside = runtime.enter();
                Listeners::install()?
            };
            let follow = move || runtime.block_on(listeners.follow(followed, at_once));
            std::thread::Builder::new().name("signals".to_owned()).spawn(follow)
        };
        start().map_err(refused("listen for", "signals"))?;
        Ok(signals)
    }

    /// For a process that ends at a signal as any other: only a file that is too large is an error of
    /// its write.
    ///
    /// # Errors
    ///
    /// When the system refuses the handler.
    pub fn survive_file_size_limit() -> io::Result<()> {
        // The handler stays when the runtime is gone.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _inside = runtime.enter();
        signal(FILE_SIZE).map(drop)
    }

    /// Waits until a reload is asked for. May be dropped at any time; the request is kept then.
    pub async fn reload(&self) {
        self.reload.notified().await;
    }

    /// Waits until the process is to stop.
    pub async fn stop(&self) {
        self.stop.cancelled().await;
    }

    /// Notes that the process is to stop; returns whether that was known, and it is to end at once.
    fn must_end(&self) -> bool {
        let is_second = self.stop.is_cancelled();
        self.stop.cancel();
        is_second
    }
}
