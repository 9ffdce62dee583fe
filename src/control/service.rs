//! The methods of the control service: each checks its request, and notes a change in the audit log.

use std::io;

use gophership_control::proto;
use gophership_control::proto::control_server::Control;
use tokio::sync::oneshot;
use tonic::Request;
use tonic::Response;
use tonic::Status;

use super::access::Caller;
use super::changes::ResponseStream;
use super::changes::called;
use super::changes::check_reason;
use super::changes::outcome;
use super::dead_letters;
use super::dead_letters::LetterPieces;
use super::dead_letters::RedriveEvents;
use super::orders::Order;
use super::orders::Reloaded;
use super::state::ControlService;
use super::tap;
use super::tap::TapStream;
use super::vaults;
use super::zone_events;
use super::zone_events::ZoneEvents;
use crate::topology::FlightRecord;

/// The longest filter of the log, in bytes.
const FILTER_LEN_MAX: usize = 1024;

#[tonic::async_trait]
impl Control for ControlService {
    async fn status(
        &self,
        _request: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        Ok(Response::new(self.status_now()))
    }

    async fn r#override(
        &self,
        request: Request<proto::OverrideRequest>,
    ) -> Result<Response<proto::OverrideResponse>, Status> {
        let (caller, request) = called(request)?;
        self.override_zone(&caller, request).await.map(Response::new)
    }

    async fn share(
        &self,
        _request: Request<proto::ShareRequest>,
    ) -> Result<Response<proto::ShareResponse>, Status> {
        let millionths = self.zones.background_millionths();
        Ok(Response::new(proto::ShareResponse { millionths }))
    }

    type WatchStream = ZoneEvents;

    async fn watch(
        &self,
        _request: Request<proto::WatchRequest>,
    ) -> Result<Response<ZoneEvents>, Status> {
        Ok(Response::new(zone_events::of(&self.zones)))
    }

    async fn reload(
        &self,
        request: Request<proto::ReloadRequest>,
    ) -> Result<Response<proto::ReloadResponse>, Status> {
        let caller = Caller::of(&request)?;
        let proto::ReloadRequest { wait, reason } = request.into_inner();
        let result = match check_reason(&reason) {
            Ok(()) => self.order_reload(false, wait).await,
            Err(status) => Err(status),
        };
        let said = |answer: &proto::ReloadResponse| match (answer.done, answer.error.as_str()) {
            (false, _) => "ordered".to_owned(),
            (true, "") => format!("configuration generation {}", answer.generation),
            (true, error) => format!("failed: {error}"),
        };
        self.note(&caller, "Reload", "", &reason, outcome(&result, said)).await;
        result.map(Response::new)
    }

    async fn diff_config(
        &self,
        _request: Request<proto::DiffConfigRequest>,
    ) -> Result<Response<proto::ReloadResponse>, Status> {
        self.order_reload(true, true).await.map(Response::new)
    }

    async fn show_config(
        &self,
        _request: Request<proto::ShowConfigRequest>,
    ) -> Result<Response<proto::ShowConfigResponse>, Status> {
        let (generation, config) = self.config.borrow().clone();
        let json = config.shown().to_string();
        Ok(Response::new(proto::ShowConfigResponse { generation, json }))
    }

    async fn set_log_level(
        &self,
        request: Request<proto::SetLogLevelRequest>,
    ) -> Result<Response<proto::SetLogLevelResponse>, Status> {
        let caller = Caller::of(&request)?;
        let proto::SetLogLevelRequest { filter, reason } = request.into_inner();
        let result = check_reason(&reason).and_then(|()| self.set_log_filter(&filter));
        let said = |answer: &proto::SetLogLevelResponse| format!("before: {}", answer.before);
        let detail = format!("filter={filter}");
        self.note(&caller, "SetLogLevel", &detail, &reason, outcome(&result, said)).await;
        result.map(Response::new)
    }

    async fn pause_replay(
        &self,
        request: Request<proto::PauseReplayRequest>,
    ) -> Result<Response<proto::PauseReplayResponse>, Status> {
        let caller = Caller::of(&request)?;
        let proto::PauseReplayRequest { paused, reason } = request.into_inner();
        let result = check_reason(&reason).map(|()| {
            self.zones.pause_replay(paused);
            proto::PauseReplayResponse { paused }
        });
        let said = |answer: &proto::PauseReplayResponse| {
            let said = if answer.paused { "paused" } else { "going on" };
            said.to_owned()
        };
        let detail = format!("paused={paused}");
        self.note(&caller, "PauseReplay", &detail, &reason, outcome(&result, said)).await;
        result.map(Response::new)
    }

    async fn list_vaults(
        &self,
        _request: Request<proto::ListVaultsRequest>,
    ) -> Result<Response<proto::ListVaultsResponse>, Status> {
        let dirs = vaults::dirs(&self.config.borrow().1);
        let read = move || dirs.into_iter().map(|(id, dir)| vaults::content(id, &dir)).collect();
        let vaults = tokio::task::spawn_blocking(read).await;
        let vaults = vaults.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(proto::ListVaultsResponse { vaults }))
    }

    async fn list_flights(
        &self,
        _request: Request<proto::ListFlightsRequest>,
    ) -> Result<Response<proto::ListFlightsResponse>, Status> {
        let dir = self.zones.flights();
        let records = read_flights(move || dir.list()).await?;
        let wire = |record: FlightRecord| {
            let FlightRecord { name, bytes, unix_ms } = record;
            proto::Flight { name, bytes, unix_ms }
        };
        let flights = records.into_iter().map(wire).collect();
        Ok(Response::new(proto::ListFlightsResponse { flights }))
    }

    async fn show_flight(
        &self,
        request: Request<proto::ShowFlightRequest>,
    ) -> Result<Response<proto::ShowFlightResponse>, Status> {
        let name = request.into_inner().name;
        let jsonl = if name.is_empty() {
            self.zones.flight_now()
        } else {
            let dir = self.zones.flights();
            read_flights(move || dir.read(&name)).await?
        };
        Ok(Response::new(proto::ShowFlightResponse { jsonl }))
    }

    type TapStream = TapStream;

    async fn tap(
        &self,
        request: Request<proto::TapRequest>,
    ) -> Result<Response<TapStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let detail = tap::detail(&request);
        let result = tap::begin(self, request);
        self.note(&caller, "Tap", &detail, "", outcome(&result, |_| "began".to_owned())).await;
        result.map(Response::new)
    }

    // Vaults, draining and replays.

    type VerifyVaultStream = ResponseStream<proto::VerifyVaultResponse>;

    async fn verify_vault(
        &self,
        request: Request<proto::VerifyVaultRequest>,
    ) -> Result<Response<Self::VerifyVaultStream>, Status> {
        self.verify(request.into_inner()).map(Response::new)
    }

    async fn hold_vault(
        &self,
        request: Request<proto::HoldVaultRequest>,
    ) -> Result<Response<proto::HoldVaultResponse>, Status> {
        let (caller, request) = called(request)?;
        self.place_hold(&caller, request).await.map(Response::new)
    }

    async fn release_vault(
        &self,
        request: Request<proto::ReleaseVaultRequest>,
    ) -> Result<Response<proto::ReleaseVaultResponse>, Status> {
        let (caller, request) = called(request)?;
        self.release_hold(&caller, request).await.map(Response::new)
    }

    async fn prune_vault(
        &self,
        request: Request<proto::PruneVaultRequest>,
    ) -> Result<Response<proto::PruneVaultResponse>, Status> {
        let (caller, request) = called(request)?;
        self.prune(&caller, request).await.map(Response::new)
    }

    type DrainStream = ResponseStream<proto::DrainResponse>;

    async fn drain(
        &self,
        request: Request<proto::DrainRequest>,
    ) -> Result<Response<Self::DrainStream>, Status> {
        let (caller, request) = called(request)?;
        self.drain_now(&caller, request).await.map(Response::new)
    }

    type CountReplayStream = ResponseStream<proto::ReplayProgress>;

    async fn count_replay(
        &self,
        request: Request<proto::ReplayRequest>,
    ) -> Result<Response<Self::CountReplayStream>, Status> {
        self.count_range(&request.into_inner()).map(Response::new)
    }

    type StartReplayStream = ResponseStream<proto::ReplayProgress>;

    async fn start_replay(
        &self,
        request: Request<proto::ReplayRequest>,
    ) -> Result<Response<Self::StartReplayStream>, Status> {
        let (caller, request) = called(request)?;
        self.start_range(&caller, request).await.map(Response::new)
    }

    async fn list_replays(
        &self,
        _request: Request<proto::ListReplaysRequest>,
    ) -> Result<Response<proto::ListReplaysResponse>, Status> {
        Ok(Response::new(self.ranges()))
    }

    async fn stop_replay(
        &self,
        request: Request<proto::StopReplayRequest>,
    ) -> Result<Response<proto::StopReplayResponse>, Status> {
        let (caller, request) = called(request)?;
        self.stop_range(&caller, request).await.map(Response::new)
    }

    // Dead letters.

    async fn list_dead_letters(
        &self,
        request: Request<proto::ListDeadLettersRequest>,
    ) -> Result<Response<proto::ListDeadLettersResponse>, Status> {
        let config = self.config.borrow().1.clone();
        let listed = dead_letters::list(&self.vaults, &self.wiring, &config, request.into_inner());
        listed.await.map(Response::new)
    }

    type ShowDeadLetterStream = LetterPieces;

    async fn show_dead_letter(
        &self,
        request: Request<proto::ShowDeadLetterRequest>,
    ) -> Result<Response<LetterPieces>, Status> {
        let (caller, request) = called(request)?;
        self.show_letter(&caller, request).await.map(Response::new)
    }

    type RedriveDeadLettersStream = RedriveEvents;

    async fn redrive_dead_letters(
        &self,
        request: Request<proto::RedriveDeadLettersRequest>,
    ) -> Result<Response<RedriveEvents>, Status> {
        let (caller, request) = called(request)?;
        self.redrive_letters(&caller, request).await.map(Response::new)
    }

    async fn drop_dead_letters(
        &self,
        request: Request<proto::DropDeadLettersRequest>,
    ) -> Result<Response<proto::DropDeadLettersResponse>, Status> {
        let (caller, request) = called(request)?;
        self.delete_letters(&caller, request).await.map(Response::new)
    }
}

