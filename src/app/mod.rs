//! The wiring of the process: load, start, follow signals, reload, drain.

mod ledger;
mod senses;

pub use ledger::vault_dirs;
pub use senses::sensors;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio::signal::unix::Signal as Signals;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::books::BookKeeper;
use crate::config;
use crate::config::ComponentId;
use crate::config::Config;
use crate::config::ConfigErrors;
use crate::config::running::OnLoss;
use crate::config::running::Stop;
use crate::control::ControlSocket;
use crate::control::Plant;
use crate::control::Scrape;
use crate::flow::Pulse;
use crate::pool::Memory;
use crate::somatic::MemoryBudget;
use crate::somatic::Sense;
use crate::somatic::Somatic;
use crate::topology::ComponentOutcome;
use crate::topology::FlightDir;
use crate::topology::ReloadError;
use crate::topology::RunningTopology;
use crate::topology::Shared;
use crate::topology::Zones;

/// The configuration that is used when none is named.
pub const DEFAULT_CONFIG: &str = include_str!("../../config/default.yaml");
/// What error messages call it.
const DEFAULT_NAME: &str = "(built-in default)";
/// A reload drains what it replaces for at most this long.
const RELOAD_GRACE_MAX: Duration = Duration::from_secs(10);

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// A file, read again at each reload.
    File(PathBuf),
    /// The built-in default.
    Default,
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Default => formatter.write_str(DEFAULT_NAME),
        }
    }
}

impl ConfigSource {
    /// Loads and checks the configuration.
    ///
    /// # Errors
    ///
    /// All problems at once, each with its position.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        let environment = |name: &str| std::env::var(name).ok();
        match self {
            Self::File(path) => config::load_file(path, &environment),
            Self::Default => config::load_text(DEFAULT_NAME, DEFAULT_CONFIG, &environment),
        }
    }
}

/// The process could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration has problems.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// A component could not be built.
    #[error("{0}")]
    Build(#[from] Box<ReloadError>),
    /// The operating system refused something.
    #[error("cannot {operation} {what}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After a signal, with everything delivered, kept or answered for.
    Drained,
    /// At a second signal, at once.
    AtOnce,
}

/// The running process.
pub struct App {
    source: ConfigSource,
    topology: RunningTopology,
    plant: Plant,
    config: watch::Sender<(u64, Arc<Config>)>,
    ready: Arc<AtomicBool>,
    /// What the process may use; more than that is pressure.
    process_memory: MemoryBudget,
    /// Ends the zone driver, the control socket and the scrape listener.
    stop: Stop,
    scrape: Option<ScrapeServer>,
    books: BookKeeper,
}

struct ScrapeServer {
    configured: SocketAddr,
    stop: Stop,
    task: JoinHandle<()>,
}

impl App {
    /// Loads the configuration and starts everything.
    ///
    /// # Errors
    ///
    /// [`StartError`]; whatever had started is stopped.
    pub async fn start(source: ConfigSource, on_loss: OnLoss) -> Result<Self, StartError> {
        let config = Arc::new(source.load()?);
        create_dir(&config.data_dir)?;
        let policy = config.somatic.policy();
        let red_permille = policy.marks(Sense::Edge).red.unwrap_or(u32::MAX);
        let somatic = Arc::new(Somatic::new(policy));
        let memory = Memory::new(&config.somatic.memory.limits());
        let shared = Shared::new(somatic.watch(), Arc::clone(&memory), on_loss);
        let Shared { ledgers, metrics, vitals, wiring, .. } = shared.clone();
        let pulse = Pulse::new(config.somatic.check_every.get(), red_permille, somatic.alarm());
        let topology = RunningTopology::empty(shared, pulse);
        let control_path = config.control_socket();
        let control = ControlSocket::bind(&control_path)
            .map_err(refused("listen on", control_path.display()))?;

        let books = ledger::keep_books(&config, ledgers).await?;
        let flights = FlightDir::new(config.data_dir.join("flight"));
        let stop = Stop::new();
        let process_memory = MemoryBudget::new(None);
        let sensors = sensors(&config, &vitals, &memory, &process_memory, &stop);
        let zones = Zones::new(Arc::clone(&somatic), topology.shared(), sensors, flights);
        let (sender, news) = watch::channel((0, Arc::clone(topology.config())));
        let started = Instant::now();
        let plant =
            Plant { started, config: news, zones: zones.clone(), wiring, ledgers, metrics, memory };
        let ready = Arc::new(AtomicBool::new(false));
        let scrape = None;
        let mut app = Self {
            source,
            topology,
            plant,
            config: sender,
            ready,
            process_memory,
            stop,
            scrape,
            books,
        };
        if let Err(error) = app.put_in_force(config).await {
            ledger::close_books(app.books).await;
            return Err(error);
        }
        zones.drive(app.stop.clone()).map_err(refused("start", "the thread of the zone"))?;
        tokio::spawn(Arc::clone(&app.plant.memory).tend(app.stop.clone()));
        tokio::spawn(control.serve(app.plant.clone(), app.stop.clone()));
        app.ready.store(true, Ordering::Release);
        Ok(app)
    }

