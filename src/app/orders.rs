//! Orders of the management plane, carried out between two signals.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::watch;

use super::App;
use super::Outcome;
use super::StartError;
use crate::config::Config;
use crate::config::ConfigDiff;
use crate::config::SectionDiff;
use crate::control::LastReload;
use crate::control::ORDERS_MAX;
use crate::control::Order;
use crate::control::Orders;
use crate::control::Reloaded;

/// Where orders come in, and where the outcome of reloads is published.
pub(super) struct OrderBook {
    orders: mpsc::Receiver<Order>,
    last_reload: watch::Sender<Option<LastReload>>,
}

impl OrderBook {
    /// Makes one, with the ends for the management plane.
    pub(super) fn new() -> (Self, Orders, watch::Receiver<Option<LastReload>>) {
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let (last_reload, news) = watch::channel(None);
        (Self { orders, last_reload }, sender, news)
    }

    /// Waits for the next order. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            // The service, which has the other end, lives as long as the process.
            None => std::future::pending().await,
        }
    }

    /// Publishes what became of a reload.
    pub(super) fn note_reload(&self, error: Option<String>) {
        self.last_reload.send_replace(Some(LastReload { at: Instant::now(), error }));
    }
}

impl App {
    /// Does what was ordered, and tells whoever waits for it.
    pub(super) async fn carry_out(&mut self, order: Order) {
        let Order::Reload { is_dry_run, reply } = order;
        let result = if is_dry_run {
            self.compare().map_err(|error| error.to_string())
        } else {
            let generation = self.config.borrow().0 + 1;
            self.reload().await.map(|(settings, outcomes)| {
                let text = |(id, outcome): &Outcome| (id.to_string(), outcome.to_string());
                let components = outcomes.iter().map(text).collect();
                Reloaded { generation, components, settings }
            })
        };
        // Whoever asked may have gone.
        let _gone = reply.send(result);
    }

    /// What a reload would change.
    fn compare(&self) -> Result<Reloaded, StartError> {
        let new = self.source.load()?;
        let (generation, old) = self.config.borrow().clone();
        let diff = ConfigDiff::between(&old, &new);
        let mut components = Vec::new();
        for section in [&diff.sources, &diff.transforms, &diff.sinks] {
            components.extend(changes(section));
        }
        Ok(Reloaded { generation, components, settings: settings(&diff) })
    }
}

/// The settings that differ between two configurations.
pub(super) fn changed_settings(old: &Arc<Config>, new: &Arc<Config>) -> Vec<String> {
    settings(&ConfigDiff::between(old, new))
}

fn settings(diff: &ConfigDiff) -> Vec<String> {
    diff.settings.iter().map(|key| (*key).to_owned()).collect()
}

fn changes(section: &SectionDiff) -> Vec<(String, String)> {
    let SectionDiff { added, removed, changed, rewired, unchanged } = section;
    let sets = [
        (added, "added"),
        (removed, "removed"),
        (changed, "changed"),
        (rewired, "rewired"),
        (unchanged, "unchanged"),
    ];
    let rows = sets.into_iter().flat_map(|(set, what)| set.iter().map(move |id| (id, what)));
    rows.map(|(id, what)| (id.to_string(), what.to_owned())).collect()
}
