//! How far a log has been delivered on this node.

use std::time::Duration;

use tokio::sync::watch;

use super::Position;

/// Up to where the entries of a log have been delivered on this node. The reader of the log moves it; several namespaces may share it.
#[derive(Debug, Default)]
pub struct Cursor(watch::Sender<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    begun: Option<Position>,
    position: Option<Position>,
}

impl Cursor {
    /// The reader begins behind this entry.
    pub fn begin(&self, position: Position) {
        self.0.send_replace(State { begun: Some(position), position: Some(position) });
    }

    /// This entry has been delivered.
    pub fn advance(&self, position: Position) {
        self.0.send_modify(|state| state.position = Some(position));
    }

    /// Where the reader began; none until then.
    pub fn begun(&self) -> Option<Position> {
        self.0.borrow().begun
    }

    /// The entry that was delivered last; none until the reader has begun.
    pub fn position(&self) -> Option<Position> {
        self.0.borrow().position
    }

    /// Waits until all up to this entry has been delivered; none if that takes too long.
    pub(super) async fn reached(&self, position: Position, timeout: Duration) -> Option<()> {
        let mut state = self.0.subscribe();
        let reached = state.wait_for(|state| state.position.is_some_and(|at| at >= position));
        let result = tokio::time::timeout(timeout, reached).await;
        result.ok()?.ok().map(drop)
    }
}