    /// Runs until a signal ends it: `SIGHUP` reloads, `SIGTERM` and `SIGINT` drain, and a second one
    /// of those ends it at once.
    ///
    /// # Errors
    ///
    /// When signals cannot be received.
    pub async fn run(mut self) -> Result<Ended, StartError> {
        let mut reloads = listen_for(SignalKind::hangup())?;
        let mut terminate = listen_for(SignalKind::terminate())?;
        let mut interrupt = listen_for(SignalKind::interrupt())?;
        let config = Arc::clone(self.topology.config());
        let data_dir = config.data_dir.display();
        let metrics = config.metrics.listen;
        tracing::info!(config = %self.source, %data_dir, ?metrics, "GopherShip is ready.");
        loop {
            tokio::select! {
                _ = reloads.recv() => self.reload().await,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        tokio::select! {
            () = self.shut_down() => Ok(Ended::Drained),
            _ = terminate.recv() => Ok(Ended::AtOnce),
            _ = interrupt.recv() => Ok(Ended::AtOnce),
        }
    }

    /// Reads the configuration again and puts it in force; an invalid one changes nothing.
    pub async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(outcomes) => {
                self.plant.metrics.reloads.with_label_values(&["ok"]).inc();
                log_outcomes(&outcomes);
                tracing::info!("Configuration is reloaded.");
            }
            Err(error) => {
                self.plant.metrics.reloads.with_label_values(&["failed"]).inc();
                tracing::error!(
                    "Configuration is not reloaded; the old one stays in force. {error}"
                );
            }
        }
    }

    async fn try_reload(&mut self) -> Result<Vec<Outcome>, StartError> {
        let config = Arc::new(self.source.load()?);
        create_dir(&config.data_dir)?;
        self.warn_of_fixed_options(&config);
        self.put_in_force(config).await
    }

    /// Puts a configuration in force; a first start is the same as a reload.
    async fn put_in_force(&mut self, config: Arc<Config>) -> Result<Vec<Outcome>, StartError> {
        let scrape = self.bind_scrape(config.metrics.listen).await?;
        let grace = config.shutdown.grace.0.min(RELOAD_GRACE_MAX);
        self.books.know(vault_dirs(&config));
        let reload = self.topology.reload(Arc::clone(&config), grace);
        let report = reload.await.map_err(Box::new)?;
        warn_of_unread_vaults(&config);
        self.plant.zones.configure(&config.somatic);
        self.process_memory.set(Some(config.memory_bytes_max()));
        let listen = config.metrics.listen;
        self.config.send_modify(|(generation, current)| {
            *generation += 1;
            *current = config;
        });
        self.follow_scrape(listen, scrape).await;
        Ok(report.outcomes)
    }

    /// Some options are read at start only.
    fn warn_of_fixed_options(&self, new: &Config) {
        let (_, old) = self.config.borrow().clone();
        let changes = [
            ("data_dir", old.data_dir != new.data_dir),
            ("control.socket", old.control_socket() != new.control_socket()),
            ("somatic.check_every", old.somatic.check_every != new.somatic.check_every),
        ];
        for (option, is_changed) in changes {
            if is_changed {
                tracing::warn!(option, "Option takes effect at the next start.");
            }
        }
    }

    /// Binds the listener for metrics, unless it listens there already.
    async fn bind_scrape(&self, wanted: Option<SocketAddr>) -> Result<Option<Scrape>, StartError> {
        match wanted {
            Some(address) if self.scrape.as_ref().is_none_or(|old| old.configured != address) => {
                Scrape::bind(address).await.map(Some).map_err(refused("listen on", address))
            }
            _ => Ok(None),
        }
    }

    /// Serves metrics where the configuration in force says.
    async fn follow_scrape(&mut self, wanted: Option<SocketAddr>, bound: Option<Scrape>) {
        if self.scrape.as_ref().map(|scrape| scrape.configured) == wanted {
            return;
        }
        let next = wanted.zip(bound).map(|(configured, scrape)| {
            let stop = Stop::new();
            let ready = Arc::clone(&self.ready);
            let task = tokio::spawn(scrape.serve(self.plant.clone(), ready, stop.clone()));
            ScrapeServer { configured, stop, task }
        });
        if let Some(old) = std::mem::replace(&mut self.scrape, next) {
            old.end().await;
        }
    }

    /// Takes nothing new, delivers or keeps what there is, and says what became of it.
    pub async fn shut_down(self) {
        self.ready.store(false, Ordering::Release);
        let grace = self.topology.config().shutdown.grace.0;
        tracing::info!(?grace, "GopherShip is stopping.");
        self.topology.shared().brake.release();
        let outcomes = self.topology.shut_down(grace).await;
        log_outcomes(&outcomes);
        self.stop.cancel();
        if let Some(scrape) = self.scrape {
            scrape.end().await;
        }
        ledger::close_books(self.books).await;
        ledger::log_ledger(self.plant.ledgers);
    }
}

impl ScrapeServer {
    async fn end(self) {
        self.stop.cancel();
        // It only stops listening; a panic in it has been logged.
        let _ended = self.task.await;
    }
}

type Outcome = (ComponentId, ComponentOutcome);

/// A vault that is never replayed only fills; that may be meant, and may be a slip.
fn warn_of_unread_vaults(config: &Config) {
    for (vault, sink) in &config.sinks {
        if sink.config.is_replayed_by_default() && !config.is_replayed(vault) {
            tracing::warn!(%vault, "No vault_replay reads this vault: what it takes stays there.");
        }
    }
}

fn log_outcomes(outcomes: &[Outcome]) {
    for (component, outcome) in outcomes {
        if *outcome == ComponentOutcome::CutShort {
            tracing::warn!(%component, %outcome, "Component");
        } else {
            tracing::info!(%component, %outcome, "Component");
        }
    }
}

fn create_dir(path: &Path) -> Result<(), StartError> {
    std::fs::create_dir_all(path).map_err(refused("create the directory", path.display()))
}

fn refused(
    operation: &'static str,
    what: impl fmt::Display,
) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Io { operation, what: what.to_string(), source }
}

fn listen_for(kind: SignalKind) -> Result<Signals, StartError> {
    signal(kind).map_err(refused("listen for", "signals"))
}
