//! What two sides agree on about compression (RFC 7692, 7.1).

use std::fmt::Write as _;

use crate::protocol::handshake::Extension;

/// The name of the extension.
pub const EXTENSION: &str = "permessage-deflate";

/// The four parameters of the extension: what one side wants, or what both agreed on.
///
/// # Examples
///
/// A server that keeps nothing between messages, and a client that offers two things:
///
/// ```
/// use uptick_websocket::protocol::deflate::Config;
/// use uptick_websocket::protocol::handshake::Extension;
///
/// let wants = Config::new().server_no_context_takeover(true);
/// let offers = b"permessage-deflate; server_max_window_bits=10, permessage-deflate";
/// let (agreed, answer) = wants.accept(&Extension::parse(offers).unwrap()).unwrap();
/// assert_eq!(agreed.server_bits(), 10);
/// assert_eq!(answer, "permessage-deflate; server_no_context_takeover; server_max_window_bits=10");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: u8,
    client_max_window_bits: u8,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}

impl Config {
    /// All parameters at their defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets whether the server keeps nothing from one message to the next (RFC 7692, 7.1.1.1). Default: no.
    #[must_use]
    pub fn server_no_context_takeover(mut self, set: bool) -> Config {
        self.server_no_context_takeover = set;
        self
    }

    /// Sets whether the client keeps nothing from one message to the next (RFC 7692, 7.1.1.2). Default: no.
    #[must_use]
    pub fn client_no_context_takeover(mut self, set: bool) -> Config {
        self.client_no_context_takeover = set;
        self
    }

    /// Sets the most bits of the window with which the server compresses (RFC 7692, 7.1.2.1). Default: 15.
    ///
    /// # Limits
    ///
    /// 9 to 15; what is below or above counts as that.
    #[must_use]
    pub fn server_max_window_bits(mut self, bits: u8) -> Config {
        self.server_max_window_bits = bits.clamp(9, 15);
        self
    }

    /// Sets the most bits of the window with which the client compresses (RFC 7692, 7.1.2.2). A server asks for it only of
    /// clients that offer it. Default: 15.
    ///
    /// # Limits
    ///
    /// 9 to 15; what is below or above counts as that.
    #[must_use]
    pub fn client_max_window_bits(mut self, bits: u8) -> Config {
        self.client_max_window_bits = bits.clamp(9, 15);
        self
    }

    /// Whether messages of the server may refer to those before them.
    pub fn server_keeps_context(&self) -> bool {
        !self.server_no_context_takeover
    }

    /// Whether messages of the client may refer to those before them.
    pub fn client_keeps_context(&self) -> bool {
        !self.client_no_context_takeover
    }

    /// The bits of the window with which the server compresses, 8 to 15.
    pub fn server_bits(&self) -> u8 {
        self.server_max_window_bits
    }

    /// The bits of the window with which the client compresses, 8 to 15.
    pub fn client_bits(&self) -> u8 {
        self.client_max_window_bits
    }

