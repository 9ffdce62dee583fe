//! What a sender is answered while the vault takes its time, or fails to write.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::task::JoinHandle;

use super::*;

/// A vault that holds what it is given until the test says what becomes of it.
#[derive(Default)]
struct SlowVault {
    held: Mutex<Vec<Batch>>,
    taken: AtomicUsize,
    is_closed: AtomicBool,
}

impl SlowVault {
    /// The next batch that it is given.
    async fn next(&self) -> Batch {
        loop {
            if let Some(batch) = self.held.lock().unwrap().pop() {
                return batch;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Fails to write a batch, and has no room from then on.
    fn fail(&self, batch: Batch) {
        self.is_closed.store(true, Ordering::Relaxed);
        batch.failed();
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Intake for SlowVault {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        if !self.has_room() {
            return Err(Full(batch));
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.held.lock().unwrap().push(batch);
        Ok(())
    }

    fn fill_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn has_room(&self) -> bool {
        !self.is_closed.load(Ordering::Relaxed)
    }
}

/// A request on its way into an edge, or with `is_red` into the vault. There is hardly any patience.
struct Scene {
    rig: Rig,
    vault: Arc<SlowVault>,
    accepting: JoinHandle<Result<(), Refusal>>,
}

impl Scene {
    fn new(is_red: bool, answer_within: Duration) -> Self {
        let (rig, vault) = (Rig::new(&[4]), Arc::<SlowVault>::default());
        let intake: Arc<dyn Intake> = vault.clone();
        let pivot = Some(Pivot { vault: intake, takes_all: is_red, out: SinkSet::NONE });
        let routes = rig.all_routes.clone();
        rig.routes.put(RouteTable { routes, pivot, ..RouteTable::default() });
        let waits = Waits { patience: Duration::from_millis(1), answer_within };
        let acceptor = rig.acceptor_with(AckLevel::Delivered, waits);
        let accept = async move { acceptor.accept(request(), Instant::now()).await };
        Self { rig, vault, accepting: tokio::spawn(accept) }
    }

    /// The copy in the edge fails while the vault has the other one, and the acceptor sees that.
    async fn fail_in_the_sink(&mut self) {
        self.rig.receivers[0].recv().await.unwrap().failed();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

/// Long enough for any machine; no test waits for it.
const LONG: Duration = Duration::from_mins(1);
/// The vault gets no second chance.
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn what_the_vault_has_written_is_acknowledged_and_given_to_it_once() {
    let scene = Scene::new(true, LONG);
    scene.vault.next().await.vaulted();
    assert_eq!(scene.accepting.await.unwrap(), Ok(()));
    assert_eq!((scene.vault.taken(), scene.rig.books()), (1, [2, 0, 0, 0, 2, 0]));
}

#[tokio::test]
async fn what_the_vault_fails_to_write_is_not_acknowledged() {
    let scene = Scene::new(true, SHORT);
    let batch = scene.vault.next().await;
    scene.vault.fail(batch);
    assert!(matches!(scene.accepting.await.unwrap(), Err(Refusal::Busy { .. })));
    assert_eq!(scene.rig.books(), [2, 0, 0, 0, 0, 2]);
}

#[tokio::test]
async fn a_copy_that_the_vault_fails_to_write_does_not_count() {
    let scene = Scene::new(false, SHORT);
    let copy = scene.vault.next().await;
    scene.vault.fail(copy);
    assert!(matches!(scene.accepting.await.unwrap(), Err(Refusal::Busy { .. })));
}

/// Scenario: patience is over and the vault writes its copy; meanwhile the sink fails.
/// Guarantees: the copy is all that is needed, and no second one is made.
#[tokio::test]
async fn a_copy_that_is_being_written_is_waited_for_when_the_sink_fails() {
    let mut scene = Scene::new(false, LONG);
    let copy = scene.vault.next().await;
    scene.fail_in_the_sink().await;
    copy.vaulted();
    assert_eq!(scene.accepting.await.unwrap(), Ok(()));
    assert_eq!((scene.vault.taken(), scene.rig.books()), (1, [2, 0, 0, 0, 2, 0]));
}

/// Scenario: the same, but the vault fails too.
/// Guarantees: the sender is told to send it again.
#[tokio::test]
async fn when_the_sink_and_the_vault_fail_nothing_is_acknowledged() {
    let mut scene = Scene::new(false, SHORT);
    let copy = scene.vault.next().await;
    scene.fail_in_the_sink().await;
    scene.vault.fail(copy);
    assert!(matches!(scene.accepting.await.unwrap(), Err(Refusal::Busy { .. })));
    assert_eq!(scene.rig.books(), [2, 0, 0, 0, 0, 2]);
}

#[tokio::test]
async fn a_client_that_goes_while_the_vault_has_no_room_leaves_the_books_in_order() {
    let scene = Scene::new(true, LONG);
    let batch = scene.vault.next().await;
    scene.vault.fail(batch);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    scene.accepting.abort();
    assert!(scene.accepting.await.is_err());
    assert_eq!(scene.rig.books(), [2, 0, 0, 0, 0, 2]);
}
