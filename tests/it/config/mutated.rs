//! Ten thousand configurations that nobody meant.
//!
//! `HOSTILE_SEED=n` makes other ones, `HOSTILE_CASE=n` runs a single one.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership::app::DEFAULT_CONFIG;
use gophership::config::Config;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::examples::examples;
use super::examples::write_certificates;
use super::mutate::Dice;
use super::mutate::mutate;
use super::stage::Stage;
use super::stage::load;
use super::stage::start;

const CASES: u64 = 10_000;
const SEED: u64 = 20_26;
/// Cases under way at the same time: most of one is waiting.
const WORKERS: usize = 24;
/// What is under way at the end of a case has this long.
const GRACE: Duration = Duration::from_millis(20);
const BODY: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},"scopeLogs":[{"scope":{"name":"test"},"logRecords":[{"severityNumber":9,"body":{"stringValue":"hello"},"attributes":[{"key":"a","value":{"intValue":"1"}}]}]}]}]}"#;

/// Panics of the threads that this test and the vaults start, with the thread's name.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What all workers share.
struct Campaign {
    seed: u64,
    documents: Vec<String>,
    next: AtomicU64,
    end: u64,
    tls: Stage,
    valid: AtomicU64,
    started: AtomicU64,
    /// Cases that were under way when something panicked.
    suspects: Mutex<Vec<u64>>,
}

/// Scenario: the examples and the default with one or two hostile changes each; what is still
/// valid is started, given a request, and stopped.
/// Guarantees: an error or a running graph, never a panic, neither here nor in a component.
#[test]
fn ten_thousand_hostile_configurations_give_an_error_or_a_running_graph() {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let only = number("HOSTILE_CASE");
    let mut documents = vec![DEFAULT_CONFIG.to_owned()];
    documents.extend(examples().into_iter().map(|(_, text)| text));
    let tls = Stage::new();
    write_certificates(tls.path());
    let campaign = Arc::new(Campaign {
        seed: number("HOSTILE_SEED").unwrap_or(SEED),
        documents,
        next: AtomicU64::new(only.unwrap_or(0)),
        end: only.map_or(CASES, |case| case + 1),
        tls,
        valid: AtomicU64::new(0),
        started: AtomicU64::new(0),
        suspects: Mutex::default(),
    });
    note_panics();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).thread_name("hostile").enable_all().build().unwrap();
    runtime.block_on(async {
        let work = |_| tokio::spawn(Arc::clone(&campaign).work());
        let workers: Vec<_> = (0..WORKERS).map(work).collect();
        for worker in workers {
            worker.await.unwrap();
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    campaign.report();
    let (valid, started) =
        (campaign.valid.load(Ordering::Relaxed), campaign.started.load(Ordering::Relaxed));
    // Mutations that hardly ever start would say little about what comes after the parser.
    let is_telling = only.is_some() || (CASES / 10 < valid && CASES / 12 < started);
    assert!(is_telling, "only {valid} of {CASES} were valid and {started} started");
}

impl Campaign {
    /// Fails if anything panicked, with all it takes to see it again.
    fn report(&self) {
        let (seed, suspects, panics) = (self.seed, self.suspects.lock().unwrap(), panics());
        let document = |case: &u64| format!("case {case}:\n{}", self.document(*case));
        let documents: Vec<String> = suspects.iter().map(document).collect();
        assert!(
            panics.is_empty(),
            "HOSTILE_SEED={seed}, one of the cases {suspects:?}, see which with HOSTILE_CASE: \
             {panics:#?}\n{}",
            documents.join("\n\n"),
        );
    }

    /// Runs cases until there are none left, or something has panicked.
    async fn work(self: Arc<Self>) {
        while panics().is_empty() {
            let case = self.next.fetch_add(1, Ordering::Relaxed);
            if self.end <= case {
                return;
            }
            self.run(case).await;
            if !panics().is_empty() {
                self.suspects.lock().unwrap().push(case);
            }
        }
    }

    fn document(&self, case: u64) -> String {
        let mut dice = Dice::new(self.seed, case);
        let mut text = dice.pick(&self.documents).clone();
        for _ in 0..=dice.below(2) {
            let other = dice.pick(&self.documents);
            text = mutate(&text, other, &mut dice);
        }
        text
    }

    async fn run(&self, case: u64) {
        let text = self.document(case);
        let tls_dir = self.tls.path().to_str().unwrap();
        let variables = [("TLS_DIR", tls_dir), ("HOSTNAME", "ship")];
        let loaded = catch_unwind(AssertUnwindSafe(|| load("hostile.yaml", &text, &variables)));
        let Ok(loaded) = loaded else { return };
        match loaded {
            Ok(config) => {
                self.valid.fetch_add(1, Ordering::Relaxed);
                self.play(config).await;
            }
            Err(errors) => assert!(!errors.to_string().is_empty()),
        }
    }

    /// Runs a valid configuration for as long as a request takes.
    async fn play(&self, mut config: Config) {
        let mut stage = Stage::new();
        stage.tame(&mut config);
        // Refused by the machine, with a reason: that is an error too.
        let Ok(running) = start(config).await else { return };
        self.started.fetch_add(1, Ordering::Relaxed);
        for address in &running.addresses {
            let _unanswered = tokio::time::timeout(GRACE, post(address)).await;
        }
        running.shut_down(GRACE).await;
    }
}

/// Sends a log record over HTTP; whoever expects something else hangs up.
async fn post(address: &str) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(BODY.as_bytes()).await?;
    let mut answer = [0; 64];
    stream.read(&mut answer).await
}

fn panics() -> Vec<String> {
    PANICS.lock().unwrap().clone()
}

/// Components that panic are started again, so their panics are seen here or nowhere.
fn note_panics() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        if name.starts_with("hostile") || name.starts_with("vault-") {
            PANICS.lock().unwrap().push(format!("thread {name}: {panic}"));
        }
        previous(panic);
    }));
}
