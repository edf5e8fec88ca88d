//! The addresses of other nodes: what the directory said, remembered for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::directory::{Directory, NodeTag};
use super::metrics::{ForwardFailure, PeerMetrics};

/// How long an address is taken for granted. It does not change while the node lives; this is for the owner's successor at the
/// same address, whose listener refuses what is meant for another.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// How long a node that the directory does not know is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Questions to the directory at a time. Who waits for its turn finds most often that another has brought the answer.
const LOOKUPS: usize = 16;

/// Where the owners of sessions are.
pub(crate) struct Owners {
    directory: Arc<dyn Directory>,
    timeout: Duration,
    max_nodes: usize,
    metrics: Arc<PeerMetrics>,
    lookups: Semaphore,
    remembered: Mutex<Remembered>,
}

/// Two tables, so that made-up owners do not drive out real ones.
#[derive(Default)]
struct Remembered {
    known: HashMap<NodeTag, (Authority, Instant)>,
    unknown: HashMap<NodeTag, Instant>,
}

impl Owners {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        timeout: Duration,
        max_nodes: usize,
        metrics: Arc<PeerMetrics>,
    ) -> Self {
        let lookups = Semaphore::new(LOOKUPS);
        Self { directory, timeout, max_nodes, metrics, lookups, remembered: Mutex::default() }
    }

    /// The address of a node.
    pub(crate) async fn find(&self, node: NodeTag) -> Result<Authority, ForwardFailure> {
        if let Some(answer) = self.remembered.lock().recall(node) {
            return answer;
        }
        match tokio::time::timeout(self.timeout, self.ask(node)).await {
            Ok(Err(ForwardFailure::Directory)) | Err(_) => {
                // An address that was right a while ago is better than none.
                let stale = self.remembered.lock().known.get(&node).map(|(address, _)| address.clone());
                stale.ok_or(ForwardFailure::Directory)
            }
            Ok(answer) => answer,
        }
    }

    async fn ask(&self, node: NodeTag) -> Result<Authority, ForwardFailure> {
        let Ok(_turn) = self.lookups.acquire().await else { return Err(ForwardFailure::Directory) };
        if let Some(answer) = self.remembered.lock().recall(node) {
            return answer;
        }
        self.metrics.lookups.increment();
        let found = self.directory.find(node).await.map_err(|error| {
            tracing::debug!(%node, %error, "a node was not looked up");
            ForwardFailure::Directory
        })?;
        let address: Option<Authority> = found.and_then(|address| address.parse().ok());
        self.remembered.lock().note(node, address.clone(), self.max_nodes);
        address.ok_or(ForwardFailure::Unknown)
    }

    /// A node was not found where it should be: the directory is asked anew.
    pub(crate) fn forget(&self, node: NodeTag) {
        self.remembered.lock().known.remove(&node);
    }
}

impl Remembered {
    fn recall(&self, node: NodeTag) -> Option<Result<Authority, ForwardFailure>> {
        let now = Instant::now();
        if let Some((address, until)) = self.known.get(&node)
            && *until > now
        {
            return Some(Ok(address.clone()));
        }
        self.unknown.get(&node).is_some_and(|until| *until > now).then_some(Err(ForwardFailure::Unknown))
    }

    fn note(&mut self, node: NodeTag, address: Option<Authority>, max: usize) {
        let now = Instant::now();
        let Some(address) = address else {
            self.known.remove(&node);
            if self.unknown.len() >= max {
                self.unknown.clear();
            }
            self.unknown.insert(node, now + UNKNOWN_FOR);
            return;
        };
        self.unknown.remove(&node);
        if self.known.len() >= max {
            self.known.retain(|_, (_, until)| *until > now);
        }
        if self.known.len() < max {
            self.known.insert(node, (address, now + KNOWN_FOR));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::directory::{DirectoryError, DirectoryFuture, MemoryDirectory};
    use super::*;

    /// A directory that can fail, or hang.
    #[derive(Debug, Default)]
    struct Faulty {
        inner: MemoryDirectory,
        fails: AtomicBool,
        hangs: AtomicBool,
    }

    impl Directory for Faulty {
        fn announce<'a>(&'a self, node: NodeTag, address: &'a str, time: Duration) -> DirectoryFuture<'a, ()> {
            self.inner.announce(node, address, time)
        }

        fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
            if self.hangs.load(Ordering::SeqCst) {
                return Box::pin(std::future::pending());
            }
            if self.fails.load(Ordering::SeqCst) {
                return Box::pin(std::future::ready(Err(DirectoryError("on purpose".to_owned()))));
            }
            self.inner.find(node)
        }

        fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
            self.inner.withdraw(node)
        }
    }

