//! Requests that are on their way while a reload leads their sinks elsewhere.

use super::*;

/// A source and a transform behind it, with the sinks that the transform leads to.
struct Scene {
    rig: Rig,
    /// What waits in front of the transform.
    waiting: EdgeReceiver,
    transform: Output,
    passed_on: Arc<Routes>,
    /// The way from the source to the transform.
    route: Route,
}

impl Scene {
    fn new() -> Self {
        let rig = Rig::new(&[4, 4]);
        let (sender, waiting) = edge::edge(EdgeLimits { batches: 4, bytes: 1 << 20 });
        let passed_on = Arc::new(Routes::default());
        let transform = Output::new(Arc::clone(&passed_on), None);
        let reach = rig.all_routes[0].reach.or(rig.all_routes[1].reach);
        let route = Route { reach, ..Route::from(Destination::Edge(sender)) };
        let scene = Self { rig, waiting, transform, passed_on, route };
        scene.put_source(vec![scene.route.clone()]);
        scene.behind_transform(&[0, 1]);
        scene
    }

    fn sink_set(&self) -> [SinkSet; 2] {
        [0, 1].map(|idx| self.rig.all_routes[idx].reach)
    }

    fn put_source(&self, all_routes: Vec<Route>) {
        let behind = all_routes.iter().fold(SinkSet::NONE, |behind, route| behind.or(route.reach));
        let vault: Arc<dyn Intake> = self.rig.shelf.clone();
        let pivot = Some(Pivot { vault, takes_all: false, out: SinkSet::NONE });
        self.rig.routes.put(RouteTable {
            routes: all_routes,
            pivot,
            behind,
            ..RouteTable::default()
        });
    }

    /// The transform leads to these sinks from now on.
    fn behind_transform(&self, sinks: &[usize]) {
        let all_routes: Vec<Route> =
            sinks.iter().map(|idx| self.rig.all_routes[*idx].clone()).collect();
        let behind = all_routes.iter().fold(SinkSet::NONE, |behind, route| behind.or(route.reach));
        self.passed_on.put(RouteTable {
            routes: all_routes,
            behind,
            is_backed: true,
            ..RouteTable::default()
        });
    }

    /// Sends a request that waits in front of the transform while `rewire` is put in force; returns the
    /// answer, and for whom the vault has a copy.
    async fn send(&mut self, rewire: impl FnOnce(&Self)) -> (Result<(), Refusal>, Vec<SinkSet>) {
        let acceptor = self.rig.acceptor(AckLevel::Delivered);
        let accepting =
            tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
        let batch = self.waiting.recv().await.unwrap();
        rewire(self);
        self.transform.try_send(batch).unwrap();
        self.rig.receivers[0].try_recv().unwrap().delivered();
        assert!(self.rig.receivers[1].try_recv().is_none(), "the transform leads there no more");
        (accepting.await.unwrap(), self.rig.kept_for())
    }
}

#[tokio::test]
async fn a_sink_that_is_led_past_the_transform_gets_what_waits_in_front_of_it() {
    let mut scene = Scene::new();
    let [_, other] = scene.sink_set();
    let past = scene.rig.all_routes[1].clone();
    let (answer, kept_for) = scene
        .send(|scene| {
            let route = Route { reach: scene.route.reach.without(other), ..scene.route.clone() };
            scene.put_source(vec![route, past]);
            scene.behind_transform(&[0]);
        })
        .await;
    assert_eq!((answer, kept_for), (Ok(()), vec![other]));
    assert_eq!(scene.rig.books(), [2, 2, 0, 2, 2, 0]);
}

/// Scenario: a request was divided; one sink has all of it, and for the other one a part failed and one arrived.
/// Guarantees: it is owed to all, for nobody knows which part is missing; whom nothing arrived at is owed it alone.
#[test]
fn a_request_is_owed_to_a_sink_that_misses_a_part_of_it() {
    let rig = Rig::new(&[4, 4]);
    let [one, other] = [0, 1].map(|idx| rig.all_routes[idx].reach);
    let table = RouteTable { routes: rig.all_routes.clone(), ..RouteTable::default() };
    assert_eq!(table.owed(one.or(other), SinkSet::NONE), None);
    assert_eq!(table.owed(one.or(other), other), Some(SinkSet::ALL));
    assert_eq!(table.owed(one, other), Some(other));
    assert_eq!(table.owed(SinkSet::NONE, one), Some(SinkSet::ALL));
}

#[tokio::test]
async fn for_a_sink_that_is_gone_nothing_is_kept() {
    let mut scene = Scene::new();
    let [one, _] = scene.sink_set();
    let (answer, kept_for) = scene
        .send(|scene| {
            scene.put_source(vec![Route { reach: one, ..scene.route.clone() }]);
            scene.behind_transform(&[0]);
        })
        .await;
    assert_eq!((answer, kept_for), (Ok(()), vec![]));
    assert_eq!(scene.rig.books(), [2, 0, 0, 2, 0, 0]);
}
