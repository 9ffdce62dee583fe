//! `gophership drill`: the backend is out, and nothing may be lost. A copy of a configuration runs
//! as a process of its own, between clients like SDKs and a built-in backend.
//!
//! ```text
//!   sdk (queue, schedule) -> client -> server, a child -> backend
//!        |                                     ^                 |
//!        +------------> oracle <---------------|-----------------+
//!                         |     drive: warm-up, outage, kill, return
//!                         v
//!                     verdict -> report
//! ```

mod args;
mod copy;
mod corrupt;
mod drive;
mod forecast;
mod full;
mod peer;
mod plan;
mod report;
mod server;
mod site;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use gophership::app::ConfigSource;
use gophership::config;
use gophership::config::Config;
use gophership_testbed::Backend;
use gophership_testbed::RecordOracle;

use crate::complain;
use crate::vault::print;

use drive::Drill;
use peer::PeerProgram;
use plan::Plan;
use report::Report;
use site::Workspace;
use verdict::DrillLimits;

pub(crate) use args::DrillArgs;

/// Exit codes beyond those of `main`.
mod exit {
    /// A requirement does not hold.
    pub(super) const FAILED: u8 = 1;
    /// 128 and SIGINT.
    pub(super) const INTERRUPTED: u8 = 130;
}

/// What is drilled without a configuration: everything it does not name has its default.
const MINIMAL: &str = "
sources:
  otlp: { type: otlp }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: 'http://localhost:4317' }
  vault: { type: raw_vault }
";
/// The same with two sinks.
const TWO_SINKS: &str = "
sources:
  otlp: { type: otlp }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: 'http://localhost:4317' }
  other: { type: otlp, inputs: [otlp], endpoint: 'http://localhost:4417' }
  vault: { type: raw_vault }
";
/// The one of them that is out.
const TWO_SINKS_OUT: &str = "backend";
/// A client whose queue is full sooner loses records by its own retries, which begin after a second.
const BRIDGED_MIN: Duration = Duration::from_secs(3);
const MINIMAL_NAME: &str = "(a source, a sink and a vault)";
const TWO_SINKS_NAME: &str = "(a source, two sinks and a vault)";

/// Why there is no verdict.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
    /// Whether the server's log says more.
    is_servers: bool,
}

impl Failure {
    fn io(text: String) -> Self {
        Self { code: crate::exit::IO, text, is_servers: false }
    }

    fn server(text: String) -> Self {
        Self { code: crate::exit::UNAVAILABLE, text, is_servers: true }
    }
}

/// What is drilled.
struct Subject {
    name: String,
    program: Program,
    plan: Plan,
    oracle: RecordOracle,
}

/// The program under drill.
enum Program {
    /// This one, with a copy of a configuration.
    Own(Box<Config>),
    /// Another one, which has a configuration of its own.
    Peer(PeerProgram),
}

/// Runs a drill.
pub(crate) fn run(args: &DrillArgs) -> ExitCode {
    let subject = match args.peer.peer() {
        Some(peer) => Ok(of_peer(args, peer)),
        None => load(args).and_then(|(name, config)| of_config(args, name, config)),
    };
    let subject = match subject {
        Ok(subject) => subject,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: cannot start the runtime: {error}"));
            return crate::exit::UNAVAILABLE.into();
        }
    };
    let drilled = runtime.block_on(drill(args, subject));
    match drilled {
        Ok(is_passed) => {
            if is_passed {
                ExitCode::SUCCESS
            } else {
                exit::FAILED.into()
            }
        }
        Err(Failure { code, text, .. }) => {
            complain(&format!("error: {text}"));
            code.into()
        }
    }
}

fn of_config(args: &DrillArgs, name: String, config: Config) -> Result<Subject, ExitCode> {
    let planned = plan::plan(&config).and_then(|mut plan| {
        plan.choose(&args.sinks_out())?;
        let mut oracle = expect(args, &plan);
        forecast::forecast(&config, &mut plan, usize::from(args.clients()), &mut oracle)?;
        Ok((plan, oracle))
    });
    match planned {
        Ok((plan, oracle)) => {
            Ok(Subject { name, program: Program::Own(Box::new(config)), plan, oracle })
        }
        Err(reason) => {
            complain(&format!("error: cannot run a drill with {name}: {reason}"));
            Err(crate::exit::CONFIG.into())
        }
    }
}

fn of_peer(args: &DrillArgs, peer: PeerProgram) -> Subject {
    let plan = peer.plan();
    let oracle = expect(args, &plan);
    Subject { name: peer.name(), program: Program::Peer(peer), plan, oracle }
}

/// Makes the oracle, which knows of each client's records where they are to arrive.
fn expect(args: &DrillArgs, plan: &Plan) -> RecordOracle {
    let clients = usize::from(args.clients());
    let entry = |client: usize| &plan.entries[client % plan.entries.len()];
    let routes = (0..clients).map(|client| entry(client).sinks.clone()).collect();
    RecordOracle::new(routes, plan.sinks.len(), plan.intact)
}

