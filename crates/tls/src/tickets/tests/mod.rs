mod handshakes;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::server::ProducesTickets;
use rustls_pki_types::CertificateDer;

use super::ratchet::{LIFETIME, PERIOD, PREVIOUS, SKEW};
use super::*;
use crate::peers::VerifyPeer;

/// The start of a period in the year 2025.
const START: u64 = 81_000 * PERIOD;

/// A clock that the test sets.
#[derive(Clone)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn at(seconds: u64) -> Self {
        TestClock(Arc::new(AtomicU64::new(seconds)))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    fn keys(&self) -> TicketKeys {
        TicketKeys::with_clock(self.clock()).unwrap()
    }

    fn import(&self, bytes: &[u8]) -> Result<TicketKeys, Error> {
        TicketKeys::import_with_clock(bytes, self.clock())
    }

    fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Box::new(move || seconds.load(Ordering::Relaxed))
    }
}

fn certificate(name: &str) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

fn roots(certificates: &[&CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for &certificate in certificates {
        roots.add(certificate.clone()).unwrap();
    }
    roots
}

/// Returns the ticketer of a server without client authentication.
fn ticketer(keys: &TicketKeys) -> Ticketer {
    let policy = ClientPolicy::new(VerifyPeer::No, None).unwrap();
    let policy = policy.for_server(&CertificateDer::from(vec![0])).unwrap();
    Ticketer::new(keys.clone(), policy)
}

/// A session without names and certificates, as rustls encodes it: a version, a suite, an empty secret, four flags.
const SESSION: &[u8] = &[0, 3, 4, 0x13, 1, 0, 0, 0, 0];

/// Returns `true` if the keys decrypt the ticket.
#[track_caller]
fn opens(keys: &TicketKeys, ticket: &[u8]) -> bool {
    let session = ticketer(keys).decrypt(ticket);
    if let Some(session) = &session {
        assert_eq!(session, SESSION);
    }
    session.is_some()
}

fn seal(keys: &TicketKeys) -> Vec<u8> {
    ticketer(keys).encrypt(SESSION).unwrap()
}

#[test]
fn a_ticket_is_accepted_for_exactly_its_lifetime() {
    for age_of_period in [0, 1, PERIOD / 2, PERIOD - 1] {
        let issued = START + age_of_period;
        let clock = TestClock::at(issued);
        let keys = clock.keys();
        let ticket = seal(&keys);
        for age in [0, PERIOD, u64::from(LIFETIME) - 1] {
            clock.set(issued + age);
            assert!(opens(&keys, &ticket), "{age_of_period} {age}");
        }
        clock.set(issued + u64::from(LIFETIME));
        assert!(!opens(&keys, &ticket), "{age_of_period}");
    }
}

#[test]
fn a_ticket_is_accepted_after_an_idle_period() {
    let clock = TestClock::at(START + PERIOD - 1);
    let keys = clock.keys();
    let ticket = seal(&keys);
    // The clock advances two periods at once.
    clock.set(START + 2 * PERIOD);
    assert!(opens(&keys, &ticket));
}

#[test]
fn processes_rotate_to_the_same_keys_without_messages() {
    let (here, there) = (TestClock::at(START), TestClock::at(START));
    let first = here.keys();
    let second = there.import(&first.export().unwrap()).unwrap();
    for period in [0, 1, 2, 3, 10, 1000] {
        let now = START + period * PERIOD + 17;
        here.set(now);
        there.set(now);
        assert!(opens(&second, &seal(&first)));
        assert!(opens(&first, &seal(&second)));
    }
    // Unrelated keys differ.
    assert!(!opens(&here.keys(), &seal(&first)));
}

#[test]
fn an_import_accepts_the_tickets_that_the_exporter_accepts() {
    let clock = TestClock::at(START);
    let keys = clock.keys();
    let mut tickets = Vec::new();
    for period in 0..=PREVIOUS as u64 {
        clock.set(START + period * PERIOD + PERIOD / 2);
        tickets.push(seal(&keys));
    }
    clock.set(START + 2 * PERIOD + PERIOD / 2 - 1);
    let imported = clock.import(&keys.export().unwrap()).unwrap();
    for ticket in &tickets {
        assert!(opens(&keys, ticket) && opens(&imported, ticket));
    }
    // A late import advances the keys.
    let state = keys.export().unwrap();
    clock.set(START + 4 * PERIOD);
    let late = clock.import(&state).unwrap();
    assert!(opens(&late, &seal(&keys)) && opens(&keys, &seal(&late)));
    assert!(opens(&late, &tickets[2]));
    assert!(!opens(&late, &tickets[0]));
}

#[test]
fn the_keys_of_past_periods_cannot_be_recovered_from_later_ones() {
    let clock = TestClock::at(START);
    let keys = clock.keys();
    let ticket = seal(&keys);
    clock.set(START + 3 * PERIOD);
    let stolen = keys.export().unwrap();
    // The attacker's clock is at the time of issue, so that only the key is missing.
    let attacker = TestClock::at(START).import(&stolen).unwrap();
    assert!(!opens(&attacker, &ticket));
}

#[test]
fn a_ticket_of_the_next_period_is_accepted_from_a_clock_that_is_slightly_ahead() {
    let (here, there) = (TestClock::at(START), TestClock::at(START));
    let behind = here.keys();
    let ahead = there.import(&behind.export().unwrap()).unwrap();
    there.set(START + PERIOD);
    let ticket = seal(&ahead);
    here.set(START + PERIOD - SKEW);
    assert!(opens(&behind, &ticket));
    // The keys of the slower clock stay in their period.
    assert!(format!("{behind:?}").contains("81000"), "{behind:?}");
    assert!(opens(&ahead, &seal(&behind)));
    here.set(START + PERIOD - SKEW - 1);
    assert!(!opens(&behind, &ticket));
    here.set(START + PERIOD);
    assert!(opens(&behind, &ticket));
}

#[test]
fn a_ticket_from_the_future_is_not_accepted() {
    let (here, there) = (TestClock::at(START), TestClock::at(START + SKEW + 1));
    let keys = here.keys();
    let ahead = there.import(&keys.export().unwrap()).unwrap();
    assert!(!opens(&keys, &seal(&ahead)));
    there.set(START + SKEW);
    assert!(opens(&keys, &seal(&ahead)));
}

#[test]
fn new_tickets_use_the_same_keys_after_the_clock_is_set_back() {
    let clock = TestClock::at(START);
    let keys = clock.keys();
    for now in [START - 1, START - 100 * PERIOD, 0] {
        clock.set(now);
        assert!(opens(&keys, &seal(&keys)));
        assert!(format!("{keys:?}").contains("81000"), "{keys:?}");
    }
    let state = keys.export().unwrap();
    assert!(opens(&clock.import(&state).unwrap(), &seal(&keys)));
    clock.set(START + PERIOD);
    assert!(format!("{keys:?}").contains("81001"), "{keys:?}");
}

#[test]
fn a_clock_that_jumps_does_not_hang_or_panic() {
    let clock = TestClock::at(0);
    let keys = clock.keys();
    // The clock of a machine is set after it has started.
    clock.set(START);
    assert!(opens(&keys, &seal(&keys)));
    assert!(format!("{keys:?}").contains("81000"), "{keys:?}");
    clock.set(u64::MAX);
    assert!(opens(&keys, &seal(&keys)));
    let error = clock.import(&keys.export().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "importing ticket keys failed: they are many years old: check the clock of this machine"
    );
    clock.set(START);
    assert!(opens(&keys, &seal(&keys)));
}

#[test]
fn a_modified_ticket_is_not_accepted() {
    let keys = TestClock::at(START).keys();
    let ticket = seal(&keys);
    for index in 0..ticket.len() {
        for bit in 0..8 {
            let mut changed = ticket.clone();
            changed[index] ^= 1 << bit;
            assert!(!opens(&keys, &changed), "{index} {bit}");
        }
        assert!(!opens(&keys, &ticket[..index]), "{index}");
    }
    assert!(!opens(&keys, &[&ticket[..], &[0]].concat()));
    assert!(!opens(&keys, &[&ticket[..], &vec![0; 70_000]].concat()));
    assert!(opens(&keys, &ticket));
}

#[test]
fn two_tickets_of_a_session_differ() {
    let keys = TestClock::at(START).keys();
    assert_ne!(seal(&keys)[2..18], seal(&keys)[2..18]);
    assert_ne!(seal(&keys)[18..], seal(&keys)[18..]);
}

#[test]
fn a_session_of_16_kib_gets_a_ticket_and_a_larger_one_does_not() {
    let keys = TestClock::at(START).keys();
    let ticketer = ticketer(&keys);
    let largest = vec![7; 16 * 1024 - 8];
    let ticket = ticketer.encrypt(&largest).unwrap();
    assert_eq!(ticketer.decrypt(&ticket).unwrap(), largest);
    assert_eq!(ticketer.encrypt(&vec![7; 16 * 1024 - 7]), None);
}

#[test]
fn tickets_are_bound_to_the_conditions_for_clients() {
    let keys = TestClock::at(START).keys();
    let (one, other) = (certificate("one"), certificate("other"));
    let server = certificate("localhost");
    let policies = [
        ClientPolicy::new(VerifyPeer::No, None),
        ClientPolicy::new(VerifyPeer::Optional, Some(&roots(&[&one]))),
        ClientPolicy::new(VerifyPeer::Required, Some(&roots(&[&one]))),
        ClientPolicy::new(VerifyPeer::Required, Some(&roots(&[&other]))),
        ClientPolicy::new(VerifyPeer::Required, Some(&roots(&[&one, &other]))),
    ];
    let ticketers = policies.map(|policy| {
        let policy = policy.unwrap().for_server(&server).unwrap();
        Ticketer::new(keys.clone(), policy)
    });
    for (from, sealing) in ticketers.iter().enumerate() {
        let ticket = sealing.encrypt(SESSION).unwrap();
        for (to, opening) in ticketers.iter().enumerate() {
            assert_eq!(
                opening.decrypt(&ticket).is_some(),
                from == to,
                "{from} {to}"
            );
        }
    }
    let reordered = ClientPolicy::new(VerifyPeer::Required, Some(&roots(&[&other, &one, &one])));
    let reordered = reordered.unwrap().for_server(&server).unwrap();
    let reordered = Ticketer::new(keys, reordered);
    let ticket = ticketers[4].encrypt(SESSION).unwrap();
    assert!(reordered.decrypt(&ticket).is_some());
}

#[test]
fn tickets_are_bound_to_the_names_of_the_servers_certificate_and_survive_its_renewal() {
    let keys = TestClock::at(START).keys();
    let clients = ClientPolicy::new(VerifyPeer::No, None).unwrap();
    let ticketer = |name| {
        let policy = clients.for_server(&certificate(name)).unwrap();
        Ticketer::new(keys.clone(), policy)
    };
    let ticket = ticketer("a.example").encrypt(SESSION).unwrap();
    assert!(ticketer("a.example").decrypt(&ticket).is_some());
    assert!(ticketer("b.example").decrypt(&ticket).is_none());
}

#[test]
fn a_truncated_or_modified_export_is_an_error() {
    let clock = TestClock::at(START);
    let keys = clock.keys();
    clock.set(START + 2 * PERIOD);
    let state = keys.export().unwrap();
    for length in 0..state.len() {
        let error = clock.import(&state[..length]).unwrap_err().to_string();
        assert!(
            error.starts_with("importing ticket keys failed: "),
            "{error}"
        );
    }
    for index in 0..state.len() {
        let mut changed = state.to_vec();
        changed[index] ^= 1;
        clock.import(&changed).unwrap_err();
    }
    clock.import(&[&state[..], &[0]].concat()).unwrap_err();
}

#[test]
fn the_error_of_an_import_contains_the_cause() {
    let clock = TestClock::at(START);
    let state = clock.keys().export().unwrap();
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut state = state.to_vec();
        change(&mut state);
        let error = clock.import(&state).unwrap_err().to_string();
        let (_, reason) = error.split_once(" failed: ").unwrap();
        reason.to_owned()
    };
    assert_eq!(
        error(&|state| state[0] = b'X'),
        "these bytes are not exported ticket keys"
    );
    assert_eq!(
        error(&|state| state[4] = 2),
        "their format version is 2, but only version 1 is supported: export them with the same version of uptick-tls"
    );
    assert_eq!(
        error(&|state| state.truncate(20)),
        "20 bytes are not the length of an export"
    );
    assert_eq!(
        error(&|state| state[20] ^= 1),
        "their checksum is wrong: they were modified"
    );
}

