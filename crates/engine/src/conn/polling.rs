//! Long-polling: one GET that waits, one POST at a time.

use std::sync::Arc;

use sockeye_protocol::CloseReason;
use tokio::sync::oneshot;

use super::state::{Lane, PendingPoll};
use super::{Conn, Ending, PollRefused, PollReply};
use crate::application::Application;

impl<A: Application> Conn<A> {
    /// A GET: its response comes when there is data.
    pub(crate) fn poll(self: &Arc<Self>, supports_binary: bool) -> Result<oneshot::Receiver<PollReply>, PollRefused> {
        let (reply, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let is_base64 = state.base64;
        let Lane::Polling(pending) = &mut state.lane else { return Err(PollRefused) };
        if pending.is_some() {
            drop(state);
            self.close(CloseReason::TransportError, Ending::Graceful, "overlap from client");
            return Err(PollRefused);
        }
        *pending = Some(PendingPoll { supports_binary: supports_binary && !is_base64, reply });
        drop(state);
        // Whoever else flushes now: afterwards the reply is there if there was anything to say.
        self.write_outbox();
        Ok(receiver)
    }

    /// The client went away while its GET waited: the end of the session, if that is still on long-polling.
    pub(crate) fn poll_abandoned(self: &Arc<Self>) {
        let is_polling = matches!(self.state.lock().lane, Lane::Polling(_));
        if is_polling {
            self.transport_ended(CloseReason::TransportError, "poll connection closed prematurely");
        }
    }

    /// A POST begins; false if one is being handled already, which ends the session.
    pub(crate) fn begin_post(self: &Arc<Self>) -> bool {
        let overlaps = std::mem::replace(&mut self.state.lock().posting, true);
        if overlaps {
            self.close(CloseReason::TransportError, Ending::Graceful, "data request overlap from client");
        }
        !overlaps
    }

    /// The POST is handled.
    pub(crate) fn end_post(&self) {
        self.state.lock().posting = false;
    }
}
