//! nginx as a single process, if it is installed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::super::announce;
use super::{free_port, version_of};

/// Returns the version of nginx; `None` if it is not installed.
pub(crate) fn version() -> Option<String> {
    version_of("nginx", "-v", "nginx version: nginx/")
}

/// Announces the address and replaces this process with nginx, which listens a moment later.
///
/// nginx responds with `return`, which is faster than a file. Connections are idle while the other servers take their turns,
/// and have more requests than the default limit.
pub(in super::super) fn serve(directory: &Path) -> Result<()> {
    let port = free_port()?;
    let configuration = format!(
        "daemon off;
        master_process off;
        pid nginx.pid;
        error_log stderr;
        events {{ worker_connections 20000; }}
        http {{
            access_log off;
            client_body_temp_path body;
            fastcgi_temp_path fastcgi;
            proxy_temp_path proxy;
            scgi_temp_path scgi;
            uwsgi_temp_path uwsgi;
            keepalive_timeout 3600;
            keepalive_requests 1000000000;
            default_type text/plain;
            charset utf-8;
            server {{
                listen 127.0.0.1:{port} http2;
                location = /hello {{ return 200 'Hello, World!'; }}
            }}
        }}\n"
    );
    let path = directory.join("nginx.conf");
    fs::write(&path, configuration)?;
    announce(format_args!("127.0.0.1:{port}"))?;
    let error = Command::new("nginx")
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .exec();
    Err(error).context("starting nginx failed")
}
