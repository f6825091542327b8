//! Watches on descriptors.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use uptick_event_loop::{
    Error, EventLoop, Readiness, add_read_stream, add_timer, add_write_stream, remove_read_stream,
    remove_write_stream, run,
};

use crate::world::{BOTH, Dropped, Log, READABLE, WRITABLE, World, at, ms};

fn pair() -> (UnixStream, Rc<UnixStream>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, Rc::new(theirs))
}

fn readable() -> (UnixStream, Rc<UnixStream>) {
    let (mut ours, theirs) = pair();
    ours.write_all(b"abc").unwrap();
    (ours, theirs)
}

/// Reads one byte. Returns `None` if there is none.
fn read_byte(mut stream: &UnixStream) -> Option<u8> {
    let mut byte = [0];
    matches!(stream.read(&mut byte), Ok(1)).then_some(byte[0])
}

fn iterate() {
    EventLoop::current().run_once(Some(ms(0))).unwrap();
}

pub(crate) fn a_readable_descriptor_is_reported_until_it_is_read_empty(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable();
    let (reader, notes) = (Rc::clone(&stream), log.clone());
    add_read_stream(Rc::clone(&stream), move || {
        let byte = read_byte(&reader).unwrap();
        notes.note(char::from(byte).to_string());
    })
    .unwrap();
    for _ in 0..3 {
        world.expect(&[at(&stream, READABLE)]);
    }
    world.expect_nothing();
    for _ in 0..4 {
        iterate();
    }
    assert_eq!(log.take(), "a,b,c");
}

pub(crate) fn a_writable_descriptor_is_reported_until_the_watch_is_removed(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = pair();
    let (watched, mut note, mut left) = (Rc::clone(&stream), log.noting("write"), 3);
    add_write_stream(Rc::clone(&stream), move || {
        note();
        left -= 1;
        if left == 0 {
            remove_write_stream(&watched);
        }
    })
    .unwrap();
    for _ in 0..3 {
        world.expect(&[at(&stream, WRITABLE)]);
    }
    run().unwrap();
    assert_eq!(log.take(), "write,write,write");
}

pub(crate) fn a_second_watch_of_the_same_direction_is_refused(_: impl World) {
    let (_peer, stream) = pair();
    add_read_stream(Rc::clone(&stream), || ()).unwrap();
    add_write_stream(Rc::clone(&stream), || ()).unwrap();
    let read = add_read_stream(Rc::clone(&stream), || ());
    let write = add_write_stream(Rc::clone(&stream), || ());
    assert!(matches!(read, Err(Error::AlreadyWatched { .. })));
    let text = write.unwrap_err().to_string();
    assert!(text.starts_with("watching file descriptor "), "{text}");
    assert!(
        text.ends_with(" failed: it is already watched (EEXIST)"),
        "{text}"
    );
}

pub(crate) fn the_first_watch_survives_the_refusal_of_a_second_one(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable();
    add_read_stream(Rc::clone(&stream), log.noting("first")).unwrap();
    let refused = Dropped(log.clone(), "refused");
    let mut note = log.noting("second");
    let result = add_read_stream(Rc::clone(&stream), move || {
        let _captured = &refused;
        note();
    });
    assert!(result.is_err());
    world.expect(&[at(&stream, READABLE)]);
    iterate();
    assert_eq!(log.take(), "refused,first");
}

pub(crate) fn removing_the_read_watch_leaves_the_write_watch(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable();
    add_read_stream(Rc::clone(&stream), log.noting("read")).unwrap();
    add_write_stream(Rc::clone(&stream), log.noting("write")).unwrap();
    remove_read_stream(&stream);
    world.expect(&[at(&stream, BOTH)]);
    iterate();
    assert_eq!(log.take(), "write");
}

pub(crate) fn removing_the_write_watch_leaves_the_read_watch(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable();
    add_write_stream(Rc::clone(&stream), log.noting("write")).unwrap();
    add_read_stream(Rc::clone(&stream), log.noting("read")).unwrap();
    remove_write_stream(&stream);
    world.expect(&[at(&stream, BOTH)]);
    iterate();
    assert_eq!(log.take(), "read");
}

pub(crate) fn removing_an_unknown_watch_does_nothing(_: impl World) {
    let (_peer, stream) = pair();
    remove_read_stream(&stream);
    remove_write_stream(&stream);
    add_read_stream(Rc::clone(&stream), || ()).unwrap();
    remove_write_stream(&stream);
    assert!(EventLoop::current().is_alive());
    remove_read_stream(&stream);
    remove_read_stream(&stream);
    assert!(!EventLoop::current().is_alive());
}

pub(crate) fn a_watch_may_be_added_again_after_it_was_removed(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable();
    add_read_stream(Rc::clone(&stream), log.noting("old")).unwrap();
    remove_read_stream(&stream);
    add_read_stream(Rc::clone(&stream), log.noting("new")).unwrap();
    world.expect(&[at(&stream, READABLE)]);
    iterate();
    assert_eq!(log.take(), "new");
}

/// Each of two readable descriptors removes the other's watch, so only the first callback runs, in either order.
pub(crate) fn a_watch_removed_by_an_earlier_callback_of_the_same_batch_is_not_called(
    world: impl World,
) {
    let log = Log::default();
    let (_peer, first) = readable();
    let (_other_peer, second) = readable();
    for (stream, other) in [(&first, &second), (&second, &first)] {
        let (other, mut note) = (Rc::clone(other), log.noting("read"));
        add_read_stream(Rc::clone(stream), move || {
            note();
            remove_read_stream(&other);
        })
        .unwrap();
    }
    world.expect(&[at(&first, READABLE), at(&second, READABLE)]);
    iterate();
    assert_eq!(log.take(), "read");
}

