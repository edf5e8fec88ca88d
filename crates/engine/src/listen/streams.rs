//! The streams of HTTP/2, each a task of its own: counted while they live, and cut when their client does not read.
//!
//! A connection of HTTP/2 may go on while one stream of it is not read, so the watch of the connection does not see that. The
//! HTTP library takes a response apart no further than its body does, and holds what it has taken until there is room for it.
//! Bodies are handed to it in small pieces therefore, and the time counts from one to the next.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::Sleep;

use super::activity::{Activity, Open};
use crate::metrics::{ConnectionFailure, Metrics};

/// Runs the streams of a connection. A WebSocket within HTTP/2 is one for as long as it lives, whoever has asked for it.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) activity: Arc<Activity>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) write_timeout: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (open, metrics, write_timeout) = (self.activity.open(), self.metrics.clone(), self.write_timeout);
        TokioExecutor::new().execute(async move {
            if !run(stream, write_timeout).await {
                metrics.connection_failed(ConnectionFailure::WriteTimeout, &"a stream is not read", &"HTTP/2");
            }
            drop(open);
        });
    }
}

/// Runs a stream. False: its client did not read it.
async fn run(stream: impl Future, write_timeout: Duration) -> bool {
    let mut stream = pin!(stream);
    // Most streams never need one.
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(|context| {
        BODY.set(Progress::None);
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        match BODY.get() {
            Progress::None => {}
            Progress::Waits => timer = None,
            Progress::Given => timer = Some(Box::pin(tokio::time::sleep(write_timeout))),
        }
        timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(context).map(|()| false))
    })
    .await
}

/// What a body has done while its stream was polled.
#[derive(Clone, Copy)]
enum Progress {
    /// It was not asked.
    None,
    /// It was asked, and waits for the program.
    Waits,
    /// It has given a piece, which is to be written.
    Given,
}

thread_local! {
    /// Of the stream that is being polled: the library does not tell which of its bodies belongs to which task.
    static BODY: Cell<Progress> = const { Cell::new(Progress::None) };
}

/// The body of a response on a stream.
pub(crate) struct Pieces<B> {
    pub(crate) body: Pin<Box<B>>,
    /// What is left of a frame of the body.
    rest: Bytes,
    _open: Open,
}

impl<B> Pieces<B> {
    pub(crate) fn new(body: B, open: Open) -> Self {
        Self { body: Box::pin(body), rest: Bytes::new(), _open: open }
    }

    fn piece(&mut self) -> Bytes {
        self.rest.split_to(self.rest.len().min(PIECE))
    }
}

impl<B: Body<Data = Bytes>> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        BODY.set(Progress::Waits);
        if self.rest.is_empty() {
            match ready!(self.body.as_mut().poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        BODY.set(Progress::Given);
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (u64::try_from(self.rest.len()).unwrap_or(u64::MAX), self.body.size_hint());
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
    }
}

/// Bytes of a response that the library takes at a time, as large as its frames.
const PIECE: usize = 16 << 10;
