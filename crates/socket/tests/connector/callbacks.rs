//! Connecting without `await`.

use super::*;

#[test]
fn connect_then_passes_the_result_to_the_callback() {
    alone(|| {
        let server = echo("127.0.0.1:0");
        let seen = Rc::new(Cell::new(false));
        let result_seen = Rc::clone(&seen);
        Connector::new().connect_then(server.address().unwrap(), move |result| {
            let conn: Connection = result.unwrap();
            conn.write("x");
            conn.on("data", move |_: Bytes| {
                result_seen.set(true);
                conn.end();
            });
        });
        run().unwrap();
        assert!(seen.get());

        let failed = Rc::new(RefCell::new(String::new()));
        let result_seen = Rc::clone(&failed);
        Connector::new().connect_then("nonsense", move |result| {
            *result_seen.borrow_mut() = result.unwrap_err().to_string();
        });
        run().unwrap();
        assert!(
            failed.borrow().contains("the port is missing"),
            "{failed:?}"
        );
    });
}

#[test]
fn a_cancelled_callback_is_never_called() {
    alone(|| {
        let blackhole = Blackhole::new();
        settle();
        let before = descriptors();
        let handle = Connector::new().connect_then(blackhole.address, |_| {
            panic!("it was called");
        });
        settle();
        assert_eq!(descriptors(), before + 1);
        handle.cancel();
        settle();
        assert_eq!(descriptors(), before);
        assert!(!EventLoop::current().is_alive());
    });
}

#[test]
fn a_callback_that_panics_closes_its_connection() {
    alone(|| {
        let server = echo("127.0.0.1:0");
        let record = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&record);
        Connector::new().connect_then(server.address().unwrap(), move |result| {
            let conn = result.unwrap();
            let errors = Rc::clone(&noted);
            conn.on("error", move |error: Error| {
                errors.borrow_mut().push(error.to_string());
            });
            conn.on("close", move |()| noted.borrow_mut().push("close".into()));
            panic!("oh no");
        });
        run().unwrap();
        let record = record.borrow();
        assert!(record[0].ends_with("panicked: oh no"), "{record:?}");
        assert_eq!(record[1..], ["close"]);
    });
}