    /// What a server that wants this agrees on with a client, and its answer for `Sec-WebSocket-Extensions`; none if no
    /// offer is of this extension and valid. The first such offer is taken.
    pub fn accept(&self, offers: &[Extension<'_>]) -> Option<(Config, String)> {
        offers.iter().find_map(|offer| {
            let offered = Parameters::parse(offer)?;
            let server_bits = offered.server_bits.unwrap_or(Some(15))?;
            let client_bits = match offered.client_bits {
                Some(most) => self.client_max_window_bits.min(most.unwrap_or(15)),
                None => 15,
            };
            let agreed = Config {
                server_no_context_takeover: self.server_no_context_takeover
                    || offered.server_no_context_takeover,
                client_no_context_takeover: self.client_no_context_takeover
                    || offered.client_no_context_takeover,
                server_max_window_bits: self.server_max_window_bits.min(server_bits),
                client_max_window_bits: client_bits,
            };
            let mut answer = agreed.begin();
            if offered.server_bits.is_some() || agreed.server_max_window_bits < 15 {
                append_bits(&mut answer, SERVER_BITS, agreed.server_max_window_bits);
            }
            if agreed.client_max_window_bits < 15 {
                append_bits(&mut answer, CLIENT_BITS, agreed.client_max_window_bits);
            }
            Some((agreed, answer))
        })
    }

    /// What a client that wants this offers, for `Sec-WebSocket-Extensions`.
    pub fn offer(&self) -> String {
        let mut offer = self.begin();
        if self.server_max_window_bits < 15 {
            append_bits(&mut offer, SERVER_BITS, self.server_max_window_bits);
        }
        if self.client_max_window_bits < 15 {
            append_bits(&mut offer, CLIENT_BITS, self.client_max_window_bits);
        } else {
            offer += "; ";
            offer += CLIENT_BITS;
        }
        offer
    }

    /// What a client that has offered this agrees on with a server that has answered so; none if the client has to fail
    /// the connection.
    pub fn agree(&self, answer: &Extension<'_>) -> Option<Config> {
        let answered = Parameters::parse(answer)?;
        let server_bits = answered.server_bits.unwrap_or(Some(15))?;
        let client_bits = answered.client_bits.unwrap_or(Some(15))?;
        let server_ignores = (self.server_no_context_takeover
            && !answered.server_no_context_takeover)
            || server_bits > self.server_max_window_bits;
        if server_ignores {
            return None;
        }
        Some(Config {
            server_no_context_takeover: answered.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || answered.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits.min(self.client_max_window_bits),
        })
    }

    /// The name, and the parameters without a value.
    fn begin(&self) -> String {
        let mut field = String::from(EXTENSION);
        for (set, name) in [
            (self.server_no_context_takeover, SERVER_NO_CONTEXT),
            (self.client_no_context_takeover, CLIENT_NO_CONTEXT),
        ] {
            if set {
                field += "; ";
                field += name;
            }
        }
        field
    }
}

const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

fn append_bits(field: &mut String, name: &str, bits: u8) {
    let _ = write!(field, "; {name}={bits}");
}

/// The parameters as they came, of which bits may be there without a value.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_bits: Option<Option<u8>>,
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// None if it is another extension, or a parameter is unknown, not valid or there twice (RFC 7692, 7.1).
    fn parse(extension: &Extension<'_>) -> Option<Parameters> {
        if extension.name() != EXTENSION {
            return None;
        }
        let mut found = Parameters::default();
        for (name, value) in extension.parameters() {
            let fresh = match name {
                SERVER_NO_CONTEXT if value.is_none() => {
                    !std::mem::replace(&mut found.server_no_context_takeover, true)
                }
                CLIENT_NO_CONTEXT if value.is_none() => {
                    !std::mem::replace(&mut found.client_no_context_takeover, true)
                }
                SERVER_BITS => found.server_bits.replace(bits(value)?).is_none(),
                CLIENT_BITS => found.client_bits.replace(bits(value)?).is_none(),
                _ => false,
            };
            if !fresh {
                return None;
            }
        }
        Some(found)
    }
}

