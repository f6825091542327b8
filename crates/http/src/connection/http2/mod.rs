//! An HTTP/2 connection: its requests are handled at the same time, each on a stream.
//!
//! Cost of a request that is received complete and answered immediately: the header block is decoded from the read buffer into the
//! exchange, and the response is encoded directly into the send buffer. There is one lookup of the stream, no allocation in the steady
//! state and no clock call; all streams of one read share one write.
//!
//! ```text
//! read ─→ codec ─┬→ request ─→ exchange ─→ response ─→ send buffer
//!                ├→ body ─→ reader or listeners, whose progress opens the window
//!                └→ window ─→ queued output of the streams, in the order of their priority
//! ```
//!
//! A stream refers to its connection. Otherwise, each file imports only those before it: `flags`, `stream`, `state`, `deadlines`, `output`,
//! `pump`, `channel`, `body`, `transport`, `settling`, `requests`, `advancing`, `shutdown`, `session`.

mod advancing;
mod body;
mod channel;
mod deadlines;
mod flags;
mod output;
mod pump;
mod requests;
mod session;
mod settling;
mod shutdown;
mod state;
mod stream;
mod transport;

pub(super) use session::{serve, take_over};
pub(super) use shutdown::{abort_all, drain};
