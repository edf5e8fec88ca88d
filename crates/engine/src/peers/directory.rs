//! The directory: at which address the owner of a session is found.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::Instant;

/// The number by which session ids name a node, chosen at random each time it starts. It is shown as eight hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeTag(u32);

impl NodeTag {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    pub(crate) const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }
}

impl fmt::Display for NodeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A future of a [`Directory`].
pub type DirectoryFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DirectoryError>> + Send + 'a>>;

/// Why a directory did not do what it was asked.
#[derive(Clone, Debug, Error)]
#[error("the directory of nodes is not reached: {0}")]
pub struct DirectoryError(
    /// What went wrong.
    pub String,
);

/// Where nodes leave their addresses for one another. A store that all of them reach implements it; [`MemoryDirectory`] is for
/// nodes of one process.
///
/// The server gives its methods a bounded time, and then drops their futures.
pub trait Directory: Send + Sync + fmt::Debug + 'static {
    /// Enters the address of a node, or renews it. It is forgotten after `time_to_live`.
    ///
    /// # Errors
    ///
    /// It may not have been entered.
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, time_to_live: Duration) -> DirectoryFuture<'a, ()>;

    /// The address of a node, or `None` if it is not known, or not any more.
    ///
    /// # Errors
    ///
    /// It cannot be told.
    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>>;

    /// Forgets a node, which leaves.
    ///
    /// # Errors
    ///
    /// It may be known until its time to live is over.
    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()>;
}

impl<D: Directory + ?Sized> Directory for Arc<D> {
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, time_to_live: Duration) -> DirectoryFuture<'a, ()> {
        (**self).announce(node, address, time_to_live)
    }

    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        (**self).find(node)
    }

    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
        (**self).withdraw(node)
    }
}

/// A directory for the nodes of one process: for tests. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct MemoryDirectory(Arc<Mutex<HashMap<NodeTag, (String, Instant)>>>);

impl Directory for MemoryDirectory {
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, time_to_live: Duration) -> DirectoryFuture<'a, ()> {
        self.0.lock().insert(node, (address.to_owned(), Instant::now() + time_to_live));
        Box::pin(std::future::ready(Ok(())))
    }

    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        let mut nodes = self.0.lock();
        nodes.retain(|_, (_, until)| *until > Instant::now());
        let address = nodes.get(&node).map(|(address, _)| address.clone());
        Box::pin(std::future::ready(Ok(address)))
    }

    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
        self.0.lock().remove(&node);
        Box::pin(std::future::ready(Ok(())))
    }
}
