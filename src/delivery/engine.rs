//! Sees requests through: attempt, answer, backoff, until a backend has them or the vault took over.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_http_client::Answer;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::batch_group::BatchGroup;
use super::batch_group::CLAIM_CHECK;
use super::concurrency::ConcurrencyLimit;
use super::endpoint_set::EndpointSet;
use super::endpoint_set::Lease;
use super::gather::Gatherer;
use super::health::Health;
use super::hints::Hints;
use super::hints::PutOff;
use super::limits::DeliveryLimits;
use super::poison_detector::FirstTries;
use super::poison_detector::No;
use super::poison_detector::PoisonDetector;
use super::resting::Resting;
use super::slots::Tried;
use super::transport::Transport;
use super::waiting::RetryWait;
use super::warner::Warner;
use crate::event::Origin;
use crate::flow::EdgeReceiver;
use crate::metrics::DeliveryMetrics;
use crate::metrics::Metrics;
use crate::metrics::SinkMetrics;
use crate::somatic::Gauges;
use crate::somatic::WatchedWorkCounter;
use crate::somatic::WorkKind;

/// How often averages are looked at for their age.
const AGE_EVERY: Duration = Duration::from_secs(1);
/// What its batches do until they are delivered.
const WAITS: &str = "batches wait for an answer of the backend";

/// The delivery engine of one sink.
pub struct Engine<C>(Arc<Shared<C>>);

/// What every delivery shares.
struct Shared<C> {
    transport: C,
    limits: DeliveryLimits,
    limit: ConcurrencyLimit,
    endpoints: EndpointSet,
    health: Health,
    firsts: FirstTries,
    hints: Hints,
    resting: Resting,
    metrics: SinkMetrics,
    shown: DeliveryMetrics,
    /// Nothing new comes: the sink is about to end.
    is_closing: AtomicBool,
    /// Deliveries under way, for the watchdog.
    tally: WatchedWorkCounter,
    warner: Warner,
}

impl<C: Transport> Engine<C> {
    /// Makes the engine of a sink.
    ///
    /// # Panics
    ///
    /// With no endpoint or too many.
    #[must_use]
    pub fn new(
        sink: &str,
        transport: C,
        limits: DeliveryLimits,
        gauges: &Gauges,
        metrics: &Metrics,
    ) -> Self {
        let DeliveryLimits { endpoints, balance, retry_min, .. } = &limits;
        let shared = Shared {
            transport,
            limit: ConcurrencyLimit::new(limits.concurrency, Instant::now()),
            endpoints: EndpointSet::new(sink, endpoints, *balance, *retry_min, gauges, metrics),
            health: Health::new(gauges, sink),
            firsts: FirstTries::default(),
            hints: Hints::default(),
            resting: Resting::default(),
            metrics: metrics.sink(sink),
            shown: metrics.delivery(sink),
            is_closing: AtomicBool::new(false),
            tally: gauges.work_probes.count(sink, WAITS, WorkKind::Inside),
            warner: Warner::of(sink),
            limits,
        };
        Self(Arc::new(shared))
    }

