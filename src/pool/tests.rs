//! Limits hold, nothing leaks, nobody overtakes.

use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use proptest::collection::vec;
use proptest::prelude::Strategy;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::prop_oneof;
use proptest::proptest;

use crate::pool::Budget;
use crate::pool::Grant;
use crate::pool::Memory;
use crate::pool::MemoryLimits;
use crate::pool::Pool;
use crate::pool::PooledBuffer;
use crate::pool::Portion;

const KIB: u64 = 1 << 10;

fn look<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn buffer(pool: &Arc<Pool>, bytes: usize) -> PooledBuffer {
    pool.acquire(bytes, None).unwrap()
}

#[test]
fn a_budget_gives_up_to_its_limit_and_takes_back() {
    let budget = Budget::new("test", 100);
    let mut first = budget.try_take(60).unwrap();
    assert!(budget.try_take(41).is_none());
    let second = budget.try_take(40).unwrap();
    assert_eq!((budget.used(), budget.permille()), (100, 1000));
    assert!(!first.try_grow(1));
    drop(second);
    assert!(first.try_grow(40));
    let split = first.split(30);
    assert_eq!((first.bytes(), split.bytes(), budget.used()), (70, 30, 100));
    first.shrink_to(20);
    assert_eq!(budget.used(), 50);
    drop((first, split));
    assert_eq!(budget.used(), 0);
}

#[test]
fn whoever_waits_in_one_portion_holds_up_nobody_in_another() {
    let budget = Budget::new("test", 120);
    let [first, second, third] = [(); 3].map(|()| Portion::of(&budget));
    let held = look(pin!(first.take(40))).expect("a third is free");
    let mut waits = pin!(first.take(1));
    assert!(look(waits.as_mut()).is_none());
    let large = look(pin!(second.take(500))).expect("alone in its portion");
    let mut waits_too = pin!(second.take(1));
    assert!(look(waits_too.as_mut()).is_none());
    let served = look(pin!(third.take(40))).expect("nobody else has used its portion");
    assert_eq!(budget.used(), 580);
    drop(held);
    assert!(look(waits.as_mut()).is_some());
    let kept = large.leave_portion();
    assert!(look(waits_too.as_mut()).is_some());
    assert_eq!(budget.used(), 540);
    drop((kept, served));
    assert_eq!(budget.used(), 0);
}

#[test]
fn portions_are_larger_when_there_are_fewer() {
    let budget = Budget::new("test", 100);
    let first = Portion::of(&budget);
    let second = Portion::of(&budget);
    let _held = look(pin!(first.take(50))).expect("half of it");
    assert!(look(pin!(first.take(1))).is_none());
    drop(second);
    assert!(look(pin!(first.take(50))).is_some());
}

#[test]
fn what_is_larger_than_the_whole_share_passes_alone() {
    let budget = Budget::new("test", 100);
    let small = budget.try_take(1).unwrap();
    assert!(budget.try_take(101).is_none());
    drop(small);
    let mut large = budget.try_take(101).unwrap();
    assert!(budget.try_take(1).is_none());
    assert!(large.try_grow(500), "nobody else is there");
    drop(large);
    let mut grown = budget.try_take(50).unwrap();
    let other = budget.try_take(50).unwrap();
    assert!(!grown.try_grow(51));
    drop(other);
    assert!(grown.try_grow(51));
    assert!(!Grant::try_grow(&mut grown, u64::MAX), "sums do not wrap");
    drop(grown);
    assert_eq!(budget.used(), 0);
}

#[test]
fn waiters_are_served_in_order_and_nobody_overtakes() {
    let budget = Budget::new("test", 100);
    let all = budget.try_take(100).unwrap();
    let mut large = pin!(budget.take(80));
    let mut small = pin!(budget.take(10));
    assert!(look(large.as_mut()).is_none() && look(small.as_mut()).is_none());
    drop(all);
    assert!(budget.try_take(10).is_none(), "there is room, and two were here before");
    assert!(look(small.as_mut()).is_none(), "it stands behind the large one");
    let large = look(large.as_mut()).unwrap();
    let small = look(small.as_mut()).unwrap();
    assert_eq!(budget.used(), 90);
    drop((large, small));
    assert!(budget.try_take(100).is_some());
}

#[test]
fn who_grows_goes_before_who_arrives() {
    let budget = Budget::new("test", 100);
    let mut growing = budget.try_take(50).unwrap();
    let other = budget.try_take(50).unwrap();
    let mut arrival = pin!(budget.take(10));
    assert!(look(arrival.as_mut()).is_none());
    {
        let mut growth = pin!(growing.grow(45));
        assert!(look(growth.as_mut()).is_none());
        drop(other);
        assert!(look(arrival.as_mut()).is_none());
        look(growth.as_mut()).unwrap();
    }
    assert_eq!(growing.bytes(), 95);
    assert!(look(arrival.as_mut()).is_none());
    growing.shrink_to(90);
    assert_eq!(look(arrival.as_mut()).unwrap().bytes(), 10);
}

