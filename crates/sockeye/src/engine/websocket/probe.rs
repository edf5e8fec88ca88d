//! The WebSocket that probes for a long-polling session, and the one that nobody wants.

use std::sync::Arc;

use sockeye_protocol::engine::{Packet, ProbeOutcome};
use sockeye_websocket::{Decoder, Event, Input, OpCode, write_close, write_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Io;
use super::stream::LAST_WORDS;
use crate::engine::conn::{Conn, Handover};

/// A WebSocket that wants to take over a long-polling session.
pub(crate) async fn run_probe(
    conn: Arc<Conn>,
    mut io: Io,
    first: Vec<u8>,
    mut decoder: Decoder,
    deflate: Option<usize>,
) {
    // The session gives up a probe after the upgrade timeout; this is for one that is stuck in a write.
    let limit = conn.server().options.upgrade_timeout.saturating_add(LAST_WORDS);
    let rest = match &mut io {
        Io::Tcp(stream) => tokio::time::timeout(limit, probe(&conn, stream, first, &mut decoder)).await,
        Io::Other(stream) => tokio::time::timeout(limit, probe(&conn, stream, first, &mut decoder)).await,
    };
    let Ok(Some(rest)) = rest else {
        if rest.is_err() {
            conn.abort_probe();
        }
        let _unsaid = tokio::time::timeout(LAST_WORDS, refuse(io)).await;
        return;
    };
    super::serve(&conn, io, rest, decoder, Handover { is_upgrade: true, deflate });
}

/// Refuses a WebSocket whose session does not want it: a close without a status.
pub(crate) async fn refuse(io: Io) {
    let mut frame = Vec::new();
    write_close(&mut frame, None, "");
    let mut stream = io.into_stream();
    if stream.write_all(&frame).await.is_ok() {
        linger(&mut stream).await;
    }
}

/// Answers the client's probe until it asks for the upgrade. Gives back what was read beyond that; none if it came to nothing.
async fn probe<S>(conn: &Arc<Conn>, stream: &mut S, first: Vec<u8>, decoder: &mut Decoder) -> Option<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(abort) = conn.begin_probe() else {
        tracing::debug!(sid = conn.id().as_str(), "second upgrade of a session refused");
        return None;
    };
    let mut buffer: Vec<u8> = first;
    loop {
        let mut reply = Vec::new();
        let mut input = Input::new(&mut buffer);
        let outcome = loop {
            match decoder.decode(&mut input) {
                Ok(None) => break None,
                Ok(Some(Event::Ping(data))) => write_frame(&mut reply, OpCode::Pong, data),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Text(text))) => {
                    match Packet::decode_text(text, conn.revision()).map(|packet| conn.handle_probe_packet(packet)) {
                        Ok(ProbeOutcome::Pong) => write_frame(&mut reply, OpCode::Text, b"3probe"),
                        Ok(outcome) => break Some(outcome),
                        Err(_) => break Some(ProbeOutcome::Abort),
                    }
                }
                Ok(Some(Event::Binary(_) | Event::Close { .. })) | Err(_) => break Some(ProbeOutcome::Abort),
            }
        };
        if matches!(outcome, Some(ProbeOutcome::Upgrade)) {
            let rest = input.remaining();
            return Some(buffer.split_off(buffer.len().saturating_sub(rest)));
        }
        if outcome.is_some() || (!reply.is_empty() && stream.write_all(&reply).await.is_err()) {
            break;
        }
        buffer.resize(1024, 0);
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = abort.notified() => break,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(count) => buffer.truncate(count),
        }
    }
    conn.abort_probe();
    None
}

/// Reads on for a moment, so that the close frame is not overtaken by a reset.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let wait = async {
        let mut buffer = vec![0; 512];
        let _unclean = stream.shutdown().await;
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    };
    let _late = tokio::time::timeout(LAST_WORDS, wait).await;
}
