//! A client's long-polling: one request waits for packets, another takes what is to be sent.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use sockeye_protocol::engine::{Data, PacketKind, PayloadEncoder, Revision, decode_payload};

use super::Until;
use super::http::{Http, Request};
use crate::error::Failure;
use crate::plan::Plan;
use crate::session::{Outgoing, Session};
use crate::target::Resolved;

/// An open session.
pub(super) struct Connection {
    /// The path of every request, with the id of the session.
    path: String,
    out: Packets,
    get: Exchange,
    post: Post,
}

type Exchange = Pin<Box<dyn Future<Output = Result<(Http, Bytes), Failure>> + Send>>;

enum Post {
    Idle(Http),
    UnderWay(Exchange),
    /// Only between the two.
    Moved,
}

#[derive(Deserialize)]
struct Open {
    sid: String,
}

impl Connection {
    /// Asks for a session, and gives its first packets to `session`.
    pub(super) async fn open(target: &Arc<Resolved>, plan: &Plan, session: &mut Session) -> Result<Self, Failure> {
        let path = format!("{}?EIO=4&transport=polling", plan.path);
        let request = Request { what: "handshake", path: path.clone(), body: None };
        let (http, body) = Http::new(target.clone()).exchange(request).await?;
        let sid = session_id(&body)?;
        let path = format!("{path}&sid={sid}");
        let mut out = Packets::default();
        receive(&body, session, &mut out)?;
        Ok(Self { get: poll(http, &path), post: Post::Idle(Http::new(target.clone())), path, out })
    }

    /// Moves packets. Returns when the session has come so far, or has failed.
    pub(super) async fn run(&mut self, session: &mut Session, until: Until) -> Result<(), Failure> {
        let shared = session.shared().clone();
        loop {
            {
                let mut tally = shared.stats.tally(session.client());
                session.poll_send(&mut tally, &mut self.out);
            }
            match until {
                Until::Ready if session.is_ready() => return Ok(()),
                Until::Closing if shared.is_closing() => return self.close().await,
                _ => {}
            }
            self.post_what_waits();
            tokio::select! {
                polled = &mut self.get => {
                    let (http, body) = polled?;
                    self.get = poll(http, &self.path);
                    receive(&body, session, &mut self.out)?;
                }
                posted = posted(&mut self.post) => self.post = Post::Idle(posted?),
                () = shared.woken(session.client()) => {}
            }
        }
    }

    fn post_what_waits(&mut self) {
        if self.out.len() == 0 {
            return;
        }
        self.post = match std::mem::replace(&mut self.post, Post::Moved) {
            Post::Idle(http) => {
                let body = Some(self.out.take());
                let request = Request { what: "POST", path: self.path.clone(), body };
                Post::UnderWay(Box::pin(http.exchange(request)))
            }
            other => other,
        };
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.out.push(PacketKind::Close, "");
        self.post_what_waits();
        posted(&mut self.post).await.map(drop)
    }
}

/// Packets that wait for a request.
#[derive(Debug)]
struct Packets(PayloadEncoder);

impl Packets {
    fn take(&mut self) -> Bytes {
        std::mem::take(self).0.finish().bytes.into()
    }
}

impl Default for Packets {
    fn default() -> Self {
        Self(PayloadEncoder::new(Revision::V4, false))
    }
}

impl Outgoing for Packets {
    fn push(&mut self, kind: PacketKind, text: &str) {
        self.0.push_text(kind, text);
    }

    fn push_binary(&mut self, data: &[u8]) {
        self.0.push_binary_message(data);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

fn poll(http: Http, path: &str) -> Exchange {
    Box::pin(http.exchange(Request { what: "poll", path: path.to_owned(), body: None }))
}

/// Ends when the request that is under way has; never if there is none.
async fn posted(post: &mut Post) -> Result<Http, Failure> {
    match post {
        Post::UnderWay(exchange) => Ok(exchange.await?.0),
        Post::Idle(_) | Post::Moved => std::future::pending().await,
    }
}

fn receive(body: &[u8], session: &mut Session, out: &mut Packets) -> Result<(), Failure> {
    let shared = session.shared().clone();
    let now = shared.now();
    let mut tally = shared.stats.tally(session.client());
    for packet in decode_payload(body, false, Revision::V4) {
        let packet = packet.map_err(|error| Failure::Protocol(error.to_string()))?;
        session.handle_packet(packet, now, &mut tally, out)?;
    }
    Ok(())
}

fn session_id(body: &[u8]) -> Result<String, Failure> {
    let first = decode_payload(body, false, Revision::V4).next();
    match first {
        Some(Ok(packet)) if packet.kind == PacketKind::Open => {
            let Data::Text(text) = packet.data else { return Err(Failure::Protocol("binary handshake".to_owned())) };
            let open: Open = serde_json::from_str(&text).map_err(|error| Failure::Protocol(error.to_string()))?;
            Ok(open.sid)
        }
        _ => Err(Failure::Protocol("the handshake holds no session".to_owned())),
    }
}
