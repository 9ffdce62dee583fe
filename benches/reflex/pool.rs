//! What a buffer of the pool costs beside one of the heap, for every class, with one and two threads.
//! Both sides take turns. Each acquire and release, with its grant, must cost no allocation.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership::pool::Budget;
use gophership::pool::Pool;

use crate::measure::allocated;
use crate::measure::median;

const ROUNDS: usize = 7;
const OPERATIONS: u32 = 20_000;
const WARM_UP: u32 = 100;
const CLASSES: [usize; 9] = [4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// One side of the comparison: so many operations, each of which touches its buffer once.
fn pooled(pool: &Arc<Pool>, budget: &Arc<Budget>, bytes: usize, operations: u32) {
    for _ in 0..operations {
        let grant = budget.try_take(bytes as u64).unwrap();
        let mut buffer = pool.acquire(bytes, Some(grant)).unwrap();
        buffer.extend_from_slice(&[1]);
        black_box(&buffer);
    }
}

fn from_the_heap(bytes: usize, operations: u32) {
    for _ in 0..operations {
        let mut buffer = Vec::with_capacity(bytes);
        buffer.push(1_u8);
        black_box(&buffer);
    }
}

/// Runs on some threads at once and returns the time of one operation of one of them, and what the
/// calling threads allocated.
fn timed(threads: usize, work: impl Fn(u32) + Sync) -> (f64, u64, u64) {
    let one = || {
        work(WARM_UP);
        let before = allocated();
        let begun = Instant::now();
        work(OPERATIONS);
        let (taken, after) = (begun.elapsed(), allocated());
        (taken, (after.0 - before.0, after.1 - before.1))
    };
    let done: Vec<(Duration, (u64, u64))> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    let slowest = done.iter().map(|(took, _)| *took).max().unwrap();
    let sum = |of: fn(&(u64, u64)) -> u64| done.iter().map(|(_, count)| of(count)).sum();
    let nanos = slowest.as_secs_f64() * 1e9 / f64::from(OPERATIONS);
    (nanos, sum(|count| count.0), sum(|count| count.1))
}

/// Prints the table, and stops where something allocates.
pub(crate) fn run() {
    println!("\npool: acquire and release with a grant, touching the first byte, beside the heap");
    let pool = Pool::new(64 << 20);
    let budget = Budget::new("bench", 1 << 30);
    println!("| class | threads | pool ns | heap ns | pool / heap | allocations | bytes |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for threads in [1, 2] {
        for kib in CLASSES {
            let bytes = kib << 10;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let (mut allocations, mut allocated) = (0, 0);
            for _ in 0..ROUNDS {
                let (nanos, count, sum) =
                    timed(threads, |operations| pooled(&pool, &budget, bytes, operations));
                (allocations, allocated) = (allocations + count, allocated + sum);
                ours.push(nanos);
                theirs.push(timed(threads, |operations| from_the_heap(bytes, operations)).0);
            }
            let (ours, theirs) = (median(ours), median(theirs));
            println!(
                "| {kib}KiB | {threads} | {ours:.0} | {theirs:.0} | {:.2} | {allocations} | {allocated} |",
                ours / theirs
            );
            assert_eq!((allocations, allocated), (0, 0), "acquire and release allocate nothing");
        }
    }
    assert_eq!(budget.used(), 0);
}
