//! Order and re-entrancy of emissions.

mod any_event {
    use futures::executor::block_on;
    use futures::{FutureExt, StreamExt};
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use uptick_emitter::{Emitter, EventEmitter, ListenerId, events};

    struct Device;

    events! {
        impl Device {
            u32 => {
                /// A reading.
                READING = "reading";
                /// A peak.
                PEAK = "peak";
            }
            () => {
                /// The device is gone.
                CLOSE = "close";
            }
            String => {
                /// The device is broken.
                ERROR = "error", warn;
            }
        }
    }

    include!("suite.rs");
}

mod frequent_event {
    use futures::executor::block_on;
    use futures::{FutureExt, StreamExt};
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use uptick_emitter::{Emitter, EventEmitter, ListenerId, events};

    struct Device;

    events! {
        impl Device {
            #![frequent(READING: u32)]
            u32 => {
                /// A reading.
                READING = "reading";
                /// A peak.
                PEAK = "peak";
            }
            () => {
                /// The device is gone.
                CLOSE = "close";
            }
            String => {
                /// The device is broken.
                ERROR = "error", warn;
            }
        }
    }

    include!("suite.rs");

    #[test]
    fn emit_frequent_runs_listeners_as_emit_does() {
        let (device, log) = device();
        assert!(!uptick_emitter::emit_frequent(&device, Device::READING, 0));
        device.on("reading", note(&log, "a"));
        assert!(uptick_emitter::emit_frequent(&device, Device::READING, 1));
        let second = device.on("reading", note(&log, "b"));
        assert!(uptick_emitter::emit_frequent(&device, Device::READING, 2));
        device.off(second);
        assert!(uptick_emitter::emit_frequent(&device, Device::READING, 3));
        assert_eq!(taken(&log), "a1,a2,b2,a3");
    }

    #[test]
    fn a_frequent_listener_that_removes_itself_or_emits_again_is_called_in_order() {
        let (device, log) = device();
        let (emitter, seen) = (device.clone(), Rc::clone(&log));
        let id = Rc::new(RefCell::new(ListenerId::NONE));
        let own = Rc::clone(&id);
        *id.borrow_mut() = device.on("reading", move |n: u32| {
            seen.borrow_mut().push(format!("a{n}"));
            match n {
                1 => drop(emitter.emit(Device::READING, 2)),
                2 => drop(emitter.off(*own.borrow())),
                _ => {}
            }
        });
        assert!(uptick_emitter::emit_frequent(&device, Device::READING, 1));
        assert!(!uptick_emitter::emit_frequent(&device, Device::READING, 3));
        device.on("reading", note(&log, "b"));
        assert!(uptick_emitter::emit_frequent(&device, Device::READING, 4));
        assert_eq!(taken(&log), "a1,a2,b4");
    }

    #[test]
    fn a_frequent_listener_that_panics_stays_registered() {
        let (device, log) = device();
        let seen = Rc::clone(&log);
        device.on("reading", move |n: u32| {
            assert_ne!(n, 1, "panics on purpose");
            seen.borrow_mut().push(format!("a{n}"));
        });
        let emit = |n| uptick_emitter::emit_frequent(&device, Device::READING, n);
        assert!(catch_unwind(AssertUnwindSafe(|| emit(1))).is_err());
        assert!(emit(2));
        assert_eq!(taken(&log), "a2");
    }
}