fn load(args: &DrillArgs) -> Result<(String, Config), ExitCode> {
    if let Some(path) = args.path.as_ref().or(args.config.as_ref()) {
        let config = crate::load(&ConfigSource::File(path.clone()))?;
        return Ok((path.display().to_string(), config));
    }
    let (name, text) =
        if args.two_sinks { (TWO_SINKS_NAME, TWO_SINKS) } else { (MINIMAL_NAME, MINIMAL) };
    let config = config::load_text(name, text, &|_| None);
    Ok((name.to_owned(), config.expect("a test loads it")))
}

/// Makes the place, runs the drill in it, and tells the verdict; returns whether everything holds.
async fn drill(args: &DrillArgs, subject: Subject) -> Result<bool, Failure> {
    let Subject { name, program, plan, oracle } = subject;
    let plan = &plan;
    let bound: std::io::Result<Vec<Backend>> = match &program {
        Program::Own(_) => plan.sinks.iter().map(|_| Backend::bind()).collect(),
        Program::Peer(peer) => Backend::bind_to(peer.backend).map(|backend| vec![backend]),
    };
    let backends =
        bound.map_err(|error| Failure::io(format!("the backend cannot listen: {error}")))?;
    let addresses: Vec<_> = backends.iter().map(Backend::address).collect();
    let site = match program {
        Program::Own(config) => Workspace::new(&config, plan, &addresses, args.fill_vault),
        Program::Peer(peer) => Workspace::of_peer(peer),
    };
    let mut site = site.map_err(Failure::io)?;
    let work = async {
        let drill = Drill::start(args, plan, &site, backends, oracle).await?;
        drill.run().await
    };
    let figures = tokio::select! {
        figures = work => figures,
        failure = interrupted() => Err(failure),
    };
    let places = (site.dir.display().to_string(), site.log().display().to_string());
    let figures = match figures {
        Ok(figures) => figures,
        Err(mut failure) => {
            site.is_kept = args.keep || failure.is_servers;
            if site.is_kept {
                failure.text = format!("{}; log of the server: {}", failure.text, places.1);
            }
            return Err(failure);
        }
    };
    // A client whose server was killed comes again after a second, which says nothing of the sinks.
    let compares = plan.has_staying() && !args.is_killed();
    let limits = DrillLimits {
        lost: args.lost_max,
        refused: args.refused_max,
        memory: args.memory_max(),
        p99: args.p99_max(),
        slowest: args.slowest_max(),
        drain: args.drain_max(),
        killed_clients: args.is_killed().then(|| args.clients().into()),
        may_fill: args.may_fill(),
        must_fill: args.fill_vault.is_some(),
        backlog_times: args.backlog_min(),
        delay_growth: compares.then_some(args.delay_growth_max.fraction()),
    };
    let requirements = figures.judge(&limits);
    let mut notes = plan.notes.clone();
    if plan.has_staying() && args.is_killed() {
        let note =
            "delays do not count as a requirement, because clients wait and retry after the kill";
        notes.push(note.to_owned());
    }
    if args.hard {
        notes.push("records that clients drop do not count as a requirement (--hard)".to_owned());
    }
    if args.bridged() < BRIDGED_MIN {
        let bridged = verdict::time(args.bridged());
        notes.push(format!("the queue of a client is full after {bridged} without an answer"));
    }
    let mut report = Report { args, config: name, notes, figures, requirements, kept: None };
    site.is_kept = args.keep || !report.passed();
    report.kept = site.is_kept.then_some(places);
    print(args.output, || report.text(), || report.document())
        .map_err(|error| Failure::io(format!("cannot write the output: {error}")))?;
    Ok(report.passed())
}

/// Waits for a signal that ends the drill.
async fn interrupted() -> Failure {
    let failed = |error| Failure::io(format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => return failed(error),
        };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Failure { code: exit::INTERRUPTED, text: "interrupted".to_owned(), is_servers: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gophership_testbed::Intact;

    #[test]
    fn the_minimal_configuration_names_a_source_a_sink_and_a_vault() {
        let config = config::load_text(MINIMAL_NAME, MINIMAL, &|_| None).unwrap();
        let plan = plan::plan(&config).unwrap();
        assert_eq!((plan.entries.len(), plan.sinks.len(), plan.intact), (1, 1, Intact::Bytes));
        assert_eq!(plan.notes, [""; 0]);
        let config = config::load_text(TWO_SINKS_NAME, TWO_SINKS, &|_| None).unwrap();
        let mut plan = plan::plan(&config).unwrap();
        plan.choose(&[TWO_SINKS_OUT.to_owned()]).unwrap();
        assert_eq!((plan.entries[0].sinks.len(), plan.is_out), (2, vec![true, false]));
        assert_eq!(plan.notes, [""; 0]);
    }
}
