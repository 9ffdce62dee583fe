//! What a client is answered, and when: the [`Acceptor`].

use super::*;

#[tokio::test]
async fn ok_means_delivered_to_every_sink() {
    let mut rig = Rig::new(&[4, 4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    rig.receivers[0].recv().await.unwrap().delivered();
    tokio::task::yield_now().await;
    assert!(!accepting.is_finished());
    rig.receivers[1].recv().await.unwrap().delivered();
    assert_eq!(accepting.await.unwrap(), Ok(()));
    assert_eq!(rig.books(), [2, 2, 0, 4, 0, 0]);
}

#[tokio::test]
async fn when_patience_is_over_the_vault_has_it_and_the_first_copy_is_withdrawn() {
    let mut rig = Rig::new(&[4]);
    assert_eq!(rig.acceptor(AckLevel::Delivered).accept(request(), Instant::now()).await, Ok(()));
    assert_eq!(rig.kept(), 1);
    assert!(rig.receivers[0].try_recv().is_none(), "the copy in the edge is withdrawn");
    assert_eq!(rig.books(), [2, 0, 0, 0, 2, 0]);
}

#[tokio::test]
async fn what_a_sink_fails_to_deliver_goes_to_the_vault() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    rig.receivers[0].recv().await.unwrap().failed();
    assert_eq!(accepting.await.unwrap(), Ok(()));
    assert_eq!(rig.books(), [2, 0, 0, 0, 2, 0]);
}

#[tokio::test]
async fn without_a_vault_a_failure_is_told_to_the_client() {
    let mut rig = Rig::new(&[4]);
    rig.close_vault();
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    rig.receivers[0].recv().await.unwrap().failed();
    assert!(matches!(accepting.await.unwrap(), Err(Refusal::Busy { .. })));
    assert_eq!(rig.books(), [2, 0, 0, 0, 0, 2]);
}

#[tokio::test]
async fn a_backend_that_refuses_for_good_is_believed() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    rig.receivers[0].recv().await.unwrap().rejected();
    assert_eq!(accepting.await.unwrap(), Err(Refusal::Rejected { records: 2, reason: None }));
    assert_eq!(rig.books(), [2, 0, 0, 0, 0, 2]);
}

#[tokio::test]
async fn of_a_divided_request_only_the_refused_part_is_refused() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    let mut batch = rig.receivers[0].recv().await.unwrap();
    let part = batch.split_off(Bytes::new(), 1);
    batch.delivered();
    part.rejected_for(&"too large".into());
    let refused = Refusal::Rejected { records: 1, reason: Some("too large".into()) };
    assert_eq!(accepting.await.unwrap(), Err(refused));
}

#[tokio::test]
async fn what_is_left_after_a_filter_and_refused_is_all_of_the_request() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    let mut batch = rig.receivers[0].recv().await.unwrap();
    batch.replace(Bytes::new(), 1);
    batch.rejected();
    assert_eq!(accepting.await.unwrap(), Err(Refusal::Rejected { records: 2, reason: None }));
}

#[tokio::test]
async fn when_nobody_has_room_the_client_is_told_when_to_come_back() {
    let rig = Rig::new(&[1]);
    rig.shelf.has_no_room.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.output().try_send(rig.batch()).unwrap();
    let refusal =
        rig.acceptor(AckLevel::Delivered).accept(request(), Instant::now()).await.unwrap_err();
    let Refusal::Busy { retry_after, why } = refusal else { unreachable!("{refusal:?}") };
    assert!(why.contains("vault"), "{why}");
    assert!((Duration::from_secs(3)..Duration::from_millis(4500)).contains(&retry_after));
    assert_eq!(rig.books(), [4, 0, 2, 0, 0, 2]);
}

