//! The health service of gRPC, for probes: it says what `/readyz` says.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream;
use gophership_control::proto::control_server::SERVICE_NAME;
use tonic::Request;
use tonic::Response;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;

use super::draining::DrainState;
use super::state::ControlService;
use crate::topology::Zones;

/// A client that watches hears of a change within this time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is asked for its health.
#[derive(Clone)]
pub(super) struct Probe {
    ready: Arc<AtomicBool>,
    zones: Zones,
    drain: Arc<DrainState>,
}

impl Probe {
    /// Asks the service.
    pub(super) fn new(service: &ControlService) -> Self {
        let (ready, drain) = (Arc::clone(&service.ready), Arc::clone(&service.maintenance.drain));
        Self { ready, zones: service.zones.clone(), drain }
    }

    /// Whether requests are served as they should be.
    fn status(&self) -> HealthCheckResponse {
        let is_ready = self.ready.load(Ordering::Acquire) && !self.drain.is_draining();
        let is_well = is_ready && !self.zones.is_intake_stuck();
        let status = if is_well { ServingStatus::Serving } else { ServingStatus::NotServing };
        HealthCheckResponse { status: status.into() }
    }
}

fn check_name(service: &str) -> Result<(), Status> {
    match service {
        "" | SERVICE_NAME => Ok(()),
        _ => Err(Status::not_found("unknown service")),
    }
}

#[tonic::async_trait]
impl Health for Probe {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        check_name(&request.get_ref().service)?;
        Ok(Response::new(self.status()))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        check_name(&request.get_ref().service)?;
        let told = (self.clone(), None);
        let next = |(probe, told): (Self, Option<HealthCheckResponse>)| async move {
            loop {
                let status = probe.status();
                if told != Some(status) {
                    return Some((Ok(status), (probe, Some(status))));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        Ok(Response::new(Box::pin(stream::unfold(told, next))))
    }
}
