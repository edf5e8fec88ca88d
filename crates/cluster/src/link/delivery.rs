//! Brings what came from a broker to the namespaces: one task, so that each gets it in order.

use std::time::{Duration, Instant};

use super::Queue;
use crate::{ClusterMetrics, contain};

/// Takes items out of the queue and handles them, one after the other, for as long as it is polled. A panic of `handle`, which runs
/// handlers of the program, costs one item.
pub async fn deliver<T>(queue: &Queue<T>, metrics: &ClusterMetrics, mut handle: impl FnMut(T)) {
    loop {
        let batch = queue.take(BATCH).await;
        let mut start = Instant::now();
        for item in batch {
            contain("a message of another node", metrics, || handle(item));
            // By time: as long as a shard's turn takes. By a small number, what comes from other nodes would wait for all that this node
            // does for its own clients.
            if start.elapsed() > TURN {
                tokio::task::yield_now().await;
                start = Instant::now();
            }
        }
        tokio::task::yield_now().await;
    }
}

/// About how many bytes are taken from the queue at once.
const BATCH: usize = 256 * 1024;

/// After how much time other tasks get a turn.
const TURN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_item() {
        let (queue, metrics) = (Queue::new(1_000_000), ClusterMetrics::default());
        for number in 0..100 {
            queue.push(number, 1).unwrap();
        }
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        let handle = |number| {
            assert!(number != 50, "on purpose");
            sender.try_send(number).unwrap();
        };
        let last = async { while receiver.recv().await != Some(99) {} };
        tokio::select! {
            () = deliver(&queue, &metrics, handle) => {}
            () = last => {}
        }
        assert_eq!(metrics.panics.value(), 1);
    }
}
