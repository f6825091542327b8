//! Scripted attempts on a manual clock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use uptick_event_loop::{EventLoop, JoinHandle, ManualClock, MioPoller, sleep, spawn};

use super::*;
use crate::uri::ConnectUri;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const V6_B: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));

/// The result of an attempt, and the delay in milliseconds.
#[derive(Clone, Copy)]
enum AttemptOutcome {
    Connected(u64),
    Refused(u64),
    Silence,
}
use AttemptOutcome::{Connected, Refused, Silence};

/// An inner connector that follows a script and records its calls.
#[derive(Clone)]
struct ScriptedConnector {
    outcomes: Rc<HashMap<IpAddr, AttemptOutcome>>,
    clock: ManualClock,
    record: Rc<RefCell<Vec<String>>>,
    in_progress: Rc<Cell<usize>>,
}

struct InProgress(Rc<Cell<usize>>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl ScriptedConnector {
    fn note(&self, event: &str, ip: IpAddr) {
        let family = if ip.is_ipv6() { "v6" } else { "v4" };
        let at = self.clock.elapsed().as_millis();
        self.record
            .borrow_mut()
            .push(format!("{at} {event} {family}"));
    }
}

impl ConnectorInterface for ScriptedConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        assert_eq!(target.host_name(), Some("app.test"));
        let ConnectUri::Tcp(address) = *target.uri() else {
            panic!("{target} was not looked up");
        };
        let ip = address.ip();
        let script = self.clone();
        Connecting::new(async move {
            script.in_progress.set(script.in_progress.get() + 1);
            let _in_progress = InProgress(Rc::clone(&script.in_progress));
            script.note("start", ip);
            match script.outcomes[&ip] {
                Connected(after) => {
                    sleep(Duration::from_millis(after)).await;
                    script.note("connected", ip);
                    Connection::adopt(UnixStream::pair().unwrap().0)
                }
                Refused(after) => {
                    sleep(Duration::from_millis(after)).await;
                    script.note("refused", ip);
                    Err(Error::connect(&target, Errno::CONNREFUSED))
                }
                Silence => std::future::pending().await,
            }
        })
    }
}

struct Fixture {
    clock: ManualClock,
    script: ScriptedConnector,
    task: Option<JoinHandle<Result<Connection, Error>>>,
}

impl Fixture {
    /// Starts to connect to a name with these addresses, whose attempts have these outcomes.
    fn new(outcomes: &[(IpAddr, AttemptOutcome)]) -> Self {
        Self::with(outcomes, |connector| connector)
    }

    fn with(
        outcomes: &[(IpAddr, AttemptOutcome)],
        options: impl FnOnce(HappyEyeballsConnector) -> HappyEyeballsConnector,
    ) -> Self {
        let clock = ManualClock::new();
        EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
        let script = ScriptedConnector {
            outcomes: Rc::new(outcomes.iter().copied().collect()),
            clock: clock.clone(),
            record: Rc::default(),
            in_progress: Rc::default(),
        };
        let ips: Vec<IpAddr> = outcomes.iter().map(|(ip, _)| *ip).collect();
        let resolver = Resolver::new(move |_| std::future::ready(Ok(ips.clone())));
        let connector = HappyEyeballsConnector::new(script.clone()).resolver(resolver);
        let task = spawn(options(connector).connect("app.test:80"));
        Fixture {
            clock,
            script,
            task: Some(task),
        }
    }

    /// Advances the clock in steps of 5 ms, up to 5 s or until there is a result.
    fn outcome(&mut self) -> Result<Connection, Error> {
        for _ in 0..1000 {
            self.settle();
            if self.task.as_ref().unwrap().is_finished() {
                let task = self.task.take().unwrap();
                return uptick_event_loop::block_on(task).unwrap().unwrap();
            }
            self.clock.advance(Duration::from_millis(5));
        }
        panic!("there is no outcome; {}", self.record());
    }

    fn settle(&self) {
        for _ in 0..5 {
            EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
        }
    }

    fn record(&self) -> String {
        self.script.record.borrow().join(", ")
    }
}

