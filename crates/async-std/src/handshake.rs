//! The time limit of handshakes.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use uptick_event_loop::driver;
use uptick_stream::DuplexStream;

/// Time limit for a handshake of async-tls or async-tungstenite over a connection: 10 s.
///
/// To use another limit, convert the connection with [`into_async`](DuplexStream::into_async), and call the functions of those crates directly.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the handshake of a connection; closes the connection if it fails or takes too long.
pub(crate) async fn run_handshake<T, E: From<io::Error>>(
    conn: impl DuplexStream,
    operation: &str,
    handshake: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let result = {
        let handshake = pin!(handshake);
        match select(handshake, driver::timeout(HANDSHAKE_TIMEOUT)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                let text = format!(
                    "{operation} failed: it took more than {HANDSHAKE_TIMEOUT:?} (ETIMEDOUT)"
                );
                Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
            }
        }
    };
    if result.is_err() {
        // `end` sends the data that was written during the handshake, such as a TLS alert.
        conn.end();
    }
    result
}
