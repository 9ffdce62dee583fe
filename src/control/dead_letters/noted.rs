//! What operators do with dead letters, noted in the audit log.

use gophership_control::proto;
use tonic::Status;

use super::redrive::RedriveEvents;
use super::redrive::drop_letters;
use super::redrive::redrive;
use super::redrive::said_of_redrive;
use super::show::LetterPieces;
use super::show::show;
use super::wanted::detail;
use crate::control::access::Caller;
use crate::control::changes::check_reason;
use crate::control::changes::outcome;
use crate::control::state::ControlService;

impl ControlService {
    /// Shows what a sender sent, which the audit log has.
    pub(in crate::control) async fn show_letter(
        &self,
        caller: &Caller,
        request: proto::ShowDeadLetterRequest,
    ) -> Result<LetterPieces, Status> {
        let detail = format!("id={}", request.id);
        let result = show(&self.vaults, request).await;
        let said = |_: &LetterPieces| "shown".to_owned();
        self.note(caller, "ShowDeadLetter", &detail, "", outcome(&result, said)).await;
        result
    }

    /// Sends letters again; a dry run is not noted.
    pub(in crate::control) async fn redrive_letters(
        &self,
        caller: &Caller,
        request: proto::RedriveDeadLettersRequest,
    ) -> Result<RedriveEvents, Status> {
        let (reason, is_dry_run) = (request.reason.clone(), request.dry_run);
        let mut detail = detail(request.selection.as_ref());
        if !request.to.is_empty() {
            detail = format!("{detail} to={}", request.to.join(","));
        }
        let result = match check_reason(&reason) {
            Ok(()) => redrive(&self.vaults, &self.wiring, request).await,
            Err(status) => Err(status),
        };
        if !is_dry_run {
            let said = |(_, begun): &(RedriveEvents, _)| said_of_redrive(begun);
            let outcome = outcome(&result, said);
            self.note(caller, "RedriveDeadLetters", &detail, &reason, outcome).await;
        }
        result.map(|(events, _)| events)
    }

    /// Deletes letters; a dry run is not noted.
    pub(in crate::control) async fn delete_letters(
        &self,
        caller: &Caller,
        request: proto::DropDeadLettersRequest,
    ) -> Result<proto::DropDeadLettersResponse, Status> {
        let (reason, is_dry_run) = (request.reason.clone(), request.dry_run);
        let detail = detail(request.selection.as_ref());
        let result = match check_reason(&reason) {
            Ok(()) => drop_letters(&self.vaults, self.ledgers, request).await,
            Err(status) => Err(status),
        };
        if !is_dry_run {
            let said = |answer: &proto::DropDeadLettersResponse| {
                format!("dropped {} letters, {} records", answer.letters, answer.records)
            };
            self.note(caller, "DropDeadLetters", &detail, &reason, outcome(&result, said)).await;
        }
        result
    }
}
