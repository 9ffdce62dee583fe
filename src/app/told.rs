//! What the log says of a start and of a reload.

use super::ConfigSource;
use super::Outcome;
use crate::config::Config;
use crate::topology::ComponentOutcome;

/// Says which program runs with which configuration.
pub(super) fn ready(source: &ConfigSource, config: &Config, generation: u64) {
    let metrics = config.metrics.listen.map_or_else(|| "off".to_owned(), |it| it.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %source,
        config_hash = config.hash,
        generation,
        data_dir = %config.data_dir.display(),
        %metrics,
        "GopherShip is ready."
    );
}

/// Says which configuration is in force after a reload.
pub(super) fn reloaded(config: &Config, generation: u64) {
    tracing::info!(generation, config_hash = config.hash, "Reloaded the configuration.");
}

/// A vault that is never replayed only fills; that may be meant, and may be a slip.
pub(super) fn unread_vaults(config: &Config) {
    for (vault, sink) in &config.sinks {
        if sink.config.is_replayed_by_default() && !config.is_replayed(vault) {
            tracing::warn!(%vault, "No vault_replay reads this vault; its requests stay there.");
        }
    }
}

/// Says what became of each component.
pub(super) fn outcomes(outcomes: &[Outcome]) {
    for (component, outcome) in outcomes {
        if *outcome == ComponentOutcome::CutShort {
            tracing::warn!(%component, %outcome, "Component outcome.");
        } else {
            tracing::info!(%component, %outcome, "Component outcome.");
        }
    }
}
