#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Parts that no public item uses yet.
#![allow(dead_code)]

mod error;
mod transport;

pub use error::{Error, ErrorKind};
