//! Property tests of sessions: any interleaving of packets, requests, an upgrade, the heartbeat and a close.
#![allow(clippy::unwrap_used, clippy::panic)]

mod invariants {
    pub(crate) mod session;
}

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_packet_is_delivered_once_and_in_order(choices in vec(any::<u8>(), 0..400)) {
        invariants::session::check(&choices);
    }

    #[test]
    fn a_session_stays_consistent_with_any_inputs(choices in vec(any::<u8>(), 0..100)) {
        invariants::session::check_any(&choices);
    }

    #[test]
    fn an_upgrade_during_a_burst_loses_no_packet(
        before in vec(0_u8..13, 0..40),
        during in vec(prop_oneof![0_u8..13, Just(14 + 16), Just(14 + 12 * 16)], 0..200),
    ) {
        let choices: Vec<u8> = before.into_iter().chain([13]).chain(during).collect();
        invariants::session::check(&choices);
    }
}

#[test]
fn an_upgrade_completes_while_both_peers_send() {
    // An upgrade, followed by enough repetitions of all steps.
    let steps = (0..2000_u32).map(|step| [0, 2, 4, 5, 6, 7, 9, 11][step as usize % 8]);
    let choices: Vec<u8> = [5, 6, 5, 13].into_iter().chain(steps).collect();
    invariants::session::check(&choices);
}
