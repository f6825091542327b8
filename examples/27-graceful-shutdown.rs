//! A graceful shutdown: at SIGINT or SIGTERM, the server accepts no more clients and closes idle connections; requests in
//! progress have 10 seconds to complete. A second signal closes all connections at once.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 27-graceful-shutdown
//! $ cargo run --example 27-graceful-shutdown -- [::1]:9000
//! ```
//! Try it: request the slow page, and press Ctrl-C in the server's terminal before it responds. The last request takes too
//! long:
//! ```text
//! $ curl -i http://localhost:8080/wait/3000
//! $ curl -i http://localhost:8080/wait/60000
//! ```

use std::time::Duration;

use uptick::prelude::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new();
    http.get("/wait/{milliseconds}", wait);
    http.listen(Server::bind(address)?);

    http.on(HttpServer::SHUTDOWN, |_| println!("shutting down"));
    http.on("close", |()| println!("closed"));
    http.shutdown_on([SIGINT, SIGTERM], DEADLINE)?;

    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

async fn wait(req: Request) -> Result<String, HttpError> {
    let time = req.param("milliseconds").unwrap_or_default();
    let Ok(time) = time.parse() else {
        let message = "the time must be a number of milliseconds";
        return Err(HttpError::new(StatusCode::BAD_REQUEST, message));
    };
    uptick::sleep(Duration::from_millis(time)).await;
    Ok(format!("This took {time} milliseconds.\n"))
}
