//! What a request came to.

use gophership_http_client::Answer;
use gophership_otlp_client::CodeOption;
use gophership_otlp_client::Reply;

/// How the client says that it could not connect.
const NOT_CONNECTED: &str = "(Connect)";
/// What stands before the reasons of the client.
const NO_ANSWER: &str = "no answer: ";

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    /// The target accepted it.
    Accepted {
        /// Without so many of its records.
        rejected: u64,
        /// What the target said beside it, mostly nothing.
        said: String,
    },
    /// The target refused it.
    Refused {
        /// The gRPC code or the HTTP status.
        code: String,
        /// Why.
        reason: String,
    },
    /// There was no connection to send it over.
    NotConnected {
        /// Why.
        reason: String,
    },
    /// It was sent, or a part of it, and there was no answer, or none that OTLP knows.
    Unanswered {
        /// Why.
        reason: String,
    },
}

impl SendOutcome {
    /// Judges a reply.
    pub(crate) fn of(reply: Reply) -> Self {
        let code = match reply.code {
            Some(CodeOption::Http(status)) => Some(format!("HTTP {status}")),
            Some(code) => Some(code.to_string()).filter(|code| code != "OK"),
            None => None,
        };
        let reason = match reply.answer {
            Answer::Delivered { rejected, message } => {
                return Self::Accepted { rejected, said: message };
            }
            Answer::Retry { reason, .. }
            | Answer::Denied { reason }
            | Answer::Rejected { reason } => reason,
        };
        match code {
            Some(code) => Self::Refused { code, reason },
            None => Self::without_code(&reason),
        }
    }

    fn without_code(reason: &str) -> Self {
        let is_not_connected = reason.contains(NOT_CONNECTED);
        let reason = reason.strip_prefix(NO_ANSWER).unwrap_or(reason);
        let reason = reason.strip_prefix("client error (Connect): ").unwrap_or(reason).to_owned();
        if is_not_connected { Self::NotConnected { reason } } else { Self::Unanswered { reason } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Option<u16>, answer: Answer) -> SendOutcome {
        SendOutcome::of(Reply { code: code.map(CodeOption::Http), answer })
    }

    #[test]
    fn an_accepted_request_may_lack_records() {
        let said = "old".to_owned();
        let answer = Answer::Delivered { rejected: 3, message: said.clone() };
        assert_eq!(of(Some(200), answer), SendOutcome::Accepted { rejected: 3, said });
    }

    #[test]
    fn a_refusal_has_its_code_whether_or_not_it_may_be_sent_again() {
        let reason = || "HTTP 503".to_owned();
        for answer in [
            Answer::Retry { after: None, reason: reason() },
            Answer::Denied { reason: reason() },
            Answer::Rejected { reason: reason() },
        ] {
            let refused = SendOutcome::Refused { code: "HTTP 503".to_owned(), reason: reason() };
            assert_eq!(of(Some(503), answer), refused);
        }
    }

    #[test]
    fn what_was_not_connected_is_told_from_what_was_sent() {
        let answer = "no answer: client error (Connect): tcp connect error: refused";
        let reason = "tcp connect error: refused".to_owned();
        assert_eq!(of(None, Answer::unanswered(answer)), SendOutcome::NotConnected { reason });
        let reason = "connection closed".to_owned();
        let answer = Answer::unanswered(format!("no answer: {reason}"));
        assert_eq!(of(None, answer), SendOutcome::Unanswered { reason });
    }
}
