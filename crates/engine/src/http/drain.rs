//! Reads on what is left of a request that is answered already.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::application::Application;

/// Throws away what is still to come of a body. A client that writes all before it reads would lose the answer if the
/// connection was closed instead; the official server reads on as well.
pub(crate) fn drain<A: Application, B>(app: &Arc<A>, mut body: Pin<Box<B>>)
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    let closing = app.clone();
    app.engine().spawn(async move {
        let read = async {
            let mut left = MAX_DRAINED;
            while let Some(Ok(frame)) = body.frame().await {
                match left.checked_sub(frame.data_ref().map_or(0, |data| data.remaining())) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        tokio::select! {
            _ended_or_not = tokio::time::timeout(DRAIN_TIMEOUT, read) => {}
            () = closing.engine().closed() => {}
        }
    });
}

const MAX_DRAINED: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
