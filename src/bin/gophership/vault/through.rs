//! What an export sends past the transforms of a configuration, and how it goes through them instead.

use gophership::config::Config;
use gophership::event::Batch;
use gophership::event::Bucket;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership::topology::SharedParts;
use gophership_otlp::Signal;
use gophership_vault::StoredRecord;

use super::Failure;
use super::args::ExportArgs;
use crate::complain;
use crate::stages;
use crate::stages::Stage;

/// Under this name requests are booked that go through the transforms.
const SOURCE: &str = "export";

/// The transforms on the way to a sink.
pub(super) struct Through {
    stages: Vec<Stage>,
    shared: SharedParts,
    /// Requests of which they left nothing.
    pub(super) filtered: u64,
}

impl Through {
    /// Finds the transforms, if the export is to go through them; else says what it sends past them.
    pub(super) fn new(args: &ExportArgs) -> Result<Option<Self>, Failure> {
        let Some(sink) = &args.through else {
            tell(args.place.load()?.as_ref());
            return Ok(None);
        };
        let config = args.place.load()?.ok_or_else(|| {
            Failure::usage(
                "--through needs the configuration that contains the sink: give --config",
            )
        })?;
        let shared = stages::shared(&config);
        let way = config.way_to(sink);
        let stages = way.and_then(|way| stages::build(&config, &way, &shared));
        let stages =
            stages.map_err(|error| Failure::usage(format!("--through {sink}: {error}")))?;
        Ok(Some(Self { stages, shared, filtered: 0 }))
    }

    /// Takes a request through the transforms: what is left of it, if anything is.
    ///
    /// # Errors
    ///
    /// When a transform cannot read it: it must not go on as it is.
    pub(super) fn apply(
        &mut self,
        signal: Signal,
        record: &StoredRecord,
    ) -> Result<Option<StoredRecord>, String> {
        let summary = gophership_otlp::prescan(signal, &record.payload)
            .map_err(|error| gophership_http_client::chain(&error))?;
        let request = Request {
            signal,
            wire: record.payload.clone(),
            records: summary.records,
            received_unix_ns: record.received_unix_ns,
            provenance: Provenance::default(),
        };
        let ledger = self.shared.ledgers.source(SOURCE);
        let refused = || {
            let buckets = [Bucket::RejectedByBackend, Bucket::RejectedFailed];
            buckets.into_iter().map(|bucket| self.shared.ledgers.total(bucket)).sum::<i64>()
        };
        let refused_before = refused();
        let mut batches: Vec<Batch> = Vec::new();
        let batch = Batch::received(&request, None, ledger);
        stages::go_through(&mut self.stages, Some(batch), &mut batches);
        let wires: Vec<_> = batches.iter().map(|batch| batch.wire().clone()).collect();
        batches.into_iter().for_each(Batch::delivered);
        if refused() != refused_before {
            return Err("a transform cannot read the request, skipped".to_owned());
        }
        if wires.is_empty() {
            self.filtered += 1;
            return Ok(None);
        }
        Ok(Some(StoredRecord { payload: gophership_otlp::merge(&wires), ..record.clone() }))
    }
}

/// Says what goes out although transforms are there to keep it in.
fn tell(config: Option<&Config>) {
    const HOW: &str = "--config FILE --through SINK runs them through the transforms before SINK";
    let Some(config) = config else {
        complain(&format!(
            "note: requests are exported as they were received, without transforms; {HOW}"
        ));
        return;
    };
    let protecting = config.protecting().map(|(id, what)| format!("`{id}` ({what})"));
    let protecting = protecting.collect::<Vec<_>>().join(", ");
    if !protecting.is_empty() {
        complain(&format!(
            "warning: requests are exported as they were received, without {protecting}; {HOW}"
        ));
    }
}
