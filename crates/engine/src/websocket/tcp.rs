//! The WebSocket over a plain socket: any thread may write to it, and its shard gives the reader its turns.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::reader::{Reader, TcpReader};
use crate::application::Application;
use crate::conn::{Carrier, Conn, Handover};
use crate::shard::{Entry, Rest};

/// Lets a plain socket carry the session; its connection has been entered into the poller.
pub(crate) fn serve<A: Application>(
    conn: &Arc<Conn<A>>,
    entry: Entry,
    stream: TcpStream,
    reader: Reader,
    rest: Vec<u8>,
    handover: Handover,
) {
    let engine = conn.engine();
    let rest = Rest::new(rest, &engine.undecoded);
    let has_rest = rest.is_some();
    // Locked until all is there: the first turn may be due while it is still being made.
    let mut slot = conn.tcp.lock();
    let attached = stream
        .into_std()
        .map(|stream| Carrier::Tcp(mio::net::TcpStream::from_std(stream), entry))
        .is_ok_and(|carrier| conn.attach(carrier, handover));
    if attached {
        *slot = Some(Box::new(TcpReader { reader, rest, waker: None, entry, _running: engine.begin_work() }));
    }
    drop(slot);
    if !attached {
        engine.poller.leave(conn, entry);
    } else if has_rest || conn.is_finished() {
        engine.poller.again(conn);
    }
}
