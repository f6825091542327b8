//! The write queue: bytes are sent in the order in which they were queued, however they were split.
#![no_main]

use std::collections::VecDeque;
use std::io::IoSlice;

use libfuzzer_sys::fuzz_target;
use uptick_stream::WriteQueue;

fuzz_target!(|steps: Vec<(bool, bool, u16, u8)>| {
    let mut queue = WriteQueue::new();
    let mut model = VecDeque::new();
    for (push, owned, length, byte) in steps {
        let length = usize::from(length);
        if push {
            let chunk = vec![byte; length];
            model.extend(&chunk);
            if owned {
                queue.push(chunk);
            } else {
                queue.push(&chunk);
            }
        } else {
            let length = length.min(queue.len());
            queue.consume(length);
            model.drain(..length);
        }
        assert_eq!(queue.len(), model.len());
    }
    let mut slices = [IoSlice::new(&[]); 1024];
    let count = queue.slices(&mut slices);
    let found = slices[..count].iter().flat_map(|slice| slice.iter());
    assert!(found.eq(model.iter().take(slices[..count].iter().map(|slice| slice.len()).sum())));
});
