//! The wiring of the process: load, start, follow signals, reload, drain.

mod descriptors;
mod files;
mod ledger;
mod left_vaults;
mod management;
mod orders;
mod places;
mod sensors;
mod service_manager;
mod signals;
mod source;
mod told;

pub use ledger::vault_dirs;
pub use sensors::sensors;
pub use signals::Signals;
pub use source::ConfigSource;
pub use source::DEFAULT_CONFIG;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership_units::seconds_of;
use tokio::sync::watch;

use files::FileWatch;
use management::Management;
use orders::OrderBook;
use places::create_dir;
use places::open_control;
use service_manager::ServiceManager;

use crate::component::ComponentId;
use crate::component::OnLoss;
use crate::component::Stop;
use crate::config::Config;
use crate::config::ConfigErrors;
use crate::control::ControlPortError;
use crate::control::ControlService;
use crate::control::LeftVault;
use crate::control::Maintenance;
use crate::flow::Pulse;
use crate::ledger::LedgerStore;
use crate::logs::LogFilter;
use crate::metrics::Metrics;
use crate::pool::Memory;
use crate::somatic::MemoryBudget;
use crate::somatic::PressureKind;
use crate::somatic::Somatic;
use crate::topology::ComponentOutcome;
use crate::topology::FlightDir;
use crate::topology::ReloadError;
use crate::topology::RunningTopology;
use crate::topology::SharedParts;
use crate::topology::Zones;

/// A reload drains what it replaces for at most this long.
const RELOAD_GRACE_MAX: Duration = Duration::from_secs(10);
/// After `shutdown.grace`, what gives up late and what is written last may take this long.
const END_WITHIN: Duration = Duration::from_secs(6);
/// The last page of the ledger is written within this time.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

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
    /// The control port cannot be opened.
    #[error("{0}")]
    Control(ControlPortError),
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
    /// Something hung, and was left behind.
    CutShort,
}

/// Loads the configuration, starts everything, and runs until a signal ends it. A signal that comes
/// before the start is over is followed when it is.
///
/// # Errors
///
/// [`StartError`]; whatever had started is stopped.
pub async fn serve(
    source: ConfigSource,
    on_loss: OnLoss,
    metrics: Arc<Metrics>,
    log_filter: LogFilter,
    signals: &Signals,
) -> Result<Ended, StartError> {
    let config = Arc::new(source.load()?);
    let grace = config.shutdown.grace.0;
    let too_late = async {
        signals.stop().await;
        tokio::time::sleep(grace).await;
    };
    let app = tokio::select! {
        app = App::start_with(source, config, on_loss, metrics, log_filter) => app?,
        () = too_late => return Ok(Ended::CutShort),
    };
    Ok(app.run(signals).await)
}

/// The running process.
pub struct App {
    source: ConfigSource,
    topology: RunningTopology,
    service: ControlService,
    config: watch::Sender<(u64, Arc<Config>)>,
    /// What the process may use; more than that is pressure.
    process_memory: MemoryBudget,
    /// Ends the zone driver, the control socket and the scrape listener.
    stop: Stop,
    management: Management,
    books: LedgerStore,
    left_vaults: watch::Sender<Vec<LeftVault>>,
    orders: OrderBook,
    manager: ServiceManager,
    /// How many file descriptors the process may have.
    descriptor_limit: u64,
}

impl App {
    /// Loads the configuration and starts everything.
    ///
    /// # Errors
    ///
    /// [`StartError`]; whatever had started is stopped.
    pub async fn start(source: ConfigSource, on_loss: OnLoss) -> Result<Self, StartError> {
        let config = Arc::new(source.load()?);
        Self::start_with(source, config, on_loss, Metrics::new(), LogFilter::fixed()).await
    }

