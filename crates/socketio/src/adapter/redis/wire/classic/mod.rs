//! The messages of `createAdapter` of `@socket.io/redis-adapter`, and of `@socket.io/redis-emitter`.
//!
//! | message | channels | format |
//! |---|---|---|
//! | [`Broadcast`] | `PREFIX#NSP#`, or `PREFIX#NSP#ROOM#` for a single room | MessagePack |
//! | [`Request`] | `PREFIX-request#NSP#` | JSON, or MessagePack if it requests acknowledgements of clients or contains binary data |
//! | [`Response`] | `PREFIX-response#NSP#`, or `PREFIX-response#NSP#UID#` | JSON, or MessagePack for acknowledgements of clients and if it contains binary data |

mod broadcast;
mod request;
mod response;

pub use broadcast::{Broadcast, BroadcastFlags};
pub use request::{Request, RequestBody};
pub use response::{Response, ResponseBody};

/// The id that an emitter outside of the cluster uses as the id of its server.
pub const EMITTER_UID: &str = "emitter";

const SOCKETS: u64 = 0;
const ALL_ROOMS: u64 = 1;
const REMOTE_JOIN: u64 = 2;
const REMOTE_LEAVE: u64 = 3;
const REMOTE_DISCONNECT: u64 = 4;
const REMOTE_FETCH: u64 = 5;
const SERVER_SIDE_EMIT: u64 = 6;
const BROADCAST: u64 = 7;
const BROADCAST_CLIENT_COUNT: u64 = 8;
const BROADCAST_ACK: u64 = 9;
