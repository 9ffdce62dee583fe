//! `cargo bench --bench governor`: what ingest pays for background work.
//!
//! Two comparisons, with the zone held green, in which background work may do most. Both print a line for each
//! round, and fail by the median over the rounds of the ratio of the 99th percentiles with and without the work.
//!
//! | part | load | work | limit |
//! |---|---|---|---|
//! | `archive` | clients at a steady pace | sealed segments are archived in a bucket | 1.10 |
//! | `all` | clients that saturate the machine | besides, a vault is replayed and read back, while `gophership vault verify` and `export` go through it again and again | 1.20 |
//!
//! `-- --only archive` runs one of them. The bucket is a process of the lowest priority: it stands for other
//! machines.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, or stops"
)]

mod all;
mod archive;
mod load;
mod server;
mod tools;

use std::time::Duration;
use std::time::Instant;

use gophership_otlp::demo::demo_logs;

use server::Server;

const RECORDS: usize = 100;
/// The governor sees within a second that somebody is to be yielded to.
const WARM_UP: Duration = Duration::from_millis(1500);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |option: &str| {
        let position = args.iter().position(|arg| arg == option);
        position.and_then(|position| args.get(position + 1)).map(String::as_str)
    };
    if let Some(dir) = value("--serve") {
        return server::serve(dir);
    }
    if let Some(dir) = value("--bucket") {
        return server::be_bucket(dir);
    }
    let request = demo_logs(RECORDS, 7, 1_700_000_000_000_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let is_wanted = |part: &str| value("--only").is_none_or(|only| only == part);
    let mut is_right = true;
    if is_wanted("archive") {
        is_right &= runtime.block_on(archive::run(&Server::start(), &request));
    }
    if is_wanted("all") {
        is_right &= runtime.block_on(all::run(&Server::start(), &request));
    }
    assert!(is_right, "background work is in the way of ingest");
}

/// Tells the median of some ratios and whether it is small enough.
fn judge(mut ratios: Vec<f64>, ratio_max: f64) -> bool {
    ratios.sort_by(f64::total_cmp);
    let at = |quarter: usize| ratios[(ratios.len() - 1) * quarter / 4];
    println!(
        "ratios: median {:.3}, quartiles {:.3} and {:.3}; the median must be less than {ratio_max}",
        at(2),
        at(1),
        at(3)
    );
    at(2) < ratio_max
}

async fn until(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
