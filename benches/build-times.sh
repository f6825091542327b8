#!/usr/bin/env bash
# Measures build times and sizes, and prints them as a table: the first command of the README, the
# tests, and the smallest HTTP server next to the same on axum. Each build uses its own target
# directory, and starts with nothing but downloaded sources.
#
#   benches/build-times.sh                # the servers three times each in turns, the chat and the tests once
#   benches/build-times.sh servers        # one of: servers, chat, tests
#   ROUNDS=1 benches/build-times.sh
#
# The times cover the whole build. "CPU / 2" is its user and system time divided by two: the minimum
# on two processors. It depends less on other load of the machine than the wall time.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
what=${1:-all}
rounds=${ROUNDS:-3}
unset CARGO_INCREMENTAL CARGO_PROFILE_DEV_DEBUG RUSTFLAGS CARGO_TARGET_DIR
dir="$root/target/build-times"
mkdir -p "$dir"

# Creates a package for the smallest HTTP server: NAME, its dependency lines; main.rs on stdin.
package() {
    mkdir -p "$dir/$1/src"
    cat >"$dir/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
$2
TOML
    cat >"$dir/$1/src/main.rs"
    (cd "$dir/$1" && cargo fetch --quiet)
}

# Runs a command, and prints: wall time, CPU time / 2.
timed() {
    local TIMEFORMAT='%R %U %S' times
    times=$({ time "$@" >"$dir/log" 2>&1; } 2>&1) || { cat "$dir/log" >&2; return 1; }
    awk '{ printf "%.1f s | %.1f s", $1, ($2 + $3) / 2 }' <<<"$times"
}

crates() {
    (cd "$dir/$1" && cargo tree -e normal --prefix none | sed 's/ (\*)$//' | sort -u | wc -l)
}

servers() {
    package hello-uptick-http "uptick-http = { path = \"$root/crates/http\", default-features = false }" <<'RS'
use uptick_http::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let http = HttpServer::new();
    http.get("/", |_: Request| "Hello, world!");
    http.listen(Server::bind("127.0.0.1:8080")?);
    run()?;
    Ok(())
}
RS
    package hello-axum 'axum = "0.8"
tokio = { version = "1", features = ["full"] }' <<'RS'
use axum::{Router, routing::get};

#[tokio::main]
async fn main() {
    let app = Router::new().route("/", get(|| async { "Hello, World!" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await.unwrap();
    axum::serve(listener, app).await.unwrap();
}
RS
    local round name
    for ((round = 1; round <= rounds; round++)); do
        for name in hello-uptick-http hello-axum; do
            rm -rf "$dir/$name/target"
            printf '| `%s`, release | %s crates | %s |\n' "$name" "$(crates "$name")" \
                "$(cd "$dir/$name" && timed cargo build --release)"
        done
    done
}

# Starts the chat as described in the README, and waits until it listens.
start_chat() {
    cd "$root"
    CARGO_TARGET_DIR="$dir/chat" cargo run --example chat -- --listen 127.0.0.1:0 >"$dir/chat.out" &
    local cargo=$!
    until grep -q listening "$dir/chat.out"; do
        kill -0 "$cargo" || return 1
        sleep 0.1
    done
    # Cargo has replaced itself with the program.
    kill -INT "$cargo"
    wait "$cargo" || true
}

chat() {
    rm -rf "$dir/chat"
    printf '| `cargo run --example chat`, until it listens | | %s |\n' "$(timed start_chat)"
}

tests() {
    rm -rf "$dir/tests"
    local times
    times=$(cd "$root" && CARGO_TARGET_DIR="$dir/tests" timed cargo test --workspace --no-run)
    printf '| `cargo test --workspace --no-run` | %s in `target/debug` | %s |\n' \
        "$(du -sh "$dir/tests/debug" | cut -f1)" "$times"
    rm -rf "$dir/tests"
}

printf '| what | size | wall time | CPU / 2 |\n|---|---|---|---|\n'
case $what in
    all) servers; chat; tests ;;
    servers | chat | tests) "$what" ;;
    *) echo "usage: build-times.sh [servers | chat | tests]" >&2; exit 2 ;;
esac