    /// Runs until its edge is closed and everything in it is settled. `stop` cuts that short: what is
    /// left then is dropped, which gives it back to its sources.
    pub async fn run(self, mut input: EdgeReceiver, stop: CancellationToken) {
        let mut deliveries: JoinSet<u64> = JoinSet::new();
        let mut in_flight_bytes: u64 = 0;
        let mut is_open = true;
        let mut gatherer =
            Gatherer::new(self.0.limits.batch_max_bytes, self.0.limits.same_headers_only);
        // Whether the next one had to wait for a place.
        let mut has_waited = false;
        // Whether there is a vault behind what it gets.
        let mut is_replayed_to = false;
        let mut tick = tokio::time::interval(AGE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(CLAIM_CHECK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while is_open || !deliveries.is_empty() {
            self.0.is_closing.store(input.is_closed(), Ordering::Relaxed);
            let limit = self.0.limit.get();
            self.0.shown.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
            self.0.resting.show(deliveries.len());
            let on_their_way = in_flight_bytes.saturating_sub(self.0.resting.bytes());
            let has_room =
                self.0.resting.has_place(limit) && on_their_way < self.0.limits.in_flight_bytes;
            has_waited |= !has_room;
            if !has_room && is_replayed_to && self.0.endpoints.is_away() {
                // What is replayed has places, and waits for the backend; a sender must not.
                gatherer.pass_by(&mut input);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.resting.changed() => {}
                _ = tick.tick() => {
                    self.0.health.age(Instant::now());
                    self.0.warner.tell(Instant::now());
                }
                _ = look.tick(), if !has_room => {}
                Some(done) = deliveries.join_next() => {
                    // One that panicked has dropped its batch; its bytes are not known here.
                    in_flight_bytes = in_flight_bytes.saturating_sub(done.unwrap_or(0));
                    if deliveries.is_empty() {
                        in_flight_bytes = 0;
                    }
                }
                group = gatherer.next(&mut input, has_waited), if is_open && has_room => match group {
                    Some(group) => {
                        has_waited = false;
                        is_replayed_to |= group.is_from(Origin::Vault);
                        let bytes = group.cost_bytes();
                        in_flight_bytes += bytes;
                        let shared = Arc::clone(&self.0);
                        deliveries.spawn(async move {
                            shared.deliver(group).await;
                            bytes
                        });
                    }
                    None => is_open = false,
                },
            }
        }
        deliveries.shutdown().await;
    }
}

impl<C: Transport> Shared<C> {
    /// Settles every batch of a batch group.
    async fn deliver(&self, group: BatchGroup) {
        let _under_way = self.tally.begin();
        let _present = self.endpoints.enter(group.is_backed());
        let mut open = vec![group];
        while let Some(group) = open.pop() {
            // One that is refused for good takes no other with it.
            open.extend(self.see_through(group).await);
        }
    }

    /// Settles a batch group, or returns what is to be sent by itself.
    async fn see_through(&self, mut group: BatchGroup) -> Vec<BatchGroup> {
        let mut backoff = Backoff::new(self.limits.retry_min, self.limits.retry_max);
        let Some(first) = group.batches().first() else { return Vec::new() };
        let mut tries = PoisonDetector::new(first.signal());
        self.waiting().heed(&group).await;
        while group.sift() && !self.gives_back(&group) {
            if !tries.is_first() {
                self.waiting().stand_back(&group, || self.gives_back(&group)).await;
            }
            match self.round(&mut group, tries.is_first()).await {
                // The vault has taken it over, or is there to do so.
                None => {
                    group.leave_to_vault();
                }
                Some(Answer::Delivered { rejected, message }) => {
                    tries.answered(&self.firsts);
                    self.delivered(group, rejected, &message);
                    return Vec::new();
                }
                Some(Answer::Rejected { reason }) => {
                    tries.answered(&self.firsts);
                    return self.refused(group, "Backend rejected a request.", &reason);
                }
                Some(Answer::Retry { after, reason }) => {
                    let has_hint = after.is_some_and(|after| !after.is_zero());
                    let give_up_after = self.limits.give_up_after;
                    let no = No::Later { has_hint, give_up_after };
                    if tries.put_off(&self.firsts, no, Instant::now())
                        && group.is_from(Origin::Vault)
                    {
                        let what = "Backend fails this request alone; the sink gives it up.";
                        return self.refused(group, what, &reason);
                    }
                    self.hints.note(after, Instant::now());
                    if self.stays(&mut group, &mut backoff) {
                        let pause = backoff.pause(after, fastrand::f64());
                        self.waiting().pause(&group, pause).await;
                    }
                }
                Some(Answer::Denied { reason }) => {
                    if tries.put_off(&self.firsts, No::Denied, Instant::now()) {
                        let what = "Backend refuses this request alone; the sink gives it up.";
                        return self.refused(group, what, &reason);
                    }
                    if self.stays(&mut group, &mut backoff) {
                        let pause = backoff.pause(None, fastrand::f64());
                        self.waiting().rest(&group, pause).await;
                    }
                }
            }
        }
        Vec::new()
    }

    /// Whether a batch group that was put off waits here before it is sent again. What has a vault to go to goes
    /// there: whoever sent it waits for an answer, and soon has no room for more. While no endpoint is
    /// there, the endpoint set says when to ask.
    fn stays(&self, group: &mut BatchGroup, backoff: &mut Backoff) -> bool {
        let is_out = self.endpoints.is_out();
        if is_out {
            backoff.reset();
        }
        group.leave_to_vault() && !is_out
    }

    /// Whether a sink that is about to end lets go of a batch group at once: its backend is out, and what came
    /// from a vault is still there, for the next one that delivers it.
    fn gives_back(&self, group: &BatchGroup) -> bool {
        let is_ending = self.is_closing.load(Ordering::Relaxed) && self.endpoints.is_out();
        is_ending && group.is_from(Origin::Vault)
    }

    /// Rejects a batch group, unless it has several batches: each of them is judged alone.
    fn refused(&self, group: BatchGroup, what: &'static str, reason: &str) -> Vec<BatchGroup> {
        if group.batches().len() > 1 {
            return group.split();
        }
        self.metrics.rejected.inc();
        self.tally.done();
        self.warner.warn(what, None, reason);
        group.rejected(reason);
        Vec::new()
    }

    /// Sends a batch group to one endpoint after the other until one answers; `None` when the vault took
    /// over before, or has to.
    async fn round(&self, group: &mut BatchGroup, is_first: bool) -> Option<Answer> {
        let began = Instant::now();
        if group.is_backed() && self.endpoints.is_silent() {
            return None;
        }
        let is_over = || group.is_claimed() || self.gives_back(group);
        let mut lease = self.endpoints.admit(is_over, group.is_backed()).await?;
        let (mut tried, mut put_off) = (Tried::default(), PutOff::default());
        loop {
            let idx = lease.idx();
            let answer = self.attempt(group, lease, is_first).await?;
            let (Answer::Retry { reason, .. } | Answer::Denied { reason }) = &answer else {
                return Some(answer);
            };
            self.metrics.retries.inc();
            let endpoint = self.endpoints.name(idx);
            self.warner.warn("A request failed; the sink sends it again.", endpoint, reason);
            tried.add(idx);
            put_off.add(answer);
            if !group.sift() {
                return None;
            }
            let Some(another) = self.endpoints.another(tried) else {
                let sum = put_off.sum();
                if !matches!(sum, Some(Answer::Denied { .. })) {
                    self.counts_as_failed(began);
                }
                return sum;
            };
            lease = another;
        }
    }

    /// Sends a batch group once; `None` when the vault took over before there was an answer.
    async fn attempt(
        &self,
        group: &BatchGroup,
        lease: Lease<'_>,
        is_first: bool,
    ) -> Option<Answer> {
        let began = lease.began();
        let _on_its_way = self.shown.on_its_way();
        let sent = self.transport.send(lease.idx(), group.batches());
        let sent = tokio::time::timeout(self.limits.timeout, sent);
        tokio::pin!(sent);
        loop {
            tokio::select! {
                biased;
                result = &mut sent => {
                    let Ok(answer) = result else {
                        let late = "no answer within the timeout";
                        lease.given_up(late);
                        return Some(Answer::unanswered(late));
                    };
                    self.judge(&answer, lease, is_first);
                    return Some(answer);
                }
                () = tokio::time::sleep(CLAIM_CHECK) => {}
            }
            let is_silent = lease.waits();
            if group.is_claimed() {
                // The source's patience was over before there was an answer.
                lease.given_up("no answer within the patience of the source");
                self.counts_as_failed(began);
                return None;
            }
            if is_silent && group.is_backed() {
                let silent = "no answer yet, much later than usual";
                lease.given_up(silent);
                return Some(Answer::unanswered(silent));
            }
        }
    }

    /// Tells everyone who learns from the answers of one endpoint.
    fn judge(&self, answer: &Answer, lease: Lease<'_>, is_first: bool) {
        let began = lease.began();
        match answer {
            Answer::Retry { after, reason } => return lease.failed(*after, reason),
            Answer::Denied { reason } => return lease.denied(reason, is_first),
            Answer::Delivered { .. } => self.hints.forget(),
            Answer::Rejected { .. } => {}
        }
        self.health.count(false, began, self.limits.timeout);
        self.shown.round_trip.observe(began.elapsed().as_secs_f64());
        let (now, in_flight) = (Instant::now(), self.endpoints.in_flight());
        if lease.succeeded() {
            self.limit.begin_anew(now);
        } else {
            self.limit.answered(began, now, in_flight);
        }
    }

    /// No endpoint took a request that began then.
    fn counts_as_failed(&self, began: Instant) {
        self.health.count(true, began, self.limits.timeout);
        // One that is out is not asked for less: it is asked whether it is back.
        if !self.endpoints.is_out() {
            self.limit.failed(began, Instant::now());
        }
    }

    const fn waiting(&self) -> RetryWait<'_> {
        let Self { limit, endpoints, hints, resting, .. } = self;
        RetryWait { limit, endpoints, hints, resting }
    }

    fn delivered(&self, group: BatchGroup, rejected: u64, message: &str) {
        self.tally.done();
        let records = group.records().saturating_sub(rejected);
        self.metrics.deliver(records, group.cost_bytes(), group.received_unix_ns());
        if rejected > 0 {
            self.metrics.partially_rejected.inc_by(rejected);
            self.warner.warn("Backend rejected some records of a request.", None, message);
        } else if !message.is_empty() {
            self.warner.warn("Backend accepted a request with a warning.", None, message);
        }
        group.delivered_except(rejected);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU32;

    use bytes::Bytes;

    use super::super::concurrency::Concurrency;
    use super::super::slots::Balance;
    use super::*;
    use crate::event::AckWaiter;
    use crate::event::Batch;
    use crate::event::Bucket;
    use crate::event::Ledger;
    use crate::event::Outcome;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;
    use crate::event::SinkSet;
    use crate::event::ack::channel;
    use crate::flow::Destination;
    use crate::flow::EdgeLimits;
    use crate::flow::Output;
    use crate::flow::Route;
    use crate::flow::RouteTable;
    use crate::flow::Routes;
    use crate::flow::edge::edge;

    const SIGNAL: Signal = Signal::Logs;

    /// Answers what it is told to, and notes what it was sent: the endpoint and the batches.
    #[derive(Default)]
    struct Script {
        answers: Mutex<VecDeque<Answer>>,
        sent: Mutex<Vec<(usize, Vec<Bytes>)>>,
    }

    impl Transport for Arc<Script> {
        async fn send(&self, endpoint_idx: usize, batches: &[Batch]) -> Answer {
            let wires = batches.iter().map(|batch| batch.wire().clone()).collect();
            self.sent.lock().unwrap().push((endpoint_idx, wires));
            let answer = self.answers.lock().unwrap().pop_front();
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    struct Rig {
        shared: Arc<Shared<Arc<Script>>>,
        script: Arc<Script>,
        ledger: &'static Ledger,
    }

    impl Rig {
        fn new(endpoints: usize, answers: impl IntoIterator<Item = Answer>) -> Self {
            let script = Arc::new(Script::default());
            script.answers.lock().unwrap().extend(answers);
            let limits = DeliveryLimits {
                endpoints: (0..endpoints).map(|idx| format!("http://host{idx}")).collect(),
                balance: Balance::Failover,
                concurrency: Concurrency::Auto(64),
                in_flight_bytes: 1 << 20,
                batch_max_bytes: 0,
                same_headers_only: false,
                timeout: Duration::from_millis(200),
                retry_min: Duration::from_millis(1),
                retry_max: Duration::from_millis(4),
                give_up_after: Duration::ZERO,
            };
            let gauges = Gauges::default();
            let engine =
                Engine::new("backend", Arc::clone(&script), limits, &gauges, &Metrics::new());
            Self { shared: engine.0, script, ledger: Ledger::leak() }
        }

        fn batch(&self, wire: &'static [u8], records: u64) -> (Batch, AckWaiter) {
            let request = Request {
                signal: SIGNAL,
                wire: Bytes::from_static(wire),
                records,
                received_unix_ns: 0,
                provenance: Provenance::forever("otlp"),
            };
            let (ticket, waiter) = channel();
            (Batch::received(&request, Some(ticket), self.ledger), waiter)
        }

        fn of(&self, origin: Origin) -> (Batch, AckWaiter) {
            let (batch, waiter) = self.batch(b"1", 1);
            match origin {
                Origin::Source => (batch, waiter),
                Origin::Vault => {
                    let request = Request {
                        signal: SIGNAL,
                        wire: batch.wire().clone(),
                        records: 1,
                        received_unix_ns: 0,
                        provenance: Provenance::forever("otlp"),
                    };
                    let (ticket, waiter) = channel();
                    (Batch::replayed(&request, SinkSet::ALL, ticket, self.ledger), waiter)
                }
            }
        }

        /// Delivers batch groups of one batch each, and returns what their sources are told.
        async fn deliver(&self, count: usize) -> Vec<Option<Outcome>> {
            let mut outcomes = Vec::new();
            for _ in 0..count {
                let (batch, waiter) = self.batch(b"1", 1);
                self.shared.deliver(BatchGroup::one(batch)).await;
                outcomes.push(waiter.outcome());
            }
            outcomes
        }

        fn endpoints_asked(&self) -> Vec<usize> {
            self.script.sent.lock().unwrap().iter().map(|(idx, _)| *idx).collect()
        }

        fn books(&self, bucket: Bucket) -> i64 {
            self.ledger.count(SIGNAL, bucket)
        }
    }

    fn ok() -> Answer {
        Answer::Delivered { rejected: 0, message: String::new() }
    }

    fn later() -> Answer {
        Answer::unanswered("later")
    }

    fn never() -> Answer {
        Answer::Rejected { reason: "never".to_owned() }
    }

    #[tokio::test]
    async fn what_one_endpoint_does_not_take_goes_to_the_next_at_once() {
        let rig = Rig::new(3, [later(), later(), ok(), later(), never()]);
        let delivered = rig.deliver(2).await;
        assert_eq!(delivered, [Some(Outcome::Delivered), Some(Outcome::Rejected)]);
        assert_eq!(rig.endpoints_asked(), [0, 1, 2, 0, 1], "a final no is final");
        assert_eq!(rig.shared.metrics.retries.get(), 3);
        assert_eq!(rig.shared.limit.get(), 16, "no request has failed");
    }

    /// Takes everything but one request, and counts how often that came.
    #[derive(Default)]
    struct Picky(AtomicU32);

    impl Transport for Arc<Picky> {
        async fn send(&self, _endpoint_idx: usize, batches: &[Batch]) -> Answer {
            if batches[0].wire() == "poison" {
                self.0.fetch_add(1, Ordering::Relaxed);
                return later();
            }
            ok()
        }
    }

    /// What becomes of a request that is never taken, while others are, within 50 tries.
    async fn never_taken(origin: Origin) -> Option<Outcome> {
        let rig = Rig::new(1, []);
        let (picky, limits) = (Arc::<Picky>::default(), rig.shared.limits.clone());
        let (gauges, metrics) = (Gauges::default(), Metrics::new());
        let engine = Engine::new("backend", Arc::clone(&picky), limits, &gauges, &metrics);
        let request = Request {
            signal: SIGNAL,
            wire: Bytes::from_static(b"poison"),
            records: 1,
            received_unix_ns: 0,
            provenance: Provenance::forever("otlp"),
        };
        let (ticket, waiter) = channel();
        let batch = match origin {
            Origin::Vault => Batch::replayed(&request, SinkSet::ALL, ticket, rig.ledger),
            Origin::Source => Batch::received(&request, Some(ticket), rig.ledger),
        };
        let shared = Arc::clone(&engine.0);
        let poison = tokio::spawn(async move { shared.deliver(BatchGroup::one(batch)).await });
        while !poison.is_finished() && picky.0.load(Ordering::Relaxed) < 50 {
            engine.0.deliver(BatchGroup::one(rig.batch(b"other", 1).0)).await;
            tokio::task::yield_now().await;
        }
        let outcome = waiter.outcome();
        poison.abort();
        outcome
    }

    #[tokio::test]
    async fn what_is_never_taken_while_others_are_is_given_up_if_a_vault_has_it() {
        assert_eq!(never_taken(Origin::Vault).await, Some(Outcome::Rejected));
        assert_eq!(never_taken(Origin::Source).await, None, "its sender waits for it");
    }

    #[tokio::test]
    async fn what_a_vault_stands_by_for_is_tried_at_every_endpoint_once_and_fails() {
        let denied = || Answer::Denied { reason: "who are you?".to_owned() };
        for answers in [[later(), later()], [denied(), later()], [denied(), denied()]] {
            let rig = Rig::new(2, answers);
            let (mut batch, waiter) = rig.batch(b"1", 1);
            batch.back(true);
            rig.shared.deliver(BatchGroup::one(batch)).await;
            assert_eq!(waiter.outcome(), Some(Outcome::Failed));
            assert_eq!(rig.endpoints_asked(), [0, 1]);
            assert_eq!(rig.books(Bucket::RejectedByBackend), 0);
        }
    }

    #[tokio::test]
    async fn what_waits_for_a_silent_endpoint_goes_to_the_vault_that_stands_by() {
        let mut rig = Rig::new(1, [ok()]);
        Arc::get_mut(&mut rig.shared).unwrap().limits.timeout = Duration::from_mins(1);
        assert_eq!(rig.deliver(1).await, [Some(Outcome::Delivered)]);
        let (mut batch, waiter) = rig.batch(b"1", 1);
        batch.back(true);
        rig.shared.deliver(BatchGroup::one(batch)).await;
        assert_eq!(waiter.outcome(), Some(Outcome::Failed));
        assert_eq!(rig.endpoints_asked(), [0, 0]);
    }

    /// Takes nothing.
    struct Out;

    impl Transport for Out {
        async fn send(&self, _endpoint_idx: usize, _batches: &[Batch]) -> Answer {
            later()
        }
    }

    /// Scenario: what is replayed has every place of a sink whose backend is out.
    /// Guarantees: what comes from a sender that waits does not wait in the queue behind it, but goes to
    /// the vault that stands by.
    #[tokio::test]
    async fn what_a_vault_stands_by_for_does_not_wait_behind_what_is_replayed() {
        let rig = Rig::new(1, []);
        let limits =
            DeliveryLimits { concurrency: Concurrency::Fixed(2), ..rig.shared.limits.clone() };
        let engine = Engine::new("backend", Out, limits, &Gauges::default(), &Metrics::new());
        let shared = Arc::clone(&engine.0);
        let (sender, input) = edge(EdgeLimits { batches: 16, bytes: 1 << 20 });
        let routes = Arc::new(Routes::default());
        let all_routes = vec![Route::from(Destination::Edge(sender))];
        routes.put(RouteTable { routes: all_routes, ..RouteTable::default() });
        let (output, stop) = (Output::new(routes, None), CancellationToken::new());
        let running = tokio::spawn(engine.run(input, stop.clone()));
        let mut replayed = Vec::new();
        for _ in 0..8 {
            let (batch, waiter) = rig.of(Origin::Vault);
            assert!(output.try_send(batch).is_ok());
            replayed.push(waiter);
        }
        while !shared.endpoints.is_out() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..3 {
            let (mut batch, waiter) = rig.of(Origin::Source);
            batch.back(true);
            assert!(output.try_send(batch).is_ok());
            let outcome = tokio::time::timeout(Duration::from_secs(1), waiter).await;
            assert_eq!(outcome.ok(), Some(Outcome::Failed));
        }
        assert!(replayed.iter().all(|waiter| waiter.outcome().is_none()), "they wait");
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_denied_is_sent_again_until_it_is_taken() {
        let denied = || Answer::Denied { reason: "who are you?".to_owned() };
        let rig = Rig::new(1, (0..20).map(|_| denied()).chain([ok()]));
        assert_eq!(rig.deliver(1).await, [Some(Outcome::Delivered)]);
        assert_eq!(rig.endpoints_asked().len(), 21);
    }

    #[tokio::test]
    async fn the_soonest_hint_of_a_round_is_waited_for() {
        let hint = |millis| Answer::Retry {
            after: Some(Duration::from_millis(millis)),
            reason: String::new(),
        };
        let rig = Rig::new(2, [hint(60_000), hint(50), ok()]);
        let begun = Instant::now();
        assert_eq!(rig.deliver(1).await, [Some(Outcome::Delivered)]);
        assert!(Duration::from_millis(50) <= begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(rig.endpoints_asked(), [0, 1, 0]);
    }

    #[tokio::test]
    async fn an_endpoint_that_hangs_costs_the_time_limit_and_no_more() {
        let rig = Rig::new(1, []);
        let script = Arc::clone(&rig.script);
        let answering = tokio::spawn(async move {
            // Once the first attempt is under way its successor is answered.
            while script.sent.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            script.answers.lock().unwrap().push_back(ok());
        });
        let begun = Instant::now();
        assert_eq!(rig.deliver(1).await, [Some(Outcome::Delivered)]);
        assert!(Duration::from_millis(200) <= begun.elapsed());
        assert_eq!(rig.endpoints_asked(), [0, 0]);
        assert_eq!(rig.shared.limit.get(), 11, "a request that nobody answered is a failure");
        answering.await.unwrap();
    }

    #[tokio::test]
    async fn batches_that_are_refused_together_are_sent_alone() {
        let rig = Rig::new(1, [never(), ok(), never(), ok()]);
        let batches: Vec<_> = [b"a", b"b", b"c"].map(|wire| rig.batch(wire, 2)).into();
        let (batches, waiters): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        rig.shared.deliver(BatchGroup::of(batches)).await;
        let outcomes: Vec<_> = waiters.iter().map(AckWaiter::outcome).collect();
        let expected = [Outcome::Delivered, Outcome::Rejected, Outcome::Delivered];
        // The last one is taken first.
        assert_eq!(outcomes, expected.map(Some));
        let sent: Vec<usize> =
            rig.script.sent.lock().unwrap().iter().map(|(_, wires)| wires.len()).collect();
        assert_eq!(sent, [3, 1, 1, 1]);
        assert_eq!(rig.books(Bucket::Delivered), 4);
        assert_eq!(rig.books(Bucket::RejectedByBackend), 2);
    }

    #[tokio::test]
    async fn what_a_backend_rejects_of_several_batches_is_booked_in_sum() {
        let rejected = Answer::Delivered { rejected: 3, message: "three".to_owned() };
        let rig = Rig::new(1, [rejected]);
        let (first, _waits) = rig.batch(b"a", 2);
        let (second, _waits) = rig.batch(b"b", 4);
        rig.shared.deliver(BatchGroup::of(vec![first, second])).await;
        assert_eq!(rig.books(Bucket::Delivered), 3);
        assert_eq!(rig.books(Bucket::RejectedByBackend), 3);
        assert_eq!(rig.ledger.imbalance(SIGNAL), 0);
    }

    #[tokio::test]
    async fn what_the_vault_took_over_is_not_sent_again() {
        let rig = Rig::new(1, []);
        let (first, claimed) = rig.batch(b"a", 1);
        let (second, kept) = rig.batch(b"b", 1);
        let script = Arc::clone(&rig.script);
        let claiming = tokio::spawn(async move {
            while script.sent.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            claimed.claim();
            script.answers.lock().unwrap().push_back(ok());
        });
        rig.shared.deliver(BatchGroup::of(vec![first, second])).await;
        claiming.await.unwrap();
        let sent: Vec<usize> =
            rig.script.sent.lock().unwrap().iter().map(|(_, wires)| wires.len()).collect();
        assert_eq!(sent, [2, 1], "the attempt after the claim is without it");
        assert_eq!(kept.outcome(), Some(Outcome::Delivered));
    }

    #[tokio::test]
    async fn a_claim_ends_an_attempt_and_counts_as_its_failure() {
        let rig = Rig::new(1, []);
        let (batch, waiter) = rig.batch(b"a", 1);
        let begun = Instant::now();
        let script = Arc::clone(&rig.script);
        let claiming = async {
            while script.sent.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            waiter.claim();
        };
        tokio::join!(rig.shared.deliver(BatchGroup::one(batch)), claiming);
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        assert_eq!(waiter.outcome(), Some(Outcome::Vaulted));
        assert_eq!(rig.shared.shown.in_flight.get(), 0);
        assert_eq!(rig.shared.endpoints.in_flight(), 0);
        assert_eq!(rig.shared.limit.get(), 11);
    }
}