/// 8 to 15, without leading zeros, or no value; none if it is something else.
fn bits(value: Option<&str>) -> Option<Option<u8>> {
    let Some(value) = value else {
        return Some(None);
    };
    (8..=15)
        .find(|bits: &u8| bits.to_string() == value)
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server answers to offers.
    fn answer(wants: Config, offers: &str) -> Option<String> {
        let offers = Extension::parse(offers.as_bytes()).unwrap();
        wants.accept(&offers).map(|(_, answer)| answer)
    }

    fn agree(wants: Config, answer: &str) -> Option<Config> {
        wants.agree(&Extension::parse(answer.as_bytes()).unwrap()[0])
    }

    const PMD: &str = "permessage-deflate";

    #[test]
    fn a_server_answers_each_parameter_as_the_rfc_wants() {
        for (offers, expected) in [
            ("", ""),
            ("; client_max_window_bits", ""),
            ("; client_max_window_bits=10", "; client_max_window_bits=10"),
            (
                "; client_max_window_bits=\"8\"",
                "; client_max_window_bits=8",
            ),
            ("; server_max_window_bits=15", "; server_max_window_bits=15"),
            ("; server_max_window_bits=8", "; server_max_window_bits=8"),
            (
                "; server_no_context_takeover",
                "; server_no_context_takeover",
            ),
            (
                "; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
        ] {
            let found = answer(Config::new(), &format!("{PMD}{offers}"));
            assert_eq!(found.unwrap(), format!("{PMD}{expected}"), "{offers}");
        }
        let wants = Config::new()
            .server_no_context_takeover(true)
            .client_no_context_takeover(true)
            .server_max_window_bits(12)
            .client_max_window_bits(11);
        let both = format!("{PMD}; server_no_context_takeover; client_no_context_takeover");
        for (offers, expected) in [
            ("", "; server_max_window_bits=12"),
            (
                "; client_max_window_bits; server_max_window_bits=13",
                "; server_max_window_bits=12; client_max_window_bits=11",
            ),
            (
                "; client_max_window_bits=9; server_max_window_bits=9",
                "; server_max_window_bits=9; client_max_window_bits=9",
            ),
        ] {
            let found = answer(wants, &format!("{PMD}{offers}"));
            assert_eq!(found.unwrap(), format!("{both}{expected}"), "{offers}");
        }
    }

    #[test]
    fn an_offer_that_is_not_valid_is_declined_and_the_next_taken() {
        for wrong in [
            "; unknown",
            "; server_max_window_bits",
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=08",
            "; server_max_window_bits=+9",
            "; client_max_window_bits=0",
            "; server_no_context_takeover=1",
            "; client_no_context_takeover; client_no_context_takeover",
            "; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(
                answer(Config::new(), &format!("{PMD}{wrong}")),
                None,
                "{wrong}"
            );
            let found = answer(Config::new(), &format!("{PMD}{wrong}, other, {PMD}"));
            assert_eq!(found.unwrap(), PMD);
        }
        assert_eq!(answer(Config::new(), "x-webkit-deflate-frame"), None);
        assert_eq!(answer(Config::new(), ""), None);
    }

    #[test]
    fn a_client_takes_only_what_it_has_offered() {
        let wants = Config::new().server_max_window_bits(12);
        assert_eq!(
            wants.offer(),
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits"
        );
        for wrong in [
            "",
            "; server_max_window_bits=13",
            "; server_max_window_bits",
            "; client_max_window_bits; server_max_window_bits=12",
            "; server_max_window_bits=12; unknown",
        ] {
            assert_eq!(agree(wants, &format!("{PMD}{wrong}")), None, "{wrong}");
        }
        let answer = format!("{PMD}; server_max_window_bits=10; client_max_window_bits=9");
        let agreed = agree(wants, &answer).unwrap();
        assert_eq!((agreed.server_bits(), agreed.client_bits()), (10, 9));
        let wants = Config::new().server_no_context_takeover(true);
        assert_eq!(agree(wants, PMD), None);
        let agreed = agree(wants, &format!("{PMD}; server_no_context_takeover")).unwrap();
        assert!(!agreed.server_keeps_context() && agreed.client_keeps_context());
        assert_eq!(agree(Config::new(), "other"), None);
    }

    #[test]
    fn what_two_of_ours_agree_on_is_the_same_for_both() {
        for number in 0..64_u8 {
            let of = |shift: u8| {
                let number = number.rotate_left(u32::from(shift));
                Config::new()
                    .server_no_context_takeover(number & 1 != 0)
                    .client_no_context_takeover(number & 2 != 0)
                    .server_max_window_bits(9 + (number >> 2) % 7)
                    .client_max_window_bits(9 + (number >> 4) % 7)
            };
            let (client, server) = (of(0), of(3));
            let offer = client.offer();
            let (agreed, answer) = server
                .accept(&Extension::parse(offer.as_bytes()).unwrap())
                .unwrap();
            assert_eq!(agree(client, &answer), Some(agreed), "{offer} {answer}");
        }
    }
}