pub(crate) fn a_watch_whose_slot_was_reused_in_the_same_batch_is_not_called(world: impl World) {
    let log = Log::default();
    let (_peer, first) = readable();
    let (_other_peer, second) = readable();
    let (_third_peer, third) = readable();
    for (stream, other) in [(&first, &second), (&second, &first)] {
        let (other, third, mut note) = (Rc::clone(other), Rc::clone(&third), log.noting("read"));
        let new = log.clone();
        add_read_stream(Rc::clone(stream), move || {
            note();
            remove_read_stream(&other);
            // The new watch reuses the slot that has just been freed.
            add_read_stream(Rc::clone(&third), new.noting("new")).unwrap();
        })
        .unwrap();
    }
    world.expect(&[at(&first, READABLE), at(&second, READABLE)]);
    iterate();
    assert_eq!(log.take(), "read");
}

pub(crate) fn a_write_watch_removed_by_the_read_callback_of_its_descriptor_is_not_called(
    world: impl World,
) {
    let log = Log::default();
    let (_peer, stream) = readable();
    let (watched, mut note) = (Rc::clone(&stream), log.noting("read"));
    add_read_stream(Rc::clone(&stream), move || {
        note();
        remove_write_stream(&watched);
    })
    .unwrap();
    add_write_stream(Rc::clone(&stream), log.noting("write")).unwrap();
    world.expect(&[at(&stream, BOTH)]);
    iterate();
    assert_eq!(log.take(), "read");
}

pub(crate) fn a_callback_that_removes_its_own_watch_is_not_called_again(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable();
    let captured = Dropped(log.clone(), "dropped");
    let (watched, notes) = (Rc::clone(&stream), log.clone());
    add_read_stream(Rc::clone(&stream), move || {
        let _captured = &captured;
        remove_read_stream(&watched);
        notes.note("read");
    })
    .unwrap();
    world.expect(&[at(&stream, READABLE)]);
    run().unwrap();
    iterate();
    assert_eq!(log.take(), "read,dropped");
}

pub(crate) fn a_watch_replaced_by_its_own_callback_calls_the_new_callback(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable();
    let captured = Dropped(log.clone(), "dropped");
    let (watched, notes) = (Rc::clone(&stream), log.clone());
    add_write_stream(Rc::clone(&stream), || ()).unwrap();
    add_read_stream(Rc::clone(&stream), move || {
        let _captured = &captured;
        notes.note("old");
        remove_read_stream(&watched);
        add_read_stream(Rc::clone(&watched), notes.noting("new")).unwrap();
    })
    .unwrap();
    for _ in 0..2 {
        world.expect(&[at(&stream, READABLE)]);
        iterate();
    }
    assert_eq!(log.take(), "old,dropped,new");
}

pub(crate) fn a_hang_up_is_reported_as_readable(world: impl World) {
    let log = Log::default();
    let (peer, stream) = pair();
    let (reader, notes) = (Rc::clone(&stream), log.clone());
    add_read_stream(Rc::clone(&stream), move || {
        let mut bytes = [0; 8];
        notes.note(format!("{:?}", (&*reader).read(&mut bytes)));
        remove_read_stream(&reader);
    })
    .unwrap();
    drop(peer);
    world.expect(&[at(&stream, Readiness::READ_CLOSED)]);
    run().unwrap();
    assert_eq!(log.take(), "Ok(0)");
}

pub(crate) fn a_refused_connect_is_reported_as_writable(world: impl World) {
    // The listener is closed at once, so the port is free.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK,
        None,
    );
    let socket = Rc::new(socket.unwrap());
    connect(&*socket, &address).unwrap_err();
    let log = Log::default();
    let (watched, notes) = (Rc::clone(&socket), log.clone());
    add_write_stream(Rc::clone(&socket), move || {
        let connected = rustix::net::getpeername(&*watched).is_ok();
        notes.note(format!("connected: {connected}"));
        remove_write_stream(&watched);
    })
    .unwrap();
    world.expect(&[at(&*socket, Readiness::ERROR)]);
    run().unwrap();
    assert_eq!(log.take(), "connected: false");
}

pub(crate) fn the_loop_owns_the_source_until_the_watch_is_removed(world: impl World) {
    let (mut peer, stream) = pair();
    let weak = Rc::downgrade(&stream);
    add_read_stream(stream, || ()).unwrap();
    assert!(weak.upgrade().is_some());
    world.expect_nothing();
    iterate();
    let source = weak.upgrade().unwrap();
    remove_read_stream(&source);
    drop(source);
    assert!(weak.upgrade().is_none());
    assert!(peer.write_all(b"x").is_err(), "the descriptor is closed");
}

pub(crate) fn a_watch_keeps_the_loop_running_until_it_is_removed(world: impl World) {
    let (_peer, stream) = pair();
    let removed = Rc::new(Cell::new(false));
    add_read_stream(Rc::clone(&stream), || ()).unwrap();
    let (watched, flag) = (Rc::clone(&stream), Rc::clone(&removed));
    add_timer(ms(1), move || {
        flag.set(true);
        remove_read_stream(&watched);
    });
    drop(world);
    run().unwrap();
    assert!(removed.get());
}
