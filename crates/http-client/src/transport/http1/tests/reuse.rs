//! Several requests on a connection, and idle connections.

use uptick_emitter::Emitter;
use uptick_event_loop::driver::Timestamp;

use super::*;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi";

#[test]
fn many_requests_use_one_connection() {
    run(async {
        let script = Script::new(|mut stream| {
            for _ in 0..100 {
                read_head(&mut stream);
                stream.write_all(RESPONSE).unwrap();
            }
            await_close(&mut stream);
        });
        let (session, owner) = script.session().await;
        for _ in 0..100 {
            assert!(session.is_reusable());
            let exchange = session.begin(get()).unwrap();
            assert!(!session.is_reusable());
            assert_eq!(outcome(&exchange).await, "200 \"Hi\"");
        }
        assert_eq!(owner.text(), vec!["available"; 100].join(" "));
        session.close();
        script.join();
    });
}

/// An owner that begins another request as soon as the connection is available.
struct Eager {
    session: RefCell<Option<Rc<Http1Session>>>,
    next: RefCell<Option<Rc<Exchange>>>,
}

impl SessionOwner for Eager {
    fn available(&self, _: Option<Duration>) {
        let session = self.session.borrow_mut().take();
        if let Some(session) = session {
            *self.next.borrow_mut() = session.begin(get()).ok();
        }
    }

    fn retired(&self) {}

    fn closed(&self) {}
}

#[test]
fn the_owner_can_begin_the_next_request_at_once() {
    run(async {
        let script = Script::new(|mut stream| {
            for body in [b'1', b'2'] {
                read_head(&mut stream);
                let mut response = RESPONSE.to_vec();
                *response.last_mut().unwrap() = body;
                stream.write_all(&response).unwrap();
            }
            await_close(&mut stream);
        });
        let owner = Rc::new(Eager {
            session: RefCell::new(None),
            next: RefCell::new(None),
        });
        let session = Http1Session::new(script.connect().await, Rc::<Eager>::clone(&owner));
        *owner.session.borrow_mut() = Some(Rc::clone(&session));
        let first = session.begin(get()).unwrap();
        assert_eq!(outcome(&first).await, "200 \"H1\"");
        let second = owner.next.borrow_mut().take().unwrap();
        assert_eq!(outcome(&second).await, "200 \"H2\"");
        session.close();
        script.join();
    });
}

#[test]
fn a_connection_that_the_server_has_closed_or_written_to_is_not_reusable() {
    run(async {
        for extra in ["", "HTTP/1.1 408 Timeout\r\n\r\n"] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let (done, is_done) = std::sync::mpsc::channel();
            let script = Script::new(move |mut stream| {
                read_head(&mut stream);
                stream.write_all(RESPONSE).unwrap();
                receiver.recv().unwrap();
                stream.write_all(extra.as_bytes()).unwrap();
                if extra.is_empty() {
                    drop(stream);
                    done.send(()).unwrap();
                } else {
                    done.send(()).unwrap();
                    await_close(&mut stream);
                }
            });
            let (session, owner) = script.session().await;
            let exchange = session.begin(get()).unwrap();
            assert_eq!(outcome(&exchange).await, "200 \"Hi\"");
            assert!(session.is_reusable());
            sleep(Duration::from_millis(10)).await;
            sender.send(()).unwrap();
            is_done.recv().unwrap();
            // The loop has not noticed yet.
            assert_eq!(owner.text(), "available");
            assert!(!session.is_reusable());
            wait_until(|| owner.text() == "available closed").await;
            script.join();
        }
    });
}

