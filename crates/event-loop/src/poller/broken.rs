//! A substitute for a poller that could not be opened.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::{Interest, Poller, Readiness, Trigger, Wake};
use crate::token::Token;

/// A poller whose operations all fail with the error of opening the real one.
pub(crate) struct BrokenPoller {
    kind: io::ErrorKind,
    errno: Option<i32>,
}

/// A waker without effect.
pub(crate) struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

impl BrokenPoller {
    pub(crate) fn new(error: io::Error) -> Self {
        BrokenPoller {
            kind: error.kind(),
            errno: error.raw_os_error(),
        }
    }

    fn error(&self) -> io::Error {
        match self.errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => self.kind.into(),
        }
    }
}

impl Poller for BrokenPoller {
    fn watch(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest, _: Trigger) -> io::Result<()> {
        Err(self.error())
    }

    fn change(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest, _: Trigger) -> io::Result<()> {
        Err(self.error())
    }

    fn forget(&mut self, _: BorrowedFd<'_>) -> io::Result<()> {
        Err(self.error())
    }

    fn wait(&mut self, _: &mut Vec<(Token, Readiness)>, _: Option<Duration>) -> io::Result<()> {
        Err(self.error())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(NoWake)
    }
}
