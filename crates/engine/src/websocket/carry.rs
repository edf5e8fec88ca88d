//! Lets a WebSocket carry a session.

use std::pin::Pin;
use std::sync::Arc;

use sockeye_websocket::Decoder;

use super::io::{Io, Stream};
use super::reader::Reader;
use super::stream::StreamTask;
use super::tcp;
use crate::application::Application;
use crate::conn::{Conn, Handover};

/// The WebSocket of a new session.
pub(crate) fn run<A: Application>(
    conn: &Arc<Conn<A>>,
    io: Io,
    first: Vec<u8>,
    decoder: Decoder,
    deflate: Option<usize>,
) {
    serve(conn, io, first, decoder, Handover { is_upgrade: false, deflate });
}

/// Lets a WebSocket carry a session from now on.
pub(crate) fn serve<A: Application>(conn: &Arc<Conn<A>>, io: Io, rest: Vec<u8>, decoder: Decoder, handover: Handover) {
    let reader = Reader::new(decoder, conn.revision());
    let stream: Pin<Box<dyn Stream>> = match io {
        Io::Tcp(stream) => match conn.engine().poller.enter(conn) {
            Some(entry) => return tcp::serve(conn, entry, stream, reader, rest, handover),
            None => Box::pin(stream),
        },
        Io::Other(stream) => stream,
    };
    StreamTask::serve(conn, stream, reader, rest, handover);
}