#[test]
fn bytes_that_arrive_before_the_request_is_sent_are_not_its_response() {
    run(async {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel();
        let script = Script::new(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(RESPONSE).unwrap();
            receiver.recv().unwrap();
            stream.write_all(RESPONSE).unwrap();
            done.send(()).unwrap();
            await_close(&mut stream);
        });
        let (sender_of_other, receiver_of_other) = std::sync::mpsc::channel();
        let other_script = Script::new(move |mut stream| {
            receiver_of_other.recv().unwrap();
            stream.write_all(b"go").unwrap();
        });
        let other = other_script.connect().await;
        let (session, owner) = script.session().await;
        let exchange = session.begin(get()).unwrap();
        assert_eq!(outcome(&exchange).await, "200 \"Hi\"");
        sleep(Duration::from_millis(10)).await;
        sender_of_other.send(()).unwrap();
        other_script.join();
        sender.send(()).unwrap();
        is_done.recv().unwrap();
        // Begun without the check, while the loop handles input: it reads before it sends.
        let begun = Rc::new(RefCell::new(None));
        let (beginning, result) = (Rc::clone(&session), Rc::clone(&begun));
        other.on("data", move |_: Bytes| {
            *result.borrow_mut() = beginning.begin(get()).ok();
            other.close();
        });
        wait_until(|| begun.borrow().is_some()).await;
        let exchange = begun.borrow_mut().take().unwrap();
        let failure = failure(&exchange).await;
        assert_eq!(failure.kind, ErrorKind::ClosedBeforeResponse);
        assert!(failure.unprocessed);
        assert_eq!(owner.text(), "available closed");
        script.join();
    });
}

#[test]
fn an_idle_connection_closes_at_its_deadline_and_does_not_keep_the_loop_running() {
    let owner = Recorder::default();
    let calls = owner.clone();
    let script = Script::new(|mut stream| {
        read_head(&mut stream);
        stream.write_all(RESPONSE).unwrap();
        await_close(&mut stream);
    });
    let uri = format!("tcp://{}", script.address);
    let session = block_on(async move {
        let conn = Connector::new().connect(&uri).await.unwrap();
        let session = Http1Session::new(conn, Rc::new(owner));
        let exchange = session.begin(get()).unwrap();
        assert_eq!(outcome(&exchange).await, "200 \"Hi\"");
        session.set_idle(None);
        session
    })
    .unwrap();
    // Returns although the connection is open.
    uptick_event_loop::run().unwrap();
    assert_eq!(calls.text(), "available");
    let until = Timestamp::now_exact().after(Duration::from_millis(50));
    session.set_idle(Some(until));
    assert!(session.is_reusable());
    let idle = Rc::clone(&session);
    run(async move {
        sleep(Duration::from_millis(100)).await;
        assert!(!idle.is_reusable());
        sleep(Duration::from_millis(200)).await;
    });
    assert_eq!(calls.text(), "available closed");
    script.join();
}

#[test]
fn a_request_on_an_idle_connection_keeps_the_loop_running_and_the_connection_open() {
    let owner = Recorder::default();
    let calls = owner.clone();
    let script = Script::new(|mut stream| {
        read_head(&mut stream);
        stream.write_all(RESPONSE).unwrap();
        read_head(&mut stream);
        thread::sleep(Duration::from_millis(400));
        stream.write_all(RESPONSE).unwrap();
        await_close(&mut stream);
    });
    let uri = format!("tcp://{}", script.address);
    let (session, exchange) = block_on(async move {
        let conn = Connector::new().connect(&uri).await.unwrap();
        let session = Http1Session::new(conn, Rc::new(owner));
        let exchange = session.begin(get()).unwrap();
        assert_eq!(outcome(&exchange).await, "200 \"Hi\"");
        session.set_idle(Some(Timestamp::now().after(Duration::from_millis(100))));
        let exchange = session.begin(get()).unwrap();
        (session, exchange)
    })
    .unwrap();
    let closing = Rc::clone(&session);
    uptick_event_loop::spawn(async move {
        assert_eq!(outcome(&exchange).await, "200 \"Hi\"");
        closing.close();
    });
    uptick_event_loop::run().unwrap();
    assert_eq!(calls.text(), "available available closed");
    script.join();
}