    async fn start_with(
        source: ConfigSource,
        config: Arc<Config>,
        on_loss: OnLoss,
        metrics: Arc<Metrics>,
        log_filter: LogFilter,
    ) -> Result<Self, StartError> {
        let descriptor_limit = descriptors::raise();
        create_dir(&config.data_dir)?;
        let policy = config.somatic.policy();
        let red_permille = policy.marks(PressureKind::Edge).red.unwrap_or(u32::MAX);
        let somatic = Arc::new(Somatic::new(policy));
        let memory = Memory::new(&config.somatic.memory.limits());
        let (zone, figures) = (somatic.watch(), Arc::clone(&metrics));
        let shared = SharedParts::with_metrics(zone, Arc::clone(&memory), on_loss, figures);
        let SharedParts { ledgers, gauges, wiring, vaults, .. } = shared.clone();
        let pulse = Pulse::new(config.somatic.check_every.get(), red_permille, somatic.alarm());
        let topology = RunningTopology::empty(shared, pulse);
        let (control_path, control, audit) = open_control(&config)?;
        let books = ledger::keep_books(&config, ledgers, &vaults).await?;
        let flights = FlightDir::new(config.data_dir.join("flight"));
        let (stop, process_memory) = (Stop::new(), MemoryBudget::new(None));
        let sensors = sensors(&config, &gauges, &memory, &process_memory, &stop);
        let zones = Zones::new(Arc::clone(&somatic), topology.shared(), sensors, flights);
        let (sender, news) = watch::channel((0, Arc::clone(topology.config())));
        let (left_vaults, left) = watch::channel(Vec::new());
        let (book, orders, last_reload) = OrderBook::new();
        let service = ControlService {
            started: Instant::now(),
            config: news,
            zones: zones.clone(),
            wiring,
            ledgers,
            vaults,
            metrics,
            memory,
            left_vaults: left,
            ready: Arc::default(),
            last_reload,
            orders,
            log_filter,
            audit,
            history: Arc::default(),
            maintenance: Maintenance::new(topology.shared()),
        };
        let management = Management::new(service.clone(), control_path)?;
        let mut app = Self {
            source,
            topology,
            service,
            config: sender,
            process_memory,
            stop,
            management,
            books,
            left_vaults,
            orders: book,
            manager: ServiceManager::from_env(),
            descriptor_limit,
        };
        if let Err(error) = app.put_in_force(config).await {
            ledger::close_books(app.books).await;
            return Err(error);
        }
        zones.drive(app.stop.clone()).map_err(refused("start", "the thread of the zone"))?;
        tokio::spawn(Arc::clone(&app.service.memory).tend(app.stop.clone()));
        app.management.serve(control, app.stop.clone());
        app.service.ready.store(true, Ordering::Release);
        Ok(app)
    }

    /// Runs until a signal or the last of its sources ends it: `SIGHUP` reloads, `SIGTERM` and `SIGINT` drain.
    pub async fn run(mut self, signals: &Signals) -> Ended {
        let config = Arc::clone(self.topology.config());
        self.service.metrics.config.started(true);
        told::ready(&self.source, &config, self.generation());
        self.manager.ready();
        self.manager.keep_told(self.service.zones.clone(), self.stop.clone());
        let mut files = FileWatch::new(&self.source);
        loop {
            let config = Arc::clone(self.topology.config());
            tokio::select! {
                biased;
                () = signals.stop() => break,
                () = signals.reload() => drop(self.reload().await),
                order = self.orders.next() => self.carry_out(order).await,
                () = self.topology.sources_ended() => break,
                changes = files.changed(&config) => self.follow_files(changes).await,
            }
        }
        let within = self.topology.config().shutdown.grace.0 + END_WITHIN;
        match tokio::time::timeout(within, self.shut_down()).await {
            Ok(()) => Ended::Drained,
            Err(_late) => Ended::CutShort,
        }
    }

    /// Reads the configuration again and puts it in force; an invalid one changes nothing. Returns the
    /// settings that changed and what became of the components.
    ///
    /// # Errors
    ///
    /// Why the old configuration is still in force; the log says so too.
    pub async fn reload(&mut self) -> Result<(Vec<String>, Vec<Outcome>), String> {
        self.manager.reloading();
        let before = Arc::clone(self.topology.config());
        let result = self.try_reload().await.map_err(|error| error.to_string());
        self.orders.note_reload(result.as_ref().err().cloned());
        self.topology.shared().reopen_files();
        self.manager.ready();
        match result {
            Ok(outcomes) => {
                self.service.metrics.config.reloaded(true);
                told::outcomes(&outcomes);
                told::reloaded(self.topology.config(), self.generation());
                Ok((orders::changed_settings(&before, self.topology.config()), outcomes))
            }
            Err(error) => {
                self.service.metrics.config.reloaded(false);
                tracing::error!(
                    "Cannot reload the configuration; GopherShip keeps the old one. {error}"
                );
                Err(error)
            }
        }
    }

