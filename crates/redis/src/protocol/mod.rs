//! RESP2 and RESP3, the protocol of Redis, without sockets, clocks or threads.
//!
//! [`Decoder`] turns bytes into [`Value`]s, and [`Encoder`] turns the arguments of a command into bytes. The result does not
//! depend on how the received bytes are split.
//!
//! # Examples
//! ```
//! use bytes::BytesMut;
//! use uptick_redis::protocol::{Decoder, Value, encode_command};
//!
//! let mut command = Vec::new();
//! encode_command(&mut command, ("SET", "key", 5));
//! assert_eq!(command, b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\n5\r\n");
//!
//! let mut decoder = Decoder::new();
//! decoder.push(BytesMut::from("+OK\r\n:4"));
//! assert_eq!(decoder.decode()?, Some(Value::Simple("OK".into())));
//! assert_eq!(decoder.decode()?, None);
//! decoder.push(BytesMut::from("2\r\n"));
//! assert_eq!(decoder.decode()?, Some(Value::Integer(42)));
//! # Ok::<(), uptick_redis::protocol::ProtocolError>(())
//! ```

mod arguments;
mod decoder;
mod encoder;
mod error;
mod limits;
mod scan;
mod slot;
mod value;

pub use arguments::Arguments;
pub use decoder::Decoder;
pub use encoder::{Encoder, encode_command};
pub use error::ProtocolError;
pub use limits::Limits;
pub use slot::{SLOTS, key_slot};
pub use value::{ServerError, Value};
