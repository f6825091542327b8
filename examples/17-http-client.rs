//! Requests URLs at the same time, and prints the responses as they arrive. With `--save FILE URL`, streams one response into a file at the speed
//! of the disk.
//!
//! Run it with `21-http-hello` or `25-static-files` on 127.0.0.1:8080, or with other URLs:
//! ```text
//! $ cargo run --example 17-http-client
//! $ cargo run --example 17-http-client -- http://127.0.0.1:8080/ https://example.com/ http://127.0.0.1:9/
//! $ cargo run --example 17-http-client -- --save page.html https://example.com/
//! ```
//! Try it: a port without a server, a host name that does not exist, `http_proxy=http://127.0.0.1:3128`.

use std::fs::File;
use std::time::Duration;

use uptick::http_client::{Browser, Error, ProxyMode, Response};
use uptick::prelude::Emitter;
use uptick::stream::WritableResourceStream;

fn main() -> uptick::Result {
    let browser = Browser::new()
        .with_timeout(Duration::from_secs(10))
        .with_proxy(ProxyMode::Environment);
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, path, url] = &args[..]
        && flag == "--save"
    {
        save(&browser, path.clone(), url);
        return uptick::run();
    }
    if args.is_empty() {
        args.push("http://127.0.0.1:8080/".into());
    }
    for url in args {
        let request = browser.get(&url).on("response", |response: Response| {
            let (status, length) = (response.status(), response.body().len());
            println!(
                "{}: {status}, {:?}, {length} bytes",
                response.url(),
                response.version()
            );
            println!("{}", response.text());
        });
        request.on("error", |e: Error| eprintln!("{e}"));
    }
    uptick::run()
}

fn save(browser: &Browser, path: String, url: &str) {
    browser.get(url).streaming().then(move |result| {
        let response = match result {
            Ok(response) => response,
            Err(e) => return eprintln!("{e}"),
        };
        let file = match File::create(&path).map(WritableResourceStream::new) {
            Ok(Ok(file)) => file,
            Ok(Err(e)) => return eprintln!("{path}: {e}"),
            Err(e) => return eprintln!("{path}: {e}"),
        };
        let body = response.into_stream();
        body.on("error", |e: uptick::stream::Error| eprintln!("{e}"));
        body.pipe(file)
            .on("close", move |()| println!("saved {path}"));
    });
}
