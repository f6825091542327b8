//! Flow control in both directions.

use uptick_http::h2::{ErrorCode, Limits, ResponseBody, SendError};

use crate::support::*;

#[test]
fn more_data_than_the_window_of_a_stream_resets_the_stream() {
    let mut server = Server::with(&Limits::default().stream_window(20_000));
    let bytes = [
        post(1),
        frame(DATA, 0, 1, &[0; 16_384]),
        frame(DATA, 0, 1, &[0; 3616]),
    ];
    assert_eq!(server.receive(bytes.concat()).len(), 3);
    let code = ErrorCode::FLOW_CONTROL_ERROR;
    assert_eq!(
        server.receive(frame(DATA, 0, 1, b"x")),
        [Seen::Reset(1, code)]
    );
}

#[test]
fn more_data_than_the_window_of_the_connection_is_an_error() {
    let mut server = Server::with(&Limits::default().connection_window(65_535));
    let data: Vec<_> = (0..4).map(|_| frame(DATA, 0, 1, &[0; 16_383])).collect();
    assert_eq!(server.receive([post(1), data.concat()].concat()).len(), 5);
    let seen = server.receive([post(3), frame(DATA, 0, 3, &[0; 4])].concat());
    assert_eq!(seen[1], Seen::Closed(ErrorCode::FLOW_CONTROL_ERROR));
}

#[test]
fn a_smaller_window_applies_after_its_acknowledgement() {
    let mut server = Server::fresh(&Limits::default().stream_window(10_000));
    let start = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &post(1)].concat();
    server.receive(start);
    assert_eq!(server.receive(frame(DATA, 0, 1, &[0; 9000])).len(), 1);
    assert_eq!(server.receive(frame(DATA, 0, 1, &[0; 9000])).len(), 1);
    assert_eq!(server.receive(frame(SETTINGS, ACK, 0, &[])), []);
    let code = ErrorCode::FLOW_CONTROL_ERROR;
    assert_eq!(
        server.receive(frame(DATA, 0, 1, b"x")),
        [Seen::Reset(1, code)]
    );
    let seen = server.receive([post(3), frame(DATA, 0, 3, &[0; 10_001])].concat());
    assert_eq!(seen[1], Seen::Reset(3, code));
}

#[test]
fn consumed_bytes_are_credited_at_half_of_the_window() {
    let limits = Limits::default()
        .stream_window(20_000)
        .connection_window(100_000);
    let mut server = Server::with(&limits);
    // The length of the padding and the padding count as well.
    server.receive([post(1), frame(DATA, PADDED, 1, &[0; 10_000])].concat());
    let key = server.key(1);
    assert!(server.sent().is_empty());
    server.connection.consumed(key, 9998);
    assert!(server.sent().is_empty());
    server.connection.consumed(key, 5000);
    assert_eq!(server.sent(), frames(&window_update(1, 10_000)));
    for _ in 0..4 {
        server.receive(frame(DATA, 0, 1, &[0; 10_000]));
        server.connection.consumed(key, 10_000);
    }
    let sent = server.sent();
    let connection: Vec<_> = sent.iter().filter(|frame| frame.stream == 0).collect();
    assert_eq!(connection.len(), 1);
    assert_eq!(connection[0].word(0), 50_000);
    assert_eq!(sent.len(), 5);
}

#[test]
fn no_window_update_follows_the_end_of_a_stream() {
    let mut server = Server::with(&Limits::default().stream_window(2000));
    server.receive([post(1), frame(DATA, END_STREAM, 1, &[0; 2000])].concat());
    let key = server.key(1);
    server.connection.consumed(key, 2000);
    assert!(server.sent().is_empty());
}

#[test]
fn bytes_that_were_not_consumed_are_credited_when_the_stream_is_removed() {
    let limits = Limits::default().connection_window(100_000);
    let mut server = Server::with(&limits);
    let data: Vec<_> = (0..5).map(|_| frame(DATA, 0, 1, &[0; 16_000])).collect();
    server.receive([post(1), data.concat()].concat());
    assert!(server.sent().is_empty());
    let key = server.key(1);
    server.connection.remove(key);
    assert_eq!(server.sent()[1], frames(&window_update(0, 80_000))[0]);
}

#[test]
fn only_the_end_of_discarded_data_is_an_event() {
    let mut server = Server::with(&Limits::default().stream_window(20_000));
    server.receive([post(1), frame(DATA, 0, 1, &[0; 6000])].concat());
    let key = server.key(1);
    server.connection.discard(key);
    assert_eq!(server.receive(frame(DATA, 0, 1, &[0; 6000])), []);
    // The client can send the rest while the stream is open.
    assert_eq!(server.sent(), frames(&window_update(1, 12_000)));
    assert!(server.connection.is_receiving(key));
    let end = [Seen::Data(1, Vec::new(), true)];
    assert_eq!(server.receive(frame(DATA, END_STREAM, 1, &[0; 6000])), end);
    assert!(!server.connection.is_receiving(key));
    assert_eq!(server.respond(1, b"x").len(), 2);
    assert!(server.sent().is_empty());
}