#[test]
fn a_waiter_that_gives_up_leaves_nothing_behind() {
    let budget = Budget::new("test", 100);
    let mut held = budget.try_take(100).unwrap();
    {
        let mut first = pin!(budget.take(100));
        let mut second = Box::pin(budget.take(50));
        assert!(look(first.as_mut()).is_none() && look(second.as_mut()).is_none());
        drop(second);
        assert!(look(first.as_mut()).is_none());
        let mut growth = pin!(held.grow(1));
        // It is alone: it passes, and the limit is for others.
        assert!(look(growth.as_mut()).is_some());
    }
    held.shrink_to(40);
    assert!(budget.try_take(60).is_some(), "nobody waits any more");
    drop(held);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_lowered_limit_cancels_nothing_and_a_raised_one_wakes() {
    let budget = Budget::new("test", 100);
    let held = budget.try_take(100).unwrap();
    budget.set_limit(50);
    assert_eq!((budget.used(), budget.permille()), (100, 2000));
    let mut waiting = pin!(budget.take(20));
    assert!(look(waiting.as_mut()).is_none());
    budget.set_limit(120);
    assert!(look(waiting.as_mut()).is_some());
    drop(held);
    assert_eq!(budget.used(), 0);
}

/// Scenario: four threads take, grow, shrink and give back, some waiting, some giving up.
/// Guarantees: the sum is never above the limit, everybody gets on, and nothing is left.
#[test]
fn limits_hold_under_contention_and_nothing_leaks() {
    let budget = Budget::new("test", 64 * KIB);
    let is_over = Arc::new(AtomicBool::new(false));
    let watch = std::thread::spawn({
        let (budget, is_over) = (Arc::clone(&budget), Arc::clone(&is_over));
        move || {
            while !is_over.load(Ordering::Relaxed) {
                assert!(budget.used() <= budget.limit());
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..16 {
            let budget = Arc::clone(&budget);
            tasks.spawn(async move { contend(&budget, fastrand::Rng::with_seed(seed)).await });
        }
        let all = tokio::time::timeout(std::time::Duration::from_mins(1), async {
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
        });
        all.await.expect("nobody waits for ever");
    });
    is_over.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    assert_eq!(budget.used(), 0);
    assert!(budget.try_take(64 * KIB).is_some());
}

async fn contend(budget: &Arc<Budget>, mut random: fastrand::Rng) {
    let briefly = std::time::Duration::from_micros(50);
    for _ in 0..2000 {
        let bytes = random.u64(1..20 * KIB);
        let grant = match random.u8(..3) {
            0 => budget.try_take(bytes),
            1 => tokio::time::timeout(briefly, budget.take(bytes)).await.ok(),
            _ => Some(budget.take(bytes).await),
        };
        let Some(mut grant) = grant else { continue };
        if random.bool() {
            // Growing for ever while others do so too could wait for ever: that is for callers.
            let _late = tokio::time::timeout(briefly, grant.grow(random.u64(..8 * KIB))).await;
        }
        if random.bool() {
            tokio::task::yield_now().await;
        }
        grant.shrink_to(grant.bytes() / 2);
        drop(grant);
    }
}

#[test]
fn buffers_are_aligned_sized_and_used_again() {
    let pool = Pool::new(8 << 20);
    for bytes in [0, 1, 4096, 4097, 60_000, 1 << 20] {
        let mut first = buffer(&pool, bytes);
        assert!(bytes <= first.capacity() && first.capacity() == Pool::capacity_for(bytes));
        assert!(first.is_empty(), "what the last owner left is not seen");
        first.extend_from_slice(&vec![7; bytes]);
        let at = first.as_ptr().addr();
        assert_eq!(at % 4096, 0);
        assert!(first.iter().all(|byte| *byte == 7) && first.len() == bytes);
        drop(first);
        assert_eq!(buffer(&pool, bytes).as_ptr().addr(), at, "{bytes}");
    }
}

#[test]
fn frozen_bytes_return_with_their_last_clone() {
    let (pool, budget) = (Pool::new(1 << 20), Budget::new("test", 100 * KIB));
    let mut filled = pool.acquire(10_000, budget.try_take(16 * KIB)).unwrap();
    filled.extend_from_slice(&[1, 2, 3]);
    filled.spare_mut()[0] = 4;
    filled.advance(1);
    let bytes = filled.freeze();
    let clone = bytes.slice(1..3);
    assert_eq!(bytes, [1, 2, 3, 4][..]);
    drop(bytes);
    assert_eq!((&clone[..], budget.used(), pool.idle_bytes()), (&[2, 3][..], 16 * KIB, 0));
    drop(clone);
    assert_eq!((budget.used(), pool.idle_bytes()), (0, 16 * KIB));
    let empty = pool.acquire(10, budget.try_take(4 * KIB)).unwrap().freeze();
    assert_eq!((empty.len(), budget.used()), (0, 0));
}

#[test]
fn large_buffers_are_unmapped_and_idle_memory_is_bounded_and_trimmed() {
    let pool = Pool::new(256 * KIB);
    let large = buffer(&pool, (5 << 20) + 1);
    assert_eq!(large.capacity(), (5 << 20) + 4096);
    drop(large);
    assert_eq!(pool.idle_bytes(), 0, "it is not kept");
    let held: Vec<_> = (0..8).map(|_| buffer(&pool, 64 << 10)).collect();
    drop(held);
    assert_eq!(pool.idle_bytes(), 256 * KIB, "the rest is unmapped");
    pool.trim();
    assert_eq!(pool.idle_bytes(), 256 * KIB, "it was just used");
    drop(buffer(&pool, 64 << 10));
    pool.trim();
    assert_eq!(pool.idle_bytes(), 64 * KIB, "three of four were not needed");
    pool.set_idle_max(0);
    pool.trim();
    assert_eq!(pool.idle_bytes(), 0);
}

#[test]
fn four_threads_share_a_pool() {
    let pool = Pool::new(1 << 20);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..5000 {
                    let bytes = random.usize(1..100_000);
                    let mut taken = buffer(pool, bytes);
                    let byte = random.u8(..);
                    taken.extend_from_slice(&[byte, byte]);
                    let bytes = taken.freeze();
                    assert_eq!(&bytes[..], [byte, byte], "nobody else writes here");
                    assert!(pool.idle_bytes() <= (1 << 20) + 4 * 128 * KIB);
                }
            });
        }
    });
    let idle = pool.idle_bytes();
    assert!(0 < idle && idle <= 1 << 20, "{idle}");
}

