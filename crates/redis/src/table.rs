//! Which channels this node wants to hear, and which it hears.
//!
//! Namespaces say what they want. The subscriber makes it so: it looks at the channels that have changed, or, on a new connection, at
//! all. Changes that take each other back before it looks cost nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::dispatcher::Inbox;
use crate::wire::Channel;

/// The channels of all namespaces.
#[derive(Default)]
pub(crate) struct Table {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// What is wanted, and who gets what comes there.
    wanted: HashMap<Channel, Arc<Inbox>>,
    /// What the connection listens to, as Redis has confirmed.
    heard: HashSet<Channel>,
    /// Where the two differ, unless it is being seen to.
    changed: HashSet<Channel>,
    /// By their names: what comes in streams is for these.
    namespaces: HashMap<String, Arc<Inbox>>,
}

/// What is to be said to Redis.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) subscribe: Vec<Channel>,
    pub(crate) unsubscribe: Vec<Channel>,
}

impl Table {
    /// A namespace is there.
    pub(crate) fn enter(&self, inbox: &Arc<Inbox>) {
        self.state.lock().namespaces.insert(inbox.wire.namespace().to_string(), inbox.clone());
        for channel in inbox.wire.own_channels() {
            self.want(&channel, inbox);
        }
    }

    /// A namespace has gone, and wants nothing any more.
    pub(crate) fn leave(&self, inbox: &Arc<Inbox>) {
        let mut state = self.state.lock();
        state.namespaces.retain(|_, each| !Arc::ptr_eq(each, inbox));
        let gone: Vec<_> = state.wanted.extract_if(|_, each| Arc::ptr_eq(each, inbox)).collect();
        gone.iter().for_each(|(channel, _)| state.note(channel));
        drop(state);
        self.changed.notify_one();
    }

    /// What comes in this channel is for this namespace.
    pub(crate) fn want(&self, channel: &Channel, inbox: &Arc<Inbox>) {
        let mut state = self.state.lock();
        state.wanted.insert(channel.clone(), inbox.clone());
        state.note(channel);
        drop(state);
        self.changed.notify_one();
    }

    /// Nobody wants what comes in this channel any more.
    pub(crate) fn unwant(&self, channel: &Channel) {
        let mut state = self.state.lock();
        state.wanted.remove(channel);
        state.note(channel);
        drop(state);
        self.changed.notify_one();
    }

    /// Who gets what comes in this channel.
    pub(crate) fn inbox(&self, channel: &[u8]) -> Option<Arc<Inbox>> {
        self.state.lock().wanted.get(channel).cloned()
    }

    /// Who gets what is for this namespace.
    pub(crate) fn inbox_of(&self, namespace: &str) -> Option<Arc<Inbox>> {
        self.state.lock().namespaces.get(namespace).cloned()
    }

    /// Whether what comes in the channel arrives here.
    pub(crate) fn is_heard(&self, channel: &[u8]) -> bool {
        self.state.lock().heard.contains(channel)
    }

    /// The connection has ended: the next one hears nothing yet.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.heard.clear();
        state.changed = state.wanted.keys().cloned().collect();
    }

    /// Waits until there is something to be said, and gives it, of at most so many channels.
    pub(crate) async fn changes(&self, max: usize) -> Changes {
        loop {
            let changes = self.state.lock().take_changes(max);
            if !changes.subscribe.is_empty() || !changes.unsubscribe.is_empty() {
                return changes;
            }
            self.changed.notified().await;
        }
    }

    /// Redis has confirmed it.
    pub(crate) fn confirm(&self, changes: &Changes) {
        let mut state = self.state.lock();
        state.heard.extend(changes.subscribe.iter().cloned());
        for channel in &changes.unsubscribe {
            state.heard.remove(channel);
        }
        // What is wanted may have changed meanwhile.
        changes.subscribe.iter().chain(&changes.unsubscribe).for_each(|channel| state.note(channel));
    }
}

impl State {
    /// Notes whether there is something to be said about a channel.
    fn note(&mut self, channel: &Channel) {
        if self.wanted.contains_key(channel) == self.heard.contains(channel) {
            self.changed.remove(channel);
        } else {
            self.changed.insert(channel.clone());
        }
    }

    fn take_changes(&mut self, max: usize) -> Changes {
        let mut changes = Changes::default();
        let taken: Vec<_> = self.changed.iter().take(max).cloned().collect();
        for channel in taken {
            self.changed.remove(&channel);
            match self.wanted.contains_key(&channel) {
                true => changes.subscribe.push(channel),
                false => changes.unsubscribe.push(channel),
            }
        }
        changes
    }
}
