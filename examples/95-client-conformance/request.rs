//! Requests as they are described by a line.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// A request. Unknown members are ignored.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct ClientRequestLine {
    pub(crate) method: String,
    pub(crate) url: String,
    /// Names and values, in the order in which they are sent.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as text.
    pub(crate) body: Option<String>,
    pub(crate) body_base64: Option<Base64>,
    /// A body of this many `0`, which is produced while it is sent.
    pub(crate) body_zeros: Option<u64>,
    /// A streaming body.
    pub(crate) chunks: Option<Vec<Chunk>>,
    pub(crate) expect_continue: bool,
    pub(crate) continue_timeout_ms: u64,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) tls_timeout_ms: u64,
    pub(crate) write_timeout_ms: u64,
    pub(crate) first_byte_timeout_ms: u64,
    pub(crate) read_timeout_ms: u64,
    pub(crate) total_timeout_ms: u64,
    pub(crate) follow: bool,
    pub(crate) max_redirects: u32,
    /// The URL of a proxy, or `env` for that of the environment.
    pub(crate) proxy: Option<String>,
    /// A PEM file with certificates to trust beside the system's.
    pub(crate) ca: Option<PathBuf>,
    /// `true` to accept any certificate.
    pub(crate) insecure: bool,
    pub(crate) http2: Http2,
    pub(crate) decompress: bool,
    pub(crate) max_body: Option<u64>,
    pub(crate) max_head: usize,
    /// `true` to use the store of cookies of the program.
    pub(crate) cookies: bool,
    pub(crate) retry: bool,
    /// The addresses of names.
    pub(crate) resolve: BTreeMap<String, Vec<IpAddr>>,
    /// The path of a Unix socket.
    pub(crate) unix: Option<PathBuf>,
    /// `true` to read the body as a stream, and to return its length and its SHA-256.
    pub(crate) digest: bool,
    /// A pause before the body is read, with `digest`.
    pub(crate) pause_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Http2 {
    Auto,
    Never,
    Only,
}

/// A piece of a streaming body.
#[derive(Clone, Deserialize)]
pub(crate) struct Chunk {
    #[serde(default)]
    pub(crate) delay_ms: u64,
    data: Option<String>,
    data_base64: Option<Base64>,
}

/// Bytes that are written in base64.
#[derive(Clone)]
pub(crate) struct Base64(pub(crate) Vec<u8>);

impl Default for ClientRequestLine {
    fn default() -> Self {
        ClientRequestLine {
            method: "GET".into(),
            url: String::new(),
            headers: Vec::new(),
            body: None,
            body_base64: None,
            body_zeros: None,
            chunks: None,
            expect_continue: false,
            continue_timeout_ms: 1000,
            connect_timeout_ms: 10_000,
            tls_timeout_ms: 10_000,
            write_timeout_ms: 30_000,
            first_byte_timeout_ms: 30_000,
            read_timeout_ms: 30_000,
            total_timeout_ms: 60_000,
            follow: true,
            max_redirects: 10,
            proxy: None,
            ca: None,
            insecure: false,
            http2: Http2::Auto,
            decompress: true,
            max_body: Some(16 * 1024 * 1024),
            max_head: 64 * 1024,
            cookies: false,
            retry: true,
            resolve: BTreeMap::new(),
            unix: None,
            digest: false,
            pause_ms: 0,
        }
    }
}

impl Chunk {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self.data_base64 {
            Some(Base64(bytes)) => bytes,
            None => self.data.unwrap_or_default().into_bytes(),
        }
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text);
        bytes.map(Base64).map_err(de::Error::custom)
    }
}

/// Parses a request.
pub(crate) fn parse(line: Map<String, Value>) -> Result<ClientRequestLine, String> {
    match line.get("id") {
        Some(Value::String(_)) => {}
        Some(Value::Number(id)) if !id.is_f64() => {}
        _ => return Err("the identifier is neither a string nor an integer".into()),
    }
    if !line.contains_key("url") {
        return Err("the request has no URL".into());
    }
    let request: ClientRequestLine = serde_json::from_value(Value::Object(line))
        .map_err(|error| format!("a member of the request is not valid: {error}"))?;
    let bodies = [
        request.body.is_some(),
        request.body_base64.is_some(),
        request.body_zeros.is_some(),
        request.chunks.is_some(),
    ];
    match bodies.into_iter().filter(|is_set| *is_set).count() {
        0 | 1 => Ok(request),
        _ => Err("the request has several bodies".into()),
    }
}
