//! The `route` transform: sends each record to the outputs whose condition it matches.

mod share;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gophership_otlp::RecordView;
use gophership_otlp::WireError;
use prometheus::IntCounter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Condition;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::Signal;
use crate::event::SinkSet;

use share::Outputs;
use share::Sorter;

/// With the output for what matches none there is one for each bit of [`Outputs`].
const ROUTES_MAX: usize = 63;
/// The output for what matches none.
const UNMATCHED: &str = "unmatched";
/// The longest name of an output.
const NAME_LEN_MAX: usize = 64;

/// Sends records to outputs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteConfig {
    /// The outputs, at most 63. Components read an output as `transform.name`, and records without
    /// a match as `transform.unmatched`. Records for an output that no component reads are counted
    /// as filtered.
    routes: Vec<RouteOption>,
    /// `true`: a record goes only to the first output whose condition it matches, in list order.
    /// `false`: it goes to all matching outputs.
    #[serde(default)]
    first_match: bool,
}

/// An output and its condition.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteOption {
    /// The name of the output: at most 64 characters of `a` to `z`, `0` to `9`, `_` and `-`.
    /// `unmatched` is reserved.
    name: String,
    /// The condition. A record matches if every option that is given matches.
    when: Condition,
}

inventory::submit! {
    ComponentInfo::transform::<RouteConfig>(
        "route",
        "Sends each record to the outputs whose condition it matches.",
    )
}

/// What is wrong with the name of an output.
fn name_problem(name: &str) -> Option<&'static str> {
    let is_allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    };
    if name.is_empty() {
        Some("an output needs a name")
    } else if name.len() > NAME_LEN_MAX {
        Some("is longer than 64 characters")
    } else if !name.bytes().all(is_allowed) {
        Some("only a-z, 0-9, `_` and `-` are allowed in the name of an output")
    } else if name == UNMATCHED {
        Some("`unmatched` is reserved for records that match no condition")
    } else {
        None
    }
}

impl TransformConfig for RouteConfig {
    fn ports(&self) -> Vec<Arc<str>> {
        let names = self.routes.iter().map(|route| route.name.as_str());
        names.chain([UNMATCHED]).map(Arc::from).collect()
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add =
            |path: String, message: &str| problems.push(OptionProblem::new(path, message));
        if self.routes.is_empty() {
            add("routes".to_owned(), "needs at least one output");
        }
        if self.routes.len() > ROUTES_MAX {
            add("routes".to_owned(), &format!("at most {ROUTES_MAX} outputs"));
        }
        for (idx, RouteOption { name, when }) in self.routes.iter().enumerate() {
            let is_again = self.routes.iter().take(idx).any(|other| other.name == *name);
            let again = is_again.then_some("another output has this name too");
            if let Some(reason) = name_problem(name).or(again) {
                add(format!("routes.{idx}.name"), reason);
            }
            if let Some(reason) = when.problem() {
                add(format!("routes.{idx}.when"), reason);
            }
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        let id = context.id.as_str();
        let ports = self.ports();
        Ok(Box::new(Route {
            id: context.id.clone(),
            rules: Rules {
                conditions: self.routes.iter().map(|route| route.when.clone()).collect(),
                first_match: self.first_match,
            },
            sorter: Sorter::default(),
            routed: ports.iter().map(|port| context.metrics.routed(id, port)).collect(),
            unread: context.metrics.taken_out(id, "unread"),
        }))
    }
}

/// Which record goes where.
struct Rules {
    /// In the order of the outputs.
    conditions: Vec<Condition>,
    first_match: bool,
}

impl Rules {
    /// The outputs of all records of a signal, where no record need be looked at.
    fn outputs_of(&self, signal: Signal) -> Option<Outputs> {
        let mut answers = self.conditions.iter().map(|condition| condition.matches_signal(signal));
        let mut found = Outputs::NONE;
        for idx in 0..self.conditions.len() {
            if answers.next()?? {
                found = found.with(idx);
                if self.first_match {
                    break;
                }
            }
        }
        Some(self.or_unmatched(found))
    }

    fn outputs(&self, signal: Signal, record: &RecordView<'_>) -> Outputs {
        let all = self.conditions.iter().enumerate();
        let mut matching = all.filter(|(_, condition)| condition.matches(signal, record));
        let found = if self.first_match {
            matching.next().map_or(Outputs::NONE, |(idx, _)| Outputs::NONE.with(idx))
        } else {
            matching.fold(Outputs::NONE, |found, (idx, _)| found.with(idx))
        };
        self.or_unmatched(found)
    }

    /// The output for what matches none is the last.
    fn or_unmatched(&self, found: Outputs) -> Outputs {
        if found.is_empty() { self.unmatched() } else { found }
    }

    fn unmatched(&self) -> Outputs {
        Outputs::NONE.with(self.conditions.len())
    }
}

struct Route {
    id: ComponentId,
    rules: Rules,
    sorter: Sorter,
    /// By output.
    routed: Vec<IntCounter>,
    unread: IntCounter,
}

impl Route {
    /// Finds out what goes where; a request without records matches nothing.
    fn sort(&mut self, batch: &Batch) -> Result<(), WireError> {
        let Self { rules, sorter, .. } = self;
        let signal = batch.signal();
        match rules.outputs_of(signal) {
            _ if batch.records() == 0 => sorter.all(rules.unmatched(), 0),
            Some(outputs) => sorter.all(outputs, batch.records()),
            None => sorter.each(signal, batch.wire(), |record| rules.outputs(signal, record))?,
        }
        Ok(())
    }
}

impl Transform for Route {
    /// Whom it is for is not known here: whoever has several outputs is asked to share out.
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        Some(batch)
    }

    fn share_out(
        &mut self,
        batch: Batch,
        reach: &[SinkSet],
        parts: &mut Vec<(usize, Batch)>,
        room: usize,
    ) -> Result<(), Batch> {
        let sorted = self.sort(&batch);
        match sorted.and_then(|()| self.sorter.share(&batch, reach, room)) {
            Ok(shares) => {
                for (counter, records) in self.routed.iter().zip(self.sorter.matched()) {
                    counter.inc_by(records);
                }
                self.unread.inc_by(shares.unread);
                shares.hand_out(batch, parts);
            }
            Err(WireError::NoRoom { .. }) => return Err(batch),
            Err(error) => {
                tracing::warn!(
                    component = %self.id, %error,
                    "Cannot route a request: it is invalid. The request is rejected."
                );
                batch.rejected();
            }
        }
        self.sorter.reset();
        Ok(())
    }
}