    async fn try_reload(&mut self) -> Result<Vec<Outcome>, StartError> {
        let mut config = self.source.load()?;
        self.warn_of_fixed_options(&config);
        // What is in it would be left behind: vaults, the ledger, the audit log.
        config.data_dir.clone_from(&self.topology.config().data_dir);
        create_dir(&config.data_dir)?;
        self.put_in_force(Arc::new(config)).await
    }

    /// Puts a configuration in force; a first start is the same as a reload.
    async fn put_in_force(&mut self, config: Arc<Config>) -> Result<Vec<Outcome>, StartError> {
        let prepared = self.management.prepare(&config).await?;
        let grace = config.shutdown.grace.0.min(RELOAD_GRACE_MAX);
        self.books.know(vault_dirs(&config));
        let before = Arc::clone(self.topology.config());
        let reload = self.topology.reload(Arc::clone(&config), grace);
        let report = reload.await.map_err(Box::new)?;
        left_vaults::look(&config, &before, &self.service.metrics, &self.left_vaults);
        told::unread_vaults(&config);
        let connections = self.topology.shared().listeners.descriptors();
        descriptors::share_out(&connections, self.descriptor_limit, &config);
        for warning in &config.warnings {
            tracing::warn!(
                option = %warning.path,
                "Warning in the configuration: {}", warning.problem
            );
        }
        self.service.zones.configure(&config.somatic);
        self.process_memory.set(Some(config.memory_bytes_max()));
        self.config.send_modify(|(generation, current)| {
            *generation += 1;
            *current = Arc::clone(&config);
        });
        self.management.follow(&config, prepared).await;
        Ok(report.outcomes)
    }

    /// The number of the configuration in force.
    fn generation(&self) -> u64 {
        self.config.borrow().0
    }

    /// Some options are read at start only.
    fn warn_of_fixed_options(&self, new: &Config) {
        let (_, old) = self.config.borrow().clone();
        let changes = [
            ("data_dir", old.data_dir != new.data_dir),
            ("control.socket", old.control_socket() != new.control_socket()),
            ("control.audit", old.control.audit != new.control.audit),
            ("somatic.check_every", old.somatic.check_every != new.somatic.check_every),
        ];
        for (option, is_changed) in changes {
            if is_changed {
                tracing::warn!(option, "Option takes effect at the next start.");
            }
        }
    }

    /// Takes nothing new, delivers or keeps what there is, and says what became of it.
    pub async fn shut_down(self) {
        self.service.ready.store(false, Ordering::Release);
        self.manager.stopping();
        let grace = self.topology.config().shutdown.grace.0;
        tracing::info!(grace_seconds = seconds_of(grace), "GopherShip is stopping.");
        self.topology.shared().brake.release();
        let config = Arc::clone(self.topology.config());
        let outcomes = self.topology.shut_down(grace).await;
        let is_vault =
            |id: &ComponentId| config.sinks.get(id).is_some_and(|sink| sink.config.is_vault());
        let is_cut_short = outcomes
            .iter()
            .any(|(id, outcome)| *outcome == ComponentOutcome::CutShort && is_vault(id));
        told::outcomes(&outcomes);
        self.stop.cancel();
        self.management.end().await;
        if is_cut_short {
            // It may go on to store what it has, after the last word of the books.
            ledger::leave_books(self.books).await;
        } else if tokio::time::timeout(CLOSE_WITHIN, ledger::close_books(self.books)).await.is_err()
        {
            tracing::warn!("Could not close the ledger in time: its disk does not answer.");
        }
        ledger::log_ledger(self.service.ledgers);
    }
}

/// A component, and what became of it.
type Outcome = (ComponentId, ComponentOutcome);

fn refused(
    operation: &'static str,
    what: impl fmt::Display,
) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Io { operation, what: what.to_string(), source }
}