    fn owners(directory: Arc<Faulty>) -> (Owners, Arc<PeerMetrics>) {
        let metrics = Arc::<PeerMetrics>::default();
        (Owners::new(directory, Duration::from_secs(2), 4, metrics.clone()), metrics)
    }

    fn node(number: u8) -> NodeTag {
        NodeTag::from_bytes([0, 0, 0, number])
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_remembered_for_a_while() {
        let directory = Arc::<Faulty>::default();
        let (owners, metrics) = owners(directory.clone());
        directory.announce(node(1), "10.0.0.1:80", Duration::from_secs(3600)).await.unwrap();
        for _ in 0..3 {
            assert_eq!(owners.find(node(1)).await.unwrap(), "10.0.0.1:80");
            assert_eq!(owners.find(node(2)).await.unwrap_err(), ForwardFailure::Unknown);
        }
        assert_eq!(metrics.lookups.value(), 2);
        // One that was unknown may be there in the next moment.
        directory.announce(node(2), "10.0.0.2:80", Duration::from_secs(3600)).await.unwrap();
        tokio::time::advance(UNKNOWN_FOR).await;
        assert_eq!(owners.find(node(2)).await.unwrap(), "10.0.0.2:80");
        // One that has gone is found to be so.
        directory.withdraw(node(2)).await.unwrap();
        assert!(owners.find(node(2)).await.is_ok());
        owners.forget(node(2));
        assert_eq!(owners.find(node(2)).await.unwrap_err(), ForwardFailure::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_nodes_take_no_room_from_real_ones() {
        let directory = Arc::<Faulty>::default();
        let (owners, metrics) = owners(directory.clone());
        directory.announce(node(1), "10.0.0.1:80", Duration::from_secs(3600)).await.unwrap();
        owners.find(node(1)).await.unwrap();
        for number in 100..200 {
            owners.find(node(number)).await.unwrap_err();
            assert!(owners.remembered.lock().unknown.len() <= 4);
        }
        let before = metrics.lookups.value();
        owners.find(node(1)).await.unwrap();
        assert_eq!(metrics.lookups.value(), before);
        for number in 2..20 {
            directory.announce(node(number), "10.0.0.2:80", Duration::from_secs(3600)).await.unwrap();
            owners.find(node(number)).await.unwrap();
        }
        assert_eq!(owners.remembered.lock().known.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_fails_or_hangs_holds_nobody_up_for_long() {
        let directory = Arc::<Faulty>::default();
        let (owners, _) = owners(directory.clone());
        directory.announce(node(1), "10.0.0.1:80", Duration::from_secs(3600)).await.unwrap();
        owners.find(node(1)).await.unwrap();
        tokio::time::advance(KNOWN_FOR).await;
        directory.fails.store(true, Ordering::SeqCst);
        assert_eq!(owners.find(node(1)).await.unwrap(), "10.0.0.1:80", "what was right a while ago");
        assert_eq!(owners.find(node(2)).await.unwrap_err(), ForwardFailure::Directory);
        directory.hangs.store(true, Ordering::SeqCst);
        let start = Instant::now();
        assert_eq!(owners.find(node(3)).await.unwrap_err(), ForwardFailure::Directory);
        assert!(start.elapsed() <= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_none_counts_as_unknown() {
        let directory = Arc::<Faulty>::default();
        let (owners, _) = owners(directory.clone());
        directory.announce(node(1), "no address", Duration::from_secs(3600)).await.unwrap();
        assert_eq!(owners.find(node(1)).await.unwrap_err(), ForwardFailure::Unknown);
    }
}