#[test]
fn the_shares_are_changed_together_and_told_in_order() {
    let limits =
        MemoryLimits { ingest: 50, edges: 40, processing: 35, vault: 30, replay: 20, s3: 10 };
    let memory = Memory::new(&limits);
    let half = memory.ingest.try_take(25).unwrap();
    let told: Vec<_> = memory.each().map(|share| (share.name(), share.permille())).collect();
    let others = ["edges", "processing", "vault", "replay", "s3"].map(|name| (name, 0));
    assert_eq!(told, [&[("ingest", 500)][..], &others].concat());
    assert_eq!(memory.pressing().collect::<Vec<_>>(), [("ingest", 500)]);
    memory.set_limits(&MemoryLimits { ingest: 25, ..limits });
    assert_eq!((memory.ingest.permille(), memory.limits().edges), (1000, 40));
    drop(half);
    assert!(Memory::default().ingest.try_take(u64::MAX).is_some());
}

/// One step of the model.
#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u64),
    Grow(usize, u64),
    Shrink(usize, u64),
    Split(usize, u64),
    Drop(usize),
    Limit(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let (idx, bytes) = (0_usize..8, 0_u64..150);
    prop_oneof![
        bytes.clone().prop_map(Step::Take),
        (idx.clone(), bytes.clone()).prop_map(|(idx, bytes)| Step::Grow(idx, bytes)),
        (idx.clone(), bytes.clone()).prop_map(|(idx, bytes)| Step::Shrink(idx, bytes)),
        (idx.clone(), bytes.clone()).prop_map(|(idx, bytes)| Step::Split(idx, bytes)),
        idx.prop_map(Step::Drop),
        bytes.prop_map(Step::Limit),
    ]
}

proptest! {
    /// Scenario: any sequence of steps.
    /// Guarantees: used is the sum of the grants; a step is granted exactly when the sum stays
    /// within the limit, costs nothing, or stands alone.
    #[test]
    fn a_budget_is_the_sum_of_its_grants(steps in vec(steps(), 0..60)) {
        let budget = Budget::new("test", 100);
        let mut grants: Vec<Grant> = Vec::new();
        for step in steps {
            let sum: u64 = grants.iter().map(Grant::bytes).sum();
            let may = |own, more| more == 0 || sum == own || sum + more <= budget.limit();
            match step {
                Step::Take(bytes) => {
                    let grant = budget.try_take(bytes);
                    prop_assert_eq!(grant.is_some(), may(0, bytes));
                    grants.extend(grant);
                }
                Step::Limit(bytes) => budget.set_limit(bytes),
                Step::Grow(idx, _) | Step::Shrink(idx, _) | Step::Split(idx, _) | Step::Drop(idx)
                    if grants.len() <= idx => {}
                Step::Grow(idx, bytes) => {
                    let expected = may(grants[idx].bytes(), bytes);
                    prop_assert_eq!(grants[idx].try_grow(bytes), expected);
                }
                Step::Shrink(idx, bytes) => grants[idx].shrink_to(bytes),
                Step::Split(idx, bytes) => {
                    let split = grants[idx].split(bytes);
                    grants.push(split);
                }
                Step::Drop(idx) => drop(grants.swap_remove(idx)),
            }
            prop_assert_eq!(budget.used(), grants.iter().map(Grant::bytes).sum::<u64>());
        }
        drop(grants);
        prop_assert!(budget.used() == 0);
    }
}
