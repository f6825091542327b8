//! Limits the requests of each client: a burst of 5, then one every two seconds. A client that sends more receives 429 with the
//! time to wait. IPv6 clients are identified by their network.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 26-rate-limit
//! $ cargo run --example 26-rate-limit -- [::1]:9000
//! ```
//! Try it as two different clients:
//! ```text
//! $ for i in 1 2 3 4 5 6 7; do curl -s -o /dev/null -D - http://127.0.0.1:8080/ | grep -iE '^(HTTP|rate|retry)'; done
//! $ curl -i --interface 127.0.0.2 http://127.0.0.1:8080/
//! ```

use std::cell::RefCell;
use std::time::Duration;

use uptick::prelude::*;
use uptick::rate_limit::{Client, Limit, RateLimiter};

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let limit = Limit::token_bucket(5, Duration::from_secs(10));
    let limiter = RefCell::new(RateLimiter::<Client>::new(limit));
    let http = HttpServer::new();
    http.wrap(move |req: Request, next: Next| {
        let Some(ip) = req.client() else {
            return next.run(req);
        };
        let decision = limiter
            .borrow_mut()
            .check(&Client::from(ip), uptick::event_loop::elapsed());
        let reply = if decision.allowed {
            next.run(req)
        } else {
            let error = HttpError::from_status(StatusCode::TOO_MANY_REQUESTS);
            let refusal = Response::from(error);
            Reply::Ready(match decision.retry_after_seconds() {
                Some(seconds) => refusal.header("Retry-After", seconds),
                None => refusal,
            })
        };
        reply.map(move |response| {
            response
                .header("RateLimit-Policy", limit.policy_value("default"))
                .header("RateLimit", decision.field_value("default"))
        })
    });
    http.get("/", |_| "You are welcome.\n");
    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}
