//! Allocations per command. All allocations of the process are counted, so this test has its own process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and print"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{RedisServer, run};
use uptick_emitter::Emitter;
use uptick_redis::Message;

/// The system's allocator with a count of the allocations.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)]
// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COMMANDS: usize = 10_000;

#[test]
fn a_pipelined_command_needs_no_allocation() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect();
    run(async move {
        let mut counts = Vec::new();
        for _ in 0..5 {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            for n in 0..COMMANDS / 2 {
                drop(redis.set("key", n));
                drop(redis.get::<String>("key"));
            }
            redis.ping().await?;
            counts.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
        }
        // There are some for each read and write.
        let least = counts.iter().min().copied().unwrap_or(usize::MAX);
        println!("{COMMANDS} commands: {counts:?} allocations");
        assert!(least < COMMANDS / 50, "{counts:?}");

        redis.on("message", |message: Message| {
            assert_eq!(message.channel, "ch")
        });
        redis.subscribe("ch").await?;
        let mut counts = Vec::new();
        for _ in 0..5 {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            for n in 0..COMMANDS {
                drop(redis.publish("ch", n));
            }
            redis.ping().await?;
            counts.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
        }
        let least = counts.iter().min().copied().unwrap_or(usize::MAX);
        println!("{COMMANDS} messages: {counts:?} allocations");
        assert!(least < COMMANDS / 50, "{counts:?}");
        redis.close();
        Ok(())
    });
}
