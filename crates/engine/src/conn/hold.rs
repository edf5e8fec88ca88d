//! Holding back what a connection writes, while the client must not be told of something yet.

use std::sync::Arc;

use super::Conn;
use crate::application::Application;

/// Nothing that is queued for the connection is written while this lives. The order stays, and so do the bounds of the outbox: what is
/// held counts as what a client does not read.
///
/// It must not last long: a heartbeat is held, too. The end of the session is not.
#[must_use = "what is queued is written when this is dropped"]
pub struct Hold<A: Application>(Arc<Conn<A>>);

impl<A: Application> std::fmt::Debug for Hold<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hold").field(&self.0.id()).finish()
    }
}

impl<A: Application> Conn<A> {
    /// Holds back what is queued, from now on.
    pub fn hold(self: &Arc<Self>) -> Hold<A> {
        self.state.lock().holds += 1;
        Hold(self.clone())
    }
}

impl<A: Application> Drop for Hold<A> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.holds = state.holds.saturating_sub(1);
        let may_write = state.holds == 0 && !state.outbox.is_empty();
        drop(state);
        if may_write {
            self.0.mark_dirty();
        }
    }
}
