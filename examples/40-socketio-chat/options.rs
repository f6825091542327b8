//! The command line options.

use std::path::PathBuf;

const USAGE: &str = "usage: 40-socketio-chat [--listen ADDRESS] [--workers N] [--client DIRECTORY]";

#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) listen: String,
    pub(crate) workers: usize,
    /// The directory of the official client, which contains `socket.io.min.js`.
    pub(crate) client: PathBuf,
}

impl Options {
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            listen: "127.0.0.1:8080".into(),
            workers: 1,
            client: "target/tools/node_modules/socket.io-client/dist".into(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{name} takes a value; {USAGE}"))
            };
            match name.as_str() {
                "--listen" => options.listen = value()?,
                "--workers" => {
                    let number = value()?.parse().ok().filter(|number| *number > 0);
                    options.workers =
                        number.ok_or_else(|| format!("--workers takes a number; {USAGE}"))?;
                }
                "--client" => options.client = value()?.into(),
                _ => return Err(format!("there is no option {name}; {USAGE}")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, String> {
        Options::read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn options_have_defaults() {
        let options = read(&[]).unwrap();
        assert_eq!(
            (options.listen.as_str(), options.workers),
            ("127.0.0.1:8080", 1)
        );
        let options =
            read(&["--workers", "3", "--client", "/dist", "--listen", "[::1]:1"]).unwrap();
        assert_eq!((options.listen.as_str(), options.workers), ("[::1]:1", 3));
        assert_eq!(options.client, PathBuf::from("/dist"));
    }

    #[test]
    fn invalid_options_are_refused() {
        for arguments in [
            &["--listen"][..],
            &["--workers", "0"],
            &["--workers", "many"],
            &["x"],
        ] {
            assert!(
                read(arguments).unwrap_err().contains("usage:"),
                "{arguments:?}"
            );
        }
    }
}
