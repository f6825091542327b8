//! A rustls connection of a client or a server with external buffers, so that an idle connection has no buffers. It does the handshake,
//! and all of TLS 1.2.
//!
//! Cost of a received or sent record: one call of rustls, which allocates once.

use std::ops::Deref;

use bytes::BytesMut;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedConnectionCommon,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, ProtocolVersion, Side};

use crate::records::{MAX_FRAGMENT, Records};

/// The initial buffer size, enough for an alert or for most handshake messages.
const INITIAL_SIZE: usize = 1024;

/// A rustls connection.
pub(crate) enum RustlsConnection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Deref for RustlsConnection {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            RustlsConnection::Client(tls) => tls,
            RustlsConnection::Server(tls) => tls,
        }
    }
}

/// The result of processing received bytes.
pub(super) struct Processed {
    /// The number of processed bytes.
    pub(super) count: usize,
    /// `true` if the peer has sent `close_notify`.
    pub(super) result: Result<bool, Error>,
}

impl RustlsConnection {
    pub(super) fn side(&self) -> Side {
        match self {
            RustlsConnection::Client(_) => Side::Client,
            RustlsConnection::Server(_) => Side::Server,
        }
    }

    /// Extracts the keys after a TLS 1.3 handshake, when nothing is left to send.
    pub(super) fn into_records(self) -> Result<Records, Error> {
        match self {
            RustlsConnection::Client(tls) => Records::client(*tls),
            RustlsConnection::Server(tls) => Records::server(*tls),
        }
    }

    /// Processes the records in `incoming` in place. Appends their plaintext to `plaintext`, and bytes to send to
    /// `out`, including the alert for an error.
    pub(super) fn process(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Processed {
        match self {
            RustlsConnection::Client(tls) => process(&mut ***tls, incoming, plaintext, out),
            RustlsConnection::Server(tls) => process(&mut ***tls, incoming, plaintext, out),
        }
    }

    /// Encrypts `bytes` and appends them to `out`, after the handshake. `held` are unprocessed received bytes.
    pub(super) fn encrypt(
        &mut self,
        bytes: &[u8],
        held: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let length = self.encrypted_len(bytes.len());
        match self {
            RustlsConnection::Client(tls) => {
                send(&mut ***tls, held, OutgoingMessage::Data(bytes), length, out)
            }
            RustlsConnection::Server(tls) => {
                send(&mut ***tls, held, OutgoingMessage::Data(bytes), length, out)
            }
        }
    }

    /// Appends `close_notify` to `out`, after the handshake.
    pub(super) fn close_notify(
        &mut self,
        held: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self {
            RustlsConnection::Client(tls) => send(
                &mut ***tls,
                held,
                OutgoingMessage::CloseNotify,
                INITIAL_SIZE,
                out,
            ),
            RustlsConnection::Server(tls) => send(
                &mut ***tls,
                held,
                OutgoingMessage::CloseNotify,
                INITIAL_SIZE,
                out,
            ),
        }
    }

    /// Returns the encrypted length of `length` bytes. A record adds a header, the content type and a tag (RFC 8446,
    /// section 5.2), or a header, a nonce and a tag (RFC 5288, section 3).
    fn encrypted_len(&self, length: usize) -> usize {
        let added = match self.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => 5 + 1 + 16,
            _ => 5 + 8 + 16,
        };
        length + length.div_ceil(MAX_FRAGMENT) * added
    }
}

/// The methods of rustls that differ in type between client and server.
trait Unbuffered: Deref<Target = CommonState> {
    type Data;

