//! Tests of the table of destinations.

use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use uptick_event_loop::{block_on, sleep};

use super::{Host, Pool, PoolLimits};
use crate::browser::Settings;
use crate::connect::ConnectOptions;
use crate::url::Url;

fn host(pool: &Pool, url: &str) -> Rc<Host> {
    let url = Url::parse(url).unwrap();
    Settings::default().host(pool, &url, false).unwrap()
}

#[test]
fn a_destination_without_connections_and_requests_is_forgotten() {
    block_on(async {
        let limits = PoolLimits::new().max_total(1).max_waiting(1);
        let pool = Rc::new(Pool::new(limits));
        let options = ConnectOptions::default;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let lease = pool.acquire(&host(&pool, &url), options, false, 1024).await;
        assert_eq!(pool.hosts.borrow().len(), 1);

        let other = host(&pool, "http://127.0.0.2:9/");
        {
            let mut waiting = Box::pin(pool.acquire(&other, options, false, 1024));
            assert!((&mut waiting).now_or_never().is_none());
            assert_eq!((pool.hosts.borrow().len(), pool.stats().waiting), (2, 1));
            let third = host(&pool, "http://127.0.0.3:9/");
            let refused = pool.acquire(&third, options, false, 1024).await;
            assert!(refused.is_err());
            assert_eq!(pool.hosts.borrow().len(), 2);
        }
        assert_eq!((pool.hosts.borrow().len(), pool.stats().waiting), (1, 0));

        drop(lease);
        assert_eq!((pool.close_idle(), pool.stats().open), (1, 0));
        sleep(Duration::ZERO).await;
        assert!(pool.hosts.borrow().is_empty());
    })
    .unwrap();
}
