//! Finds out who owns what: now and then, and whenever it may be another.

use std::sync::Arc;
use std::time::Duration;

use redis::ServerError;
use tokio::time::{sleep, timeout};

use crate::connection::Backoff;
use crate::connection::Role;
use crate::connection::map::{Address, Map, Redirect};
use crate::link::Link;

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut backoff = Backoff::new(&link.options);
    loop {
        let avoided = link.suspect.lock().take();
        let known = link.map.lock().clone();
        match link.servers.resolve(known.as_deref(), avoided.as_ref()).await {
            Ok(mut map) => {
                map.choose_any(known.as_deref().map(Map::any), avoided.as_ref());
                link.adopt(map);
                link.note_restored();
                // Many reports at once are one.
                sleep(PAUSE).await;
                let _in_time = timeout(INTERVAL, link.map_stale.notified()).await;
            }
            Err(error) => {
                link.note_lost(Role::Asking, None, &error);
                backoff.wait().await;
            }
        }
    }
}

impl Link {
    /// There may be other owners than those that are known, perhaps because one has failed.
    pub(crate) fn refresh_map(&self, failed: Option<&Address>) {
        if let Some(failed) = failed {
            *self.suspect.lock() = Some(failed.clone());
        }
        self.map_stale.notify_one();
    }

    /// What a server at this address says with an error, where it can mean something.
    pub(crate) fn redirect(&self, error: &ServerError, asked: &Address) -> Option<Redirect> {
        Redirect::read(error, asked).filter(|redirect| match redirect {
            // At a fixed address another server may be the master now: the connection is made anew.
            Redirect::Later | Redirect::Demoted => true,
            Redirect::Moved { .. } | Redirect::Ask { .. } => self.servers.is_cluster(),
        })
    }

    /// A server has said that another one has this slot now.
    pub(crate) fn slot_moved(&self, slot: u16, to: &Address) {
        let known = self.map.lock().clone();
        if let Some(map) = known.filter(|map| !map.has(to, slot)) {
            self.adopt(map.with_moved(slot, to));
        }
        self.refresh_map(None);
    }

    /// A server has named another one, which may own nothing yet.
    pub(crate) fn owner_found(&self, owner: &Address) {
        let known = self.map.lock().clone();
        if let Some(map) = known.filter(|map| !map.owners().contains(owner)) {
            self.adopt(map.with_owner(owner));
        }
    }

    /// These are the owners now.
    pub(crate) fn adopt(&self, map: Map) {
        let mut known = self.map.lock();
        if known.as_deref() == Some(&map) {
            return;
        }
        let masters = map.owners().iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
        match known.as_deref() {
            None => tracing::debug!(masters, "the masters of Redis"),
            Some(before) if before.has_same_owners(&map) => {}
            Some(_) => {
                self.metrics.owner_changes.increment();
                tracing::info!(masters, "other masters of Redis, or other slots");
            }
        }
        let map = Arc::new(map);
        *known = Some(map.clone());
        self.table.adopt(&map);
        self.outgoing.adopt(&map);
        drop(known);
        self.health.notify();
    }
}

/// How often the servers are asked although nothing has failed: a connection to a master that is none any more may go on working.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long reports of failures lead to no question after there was an answer.
const PAUSE: Duration = Duration::from_millis(50);
