//! The task of a shard: gives its connections their turns and writes what is to go out, a slice of each after the other.
//!
//! Both are one task, so that a shard that is busy writing also reads, whatever the other threads of the runtime are at. What
//! comes while a broadcast is written then goes out with it, and who asks for little is not kept waiting by who gets much.

use std::sync::Arc;

use tokio::sync::Notify;

use super::flusher::Writer;
use super::poller::Turns;

/// Runs for as long as it is polled. `wake` tells of what is to be written, and `turns` hears it, too. Without them, sockets are read
/// by tasks of their own.
pub(crate) async fn run(mut turns: Option<Turns>, mut writer: Writer, wake: Arc<Notify>) {
    loop {
        match &mut turns {
            Some(turns) => turns.wait().await,
            None => wake.notified().await,
        }
        loop {
            let unread = turns.as_mut().is_some_and(Turns::give);
            let unwritten = writer.write();
            if !unread && !unwritten {
                break;
            }
            tokio::task::yield_now().await;
            if !unread && let Some(turns) = &mut turns {
                turns.look();
            }
        }
    }
}
