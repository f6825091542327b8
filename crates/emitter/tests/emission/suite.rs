// Rules for every event, whether its first listener is stored with its type or not.

type Log = Rc<RefCell<Vec<String>>>;

fn device() -> (EventEmitter<Device>, Log) {
    (EventEmitter::new(), Log::default())
}

fn note(log: &Log, name: &str) -> impl FnMut(u32) + 'static {
    let (log, name) = (Rc::clone(log), name.to_owned());
    move |n| log.borrow_mut().push(format!("{name}{n}"))
}

fn taken(log: &Log) -> String {
    std::mem::take(&mut *log.borrow_mut()).join(",")
}

#[test]
fn listeners_of_all_kinds_run_in_the_order_of_registration() {
    let (device, log) = device();
    device.on("reading", note(&log, "a"));
    device.once("reading", note(&log, "once"));
    device.on(Device::READING, note(&log, "b"));
    assert!(device.emit("reading", 1_u32));
    assert!(device.emit(Device::READING, 2));
    assert_eq!(taken(&log), "a1,once1,b1,a2,b2");
}

#[test]
fn the_same_callback_registered_twice_runs_twice() {
    let (device, log) = device();
    device.on("reading", note(&log, "x"));
    device.on("reading", note(&log, "x"));
    device.emit("reading", 1_u32);
    assert_eq!(taken(&log), "x1,x1");
}

#[test]
fn emitting_without_listeners_returns_false() {
    let (device, log) = device();
    assert!(!device.emit("close", ()));
    assert!(!device.emit("error", "broken".to_owned()));
    device.on("peak", note(&log, "p"));
    assert!(!device.emit("reading", 1_u32));
    assert_eq!(taken(&log), "");
}

#[test]
fn a_listener_added_during_an_emission_first_runs_in_the_next() {
    let (device, log) = device();
    let (inner, inner_log) = (device.clone(), Rc::clone(&log));
    device.once("reading", move |_: u32| {
        inner.on("reading", note(&inner_log, "late"));
    });
    device.on("reading", note(&log, "a"));
    device.emit("reading", 1_u32);
    assert_eq!(taken(&log), "a1");
    device.emit("reading", 2_u32);
    assert_eq!(taken(&log), "a2,late2");
}

#[test]
fn a_listener_removed_before_its_turn_does_not_run() {
    let (device, log) = device();
    let victim: Rc<RefCell<Option<ListenerId>>> = Rc::default();
    let (inner, id) = (device.clone(), Rc::clone(&victim));
    device.on("reading", move |_: u32| {
        if let Some(id) = id.borrow_mut().take() {
            assert!(inner.off(id));
        }
    });
    *victim.borrow_mut() = Some(device.on("reading", note(&log, "victim")));
    device.on("reading", note(&log, "after"));
    device.emit("reading", 1_u32);
    assert_eq!(taken(&log), "after1");
}

#[test]
fn a_listener_may_remove_itself_and_everything_else() {
    let (device, log) = device();
    let inner = device.clone();
    device.on("reading", move |_: u32| inner.remove_all_listeners());
    device.on("reading", note(&log, "never"));
    device.emit("reading", 1_u32);
    assert!(!device.emit("reading", 2_u32));
    assert_eq!(taken(&log), "");
}

#[test]
fn once_is_gone_before_its_callback_runs() {
    let (device, log) = device();
    let inner = device.clone();
    let mut record = note(&log, "once");
    device.once("reading", move |n: u32| {
        record(n);
        assert!(inner.listeners("reading").is_empty());
        inner.emit("reading", n + 1);
    });
    device.emit("reading", 1_u32);
    assert_eq!(taken(&log), "once1");
}

#[test]
fn an_event_emitted_by_its_own_listener_is_delivered_right_after() {
    let (device, log) = device();
    let (inner, mut record) = (device.clone(), note(&log, "a"));
    device.on("reading", move |n: u32| {
        if n < 3 {
            inner.emit("reading", n + 1);
        }
        record(n);
    });
    device.on("reading", note(&log, "b"));
    device.emit("reading", 1_u32);
    assert_eq!(taken(&log), "a1,b1,a2,b2,a3,b3");
}

#[test]
fn another_event_emitted_by_a_listener_is_delivered_at_once() {
    let (device, log) = device();
    let inner = device.clone();
    device.on("reading", move |n: u32| {
        inner.emit("peak", n);
    });
    device.on("reading", note(&log, "reading"));
    device.on("peak", note(&log, "peak"));
    device.emit("reading", 1_u32);
    assert_eq!(taken(&log), "peak1,reading1");
}