#[test]
fn the_families_alternate_starting_with_the_first() {
    let address = |ip: IpAddr| SocketAddr::from((ip, 80));
    let v4_b = IpAddr::from([192, 0, 2, 2]);
    let turns = |ips: &[IpAddr]| {
        let turns = interleave_families(ips.iter().copied().map(address).collect());
        turns.iter().map(SocketAddr::ip).collect::<Vec<_>>()
    };
    assert_eq!(turns(&[V6, V6_B, V4, v4_b]), [V6, V4, V6_B, v4_b]);
    assert_eq!(turns(&[V4, v4_b, V6]), [V4, V6, v4_b]);
    assert_eq!(turns(&[V6, V6_B]), [V6, V6_B]);
    assert_eq!(turns(&[]), [] as [IpAddr; 0]);
}

#[test]
fn an_address_that_does_not_answer_causes_a_delay_of_250_ms() {
    let mut fixture = Fixture::new(&[(V6, Silence), (V4, Connected(20))]);
    fixture.outcome().unwrap().close();
    assert_eq!(
        fixture.record(),
        "0 start v6, 250 start v4, 270 connected v4"
    );
}

#[test]
fn the_losing_attempts_are_cancelled() {
    let mut fixture = Fixture::new(&[(V6, Silence), (V4, Connected(300)), (V6_B, Connected(3000))]);
    fixture.outcome().unwrap().close();
    assert_eq!(
        fixture.record(),
        "0 start v6, 250 start v4, 500 start v6, 550 connected v4"
    );
    assert_eq!(fixture.script.in_progress.get(), 0);
    fixture.settle();
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn an_earlier_attempt_may_still_win() {
    let mut fixture = Fixture::new(&[(V6, Connected(300)), (V4, Connected(100))]);
    fixture.outcome().unwrap().close();
    assert_eq!(
        fixture.record(),
        "0 start v6, 250 start v4, 300 connected v6"
    );
}

#[test]
fn an_attempt_that_connects_at_once_is_the_only_one() {
    let mut fixture = Fixture::new(&[(V4, Connected(0)), (V6, Connected(0))]);
    fixture.outcome().unwrap().close();
    assert_eq!(fixture.record(), "0 start v4, 0 connected v4");
}

#[test]
fn a_failure_starts_the_next_attempt_at_once() {
    let mut fixture = Fixture::new(&[(V6, Refused(10)), (V4, Silence), (V6_B, Connected(5))]);
    fixture.outcome().unwrap().close();
    // The delay is relative to the start of the previous attempt.
    assert_eq!(
        fixture.record(),
        "0 start v6, 10 refused v6, 10 start v4, 260 start v6, 265 connected v6"
    );
}

#[test]
fn the_delay_can_be_set_down_to_10_ms() {
    let mut fixture = Fixture::with(&[(V6, Silence), (V4, Connected(0))], |connector| {
        connector.attempt_delay(Duration::ZERO)
    });
    fixture.outcome().unwrap().close();
    assert_eq!(fixture.record(), "0 start v6, 10 start v4, 10 connected v4");
}

#[test]
fn the_order_of_the_resolver_can_be_kept() {
    let outcomes = [(V6, Refused(0)), (V6_B, Refused(0)), (V4, Connected(0))];
    let mut fixture = Fixture::with(&outcomes, |connector| connector.alternate_families(false));
    fixture.outcome().unwrap().close();
    let starts = fixture.record().replace("0 refused v6, ", "");
    assert_eq!(starts, "0 start v6, 0 start v6, 0 start v4, 0 connected v4");
}

#[test]
fn the_error_names_each_attempt_when_all_fail() {
    let mut fixture = Fixture::new(&[(V6, Refused(400)), (V4, Refused(0))]);
    let error = fixture.outcome().unwrap_err();
    assert_eq!(
        error.to_string(),
        "connecting to tcp://app.test:80 failed: \
         192.0.2.1: Connection refused (ECONNREFUSED); \
         2001:db8::1: Connection refused (ECONNREFUSED)"
    );
    assert_eq!(error.errno_name(), Some("ECONNREFUSED"));
}

#[test]
fn cancelling_cancels_every_attempt() {
    let mut fixture = Fixture::new(&[(V6, Silence), (V4, Silence), (V6_B, Silence)]);
    for _ in 0..60 {
        fixture.settle();
        fixture.clock.advance(Duration::from_millis(5));
    }
    assert_eq!(fixture.script.in_progress.get(), 2);
    fixture.task.take().unwrap().cancel();
    fixture.settle();
    assert_eq!(fixture.script.in_progress.get(), 0);
    assert!(!EventLoop::current().is_alive());
    assert_eq!(fixture.record(), "0 start v6, 250 start v4");
}