    fn process_records<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Unbuffered for UnbufferedConnectionCommon<ClientConnectionData> {
    type Data = ClientConnectionData;

    fn process_records<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Unbuffered for UnbufferedConnectionCommon<ServerConnectionData> {
    type Data = ServerConnectionData;

    fn process_records<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// A message to send.
enum OutgoingMessage<'a> {
    Data(&'a [u8]),
    CloseNotify,
}

impl OutgoingMessage<'_> {
    fn encrypt<D>(
        &self,
        traffic: &mut WriteTraffic<'_, D>,
        room: &mut [u8],
    ) -> Result<usize, EncryptError> {
        match self {
            OutgoingMessage::Data(bytes) => traffic.encrypt(bytes, room),
            OutgoingMessage::CloseNotify => traffic.queue_close_notify(room),
        }
    }
}

/// The outcome of one step of the rustls state machine.
enum StepOutcome<'c, D> {
    /// Another step follows.
    Continue,
    /// Plaintext was appended; more steps may follow.
    Delivered,
    PeerClosed,
    /// All received bytes are processed.
    Idle(Option<WriteTraffic<'c, D>>),
}

fn process<R: Unbuffered>(
    tls: &mut R,
    incoming: &mut [u8],
    plaintext: &mut BytesMut,
    out: &mut Vec<u8>,
) -> Processed {
    let mut count = 0;
    let mut closed = false;
    loop {
        let rest = incoming.get_mut(count..).unwrap_or_default();
        let UnbufferedStatus { discard, state, .. } = tls.process_records(rest);
        let next = state.and_then(|state| step(state, plaintext, out));
        count += discard;
        let delivered = matches!(next, Ok(StepOutcome::Delivered));
        match next {
            Ok(StepOutcome::Continue | StepOutcome::Delivered) => {}
            Ok(StepOutcome::PeerClosed) => closed = true,
            Ok(StepOutcome::Idle(_)) => {
                let result = Ok(closed);
                return Processed { count, result };
            }
            Err(error) => {
                send_alert(tls, plaintext, out);
                let result = Err(error);
                return Processed { count, result };
            }
        }
        // This was the last record, and rustls has nothing to send, so no further step is needed.
        if delivered && count == incoming.len() && !tls.wants_write() {
            let result = Ok(closed);
            return Processed { count, result };
        }
    }
}

/// Sends the alert for an error, and delivers the plaintext before it.
fn send_alert<R: Unbuffered>(tls: &mut R, plaintext: &mut BytesMut, out: &mut Vec<u8>) {
    while tls.wants_write() {
        let state = tls.process_records(&mut []).state;
        if state
            .and_then(|state| step(state, plaintext, out).map(drop))
            .is_err()
        {
            return;
        }
    }
}

/// Sends a message, after the pending output of rustls.
fn send<R: Unbuffered>(
    tls: &mut R,
    held: &mut Vec<u8>,
    message: OutgoingMessage<'_>,
    length: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut plaintext = BytesMut::new();
    loop {
        let UnbufferedStatus { discard, state, .. } = tls.process_records(held);
        let done = match step(state?, &mut plaintext, out)? {
            StepOutcome::Continue | StepOutcome::Delivered | StepOutcome::PeerClosed => false,
            StepOutcome::Idle(Some(mut traffic)) => {
                append(out, length, |room| {
                    message
                        .encrypt(&mut traffic, room)
                        .map_err(|error| match error {
                            EncryptError::InsufficientSize(size) => EncodeFailure::Size(size),
                            error => EncodeFailure::Other(Error::General(error.to_string())),
                        })
                })?;
                true
            }
            // Both halves are closed.
            StepOutcome::Idle(None) => true,
        };
        held.drain(..discard.min(held.len()));
        if done {
            return Ok(());
        }
    }
}

/// Performs the step for the state of rustls.
fn step<'c, D>(
    state: ConnectionState<'c, '_, D>,
    plaintext: &mut BytesMut,
    out: &mut Vec<u8>,
) -> Result<StepOutcome<'c, D>, Error> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                plaintext.extend_from_slice(record?.payload);
            }
            return Ok(StepOutcome::Delivered);
        }
        ConnectionState::EncodeTlsData(mut data) => append(out, INITIAL_SIZE, |room| {
            data.encode(room).map_err(|error| match error {
                EncodeError::InsufficientSize(size) => EncodeFailure::Size(size),
                error => EncodeFailure::Other(Error::General(error.to_string())),
            })
        })?,
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::WriteTraffic(traffic) => return Ok(StepOutcome::Idle(Some(traffic))),
        ConnectionState::PeerClosed => return Ok(StepOutcome::PeerClosed),
        ConnectionState::BlockedHandshake | ConnectionState::Closed => {
            return Ok(StepOutcome::Idle(None));
        }
        // Early data is never accepted.
        state => return Err(Error::General(format!("unexpected state {state:?}"))),
    }
    Ok(StepOutcome::Continue)
}

enum EncodeFailure {
    Size(InsufficientSizeError),
    Other(Error),
}

/// Appends the output of `write`, which is called with a buffer of `length` bytes, and again with a larger one if that is too small.
fn append(
    out: &mut Vec<u8>,
    mut length: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeFailure>,
) -> Result<(), Error> {
    let begin = out.len();
    loop {
        out.resize(begin + length, 0);
        let written = write(out.get_mut(begin..).unwrap_or_default());
        match written {
            Err(EncodeFailure::Size(size)) if size.required_size > length => {
                length = size.required_size
            }
            written => {
                out.truncate(begin + written.as_ref().map_or(0, |count| *count));
                return match written {
                    Ok(_) => Ok(()),
                    Err(EncodeFailure::Other(error)) => Err(error),
                    Err(EncodeFailure::Size(size)) => Err(Error::General(format!("{size:?}"))),
                };
            }
        }
    }
}
