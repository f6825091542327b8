//! The error type of the crate.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use uptick_emitter::Excerpt;
use uptick_event_loop::errno;

/// Errors of certificates and of the TLS layer of a connection.
///
/// The text contains the operation, the file and the cause, and often a remedy. Errors of a connection are wrapped in
/// [`uptick_socket::Error::Filter`], which names the peer. Cloning allocates nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("reading the {what} from {} failed: {}", path.display(), errno::describe(.source))]
    Read {
        /// The kind of content: `certificate`, `private key`, `CA certificates`.
        what: &'static str,
        /// The file.
        path: Arc<PathBuf>,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A file could not be written.
    #[error("writing the {what} to {} failed: {}", path.display(), errno::describe(.source))]
    Write {
        /// The kind of content: `certificate`, `private key`.
        what: &'static str,
        /// The file.
        path: Arc<PathBuf>,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// The contents of a file cannot be used.
    #[error("loading the {what} from {} failed: {reason}", path.display())]
    Load {
        /// The kind of content: `certificate`, `private key`, `CA certificates`.
        what: &'static str,
        /// The file, or in backquotes the setter that set the text.
        path: Arc<PathBuf>,
        /// The cause, and a remedy.
        reason: Arc<str>,
    },
    /// A setting of the context is missing or invalid.
    #[error("creating a TLS context failed: {reason}")]
    Context {
        /// The cause, and a remedy.
        reason: Arc<str>,
    },
    /// The keys of session tickets cannot be used.
    #[error("{action} ticket keys failed: {reason}")]
    TicketKeys {
        /// The operation: `creating`, `installing`, `exporting`, `importing`.
        action: &'static str,
        /// The cause, and a remedy where there is one.
        reason: Arc<str>,
    },
    /// A client requested a server name without a certificate. It receives the alert `unrecognized_name`.
    #[error("{}", match .name {
        Some(name) => format!("the client requested {name}, for which there is no certificate"),
        None => "the client sent no server name (SNI), and there is no default certificate".into(),
    })]
    UnknownName {
        /// The requested name (SNI), if any.
        name: Option<Arc<str>>,
    },
    /// The peer violated the protocol, or requires an unsupported parameter.
    #[error("{reason}")]
    Protocol {
        /// The cause.
        reason: Arc<str>,
    },
    /// The underlying connection ended without a `close_notify`.
    #[error("{}", match .handshake {
        Some(peer) => format!("the {peer} closed the connection before the handshake was complete"),
        None => "the peer closed the connection without close_notify: its data may be incomplete".into(),
    })]
    Truncated {
        /// The peer, `client` or `server`, if the connection ended during the handshake.
        handshake: Option<&'static str>,
    },
    /// Reading from or writing to the underlying connection failed.
    #[error("{source}")]
    Below {
        /// The cause.
        source: uptick_socket::Cause,
    },
}

impl Error {
    pub(crate) fn context(reason: impl Into<Arc<str>>) -> Self {
        Error::Context {
            reason: reason.into(),
        }
    }

    pub(crate) fn ticket_keys(action: &'static str, reason: impl Into<Arc<str>>) -> Self {
        Error::TicketKeys {
            action,
            reason: reason.into(),
        }
    }

    pub(crate) fn protocol(reason: impl AsRef<str>) -> Self {
        let reason = reason.as_ref();
        Error::Protocol {
            // The reason may quote data of the peer.
            reason: Excerpt::new(reason).limit(4096).to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_error_quotes_at_most_4_kib_of_the_peers_data() {
        let text = Error::protocol("x\n".repeat(10_000)).to_string();
        assert!(text.len() < 4200 && !text.contains('\n'), "{text}");
    }
}
