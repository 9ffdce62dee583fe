//! The `gophership` process: arguments in, exit code out.

mod args;
mod audit;
mod drill;
mod graph;
mod healthcheck;
mod log_filter;
mod logging;
mod stages;
mod test;
mod vault;

use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use clap::Parser;
use clap_complete::Shell;

use gophership::app;
use gophership::app::ConfigSource;
use gophership::app::DEFAULT_CONFIG;
use gophership::app::Ended;
use gophership::app::Signals;
use gophership::app::StartError;
use gophership::component;
use gophership::component::OnLoss;
use gophership::config;
use gophership::logs::LogFilter;
use gophership::metrics::Metrics;

use args::Args;
use args::ProgramCommand;
use args::RunArgs;

/// The end of the process waits this long for the log to be written, and for threads that hang.
/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "GOPHERSHIP_CONFIG";
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
const FLUSH_AT_ONCE_WITHIN: Duration = Duration::from_millis(200);
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(1);

/// Exit codes as in sysexits.h.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const USAGE: u8 = 64;
    pub(super) const NO_INPUT: u8 = 66;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const IO: u8 = 74;
    pub(super) const CONFIG: u8 = 78;
    /// 128 and SIGTERM.
    pub(super) const TERMINATED: u8 = 143;
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            return if error.print().is_ok() { code.into() } else { exit::IO.into() };
        }
    };
    // Where the system refuses it, a file that is too large ends the process, as it always did.
    let _refused = Signals::survive_file_size_limit();
    let result = match args.command {
        None => return run(&args.run),
        Some(ProgramCommand::Run { path, run: mut run_args }) => {
            run_args.config = path.or(run_args.config);
            return run(&run_args);
        }
        Some(ProgramCommand::Validate { mut paths, config }) => {
            paths.extend(config);
            if paths.is_empty() {
                paths.extend(std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from));
            }
            return validate(&paths);
        }
        Some(ProgramCommand::Graph { path, config, format }) => match load(&named(path.or(config)))
        {
            Ok(config) => print(&graph::render(&config, format)),
            Err(code) => return code,
        },
        Some(ProgramCommand::Test { path, config, only }) => {
            return path.or(config).map_or(exit::USAGE.into(), |path| test(&path, only.as_deref()));
        }
        Some(ProgramCommand::Schema) => config::schema().and_then(|schema| print_bytes(&schema)),
        Some(ProgramCommand::List) => print(&list()),
        Some(ProgramCommand::DefaultConfig) => print(DEFAULT_CONFIG),
        Some(ProgramCommand::Completions { shell }) => print(&completions(shell)),
        Some(ProgramCommand::Man { dir }) => man(&dir),
        Some(ProgramCommand::Healthcheck(args)) => return healthcheck::run(&args),
        Some(ProgramCommand::Audit(args)) => return audit::run(&args),
        Some(ProgramCommand::Drill(args)) => return drill::run(&args),
        Some(ProgramCommand::Vault { command }) => return vault::run(*command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough, as in `gophership schema | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => exit::IO.into(),
    }
}

fn print(text: &str) -> io::Result<()> {
    print_bytes(text.as_bytes())
}

fn print_bytes(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Says something to the person at the terminal; if that fails there is nobody to tell.
fn complain(text: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// The file that was named, or the built-in default.
fn named(path: Option<PathBuf>) -> ConfigSource {
    path.map_or(ConfigSource::Default, ConfigSource::File)
}

fn check_readable(source: &ConfigSource) -> Result<(), ExitCode> {
    let (ConfigSource::File(path) | ConfigSource::Followed(path)) = source else { return Ok(()) };
    if path.is_dir() {
        complain(&format!("error: {} is a folder: name the file in it", path.display()));
        return Err(exit::NO_INPUT.into());
    }
    if let Err(error) = std::fs::metadata(path) {
        complain(&format!("error: cannot read {}: {error}", path.display()));
        return Err(exit::NO_INPUT.into());
    }
    Ok(())
}

fn load(source: &ConfigSource) -> Result<config::Config, ExitCode> {
    check_readable(source)?;
    source.load().map_err(|errors| {
        complain(&errors.to_string());
        exit::CONFIG.into()
    })
}

fn validate(paths: &[PathBuf]) -> ExitCode {
    let mut files = Vec::new();
    for path in paths {
        match files_of(path) {
            Ok(more) => files.extend(more),
            Err(code) => return code,
        }
    }
    if files.is_empty() {
        complain(&format!("error: name a configuration file, or set {CONFIG_VARIABLE}"));
        return exit::USAGE.into();
    }
    let mut worst = ExitCode::SUCCESS;
    for path in &files {
        match load(&ConfigSource::File(path.clone())) {
            Ok(config) => {
                for warning in &config.warnings {
                    complain(&warning.render_warning());
                }
                let unreadable = config.unreadable_files();
                for config::UnreadableFile { option, path, error } in &unreadable {
                    complain(&format!(
                        "error: cannot read {}, the {option}: {error}",
                        path.display()
                    ));
                }
                if unreadable.is_empty() {
                    complain(&format!("{}: valid", path.display()));
                } else {
                    worst = exit::CONFIG.into();
                }
            }
            Err(code) => worst = code,
        }
    }
    worst
}

/// The file, or of a folder the configuration files in it, by name.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, ExitCode> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| {
        complain(&format!("error: cannot read {}: {error}", path.display()));
        ExitCode::from(exit::NO_INPUT)
    })?;
    let is_config = |path: &PathBuf| {
        let extension = path.extension().is_some_and(|it| it == "yaml" || it == "yml");
        extension && path.is_file()
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths.filter(is_config).collect();
    files.sort();
    if files.is_empty() {
        complain(&format!("error: {} contains no *.yaml and no *.yml file", path.display()));
        return Err(exit::NO_INPUT.into());
    }
    Ok(files)
}

fn test(path: &Path, name: Option<&str>) -> ExitCode {
    let config = match load(&ConfigSource::File(path.to_owned())) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let report = test::run(&config, path, name);
    match print(&report.text) {
        // Nothing proves nothing.
        Ok(()) if report.ran == 0 => exit::FAILED.into(),
        Ok(()) if report.failed == 0 => ExitCode::SUCCESS,
        Ok(()) => exit::FAILED.into(),
        Err(_) => exit::IO.into(),
    }
}

fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "gophership", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn man(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Args::command(), dir)
}

fn list() -> String {
    let line = |component: &&component::ComponentInfo| {
        let section = component.section.to_string();
        format!("{section:<10} {:<14} {}\n", component.name, component.summary)
    };
    component::list().iter().map(line).collect()
}

fn run(args: &RunArgs) -> ExitCode {
    let metrics = Metrics::new();
    let log = match logging::start(args, &metrics) {
        Ok(log) => log,
        Err(reason) => {
            complain(&format!("error: {reason}"));
            return exit::USAGE.into();
        }
    };
    // Before anything else: a signal that comes early is kept.
    let at_once = log.clone();
    let signals = Signals::listen(move || end_at_once(&at_once));
    let source = match (args.config.clone(), args.watch_config) {
        (Some(path), true) => ConfigSource::Followed(path),
        (path, is_watched) => {
            if is_watched {
                tracing::warn!(
                    "--watch-config has no effect: the built-in configuration has no file."
                );
            }
            named(path)
        }
    };
    if let Err(code) = check_readable(&source) {
        return code;
    }
    let filter = log.filter();
    let ended = signals.and_then(|signals| serve(args, source, metrics, filter, &signals));
    let (text, code) = match ended {
        Ok(Ended::Drained) => (String::new(), 0),
        Ok(Ended::CutShort) => end_at_once(&log),
        Err(StartError::Config(errors)) => (errors.to_string(), exit::CONFIG),
        Err(error @ StartError::Build(_)) => (format!("error: {error}"), exit::UNAVAILABLE),
        Err(error) => (format!("error: {error}"), exit::IO),
    };
    if !text.is_empty() {
        log.say(&text);
    }
    log.flush(FLUSH_WITHIN);
    code.into()
}

fn serve(
    args: &RunArgs,
    source: ConfigSource,
    metrics: Arc<Metrics>,
    filter: LogFilter,
    signals: &Signals,
) -> Result<Ended, StartError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("gophership");
    if let Some(threads) = args.threads {
        builder.worker_threads(usize::from(threads.get()));
    }
    let runtime = builder.build().map_err(|source| StartError::Io {
        operation: "start",
        what: "the runtime".to_owned(),
        source,
    })?;
    let on_loss = if args.strict { OnLoss::Refuse } else { OnLoss::Start };
    let ended = runtime.block_on(app::serve(source, on_loss, metrics, filter, signals));
    // All that was to be seen through has been, or has had its time: a thread that hangs in a system
    // call (a pipe that nobody reads, a disk that does not answer) is left behind.
    runtime.shutdown_timeout(LEFT_BEHIND_AFTER);
    ended
}

/// Ends the process without waiting for anything.
fn end_at_once(log: &logging::Logging) -> ! {
    log.flush(FLUSH_AT_ONCE_WITHIN);
    std::process::exit(exit::TERMINATED.into())
}
