//! Long computations that may take as long as they like: on threads of their own, which the kernel lets run when no
//! other thread wants the processor.
//!
//! A thread of the same priority would take its half of a processor from requests: with two processors p99 rose by
//! 45% while segments were compressed. The lowest nice value is not enough: since Linux 6.6 a thread that runs
//! keeps the processor for its slice, 3 ms, whoever wakes; one of the policy `SCHED_IDLE` gives it up at once.

use std::io;

use tokio::sync::oneshot;

/// The lowest priority of the ordinary policy, where the system has no other.
const NICE: i32 = 19;

/// Runs `work` on such a thread and returns what it returns. Dropped before, it lets the work go on.
///
/// # Errors
///
/// When the system gives no thread, or the work panics.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("background".to_owned()).spawn(move || {
        give_way();
        let _nobody_waits = tell.send(work());
    })?;
    told.await.map_err(|_panicked| io::Error::other("a background thread panicked"))
}

/// Lets every other thread go before the calling one, and before those that it starts, for good.
pub fn give_way() {
    if !is_idle_now() {
        // It may always be lowered; whoever may not works on as it is.
        let _own_priority = rustix::process::setpriority_process(None, NICE);
    }
}

/// Gives the calling thread the policy; returns whether it has it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_idle_now() -> bool {
    let none = libc::sched_param { sched_priority: 0 };
    #[expect(unsafe_code, reason = "no crate of the tree has a safe interface for this")]
    // SAFETY: it reads `none`, which lives on; 0 is the calling thread.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
    answer == 0
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn is_idle_now() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy of the calling thread: field 41 of its line, 5 is `SCHED_IDLE`.
    fn policy() -> String {
        let line = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let behind_name = line.rsplit_once(") ").unwrap().1;
        behind_name.split(' ').nth(38).unwrap().to_owned()
    }

    #[tokio::test]
    async fn work_gives_way_and_who_waits_for_it_does_not() {
        assert_eq!(run(policy).await.unwrap(), "5");
        assert_eq!(policy(), "0");
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let error = run(|| assert!(std::hint::black_box(false))).await.unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
    }
}