#[test]
fn data_is_sent_within_both_windows() {
    let mut server = Server::new();
    let initial = frame(SETTINGS, 0, 0, &setting(4, 40_000));
    server.receive([initial, get(1), get(3)].concat());
    server.sent();
    let [one, three] = [server.key(1), server.key(3)];
    let mut out = Vec::new();
    let head = response(ResponseBody::Stream);
    server
        .connection
        .send_head(one, &head, false, &mut out)
        .unwrap();
    server
        .connection
        .send_head(three, &head, false, &mut out)
        .unwrap();
    out.clear();
    assert_eq!(server.connection.capacity(one), 40_000);
    let too_much = server
        .connection
        .send_data(one, &[0; 40_001], false, &mut out);
    assert_eq!((too_much, out.len()), (Err(SendError::NoCapacity), 0));
    server
        .connection
        .send_data(one, &[0; 40_000], false, &mut out)
        .unwrap();
    let lengths: Vec<_> = frames(&out)
        .iter()
        .map(|frame| frame.payload.len())
        .collect();
    assert_eq!(lengths, [16_384, 16_384, 7232]);
    assert_eq!(server.connection.capacity(one), 0);
    assert_eq!(server.connection.capacity(three), 25_535);
    server.connection.set_pending(one, true);
    server.connection.set_pending(three, true);
    assert_eq!(server.connection.next_pending(), Some(three));
    server
        .connection
        .send_data(three, &[0; 25_535], false, &mut out)
        .unwrap();
    assert_eq!(server.connection.next_pending(), None);
    assert!(server.connection.has_pending() && !server.connection.can_send());
    // The window of the connection, then the window of a stream.
    assert_eq!(server.receive(window_update(0, 1000)), [Seen::WindowOpened]);
    assert_eq!(server.connection.next_pending(), Some(three));
    server
        .connection
        .send_data(three, &[0; 1000], true, &mut out)
        .unwrap();
    server.connection.set_pending(three, false);
    assert_eq!(server.receive(window_update(1, 1000)), []);
    assert_eq!(server.receive(window_update(0, 500)), [Seen::WindowOpened]);
    assert_eq!(server.connection.capacity(one), 500);
}

#[test]
fn a_changed_initial_window_applies_to_open_streams() {
    let mut server = Server::new();
    server.receive(get(1));
    let key = server.key(1);
    let mut out = Vec::new();
    let head = response(ResponseBody::Stream);
    server
        .connection
        .send_head(key, &head, false, &mut out)
        .unwrap();
    server
        .connection
        .send_data(key, &[0; 1000], false, &mut out)
        .unwrap();
    let initial = |size| frame(SETTINGS, 0, 0, &setting(4, size));
    server.receive(initial(500));
    assert_eq!(server.connection.capacity(key), 0);
    server.connection.set_pending(key, true);
    server.receive(window_update(1, 500));
    assert_eq!(server.connection.capacity(key), 0);
    assert_eq!(server.receive(initial(501)), [Seen::WindowOpened]);
    assert_eq!(server.connection.capacity(key), 1);
    assert_eq!(server.connection.next_pending(), Some(key));
}

#[test]
fn a_window_that_overflows_is_an_error() {
    let mut server = Server::new();
    let code = ErrorCode::FLOW_CONTROL_ERROR;
    let bytes = [get(1), window_update(1, 0x7fff_ffff)].concat();
    assert_eq!(server.receive(bytes)[1], Seen::Reset(1, code));
    assert_eq!(server.sent()[0].word(0), code.get());
    assert_eq!(
        server.receive(window_update(0, 0x7fff_ffff)),
        [Seen::Closed(code)]
    );
    let mut server = Server::new();
    let initial = frame(SETTINGS, 0, 0, &setting(4, 0x7fff_ffff));
    let bytes = [get(1), window_update(1, 1), initial].concat();
    assert_eq!(server.receive(bytes)[1], Seen::Closed(code));
}

#[test]
fn a_window_update_of_zero_is_an_error() {
    let mut server = Server::new();
    let code = ErrorCode::PROTOCOL_ERROR;
    let bytes = [get(1), window_update(1, 0)].concat();
    assert_eq!(server.receive(bytes)[1], Seen::Reset(1, code));
    assert_eq!(server.receive(window_update(0, 0)), [Seen::Closed(code)]);
}