#[test]
fn debug_output_contains_no_secret() {
    let keys = TestClock::at(START).keys();
    assert_eq!(format!("{keys:?}"), "TicketKeys { period: 81000, .. }");
    assert_eq!(
        format!("{:?}", ticketer(&keys)),
        "Ticketer(TicketKeys { period: 81000, .. })"
    );
}

#[test]
fn keys_are_send_and_sync() {
    fn is_send_and_sync<T: Send + Sync + Clone>() {}
    is_send_and_sync::<TicketKeys>();
    is_send_and_sync::<crate::TlsContext>();
    is_send_and_sync::<crate::TlsConfig>();
}

proptest! {
    #[test]
    fn rotation_is_independent_of_the_times_of_use(
        mut times in prop::collection::vec(0..40 * PERIOD, 0..20),
        last in 0..40 * PERIOD,
    ) {
        let (busy, idle) = (TestClock::at(START), TestClock::at(START));
        let keys = busy.keys();
        let other = idle.import(&keys.export().unwrap()).unwrap();
        times.sort_unstable();
        for time in times {
            busy.set(START + time);
            seal(&keys);
        }
        let end = START + 40 * PERIOD + last;
        busy.set(end);
        idle.set(end);
        prop_assert!(opens(&other, &seal(&keys)));
        prop_assert!(opens(&keys, &seal(&other)));
        prop_assert_eq!(keys.export().unwrap(), other.export().unwrap());
    }

    #[test]
    fn arbitrary_bytes_are_neither_a_ticket_nor_an_export(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let clock = TestClock::at(START);
        prop_assert!(!opens(&clock.keys(), &bytes));
        prop_assert!(clock.import(&bytes).is_err());
        prop_assert!(clock.import(&[b"UTTK\x01", &bytes[..]].concat()).is_err());
    }
}
