//! Shutdown of a service: event streams and upgraded connections.

use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_socket::Connection;

use super::service::Service;
use super::shutdown_state::ShutdownState;
use crate::ShutdownOptions;
use crate::response::EarlyEnd;

impl Service {
    /// Returns the options of the shutdown in progress.
    pub(crate) fn draining(&self) -> Option<ShutdownOptions> {
        self.drain.borrow().as_ref().map(|drain| drain.options)
    }

    /// Starts a shutdown, or changes the options of the one in progress.
    pub(crate) fn begin_draining(&self, options: ShutdownOptions) {
        match &mut *self.drain.borrow_mut() {
            Some(drain) => drain.change(options),
            none => *none = Some(ShutdownState::new(options)),
        }
    }

    /// Ends the shutdown.
    pub(crate) fn end_draining(&self) {
        if let Some(drain) = self.drain.take() {
            drain.streams.cancel();
        }
    }

    /// Ends an endless response at a random moment of the shutdown's window.
    pub(crate) fn end_early(&self, stream: EarlyEnd) {
        let streams = self
            .drain
            .borrow()
            .as_ref()
            .map(|drain| drain.streams.clone());
        if let Some(streams) = streams {
            streams.add(stream);
        }
    }
}

impl Service {
    /// Adds an upgraded connection.
    pub(super) fn add_upgraded(self: &Rc<Self>, conn: Connection) {
        self.upgraded.push(conn);
        if let Some(open) = self.upgraded.watched.get() {
            self.upgraded.watched.set(Some(open + 1));
            self.watch_upgraded_one(conn);
        }
    }

    /// Starts to notify the observer of each close of an upgraded connection.
    pub(crate) fn watch_upgraded(self: &Rc<Self>) {
        if self.upgraded.watched.get().is_some() {
            return;
        }
        let open = self.upgraded.prune();
        self.upgraded.watched.set(Some(open));
        let list = self.upgraded.list.borrow().clone();
        for conn in list {
            self.watch_upgraded_one(conn);
        }
    }

    fn watch_upgraded_one(self: &Rc<Self>, conn: Connection) {
        let this = Rc::clone(self);
        conn.on(Connection::CLOSE, move |()| {
            let open = this.upgraded.watched.get();
            let left = open.map(|open| open.saturating_sub(1));
            this.upgraded.watched.set(left);
            this.notify_closed();
        });
    }

    /// Closes the upgraded connections, and returns their number.
    pub(crate) fn abort_upgraded(&self) -> usize {
        let list = self.upgraded.list.take();
        let open: Vec<_> = list.into_iter().filter(|conn| conn.is_open()).collect();
        for conn in &open {
            conn.close();
        }
        // A program may have removed the listeners that count.
        let watched = self.upgraded.watched.get();
        self.upgraded.watched.set(watched.map(|_| 0));
        open.len()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::channel::pair;
    use crate::site::SiteSettings;
    use crate::{h1, h2};

    #[test]
    fn closed_connections_do_not_fill_the_list() {
        let service = Rc::new(Service::default());
        let connections = |count: usize| -> Vec<Connection> {
            let pairs = (0..count).map(|_| UnixStream::pair().unwrap());
            pairs
                .map(|(ours, _)| Connection::adopt(ours).unwrap())
                .collect()
        };
        let stay = connections(100);
        stay.iter().for_each(|conn| service.add_upgraded(*conn));
        for conn in connections(300) {
            service.add_upgraded(conn);
            conn.close();
        }
        let length = service.upgraded.list.borrow().len();
        assert!((100..=200).contains(&length), "{length}");
        assert_eq!(service.open_upgrades(), 100);
        service.watch_upgraded();
        stay[0].close();
        assert_eq!(service.open_upgrades(), 99);
        assert_eq!((service.abort_upgraded(), service.open_upgrades()), (99, 0));
    }

    #[test]
    fn an_upgraded_stream_is_no_connection() {
        let service = Rc::new(Service::default());
        let [stream, _peer] = pair([None, None]).unwrap();
        service.upgraded(stream);
        assert_eq!(
            (service.open_connections(), service.open_upgrades()),
            (0, 1)
        );
        service.watch_upgraded();
        assert_eq!((service.abort_upgraded(), service.open_upgrades()), (0, 1));
        service.upgraded_stream_closed();
        assert_eq!((service.open_upgrades(), service.upgrades()), (0, 1));
        stream.close();
    }

    #[test]
    fn the_limits_of_http_2_include_those_of_headers() {
        let settings = SiteSettings {
            limits: h1::Limits::default().fields(7),
            http2_limits: h2::Limits::default().concurrent_streams(3),
            ..SiteSettings::default()
        };
        let expected = h2::Limits::default()
            .concurrent_streams(3)
            .headers(&h1::Limits::default().fields(7))
            .connect_protocol(true);
        assert_eq!(settings.http2_limits(), expected);
    }
}
