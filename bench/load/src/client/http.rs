//! One HTTP connection that carries one request after the other.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::stream::Stream;
use crate::error::Failure;
use crate::target::Resolved;

/// A connection, made when it is needed.
#[derive(Debug)]
pub(super) struct Http {
    target: Arc<Resolved>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    pub(super) fn new(target: Arc<Resolved>) -> Self {
        Self { target, sender: None }
    }

    /// Sends a request and gives the body of the response; by value, so that it can wait beside others.
    pub(super) async fn exchange(mut self, request: Request) -> Result<(Self, Bytes), Failure> {
        let ended = |error: hyper::Error| Failure::Ended(error.to_string());
        let mut kept = self.sender.take();
        let is_usable = match &mut kept {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let mut sender = match kept {
            Some(sender) if is_usable => sender,
            // None yet, or the server has closed it.
            _ => self.connect().await?,
        };
        let Request { what, path, body } = request;
        let method = if body.is_some() { http::Method::POST } else { http::Method::GET };
        let built = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, &self.target.authority)
            .header(http::header::CONTENT_TYPE, "text/plain;charset=UTF-8")
            .body(Full::new(body.unwrap_or_default()));
        let built = built.map_err(|error| Failure::Protocol(error.to_string()))?;
        let response = sender.send_request(built).await.map_err(ended)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST_BODY).collect().await;
        let body = body.map_err(|error| Failure::Ended(error.to_string()))?.to_bytes();
        if status != http::StatusCode::OK {
            return Err(Failure::of_status(&self.target.url, what, status.as_u16(), &body));
        }
        self.sender = Some(sender);
        Ok((self, body))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = Stream::open(&self.target).await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| Failure::Ended(error.to_string()))?;
        // It ends with the sender. What goes wrong there, the sender is told.
        tokio::spawn(async move { connection.await.unwrap_or_default() });
        Ok(sender)
    }
}

/// A request: a POST if there is a body, else a GET.
#[derive(Debug)]
pub(super) struct Request {
    /// What it is, for people.
    pub(super) what: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Bytes>,
}

/// The longest body of a response, in bytes.
const MOST_BODY: usize = 64 << 20;
