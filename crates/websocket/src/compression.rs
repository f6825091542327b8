//! Message compression: the compressors of WebSockets and of the thread.

use std::cell::RefCell;

use crate::protocol::deflate::{Config, Deflater, Inflater};
use crate::protocol::handshake::server::Offer;

/// Window size of the shared compressor of the thread, in bits.
const SHARED_WINDOW_BITS: u8 = 15;

/// The compression of messages (permessage-deflate, RFC 7692).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// No compression.
    #[default]
    Off,
    /// Each message is compressed on its own, with a compressor that all WebSockets of the thread share: an idle WebSocket needs no extra memory.
    Shared,
    /// Messages are compressed with the context of earlier ones, which makes similar messages smaller. The value is the window size in bits,
    /// 9 to 15 (a window of 2 to the power of this number of bytes). Each WebSocket keeps a compressor of 250 to 380 KB, and a decompressor of
    /// 48 KB, from its first compressed message.
    Dedicated(u8),
}

thread_local! {
    static DEFLATER: RefCell<Option<Deflater>> = const { RefCell::new(None) };
    static INFLATER: RefCell<Option<Inflater>> = const { RefCell::new(None) };
}

/// The compression state of a WebSocket.
pub(crate) struct PerMessageDeflate {
    /// The compressor of this WebSocket; `None` to use the shared one.
    deflater: Option<Deflater>,
    /// The decompressor of this WebSocket; `None` to use the shared one.
    inflater: Option<Inflater>,
    /// `true` if its messages may refer to earlier ones.
    keeps_context: bool,
}

impl Compression {
    /// Returns the parameters to negotiate; `None` if compression is off.
    pub(crate) fn requested(self) -> Option<Config> {
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

    /// Returns the compression agreed with a client and the response header for it, on a server; `None` if there is none.
    pub(crate) fn agree(self, offer: &Offer) -> Option<(PerMessageDeflate, String)> {
        let (config, answer) = offer.deflate(&self.requested()?)?;
        Some((PerMessageDeflate::of_server(&config), answer))
    }
}

impl PerMessageDeflate {
    fn of_server(config: &Config) -> Self {
        PerMessageDeflate {
            deflater: Self::deflater(config.server_keeps_context(), config.server_bits()),
            keeps_context: config.server_keeps_context(),
            inflater: config.client_keeps_context().then(Inflater::new),
        }
    }

    /// Returns the compression agreed with a server, on a client.
    pub(crate) fn of_client(config: &Config) -> Self {
        PerMessageDeflate {
            deflater: Self::deflater(config.client_keeps_context(), config.client_bits()),
            keeps_context: config.client_keeps_context(),
            inflater: config.server_keeps_context().then(Inflater::new),
        }
    }

    /// Returns a separate compressor if the shared one cannot be used.
    fn deflater(keeps_context: bool, bits: u8) -> Option<Deflater> {
        (keeps_context || bits < SHARED_WINDOW_BITS).then(|| Deflater::new(bits))
    }

    /// Returns `true` if other WebSockets cannot use the messages that it compresses.
    pub(crate) fn has_own_context(&self) -> bool {
        self.deflater.is_some()
    }

    /// Returns the compressed message; `None` to send it uncompressed.
    pub(crate) fn deflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match &mut self.deflater {
            Some(deflater) => deflater
                .compress(payload, &mut out, self.keeps_context)
                .then_some(out),
            None => deflate_shared(payload),
        }
    }
}

/// Returns the message compressed with the compressor of the thread; `None` if compression does not make it smaller.
pub(crate) fn deflate_shared(payload: &[u8]) -> Option<Vec<u8>> {
    let deflated = DEFLATER.try_with(|cell| {
        let mut shared = cell.borrow_mut();
        let deflater = shared.get_or_insert_with(|| Deflater::new(SHARED_WINDOW_BITS));
        let mut out = Vec::new();
        deflater.compress(payload, &mut out, false).then_some(out)
    });
    deflated.ok().flatten()
}

/// Calls `f` with the decompressor of a WebSocket, or with the shared one.
pub(crate) fn inflating<R>(
    deflation: Option<&mut PerMessageDeflate>,
    f: impl FnOnce(Option<&mut Inflater>) -> R,
) -> R {
    if let Some(PerMessageDeflate {
        inflater: Some(inflater),
        ..
    }) = deflation
    {
        return f(Some(inflater));
    }
    INFLATER.with_borrow_mut(|shared| {
        let inflater = shared.get_or_insert_with(|| Inflater::new().keep_context(false));
        f(Some(inflater))
    })
}
