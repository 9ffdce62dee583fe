//! What an answer of the SDK means: done, refused, missing, or an error by what the caller can do.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::causes::any;
use crate::causes::chain;
use crate::causes::one_line;
use crate::error::S3Error;
use crate::error::S3ErrorKind;

/// The answer to a request that did not fail.
pub(crate) enum ConditionalResult<T> {
    /// The server did it.
    Done(T),
    /// A condition did not hold.
    Refused,
    /// There is no such object, or no such upload.
    Missing,
}

/// What a server said about a request that it did not do.
struct Complaint<'a> {
    status: u16,
    code: Option<&'a str>,
    text: Option<&'a str>,
    request_id: Option<&'a str>,
}

/// Judges the error of a request; `doing` is what the request was for.
pub(crate) fn judge<T, E>(
    doing: &dyn fmt::Display,
    error: &SdkError<E, HttpResponse>,
) -> Result<ConditionalResult<T>, S3Error>
where
    E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    if let (SdkError::ServiceError(service), Some(status)) = (error, status) {
        let meta = service.err().meta();
        let complaint = Complaint {
            status,
            code: meta.code(),
            text: meta.message(),
            request_id: service.err().request_id(),
        };
        return judge_complaint(doing, &complaint);
    }
    let kind = match error {
        SdkError::TimeoutError(_) => S3ErrorKind::Timeout,
        SdkError::ResponseError(_) => S3ErrorKind::Server,
        _ if any::<CredentialsError>(error) => S3ErrorKind::Credentials,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => S3ErrorKind::Timeout,
        // The body could not be read, and only files can do that.
        SdkError::DispatchFailure(failure) if failure.is_user() => S3ErrorKind::LocalFile,
        SdkError::DispatchFailure(_) => S3ErrorKind::Connection,
        SdkError::ConstructionFailure(_) => S3ErrorKind::Invalid,
        _ => S3ErrorKind::Other,
    };
    let message = format!("cannot {doing}: {}", chain(error));
    Err(S3Error { kind, message, status, request_id: None })
}

fn judge_complaint<T>(
    doing: &dyn fmt::Display,
    complaint: &Complaint<'_>,
) -> Result<ConditionalResult<T>, S3Error> {
    match (complaint.status, complaint.code) {
        (412, _) => return Ok(ConditionalResult::Refused),
        (404, None | Some("NoSuchKey" | "NotFound" | "NoSuchUpload")) => {
            return Ok(ConditionalResult::Missing);
        }
        _ => {}
    }
    let status = complaint.status;
    let code = complaint.code.map(|code| format!(" {}", one_line(code))).unwrap_or_default();
    let text = complaint.text.map(|text| format!(": {}", one_line(text))).unwrap_or_default();
    let hint = match (status, complaint.code) {
        (301 | 307 | 308, _) | (400, Some("AuthorizationHeaderMalformed")) => {
            "; set `region` to the region of the bucket"
        }
        (400, None) => "; an answer without a reason often means that credentials have expired",
        (501, _) => "; the server does not know this request",
        _ => "",
    };
    Err(S3Error {
        kind: kind(status, complaint.code),
        message: format!("cannot {doing}: {status}{code}{text}{hint}"),
        status: Some(status),
        request_id: complaint.request_id.map(one_line),
    })
}

/// The kind of an answer. The code decides, because a status has many meanings.
fn kind(status: u16, code: Option<&str>) -> S3ErrorKind {
    match code.unwrap_or_default() {
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "TooManyRequestsException"
        | "ServiceUnavailable" => S3ErrorKind::Throttled,
        "RequestTimeout" | "RequestTimeoutException" => S3ErrorKind::Timeout,
        "InternalError" | "InternalFailure" => S3ErrorKind::Server,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "NotSignedUp"
        | "AuthFailure"
        | "UnrecognizedClientException" => S3ErrorKind::Credentials,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => S3ErrorKind::Denied,
        "NoSuchBucket" => S3ErrorKind::NoSuchBucket,
        "ConditionalRequestConflict" | "OperationAborted" => S3ErrorKind::Conflict,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "IncompleteBody" => S3ErrorKind::Checksum,
        code if code.starts_with("KMS.") => S3ErrorKind::Denied,
        code => match status {
            // Without a code it is the answer to HEAD, which cannot say that a token has expired.
            400 if code.is_empty() => S3ErrorKind::Credentials,
            401 => S3ErrorKind::Credentials,
            403 => S3ErrorKind::Denied,
            408 => S3ErrorKind::Timeout,
            409 => S3ErrorKind::Conflict,
            429 | 503 => S3ErrorKind::Throttled,
            501 | 300..500 => S3ErrorKind::Invalid,
            500..600 => S3ErrorKind::Server,
            _ => S3ErrorKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_and_without_one_the_status() {
        let cases = [
            (503, Some("SlowDown"), S3ErrorKind::Throttled),
            (503, None, S3ErrorKind::Throttled),
            (500, Some("InternalError"), S3ErrorKind::Server),
            (502, None, S3ErrorKind::Server),
            (400, Some("ExpiredToken"), S3ErrorKind::Credentials),
            (403, Some("ExpiredToken"), S3ErrorKind::Credentials),
            (403, Some("SignatureDoesNotMatch"), S3ErrorKind::Credentials),
            (400, None, S3ErrorKind::Credentials),
            (403, Some("AccessDenied"), S3ErrorKind::Denied),
            (403, None, S3ErrorKind::Denied),
            (400, Some("KMS.DisabledException"), S3ErrorKind::Denied),
            (404, Some("NoSuchBucket"), S3ErrorKind::NoSuchBucket),
            (409, Some("ConditionalRequestConflict"), S3ErrorKind::Conflict),
            (400, Some("BadDigest"), S3ErrorKind::Checksum),
            (400, Some("RequestTimeout"), S3ErrorKind::Timeout),
            (400, Some("InvalidStorageClass"), S3ErrorKind::Invalid),
            (301, Some("PermanentRedirect"), S3ErrorKind::Invalid),
            (501, Some("NotImplemented"), S3ErrorKind::Invalid),
        ];
        for (status, code, expected) in cases {
            assert_eq!(kind(status, code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn a_message_says_what_was_done_and_what_to_do() {
        let complaint = Complaint {
            status: 403,
            code: Some("ExpiredToken"),
            text: Some("The provided token has expired."),
            request_id: Some("4KQ"),
        };
        let Err(error) = judge_complaint::<()>(&"put s3://archive/a", &complaint) else {
            unreachable!("an expired token is an error")
        };
        assert_eq!(
            error.to_string(),
            "cannot put s3://archive/a: 403 ExpiredToken: The provided token has expired. \
             (request 4KQ); check the access key, the profile or the role"
        );
    }
}