impl ControlService {
    /// Lets the process reload, or say what a reload would change.
    async fn order_reload(
        &self,
        is_dry_run: bool,
        wait: bool,
    ) -> Result<proto::ReloadResponse, Status> {
        let (reply, answer) = oneshot::channel();
        let ordered = self.orders.try_send(Order::Reload { is_dry_run, reply });
        ordered.map_err(|_| Status::resource_exhausted("too many reloads wait already"))?;
        let mut response = proto::ReloadResponse::default();
        if !wait {
            response.generation = self.config.borrow().0;
            return Ok(response);
        }
        let stopping = |_| Status::unavailable("GopherShip is stopping");
        response.done = true;
        match answer.await.map_err(stopping)? {
            Ok(Reloaded { generation, components, settings }) => {
                let change = |(id, outcome)| proto::ComponentChange { id, outcome };
                response.generation = generation;
                response.components = components.into_iter().map(change).collect();
                response.settings = settings;
            }
            Err(error) => {
                response.generation = self.config.borrow().0;
                response.error = error;
            }
        }
        Ok(response)
    }

    fn set_log_filter(&self, filter: &str) -> Result<proto::SetLogLevelResponse, Status> {
        if filter.is_empty() || FILTER_LEN_MAX < filter.len() {
            return Err(Status::invalid_argument("the filter must have 1 to 1024 bytes"));
        }
        let before = self.log_filter.set(filter).map_err(Status::invalid_argument)?;
        Ok(proto::SetLogLevelResponse { before })
    }
}

/// Reads files of the flight recorder beside the workers.
async fn read_flights<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Status::internal(error.to_string()))?;
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Status::not_found("there is no such record"),
        _ => Status::internal(format!("cannot read the flight recorder: {error}")),
    })
}