#[tokio::test]
async fn received_answers_at_once_and_sees_the_request_through() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Received);
    assert_eq!(acceptor.accept(request(), Instant::now()).await, Ok(()));
    rig.receivers[0].recv().await.unwrap().failed();
    acceptor.drain().await;
    assert_eq!(rig.books(), [2, 0, 0, 0, 2, 0]);
}

/// Scenario: a request that was answered on receipt fails, or stays in the edge, while the vault is
/// being opened again.
/// Guarantees: it waits for the vault, which then has it.
#[tokio::test]
async fn what_was_answered_on_receipt_waits_for_a_vault_that_is_opened_again() {
    for fails in [true, false] {
        let mut rig = Rig::new(&[4]);
        rig.reopen_vault();
        let acceptor = rig.acceptor(AckLevel::Received);
        assert_eq!(acceptor.accept(request(), Instant::now()).await, Ok(()));
        if fails {
            rig.receivers[0].recv().await.unwrap().failed();
        }
        // Longer than there is patience.
        let early = tokio::time::timeout(Duration::from_millis(120), acceptor.drain()).await;
        assert!(early.is_err(), "it waits for the vault");
        rig.route(false);
        let seen = tokio::time::timeout(Duration::from_secs(5), acceptor.drain()).await;
        assert!(seen.is_ok(), "the vault has it");
        assert!(rig.receivers[0].try_recv().is_none(), "a copy in the edge is withdrawn");
        assert_eq!((rig.kept(), rig.books()), (1, [2, 0, 0, 0, 2, 0]));
    }
}

/// Scenario: a request that was answered on receipt fails, and the vault is full.
/// Guarantees: what it holds it holds until the vault has it.
#[tokio::test]
async fn what_was_answered_on_receipt_holds_its_room_until_somebody_has_it() {
    let mut rig = Rig::new(&[4]);
    rig.shelf.has_no_room.store(true, std::sync::atomic::Ordering::Relaxed);
    let (acceptor, room) = (rig.acceptor(AckLevel::Received), Arc::new(()));
    let accepted = acceptor.accept_holding(request(), Instant::now(), Arc::clone(&room)).await;
    assert_eq!(accepted, Ok(()));
    rig.receivers[0].recv().await.unwrap().failed();
    // Longer than one attempt of the vault.
    let early = tokio::time::timeout(Duration::from_millis(600), acceptor.drain()).await;
    assert!(early.is_err(), "it goes on asking");
    assert_eq!(Arc::strong_count(&room), 2);
    rig.shelf.has_no_room.store(false, std::sync::atomic::Ordering::Relaxed);
    acceptor.drain().await;
    assert_eq!((Arc::strong_count(&room), rig.kept()), (1, 1));
    // At any other level that is until the answer.
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepted = acceptor.accept_holding(request(), Instant::now(), Arc::clone(&room)).await;
    assert_eq!((accepted, Arc::strong_count(&room)), (Ok(()), 1));
}

/// Scenario: requests that were answered on receipt are delivered, in another order than they came in.
/// Guarantees: once the first is delivered, what they hold is given back in that moment, before anybody looks for it.
#[tokio::test]
async fn what_was_answered_on_receipt_gives_its_room_back_when_it_is_delivered() {
    let mut rig = Rig::new(&[4]);
    let (acceptor, room) = (rig.acceptor(AckLevel::Received), Arc::new(()));
    for _ in 0..3 {
        let accepted = acceptor.accept_holding(request(), Instant::now(), Arc::clone(&room)).await;
        assert_eq!(accepted, Ok(()));
    }
    assert_eq!(Arc::strong_count(&room), 4);
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(rig.receivers[0].try_recv().unwrap());
    }
    batches.pop().unwrap().delivered();
    assert_eq!(Arc::strong_count(&room), 4, "it stands behind others");
    batches.remove(0).delivered();
    assert_eq!(Arc::strong_count(&room), 3);
    batches.pop().unwrap().delivered();
    assert_eq!(Arc::strong_count(&room), 1);
    acceptor.drain().await;
    assert_eq!(rig.books(), [6, 0, 0, 6, 0, 0]);
}

