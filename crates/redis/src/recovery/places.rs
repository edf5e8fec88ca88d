//! How far each stream has been carried out on this node.

use std::time::Duration;

use tokio::sync::watch;

use super::EntryId;

/// A place in each stream: all entries up to it have been delivered here. None until the reader has begun.
#[derive(Debug)]
pub(crate) struct Places(Vec<watch::Sender<Place>>);

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Where the reader began.
    begun: Option<EntryId>,
    at: Option<EntryId>,
}

impl Places {
    pub(crate) fn new(streams: usize) -> Self {
        Self((0..streams).map(|_| watch::Sender::default()).collect())
    }

    /// The reader begins behind this entry.
    pub(crate) fn begin(&self, stream: usize, id: EntryId) {
        if let Some(place) = self.0.get(stream) {
            place.send_replace(Place { begun: Some(id), at: Some(id) });
        }
    }

    /// This entry has been delivered.
    pub(crate) fn advance(&self, stream: usize, id: EntryId) {
        if let Some(place) = self.0.get(stream) {
            place.send_modify(|place| place.at = Some(id));
        }
    }

    pub(super) fn begun(&self, stream: usize) -> Option<EntryId> {
        self.0.get(stream)?.borrow().begun
    }

    pub(super) fn at(&self, stream: usize) -> Option<EntryId> {
        self.0.get(stream)?.borrow().at
    }

    /// Waits until all up to this entry has been delivered; none if that takes too long.
    pub(super) async fn reached(&self, stream: usize, id: EntryId, timeout: Duration) -> Option<()> {
        let mut place = self.0.get(stream)?.subscribe();
        let reached = place.wait_for(|place| place.at.is_some_and(|at| at >= id));
        let result = tokio::time::timeout(timeout, reached).await;
        result.ok()?.ok().map(drop)
    }
}
