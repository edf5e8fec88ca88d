//! The WebSocket transport: reads frames for one connection, and probes for one that wants to upgrade.
//!
//! An idle connection owns no buffer: bytes are read into a scratch buffer of the thread once the socket is readable, and
//! only the rest of a cut frame is kept, by the decoder.

mod carry;
mod io;
mod probe;
mod reader;
mod stream;
mod tcp;

pub(crate) use self::carry::run;
pub(crate) use self::io::{Io, Stream};
pub(crate) use self::probe::{refuse, run_probe};
pub(crate) use self::reader::{Flow, Reader, TURNS, TcpReader, tail, with_scratch};
