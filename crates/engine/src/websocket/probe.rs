//! The WebSocket that probes for a long-polling session, and the one that nobody wants.

use std::sync::Arc;

use sockeye_protocol::engine::{Packet, ProbeOutcome};
use sockeye_websocket::{Decoder, Event, Input, OpCode, write_close, write_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::carry::serve;
use super::io::Io;
use super::stream::{LAST_WORDS, discard};
use crate::application::Application;
use crate::conn::{Conn, Handover};

/// A WebSocket that wants to take over a long-polling session.
pub(crate) async fn run_probe<A: Application>(
    conn: Arc<Conn<A>>,
    mut io: Io,
    first: Vec<u8>,
    mut decoder: Decoder,
    deflate: Option<usize>,
) {
    // The session gives up a probe after the upgrade timeout; this is for one that is stuck in a write.
    let limit = conn.engine().options.upgrade_timeout.saturating_add(LAST_WORDS);
    let rest = match &mut io {
        Io::Tcp(stream) => tokio::time::timeout(limit, probe(&conn, stream, first, &mut decoder)).await,
        Io::Other(stream) => tokio::time::timeout(limit, probe(&conn, stream, first, &mut decoder)).await,
    };
    let rest = match rest {
        Ok(Ok(rest)) => rest,
        refused => {
            if refused.is_err() {
                conn.abort_probe();
            }
            let code = refused.ok().and_then(Result::err).and_then(|Refused(code)| code);
            let _unsaid = tokio::time::timeout(LAST_WORDS, close(io, code)).await;
            return;
        }
    };
    serve(&conn, io, rest, decoder, Handover { is_upgrade: true, deflate });
}

/// The probe came to nothing; with the code for the close frame, if the client broke the WebSocket protocol.
struct Refused(Option<u16>);

/// Refuses a WebSocket whose session does not want it: a close without a status.
pub(crate) async fn refuse(io: Io) {
    close(io, None).await;
}

async fn close(io: Io, code: Option<u16>) {
    let mut frame = Vec::new();
    write_close(&mut frame, code, "");
    let mut stream = io.into_stream();
    if stream.write_all(&frame).await.is_ok() {
        linger(&mut stream).await;
    }
}

/// Answers the client's probe until it asks for the upgrade. Gives back what was read beyond that.
async fn probe<A: Application, S>(
    conn: &Arc<Conn<A>>,
    stream: &mut S,
    first: Vec<u8>,
    decoder: &mut Decoder,
) -> Result<Vec<u8>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(abort) = conn.begin_probe() else {
        tracing::debug!(sid = conn.id().as_str(), "second upgrade of a session refused");
        return Err(Refused(None));
    };
    let mut code = None;
    let mut buffer: Vec<u8> = first;
    'reading: loop {
        let mut reply = Vec::new();
        let mut input = Input::new(&mut buffer);
        loop {
            let outcome = match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Ping(data))) => {
                    write_frame(&mut reply, OpCode::Pong, data);
                    continue;
                }
                Ok(Some(Event::Pong(_))) => continue,
                Ok(Some(Event::Text(text))) => Packet::decode_text(text, conn.revision())
                    .map_or(ProbeOutcome::Abort, |packet| conn.handle_probe_packet(packet)),
                Ok(Some(Event::Binary(_) | Event::Close { .. })) => ProbeOutcome::Abort,
                Err(error) => {
                    code = Some(error.close_code());
                    ProbeOutcome::Abort
                }
            };
            match outcome {
                ProbeOutcome::Pong => {
                    write_frame(&mut reply, OpCode::Text, b"3probe");
                    // At once: the upgrade may come in the same read, and then nobody comes back to this.
                    if stream.write_all(&reply).await.is_err() {
                        break 'reading;
                    }
                    reply.clear();
                }
                ProbeOutcome::Upgrade => {
                    let rest = input.remaining();
                    return Ok(buffer.split_off(buffer.len().saturating_sub(rest)));
                }
                ProbeOutcome::Abort => break 'reading,
            }
        }
        if !reply.is_empty() && stream.write_all(&reply).await.is_err() {
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
    Err(Refused(code))
}

/// Reads on for a moment, so that the close frame is not overtaken by a reset.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let wait = async {
        let _unclean = stream.shutdown().await;
        discard(stream).await;
    };
    let _late = tokio::time::timeout(LAST_WORDS, wait).await;
}
