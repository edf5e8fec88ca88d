//! Brings what came from NATS to the namespaces.
//!
//! A task for each subscription takes the messages out of the library, where their number is bounded, into a queue that is bounded in
//! bytes. One task brings them from there to the namespaces, so that each gets them in order.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::{Client, Message, Subject, Subscriber};
use bytes::BytesMut;
use futures_core::Stream;
use sockeye_cluster::codec::native;
use sockeye_cluster::contain;
use sockeye_cluster::link::deliver;
use tokio::task::unconstrained;
use tokio::time::sleep;

use crate::jetstream::Kept;
use crate::link::{Inbox, Incoming, Link};
use crate::parts::Assembly;
use crate::subject;

/// Takes the messages of one namespace. Runs until it closes.
pub(crate) async fn take_messages(link: Arc<Link>, inbox: Arc<Inbox>) {
    loop {
        let (client, mut subscriber) = link.subscribe(&inbox.subjects.subscription).await;
        // Behind it the server has taken the subscription.
        while !link.probe(&client).await {
            sleep(link.options.min_backoff).await;
        }
        inbox.is_subscribed.store(true, Ordering::Release);
        link.health.notify();
        let mut taken = 0_u32;
        while let Some(message) = next(&mut subscriber).await {
            taken = taken.wrapping_add(1);
            if taken.is_multiple_of(TAKEN) {
                tokio::task::yield_now().await;
            }
            let room = inbox.subjects.room_of(&message.subject).unwrap_or_default();
            link.take(&inbox, room, &message.payload);
        }
    }
}

/// Takes the answers to this node, in all namespaces. Runs for as long as the adapter.
pub(crate) async fn take_answers(link: Arc<Link>) {
    let own = subject::own(&link.options.prefix, &link.node);
    loop {
        let (_client, mut subscriber) = link.subscribe(&own).await;
        while let Some(message) = next(&mut subscriber).await {
            let namespace = message.subject.rsplit('.').next().unwrap_or_default();
            if let Some(kept) = Kept::ALL.into_iter().find(|kept| kept.name() == namespace) {
                link.handle_kept(kept, &message);
                continue;
            }
            let inbox = link.inboxes.read().get(namespace).cloned();
            match inbox {
                Some(inbox) => link.take(&inbox, "", &message.payload),
                None => link.metrics.skipped.increment(),
            }
        }
    }
}

/// Brings them to the namespaces. Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut assembly = Assembly::new(link.options.max_incoming_bytes);
    deliver(&link.incoming, &link.options.cluster.metrics, |incoming| link.deliver(&incoming, &mut assembly)).await;
}

/// The next message of a subscription.
pub(crate) async fn next(subscriber: &mut Subscriber) -> Option<Message> {
    next_of(subscriber).await
}

pub(crate) async fn next_of<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    // Tokio would let it take 128 messages only before all other tasks get a turn.
    unconstrained(std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx))).await
}

impl Link {
    pub(crate) async fn subscribe(&self, subject: &Subject) -> (Client, Subscriber) {
        loop {
            let client = self.connected().await;
            match client.subscribe(subject.clone()).await {
                Ok(subscriber) => return (client, subscriber),
                Err(error) => tracing::warn!(%error, %subject, "NATS cannot be listened to"),
            }
            sleep(self.options.max_backoff).await;
        }
    }

    /// Enters a message into the queue.
    fn take(&self, inbox: &Arc<Inbox>, room: &str, payload: &[u8]) {
        self.metrics.received.increment();
        // Copied: what keeps a part of a message for long must not keep all that came with it.
        let mut data = BytesMut::with_capacity(room.len() + payload.len());
        data.extend_from_slice(room.as_bytes());
        data.extend_from_slice(payload);
        let bytes = data.len();
        let incoming = Incoming { inbox: Some(inbox.clone()), position: None, room: room.len(), data: data.freeze() };
        if self.incoming.push(incoming, bytes).is_err() {
            self.note_dropped_incoming();
        }
    }

    /// A message has found no room.
    pub(crate) fn note_dropped_incoming(&self) {
        self.metrics.dropped_incoming.increment();
    }

    fn deliver(&self, incoming: &Incoming, assembly: &mut Assembly) {
        let Incoming { inbox, position, room, data } = incoming;
        if let Some(position) = *position {
            if let Some(inbox) = inbox {
                // The cursor moves on also if that panics.
                contain("an event", &self.options.cluster.metrics, || {
                    self.deliver_entry(inbox, position, data.clone());
                });
            }
            return self.jetstream.cursor.advance(position);
        }
        let Some(inbox) = inbox else { return };
        let Some(receiver) = inbox.receiver.get() else { return };
        if *room > 0 {
            let Some(local) = inbox.local.upgrade() else { return };
            let room = String::from_utf8_lossy(data.get(..*room).unwrap_or_default());
            if !local.has_room(&subject::name_of(&room)) {
                return self.metrics.skipped.increment();
            }
        }
        let Some(payload) = assembly.take(data.slice(*room..)) else { return };
        match native::decode(&payload, &inbox.namespace) {
            Ok((sender, message)) => receiver.handle_message(sender, message),
            Err(error) => receiver.handle_garbage(&error),
        }
    }
}

/// After how many messages that were only taken over other tasks get a turn.
const TAKEN: u32 = 4_096;
