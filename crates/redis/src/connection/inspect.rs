//! Looks at the start what the server is like, and says what does not fit.

use std::sync::atomic::Ordering;

use redis::{ErrorKind, RedisError, RedisResult, ServerError, Value, cmd};

use crate::bus::send_queues::SendQueue;
use crate::connection::commands::Commands;
use crate::connection::servers::Servers;
use crate::link::Link;

impl Link {
    /// Looks at the server, the first time that one is connected to.
    pub(crate) async fn inspect(&self, commands: &Commands) -> RedisResult<()> {
        if self.is_inspected.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let cluster = info(commands, "cluster").await?;
        if !self.servers.is_cluster() && field(&cluster, "cluster_enabled") == Some("1") {
            tracing::warn!("{IS_A_CLUSTER}");
        }
        let memory = info(commands, "memory").await?;
        if self.recovery.is_used()
            && let Some(policy) = evicts(&memory)
        {
            tracing::warn!(
                policy,
                "Redis removes keys when its memory is full (maxmemory-policy), those of sessions that could be recovered among them: \
                 set it to noeviction, or give Redis more memory"
            );
        }
        Ok(())
    }

    /// Looks whether the server has removed keys, those of sessions perhaps: then these are written again.
    pub(crate) async fn look_for_evictions(&self, queue: &SendQueue, commands: &Commands) -> RedisResult<()> {
        if !self.recovery.is_used() {
            return Ok(());
        }
        let stats = info(commands, "stats").await?;
        let Some(now) = field(&stats, "evicted_keys").and_then(|count| count.parse::<u64>().ok()) else {
            return Ok(());
        };
        if queue.evictions.lock().note(now) {
            tracing::warn!(server = %queue.address, "Redis has removed keys, as its memory is full (maxmemory-policy)");
            self.recovery.evictions.increment();
        }
        Ok(())
    }
}

impl Servers {
    /// An error of a server that leads nowhere.
    pub(crate) fn refused(&self, error: ServerError) -> RedisError {
        match self.advice(&error) {
            Some(advice) => (ErrorKind::InvalidClientConfig, advice).into(),
            None => error.into(),
        }
    }

    /// What an error means where the url is wrong.
    pub(crate) fn advice(&self, error: &ServerError) -> Option<&'static str> {
        (!self.is_cluster() && matches!(error.code(), "MOVED" | "ASK" | "CROSSSLOT")).then_some(IS_A_CLUSTER)
    }
}

/// A section of what the server tells of itself; nothing if this user may not ask.
async fn info(commands: &Commands, section: &str) -> RedisResult<String> {
    let text = match commands.send(cmd("INFO").arg(section)).await? {
        Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
        Value::VerbatimString { text, .. } => text,
        _ => String::new(),
    };
    Ok(text)
}

/// The value of a field.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The policy by which keys are removed when the memory is full, if they are.
fn evicts(memory: &str) -> Option<&str> {
    let max = field(memory, "maxmemory").unwrap_or("0");
    field(memory, "maxmemory_policy").filter(|policy| max != "0" && *policy != "noeviction")
}

const IS_A_CLUSTER: &str = "the server is one of a Redis Cluster, where each has a part of the keys: the url must begin with redis+cluster:// \
                            (or rediss+cluster://)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_and_when() {
        let memory =
            |max, policy| format!("# Memory\r\nused_memory:1\r\nmaxmemory:{max}\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(evicts(&memory("1000", "allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(evicts(&memory("1000", "volatile-ttl")), Some("volatile-ttl"));
        assert_eq!(evicts(&memory("0", "allkeys-lru")), None);
        assert_eq!(evicts(&memory("1000", "noeviction")), None);
        assert_eq!(evicts(""), None);
    }
}