#[test]
fn a_callback_that_panics_stays_registered_and_the_emitter_keeps_working() {
    let (device, log) = device();
    let mut record = note(&log, "a");
    device.on("reading", move |n: u32| {
        record(n);
        assert!(n != 1, "one is unlucky");
    });
    let unlucky = catch_unwind(AssertUnwindSafe(|| device.emit("reading", 1_u32)));
    assert!(unlucky.is_err());
    assert!(device.emit("reading", 2_u32));
    assert_eq!(taken(&log), "a1,a2");
}

#[test]
fn a_listener_that_removes_itself_drops_its_captures_after_it_returns() {
    let (device, _) = device();
    let witness = Rc::new(());
    let (inner, held) = (device.clone(), Rc::clone(&witness));
    device.on("reading", move |_: u32| {
        let _ = &held;
        inner.remove_listeners("reading");
    });
    device.emit("reading", 1_u32);
    assert_eq!(Rc::strong_count(&witness), 1);
}

#[test]
fn a_capture_may_use_the_emitter_while_it_is_dropped() {
    struct Removes(EventEmitter<Device>);
    impl Drop for Removes {
        fn drop(&mut self) {
            self.0.on("peak", |_: u32| ());
        }
    }
    let (device, _) = device();
    let capture = Removes(device.clone());
    let id = device.on("reading", move |_: u32| {
        let _ = &capture;
    });
    assert!(device.off(id));
    assert_eq!(device.listeners("peak").len(), 1);
}

#[test]
fn off_returns_true_only_once_per_listener() {
    let (device, log) = device();
    let id = device.on("reading", note(&log, "a"));
    assert_eq!(device.listeners("reading"), [id]);
    assert_eq!(device.listeners(Device::PEAK), []);
    assert!(device.off(id));
    assert!(!device.off(id));
    assert!(!device.off(ListenerId::NONE));
}

#[test]
fn a_misspelt_event_panics_and_lists_the_existing_events() {
    let (device, _) = device();
    let message = |result: std::thread::Result<ListenerId>| match result {
        Ok(_) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    };
    let misspelt = catch_unwind(AssertUnwindSafe(|| device.on("readng", |_: u32| ())));
    assert_eq!(
        message(misspelt),
        "Device has no event \"readng\"; its events: \"reading\", \"peak\", \"close\", \"error\""
    );
    let wrong_payload = catch_unwind(AssertUnwindSafe(|| device.on("close", |_: u32| ())));
    assert_eq!(
        message(wrong_payload),
        "the event \"close\" of Device carries a `()`, but the callback takes a `u32`; the events that carry a `u32`: \"reading\", \"peak\""
    );
}

#[test]
fn next_resolves_with_the_payload() {
    let (device, _) = device();
    let mut next = device.next(Device::READING);
    assert!((&mut next).now_or_never().is_none());
    device.emit("reading", 7_u32);
    device.emit("reading", 8_u32);
    assert_eq!(block_on(next), Some(7));
    assert!(device.listeners("reading").is_empty());
}

#[test]
fn next_resolves_to_none_when_the_listeners_are_dropped() {
    let (device, _) = device();
    let next = device.next(Device::READING);
    device.remove_all_listeners();
    assert_eq!(block_on(next), None);
}

#[test]
fn dropping_next_removes_its_listener() {
    let (device, _) = device();
    let next = device.next(Device::READING);
    assert_eq!(device.listeners("reading").len(), 1);
    drop(next);
    assert!(device.listeners("reading").is_empty());
}

#[test]
fn events_is_a_stream_that_holds_a_bounded_number() {
    let (device, _) = device();
    let mut stream = device.events(Device::READING).with_capacity(2);
    for n in 1..=3_u32 {
        device.emit("reading", n);
    }
    assert_eq!(stream.dropped(), 1);
    assert_eq!(block_on(stream.next()), Some(1));
    device.remove_all_listeners();
    assert_eq!(block_on(stream.collect::<Vec<_>>()), [2]);
}

#[test]
fn an_emission_to_many_listeners_is_exact_while_listeners_are_added_and_removed() {
    const MANY: u32 = 2_000;
    let (device, log) = device();
    for n in 0..MANY {
        let (inner, mut record) = (device.clone(), note(&log, ""));
        let removed = device.on("reading", note(&log, "never"));
        let listener = move |_: u32| {
            record(n);
            inner.on("reading", |_: u32| ());
        };
        if n % 2 == 0 {
            device.once("reading", listener);
        } else {
            device.on("reading", listener);
        }
        device.off(removed);
    }
    device.emit("reading", 0_u32);
    let expected: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
    assert_eq!(taken(&log), expected.join(","));
    assert_eq!(
        device.listeners("reading").len(),
        (MANY / 2 + MANY) as usize
    );
}
