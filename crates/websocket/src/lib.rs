//! WebSocket (RFC 6455) and permessage-deflate (RFC 7692) without I/O, for servers and clients.
//!
//! The caller reads bytes from wherever they come and hands them to a [`Decoder`], which gives back [`Event`]s; what is to be
//! sent is written into a `Vec<u8>` by [`write_frame`] and its siblings. A message that lies whole in the bytes received is
//! returned as a borrow of them: nothing is copied, nothing is allocated. Memory is held only while a frame or a message is
//! incomplete, and [`Limits`] bound it before it is taken.
//!
//! # Example
//!
//! ```
//! use sockeye_websocket::{Decoder, Event, Input, Limits, OpCode, Role, write_frame, write_masked_frame};
//!
//! let mut wire = Vec::new();
//! write_masked_frame(&mut wire, OpCode::Text, false, b"hello", [1, 2, 3, 4]);
//!
//! let mut decoder = Decoder::new(Role::Server, Limits::default());
//! let mut answer = Vec::new();
//! let mut input = Input::new(&mut wire);
//! while let Some(event) = decoder.decode(&mut input)? {
//!     if let Event::Text(text) = event {
//!         write_frame(&mut answer, OpCode::Text, text.as_bytes());
//!     }
//! }
//! assert_eq!(answer, b"\x81\x05hello");
//! # Ok::<(), sockeye_websocket::Error>(())
//! ```
#![warn(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod close;
mod decoder;
pub mod deflate;
mod encode;
mod error;
mod frame;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
pub mod handshake;
mod input;
mod mask;
mod partial;

pub use close::is_valid_close_code;
pub use decoder::{Decoder, Event, Limits};
pub use deflate::{Deflater, Inflater};
pub use encode::{
    MAX_HEADER, header_len, write_close, write_frame, write_header, write_masked_close, write_masked_frame,
};
pub use error::Error;
pub use frame::{OpCode, Role};
pub use input::Input;
pub use mask::apply_mask;
