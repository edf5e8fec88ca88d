//! Counts who listens to a channel.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value, cmd};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bus::wire::Verbs;
use crate::link::Link;

/// Counts the nodes of a Redis Cluster from time to time: there no connection tells it on its way. Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    loop {
        if let Some(inbox) = link.table.inbox_of("/")
            && let Ok(count) = link.count_subscribers(&inbox.wire.counted_channel()).await
        {
            link.note_nodes(count);
        }
        sleep(link.options.probe_interval).await;
    }
}

impl Link {
    /// How many clients listen to this channel: at its owner, or, if it is not a sharded one, at any server of a Redis Cluster.
    pub(crate) async fn count_subscribers(&self, channel: &[u8]) -> RedisResult<usize> {
        let mut count = cmd("PUBSUB");
        count.arg(Verbs::of(&self.options).count).arg(channel);
        if self.servers.is_cluster() && !self.options.is_sharded() {
            return self.count_everywhere(&count).await;
        }
        counted(self.query(&count).await?)
    }

    /// The sum over all servers that are reached: nobody hears anything of the others.
    async fn count_everywhere(&self, count: &Cmd) -> RedisResult<usize> {
        let map = self.map.lock().clone();
        let Some(map) = map else { return Err(unreachable()) };
        let mut answers = JoinSet::new();
        for connection in map.owners().iter().filter_map(|owner| self.connection_to(owner)) {
            let count = count.clone();
            answers.spawn(async move { counted(connection.send(&count).await?) });
        }
        if answers.is_empty() {
            return Err(unreachable());
        }
        self.replicas.lock().retain(|address, _| map.replicas().contains(address));
        for replica in map.replicas() {
            let (known, replica) = (self.replicas.lock().get(replica).cloned(), replica.clone());
            let (servers, count, patience) = (self.servers.clone(), count.clone(), self.options.timeout.min(PATIENCE));
            let replicas = self.replicas.clone();
            answers.spawn(async move {
                let ask = async {
                    let connection = match known {
                        Some(connection) => connection,
                        None => servers.connect(&replica, patience, |_| {}).await?.commands,
                    };
                    let answer = connection.send(&count).await?;
                    replicas.lock().insert(replica.clone(), connection);
                    counted(answer)
                };
                let answer = timeout(patience, ask).await.unwrap_or_else(|_| Err(unreachable()));
                answer.inspect_err(|_| drop(replicas.lock().remove(&replica)))
            });
        }
        let mut sum = 0;
        while let Some(answer) = answers.join_next().await {
            match answer {
                Ok(Ok(count)) => sum += count,
                Ok(Err(error)) => tracing::debug!(%error, "a server does not count its subscribers"),
                Err(error) => tracing::debug!(%error, "a server was not asked for its subscribers"),
            }
        }
        Ok(sum)
    }
}

/// The number in an answer to `PUBSUB NUMSUB` with one channel.
pub(crate) fn counted(answer: Value) -> RedisResult<usize> {
    let counts: HashMap<Vec<u8>, usize> = redis::from_redis_value(answer.extract_error()?)?;
    Ok(counts.values().sum())
}

fn unreachable() -> RedisError {
    (ErrorKind::Io, "no server of the Redis Cluster is reached").into()
}

/// How long a replica may take.
const PATIENCE: Duration = Duration::from_secs(1);
