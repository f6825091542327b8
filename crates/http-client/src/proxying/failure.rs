//! Failed requests to upstream servers: the response to the client, and whether another server is tried.

use http::{Method, StatusCode};
use uptick_http::HttpError;

use crate::error::{Error, ErrorKind};

/// Returns `true` if no connection to the server could be established, so that the request was not sent.
pub(super) fn is_connect_failure(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Resolve
            | ErrorKind::Connect
            | ErrorKind::ConnectTimeout
            | ErrorKind::Tls
            | ErrorKind::TlsTimeout
            | ErrorKind::Proxy
    )
}

/// Returns `true` if a request that has failed can be sent to another server. `has_body` is `true` if it has a body, and `is_started` if a part of
/// the body was read.
pub(super) fn is_retriable(
    kind: ErrorKind,
    method: &Method,
    has_body: bool,
    is_started: bool,
) -> bool {
    if is_connect_failure(kind) {
        return !is_started;
    }
    let is_idempotent = matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    kind == ErrorKind::ClosedBeforeResponse && is_idempotent && !has_body
}

/// Returns the response for a failed request. The reason is logged, but not sent to the client.
pub(super) fn client_error(error: Error) -> HttpError {
    let status = match error.kind() {
        ErrorKind::ConnectTimeout
        | ErrorKind::TlsTimeout
        | ErrorKind::WriteTimeout
        | ErrorKind::FirstByteTimeout
        | ErrorKind::ReadTimeout
        | ErrorKind::TotalTimeout => StatusCode::GATEWAY_TIMEOUT,
        // A full queue of waiting requests.
        ErrorKind::Other => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    };
    HttpError::from_status(status).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_that_were_not_processed_are_sent_again() {
        let retriable = |kind, method| is_retriable(kind, &method, false, false);
        assert!(retriable(ErrorKind::Connect, Method::POST));
        assert!(retriable(ErrorKind::ConnectTimeout, Method::POST));
        assert!(retriable(ErrorKind::ClosedBeforeResponse, Method::GET));
        assert!(retriable(ErrorKind::ClosedBeforeResponse, Method::DELETE));
        assert!(!retriable(ErrorKind::ClosedBeforeResponse, Method::POST));
        assert!(!retriable(ErrorKind::ClosedInHead, Method::GET));
        assert!(!retriable(ErrorKind::FirstByteTimeout, Method::GET));
        assert!(!is_retriable(
            ErrorKind::ClosedBeforeResponse,
            &Method::PUT,
            true,
            false
        ));
        assert!(is_retriable(ErrorKind::Connect, &Method::PUT, true, false));
        assert!(!is_retriable(ErrorKind::Connect, &Method::PUT, true, true));
    }

    #[test]
    fn the_reason_is_not_sent_to_the_client() {
        for (kind, status) in [
            (ErrorKind::Connect, 502),
            (ErrorKind::Malformed, 502),
            (ErrorKind::FirstByteTimeout, 504),
            (ErrorKind::ConnectTimeout, 504),
            (ErrorKind::Other, 503),
        ] {
            let error = client_error(Error::new(kind, "10.0.0.1 is secret"));
            assert_eq!(error.status().as_u16(), status);
            assert!(!error.message().contains("secret"));
            assert!(error.report().contains("secret"));
        }
    }
}
