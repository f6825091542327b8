//! Tunnels through HTTP proxies: the method `CONNECT` (RFC 9110, section 9.3.6).

use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use uptick_http::h1::Limits;
use uptick_http::h1::client::{Decoder, Event, Request, RequestBody, encode_request};

use super::byte_channel::ByteChannel;
use crate::connect::{Destination, Proxy};

/// Requests a tunnel and waits for the response.
///
/// # Errors
/// A text, if the proxy refuses the tunnel or sends an invalid response.
pub(super) async fn open(
    channel: &mut ByteChannel,
    proxy: &Proxy,
    destination: &Destination,
) -> Result<(), String> {
    channel.write(request(proxy, destination)?);
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    decoder.expect(&Method::CONNECT);
    loop {
        decoder.push(channel.read().await?);
        while let Some(event) = decoder.next(&limits) {
            match event {
                Event::Interim(_) => {}
                Event::Head(head) if head.status().is_success() => {
                    channel.unread(decoder.take_rest());
                    return Ok(());
                }
                Event::Head(head) => return Err(refusal(head.status(), head.reason())),
                Event::Error(invalid) => {
                    let reason = invalid.reason();
                    return Err(format!("the proxy sent an invalid response: {reason}"));
                }
                // Not possible before the head.
                Event::Body(_) | Event::Trailers(_) | Event::Complete => {}
            }
        }
    }
}

fn request(proxy: &Proxy, destination: &Destination) -> Result<Vec<u8>, String> {
    let authority = destination.authority();
    let mut fields = HeaderMap::new();
    if let Some(credentials) = proxy.authorization() {
        fields.insert(PROXY_AUTHORIZATION, credentials);
    }
    let request = Request {
        method: &Method::CONNECT,
        target: &authority,
        host: &authority,
        fields: (&fields).into(),
        body: RequestBody::None,
        close: false,
    };
    let mut out = Vec::new();
    encode_request(&mut out, &request)
        .and_then(|encoder| encoder.finish(&mut out, None))
        .map_err(|error| error.to_string())?;
    Ok(out)
}

/// Describes a response that refuses the tunnel.
fn refusal(status: StatusCode, reason: &[u8]) -> String {
    let received = String::from_utf8_lossy(reason);
    let reason = match received.trim() {
        "" => status.canonical_reason().unwrap_or_default(),
        received => received,
    };
    let shown: String = reason.chars().take(100).collect();
    format!(
        "the proxy refused it with status {} {shown}",
        status.as_str()
    )
}
