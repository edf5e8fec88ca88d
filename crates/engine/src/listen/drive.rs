//! Runs the connection of the HTTP library within its time limits, and tells how it ended.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::activity::Activity;
use super::watch::{Expired, Watch};
use crate::metrics::{ConnectionFailure, Metrics};

/// How a connection ended.
pub(crate) enum Ended {
    /// In an orderly way, or it was upgraded.
    Done,
    Failed(Box<dyn Error + Send + Sync>),
    /// It was cut.
    Expired(Expired),
}

/// Polls `connection` until it ends, or is out of time. `end` asks it to end after the requests that it has.
pub(crate) async fn drive<C>(
    connection: C,
    activity: &Activity,
    mut watch: Watch,
    closing: impl Future<Output = ()>,
    end: impl Fn(Pin<&mut C>),
) -> Ended
where
    C: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let (mut connection, mut closing) = (pin!(connection), pin!(closing));
    let mut is_closing = false;
    std::future::poll_fn(|context| {
        loop {
            match connection.as_mut().poll(context) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ended::Done),
                Poll::Ready(Err(error)) => return Poll::Ready(Ended::Failed(error)),
                Poll::Pending => {}
            }
            if !is_closing && closing.as_mut().poll(context).is_ready() {
                is_closing = true;
            } else {
                match watch.poll_expired(context) {
                    Poll::Ready(Expired::Idle) => {}
                    Poll::Ready(expired) => {
                        if expired == Expired::Write {
                            activity.is_cut.store(true, Ordering::Relaxed);
                            drop(connection.as_mut().poll(context));
                        }
                        return Poll::Ready(Ended::Expired(expired));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            watch.begin_end();
            end(connection.as_mut());
        }
    })
    .await
}

/// Counts how a connection ended.
pub(crate) fn report(metrics: &Metrics, ended: &Ended, activity: &Activity, remote: Option<SocketAddr>) {
    let (failure, detail): (_, &dyn std::fmt::Display) = match ended {
        Ended::Done => return,
        Ended::Expired(Expired::Head) => (ConnectionFailure::HeaderTimeout, &"the head of a request took too long"),
        Ended::Expired(Expired::Write) => (ConnectionFailure::WriteTimeout, &"the peer does not read"),
        Ended::Expired(Expired::Idle | Expired::End) => (ConnectionFailure::Other, &"the peer does not close"),
        Ended::Failed(error) => {
            let error = error.as_ref();
            let library = error.downcast_ref::<hyper::Error>();
            let is_broken = activity.is_broken.load(Ordering::Relaxed);
            let failure = match library {
                Some(library) if library.is_parse() => ConnectionFailure::MalformedRequest,
                // A peer that does not answer pings has broken no rule, nor has one that is gone.
                Some(library) if activity.is_http2.load(Ordering::Relaxed) && !library.is_timeout() && !is_broken => {
                    ConnectionFailure::Http2Error
                }
                _ => ConnectionFailure::Other,
            };
            return metrics.connection_failed(failure, &error, &remote);
        }
    };
    metrics.connection_failed(failure, detail, &remote);
}
