//! The `filter` transform: takes records out by signal, severity and attributes; what it takes out
//! is counted in the ledger.

use gophership_otlp::RecordView;
use gophership_otlp::retain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Condition;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::Section;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::Signal;
use crate::event::settle;

/// Drops records that match `drop` and, if `keep` is given, records that do not match `keep`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FilterConfig {
    /// Records that match any of these conditions are dropped.
    drop: Vec<Condition>,
    /// Only records that match one of these conditions are kept; by default all are kept.
    keep: Vec<Condition>,
}

inventory::submit! {
    ComponentInfo {
        section: Section::Transform,
        name: "filter",
        summary: "Drops records by signal, severity and attributes.",
        schema: |generator| generator.subschema_for::<FilterConfig>(),
    }
}

#[typetag::serde(name = "filter")]
impl TransformConfig for FilterConfig {
    fn protects(&self) -> Option<&'static str> {
        Some("records that it drops")
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.drop.is_empty() && self.keep.is_empty() {
            problems.push(OptionProblem::new(
                "",
                "needs `drop` or `keep`; otherwise it filters nothing",
            ));
        }
        for (name, conditions) in [("drop", &self.drop), ("keep", &self.keep)] {
            for (idx, condition) in conditions.iter().enumerate() {
                if let Some(reason) = condition.problem() {
                    problems.push(OptionProblem::new(format!("{name}.{idx}"), reason));
                }
            }
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(Filter { id: context.id.clone(), config: self.clone() }))
    }
}

struct Filter {
    id: ComponentId,
    config: FilterConfig,
}

impl Filter {
    fn keeps(&self, signal: Signal, record: &RecordView<'_>) -> bool {
        let matches = |condition: &Condition| condition.matches(signal, record);
        !self.config.drop.iter().any(matches)
            && (self.config.keep.is_empty() || self.config.keep.iter().any(matches))
    }
}

impl Transform for Filter {
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        let signal = batch.signal();
        let left = retain(signal, batch.wire(), |record| self.keeps(signal, record));
        settle(&self.id, "filtered", batch, left)
    }
}
