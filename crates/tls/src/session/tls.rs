//! rustls' connection of either side, over buffers that are ours, so that it keeps none while nothing is received: the handshake,
//! and all of TLS 1.2.
//!
//! Cost of a received record: one call of rustls, and one allocation in it. Of a sent record: the same.

use std::ops::Deref;

use bytes::BytesMut;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedConnectionCommon,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, ProtocolVersion, Side};

use crate::records::{FRAGMENT, Records};

/// Room for an alert or for most messages of a handshake, so that the first try succeeds.
const ROOM: usize = 1024;

pub(crate) enum Tls {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Deref for Tls {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Tls::Client(tls) => tls,
            Tls::Server(tls) => tls,
        }
    }
}

/// The result of processing received bytes.
pub(super) struct Processed {
    /// The number of bytes that are processed.
    pub(super) count: usize,
    /// Whether the peer has sent `close_notify`.
    pub(super) result: Result<bool, Error>,
}

impl Tls {
    pub(super) fn side(&self) -> Side {
        match self {
            Tls::Client(_) => Side::Client,
            Tls::Server(_) => Side::Server,
        }
    }

    /// Takes the records over from rustls: the handshake of TLS 1.3 is done, and nothing is left to be sent.
    pub(super) fn into_records(self) -> Result<Records, Error> {
        match self {
            Tls::Client(tls) => Records::client(*tls),
            Tls::Server(tls) => Records::server(*tls),
        }
    }

    /// Processes the records in `incoming`, and changes it. Appends their plaintext to `plaintext`, and what is to be sent to
    /// `out`: also the alert that goes with an error.
    pub(super) fn process(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Processed {
        match self {
            Tls::Client(tls) => process(&mut ***tls, incoming, plaintext, out),
            Tls::Server(tls) => process(&mut ***tls, incoming, plaintext, out),
        }
    }

    /// Appends `bytes` to `out`, encrypted, after the handshake. `held` are received bytes that are not processed yet.
    pub(super) fn encrypt(
        &mut self,
        bytes: &[u8],
        held: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let length = self.encrypted_len(bytes.len());
        match self {
            Tls::Client(tls) => send(&mut ***tls, held, Message::Data(bytes), length, out),
            Tls::Server(tls) => send(&mut ***tls, held, Message::Data(bytes), length, out),
        }
    }

    /// Appends `close_notify` to `out`, after the handshake.
    pub(super) fn close_notify(
        &mut self,
        held: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self {
            Tls::Client(tls) => send(&mut ***tls, held, Message::CloseNotify, ROOM, out),
            Tls::Server(tls) => send(&mut ***tls, held, Message::CloseNotify, ROOM, out),
        }
    }

    /// Returns the encrypted length of that many bytes: header, content type and tag are added to a record (RFC 8446,
    /// section 5.2), or header, nonce and tag (RFC 5288, section 3).
    fn encrypted_len(&self, length: usize) -> usize {
        let added = match self.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => 5 + 1 + 16,
            _ => 5 + 8 + 16,
        };
        length + length.div_ceil(FRAGMENT) * added
    }
}

/// The interface that rustls has once for each side.
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

enum Message<'a> {
    Data(&'a [u8]),
    CloseNotify,
}

impl Message<'_> {
    fn encrypt<D>(
        &self,
        traffic: &mut WriteTraffic<'_, D>,
        room: &mut [u8],
    ) -> Result<usize, EncryptError> {
        match self {
            Message::Data(bytes) => traffic.encrypt(bytes, room),
            Message::CloseNotify => traffic.queue_close_notify(room),
        }
    }
}

/// The outcome of a step.
enum Next<'c, D> {
    Step,
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
        let delivered = matches!(next, Ok(Next::Delivered));
        match next {
            Ok(Next::Step | Next::Delivered) => {}
            Ok(Next::PeerClosed) => closed = true,
            Ok(Next::Idle(_)) => {
                let result = Ok(closed);
                return Processed { count, result };
            }
            Err(error) => {
                send_alert(tls, plaintext, out);
                let result = Err(error);
                return Processed { count, result };
            }
        }
        // The record was the last, and rustls has nothing to answer: it need not be asked for the next step.
        if delivered && count == incoming.len() && !tls.wants_write() {
            let result = Ok(closed);
            return Processed { count, result };
        }
    }
}

/// Sends the alert that goes with an error, and delivers the plaintext before it.
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

/// Sends a message behind what rustls has to send.
fn send<R: Unbuffered>(
    tls: &mut R,
    held: &mut Vec<u8>,
    message: Message<'_>,
    length: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut plaintext = BytesMut::new();
    loop {
        let UnbufferedStatus { discard, state, .. } = tls.process_records(held);
        let done = match step(state?, &mut plaintext, out)? {
            Next::Step | Next::Delivered | Next::PeerClosed => false,
            Next::Idle(Some(mut traffic)) => {
                append(out, length, |room| {
                    message
                        .encrypt(&mut traffic, room)
                        .map_err(|error| match error {
                            EncryptError::InsufficientSize(size) => Failure::Size(size),
                            error => Failure::Other(Error::General(error.to_string())),
                        })
                })?;
                true
            }
            // Both sides have ended.
            Next::Idle(None) => true,
        };
        held.drain(..discard.min(held.len()));
        if done {
            return Ok(());
        }
    }
}

/// Takes the step that the state of rustls requires.
fn step<'c, D>(
    state: ConnectionState<'c, '_, D>,
    plaintext: &mut BytesMut,
    out: &mut Vec<u8>,
) -> Result<Next<'c, D>, Error> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                plaintext.extend_from_slice(record?.payload);
            }
            return Ok(Next::Delivered);
        }
        ConnectionState::EncodeTlsData(mut data) => append(out, ROOM, |room| {
            data.encode(room).map_err(|error| match error {
                EncodeError::InsufficientSize(size) => Failure::Size(size),
                error => Failure::Other(Error::General(error.to_string())),
            })
        })?,
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::WriteTraffic(traffic) => return Ok(Next::Idle(Some(traffic))),
        ConnectionState::PeerClosed => return Ok(Next::PeerClosed),
        ConnectionState::BlockedHandshake | ConnectionState::Closed => return Ok(Next::Idle(None)),
        // Early data is never accepted.
        state => return Err(Error::General(format!("{state:?} is not expected"))),
    }
    Ok(Next::Step)
}

enum Failure {
    Size(InsufficientSizeError),
    Other(Error),
}

/// Appends what `write` writes into the room that it gets, `length` bytes at first.
fn append(
    out: &mut Vec<u8>,
    mut length: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Failure>,
) -> Result<(), Error> {
    let begin = out.len();
    loop {
        out.resize(begin + length, 0);
        let written = write(out.get_mut(begin..).unwrap_or_default());
        match written {
            Err(Failure::Size(size)) if size.required_size > length => length = size.required_size,
            written => {
                out.truncate(begin + written.as_ref().map_or(0, |count| *count));
                return match written {
                    Ok(_) => Ok(()),
                    Err(Failure::Other(error)) => Err(error),
                    Err(Failure::Size(size)) => Err(Error::General(format!("{size:?}"))),
                };
            }
        }
    }
}
