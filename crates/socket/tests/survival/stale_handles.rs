//! Handles used after their connection is gone and its slot is reused.

use std::io::Read;
use std::time::Duration;

use uptick_socket::engine::Engine;
use uptick_socket::prelude::*;
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};

use crate::support::*;

/// Calls all methods of a connection, and checks their results for a stale handle.
fn use_all_methods(stale: Connection) {
    assert_eq!(stale.id(), None);
    assert!(!stale.is_open());
    assert!(!stale.write("x"));
    assert!(!stale.write(vec![0; 1 << 20]));
    assert!(!stale.write(""));
    stale.end();
    stale.end_with("x");
    stale.shutdown_write();
    stale.close();
    stale.pause();
    stale.resume();
    assert!(!stale.is_readable() && !stale.is_writable());
    assert_eq!(stale.buffered(), 0);
    assert_eq!((stale.bytes_read(), stale.bytes_written()), (0, 0));
    stale.add_filter(UnusedFilter);
    stale.set_extension(7_u32);
    assert!(stale.extension::<u32>().is_none());
    assert_eq!(
        (stale.remote_address(), stale.local_address()),
        (None, None)
    );
    assert_eq!((stale.remote_ip(), stale.peer()), (None, None));
    assert!(stale.proxied().is_none());
    assert!(!stale.is_secure());
    stale.set_secure(true);
    stale.set_write_limits(1, 2);
    stale.set_idle_timeout(Some(Duration::ZERO));
    stale.set_write_timeout(Some(Duration::ZERO));
    stale.set_linger(Duration::ZERO);
    stale.set_allow_half_open(true);
    let id = stale.on("data", |_: Bytes| panic!("a stale handle has no events"));
    assert!(!stale.off(id));
    stale.once("close", |()| panic!("a stale handle has no events"));
    assert!(stale.listeners("close").is_empty());
    stale.remove_listeners("end");
    stale.remove_all_listeners();
    assert_eq!(block_on(stale.next(Connection::DATA)), None);
    assert!(format!("{stale:?}").contains("stale"));
}

struct UnusedFilter;

impl Filter for UnusedFilter {
    fn received(&mut self, _: &mut [u8], _: &mut FilterContext) -> Result<(), StreamError> {
        panic!("a stale handle has no filters")
    }

    fn sending(&mut self, _: Bytes, _: &mut FilterContext) -> Result<(), StreamError> {
        panic!("a stale handle has no filters")
    }
}

#[test]
fn a_handle_whose_connection_is_gone_does_nothing() {
    let (conn, _peer) = tcp_pair();
    conn.close();
    use_all_methods(conn);
    run_loop();
}

#[test]
fn a_stale_handle_does_not_affect_a_new_connection_in_the_same_slot() {
    let (stale, _old_peer) = tcp_pair();
    stale.close();
    // The new connection gets the free slot.
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_extension(1_u32);
    let (remote, id) = (conn.remote_address(), conn.id());
    assert_ne!(stale, conn);
    use_all_methods(stale);
    settle();
    assert_eq!(log.text(), "");
    assert_eq!((conn.remote_address(), conn.id()), (remote, id));
    assert_eq!(conn.extension::<u32>().as_deref(), Some(&1));
    assert!(conn.is_readable() && conn.is_writable() && !conn.is_secure());
    assert_eq!(conn.listeners("data").len(), 1);
    conn.write("mine");
    settle();
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"mine");
    conn.close();
}

#[test]
fn a_handle_is_stale_in_the_callbacks_of_its_successor() {
    let (old, old_peer) = tcp_pair();
    let log = Log::new();
    let noted = log.clone();
    let captured = old;
    drop(old_peer);
    run_until(|| !old.is_open());
    let (new, new_peer) = tcp_pair();
    new.on("end", move |()| {
        assert!(!captured.write("x"));
        captured.close();
        noted.add("end");
    });
    log.states(new);
    drop(new_peer);
    run_loop();
    assert_eq!(log.text(), "end end close");
}

#[test]
fn a_value_that_a_stale_handle_drops_may_use_the_handle() {
    struct UsesConnection(Connection);
    impl Drop for UsesConnection {
        fn drop(&mut self) {
            assert!(!self.0.write("x"));
            self.0.close();
        }
    }
    let (conn, _peer) = tcp_pair();
    conn.close();
    conn.set_extension(UsesConnection(conn));
    assert!(conn.extension::<UsesConnection>().is_none());
}
