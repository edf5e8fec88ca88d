//! Nodes at the same broker that have other settings. They hear nothing of this node's cluster, or not all: mostly that is a mistake, and
//! nothing else tells of it.

use std::collections::{BTreeMap, HashSet};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{ClusterMetrics, NodeId};

/// The settings that this node announces to all others at the broker, and those that it has heard of. They go by a channel whose name
/// depends on no setting.
#[derive(Debug)]
pub struct Presence {
    own: Announcement,
    /// Differences that were logged.
    known: Mutex<HashSet<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Announcement {
    node: String,
    settings: BTreeMap<String, String>,
}

impl Presence {
    /// Of this node, whose settings must be those of all nodes of its cluster.
    pub fn new(node: &NodeId, settings: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { own: Announcement { node: node.to_string(), settings }, known: Mutex::default() }
    }

    /// What to tell the others.
    pub fn announcement(&self) -> Vec<u8> {
        // Maps of texts can be written.
        serde_json::to_vec(&self.own).unwrap_or_default()
    }

    /// A node has announced itself. If its settings differ from this node's, that is counted and logged, each difference once.
    pub fn handle(&self, announcement: &[u8], metrics: &ClusterMetrics) {
        if announcement.len() > MAX_BYTES {
            return;
        }
        // Whatever else comes is none of ours.
        let Ok(other) = serde_json::from_slice::<Announcement>(announcement) else { return };
        let differences: Vec<_> =
            self.own.settings.iter().filter_map(|(name, own)| differs(name, own, &other)).collect();
        if differences.is_empty() {
            return;
        }
        let differences = differences.join("; ");
        let mut known = self.known.lock();
        if known.len() < MAX_KNOWN && known.insert(differences.clone()) {
            metrics.mismatches.increment();
            tracing::warn!(
                differences,
                node = other.node,
                "a node at the same broker has other settings: the nodes of one cluster must have the same"
            );
        }
    }
}

/// How a setting differs. A setting that the other node does not have is of no use to it.
fn differs(name: &str, own: &str, other: &Announcement) -> Option<String> {
    let theirs = other.settings.get(name)?;
    (theirs != own).then(|| format!("{name} is {own:?} here and {theirs:?} there"))
}

/// How large an announcement may be.
const MAX_BYTES: usize = 4 * 1024;

/// How many differences are told of.
const MAX_KNOWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(node: &str, adapter: &str, prefix: &str) -> Presence {
        Presence::new(&NodeId::from(node), [("adapter", adapter.to_owned()), ("prefix", prefix.to_owned())])
    }

    #[test]
    fn each_difference_is_told_of_once() {
        let (own, metrics) = (presence("a", "one", "x"), ClusterMetrics::default());
        own.handle(&own.announcement(), &metrics);
        own.handle(&presence("b", "one", "x").announcement(), &metrics);
        assert_eq!(metrics.mismatches.value(), 0);
        for _ in 0..2 {
            for node in ["b", "c"] {
                own.handle(&presence(node, "two", "x").announcement(), &metrics);
                own.handle(&presence(node, "two", "y").announcement(), &metrics);
            }
        }
        let known = own.known.lock().clone();
        assert!(
            known.contains(r#"adapter is "one" here and "two" there; prefix is "x" here and "y" there"#),
            "{known:?}"
        );
        assert_eq!(metrics.mismatches.value(), 2);
    }

    #[test]
    fn what_is_no_announcement_is_ignored() {
        let (own, metrics) = (presence("a", "one", "x"), ClusterMetrics::default());
        let long = presence(&"b".repeat(MAX_BYTES), "two", "y").announcement();
        for text in ["", "{}", "nonsense", r#"{"node":"b","settings":{"adapter":7}}"#] {
            own.handle(text.as_bytes(), &metrics);
        }
        own.handle(&long, &metrics);
        own.handle(&Presence::new(&NodeId::from("b"), [("database", "7".to_owned())]).announcement(), &metrics);
        assert_eq!(metrics.mismatches.value(), 0);
        for number in 0..100 {
            own.handle(&presence("b", "one", &number.to_string()).announcement(), &metrics);
        }
        assert_eq!(metrics.mismatches.value(), MAX_KNOWN as u64);
    }
}
