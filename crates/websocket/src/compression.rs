//! Compressed messages: who keeps which compressor.

use std::cell::RefCell;

use crate::protocol::deflate::{Config, Deflater, Inflater};
use crate::protocol::handshake::server::Offer;

/// The window of the compressor that a thread has for all.
const SHARED_BITS: u8 = 15;

/// Whether messages are compressed (permessage-deflate, RFC 7692).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// They are not.
    #[default]
    Off,
    /// Each by itself, with a compressor that the thread has for all: an idle WebSocket costs nothing more.
    Shared,
    /// With what came before it in mind, which shortens messages that are alike; the window has 2 to the power of so many
    /// bytes, 9 to 15. Each WebSocket keeps a compressor of 250 to 380 KB, and a decompressor of 48 KB, from its first
    /// compressed message on.
    Dedicated(u8),
}

thread_local! {
    static DEFLATER: RefCell<Option<Deflater>> = const { RefCell::new(None) };
    static INFLATER: RefCell<Option<Inflater>> = const { RefCell::new(None) };
}

/// What a WebSocket keeps for its compressed messages.
pub(crate) struct Deflation {
    /// Its own compressor; else the thread's.
    deflater: Option<Deflater>,
    /// Its own decompressor; else the thread's.
    inflater: Option<Inflater>,
    /// Whether its messages may refer to those before them.
    keeps: bool,
}

impl Compression {
    /// What is asked for; none if nothing is.
    pub(crate) fn wants(self) -> Option<Config> {
        match self {
            Compression::Off => None,
            Compression::Shared => Some(
                Config::new()
                    .server_no_context_takeover(true)
                    .client_no_context_takeover(true),
            ),
            Compression::Dedicated(bits) => Some(Config::new().server_max_window_bits(bits)),
        }
    }

    /// What is agreed on with a client, as a server, and the field that tells it; none if nothing is.
    pub(crate) fn agree(self, offer: &Offer) -> Option<(Deflation, String)> {
        let (config, answer) = offer.deflate(&self.wants()?)?;
        Some((Deflation::of_server(&config), answer))
    }
}

impl Deflation {
    fn of_server(config: &Config) -> Self {
        Deflation {
            deflater: Self::deflater(config.server_keeps_context(), config.server_bits()),
            keeps: config.server_keeps_context(),
            inflater: config.client_keeps_context().then(Inflater::new),
        }
    }

    /// As [`Compression::agree`], for a client whom a server has answered.
    pub(crate) fn of_client(config: &Config) -> Self {
        Deflation {
            deflater: Self::deflater(config.client_keeps_context(), config.client_bits()),
            keeps: config.client_keeps_context(),
            inflater: config.server_keeps_context().then(Inflater::new),
        }
    }

    /// A compressor of its own, where the thread's would not do.
    fn deflater(keeps: bool, bits: u8) -> Option<Deflater> {
        (keeps || bits < SHARED_BITS).then(|| Deflater::new(bits))
    }

    /// Whether what it compresses is of no use to others.
    pub(crate) fn has_own_context(&self) -> bool {
        self.deflater.is_some()
    }

    /// The message compressed; none if it is to be sent as it is.
    pub(crate) fn deflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match &mut self.deflater {
            Some(deflater) => deflater
                .compress(payload, &mut out, self.keeps)
                .then_some(out),
            None => deflate_shared(payload),
        }
    }
}

/// The message compressed by the thread's compressor; none if it is not worth it.
pub(crate) fn deflate_shared(payload: &[u8]) -> Option<Vec<u8>> {
    let deflated = DEFLATER.try_with(|place| {
        let mut place = place.borrow_mut();
        let deflater = place.get_or_insert_with(|| Deflater::new(SHARED_BITS));
        let mut out = Vec::new();
        deflater.compress(payload, &mut out, false).then_some(out)
    });
    deflated.ok().flatten()
}

/// Calls `f` with the decompressor of a WebSocket, its own or the thread's.
pub(crate) fn inflating<R>(
    deflation: Option<&mut Deflation>,
    f: impl FnOnce(Option<&mut Inflater>) -> R,
) -> R {
    if let Some(Deflation {
        inflater: Some(inflater),
        ..
    }) = deflation
    {
        return f(Some(inflater));
    }
    INFLATER.with_borrow_mut(|place| {
        let inflater = place.get_or_insert_with(|| Inflater::new().keep_context(false));
        f(Some(inflater))
    })
}
