//! The error type of the crate.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use uptick_emitter::Excerpt;
use uptick_event_loop::errno;

/// What can go wrong with certificates and with the TLS of a connection.
///
/// The text says what failed, on which file, and what to do. Those of a connection are inside of
/// [`uptick_socket::Error::Filter`], which says with whom. Cloning allocates nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("reading the {what} from {} failed: {}", path.display(), errno::describe(.source))]
    Read {
        /// What was to be read: `certificate`, `private key`, `CA certificates`.
        what: &'static str,
        /// The file.
        path: Arc<PathBuf>,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A file could not be written.
    #[error("writing the {what} to {} failed: {}", path.display(), errno::describe(.source))]
    Write {
        /// What was to be written: `certificate`, `private key`.
        what: &'static str,
        /// The file.
        path: Arc<PathBuf>,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// What a file has cannot be used.
    #[error("loading the {what} from {} failed: {reason}", path.display())]
    Load {
        /// What was to be loaded: `certificate`, `private key`, `CA certificates`.
        what: &'static str,
        /// The file, or the setter that got a text, in backquotes.
        path: Arc<PathBuf>,
        /// What is wrong with it, and what to do.
        reason: Arc<str>,
    },
    /// The context lacks something or cannot be satisfied.
    #[error("making a TLS context failed: {reason}")]
    Context {
        /// What is wrong with it, and what to do.
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
    /// A client asks for a server that has no certificate here; it is told so with the alert `unrecognized_name`.
    #[error("{}", match .name {
        Some(name) => format!("the client asks for {name}, for which there is no certificate"),
        None => "the client names no server (SNI), and there is no default certificate".into(),
    })]
    UnknownName {
        /// The name that it asks for (SNI), if it names one.
        name: Option<Arc<str>>,
    },
    /// The peer does not keep to the protocol, or wants what this side does not offer.
    #[error("{reason}")]
    Protocol {
        /// What is wrong.
        reason: Arc<str>,
    },
    /// The connection below TLS has ended before TLS had.
    #[error("{}", match .handshake {
        Some(peer) => format!("the {peer} ended the connection before the handshake was done"),
        None => "the peer ended the connection without saying so (close_notify): what it sent may be incomplete".into(),
    })]
    Truncated {
        /// Who has ended it, `client` or `server`, when that was in the handshake.
        handshake: Option<&'static str>,
    },
    /// Reading from or writing to the connection below TLS failed.
    #[error("{source}")]
    Below {
        /// Why it failed.
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
            // It may quote what the peer has sent.
            reason: Excerpt::new(reason).limit(4096).to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_protocol_quotes_at_most_4_kib_of_the_peer() {
        let text = Error::protocol("x\n".repeat(10_000)).to_string();
        assert!(text.len() < 4200 && !text.contains('\n'), "{text}");
    }
}
