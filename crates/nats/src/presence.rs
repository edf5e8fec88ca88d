//! Tells the other nodes at the same NATS of this one's settings, and hears theirs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::dispatcher::next;
use crate::link::Link;
use crate::options::ANNOUNCEMENTS;

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    loop {
        let (client, mut subscriber) = link.subscribe(&ANNOUNCEMENTS.into()).await;
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = next(&mut subscriber) => {
                    let Some(message) = message else { break };
                    link.presence.handle(&message.payload, &link.options.cluster.metrics);
                }
                _ = ticks.tick() => {
                    // It is said again.
                    drop(client.publish(ANNOUNCEMENTS, link.presence.announcement().into()).await);
                }
            }
        }
    }
}

/// How often a node tells the others.
const INTERVAL: Duration = Duration::from_secs(30);
