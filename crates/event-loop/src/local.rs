//! A marker of types that are bound to the thread of their loop.

/// A marker in handles, named for the compiler's message: a handle is bound to the thread of its loop.
///
/// `*const UseRemoteOrLoopHandle cannot be sent between threads safely` means that a handle such as a connection, a server or a timer was moved to
/// another thread. On other threads, use the types that are `Send`:
///
/// - `conn.remote()` and `server.remote()` write to a connection, close it, and run code with its handle on its own thread,
/// - [`handle()`](crate::handle()) returns a [`LoopHandle`](crate::LoopHandle), whose [`post`](crate::LoopHandle::post) runs code on the thread of
///   the loop.
///
/// To compute something on another thread and continue with the result on this one, see [`spawn_blocking`](crate::spawn_blocking).
#[derive(Debug)]
pub enum UseRemoteOrLoopHandle {}