/// Scenario: a request that was answered on receipt fails while one before it is still on its way.
/// Guarantees: the vault has it soon, and takes the other one over when its patience is over.
#[tokio::test]
async fn a_request_that_fails_behind_another_does_not_wait_for_it() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Received);
    for _ in 0..2 {
        assert_eq!(acceptor.accept(request(), Instant::now()).await, Ok(()));
    }
    let first = rig.receivers[0].try_recv().unwrap();
    rig.receivers[0].try_recv().unwrap().failed();
    acceptor.drain().await;
    assert!(first.is_claimed());
    first.withdrawn();
    assert_eq!((rig.kept(), rig.books()), (2, [4, 0, 0, 0, 4, 0]));
}

/// Scenario: threads accept and settle at the same time, each request in another thread than it came in.
/// Guarantees: every request lets go of what it holds, and nothing is left to be watched.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_threads_settle_for_each_other_all_end() {
    const EACH: usize = 2_000;
    let mut rig = Rig::new(&[1024]);
    let (acceptor, room) = (rig.acceptor(AckLevel::Received), Arc::new(()));
    let mut receiver = rig.receivers.remove(0);
    let settling = tokio::spawn(async move {
        let mut settled = 0;
        // The vault takes what finds the edge full.
        while let Ok(Some(batch)) =
            tokio::time::timeout(Duration::from_millis(300), receiver.recv()).await
        {
            if settled % 500 == 7 {
                batch.failed();
            } else {
                batch.delivered();
            }
            settled += 1;
        }
        settled
    });
    let mut accepting = Vec::new();
    for _ in 0..2 {
        let (acceptor, room) = (acceptor.clone(), Arc::clone(&room));
        accepting.push(tokio::spawn(async move {
            for _ in 0..EACH {
                let hold = Arc::clone(&room);
                while acceptor.accept_holding(request(), Instant::now(), Arc::clone(&hold)).await
                    != Ok(())
                {}
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in accepting {
        task.await.unwrap();
    }
    assert!(EACH < settling.await.unwrap());
    acceptor.drain().await;
    assert_eq!(Arc::strong_count(&room), 1);
}

#[tokio::test]
async fn a_client_that_goes_leaves_the_books_in_order() {
    for answer in [Batch::failed as fn(Batch), Batch::delivered, Batch::rejected] {
        let mut rig = Rig::new(&[4]);
        let acceptor = rig.acceptor(AckLevel::Delivered);
        let accepting =
            tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
        let batch = rig.receivers[0].recv().await.unwrap();
        accepting.abort();
        assert!(accepting.await.is_err());
        answer(batch);
        let [received, copies, in_flight, delivered, vaulted, rejected] = rig.books();
        assert_eq!((received, copies, in_flight), (2, 0, 0));
        assert_eq!(delivered + vaulted + rejected, 2);
    }
}

#[tokio::test]
async fn a_client_that_goes_while_there_is_no_room_leaves_the_books_in_order() {
    let rig = Rig::new(&[1]);
    rig.shelf.has_no_room.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.output().try_send(rig.batch()).unwrap();
    // However late this test runs, it is the client that goes, and not the patience that ends.
    let long = Duration::from_mins(1);
    let waits = Waits { patience: long, answer_within: long };
    let acceptor = rig.acceptor_with(AckLevel::Delivered, waits);
    let waiting =
        tokio::time::timeout(Duration::from_millis(30), acceptor.accept(request(), Instant::now()));
    assert!(waiting.await.is_err());
    assert_eq!(rig.books(), [4, 0, 2, 0, 0, 2]);
}

#[test]
fn an_acceptor_says_whether_an_operator_drains() {
    let rig = Rig::new(&[1]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    assert!(!acceptor.is_draining());
    rig.switch.drain(true);
    assert!(acceptor.is_draining());
}
