//! Which channels this node wants to hear, and which it hears.
//!
//! Namespaces say what they want. For each server that channels are at there is a subscriber, which makes it so: it looks at the
//! channels that have changed, or, on a new connection, at all. Changes that take each other back before it looks cost nothing.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use sockeye_cluster::Confirmation;
use tokio::sync::Notify;

use crate::bus::inbox::Inbox;
use crate::bus::wire::Channel;
use crate::connection::map::{Address, Map};

/// The channels of all namespaces.
pub(crate) struct Table {
    state: Mutex<State>,
}

struct State {
    /// Whether each channel is at the owner of its slot; else all are at one server.
    is_sharded: bool,
    map: Option<Arc<Map>>,
    wanted: HashMap<Channel, Wanted>,
    /// What is heard of the servers that have channels.
    lines: HashMap<Address, Line>,
    /// By their names: what comes in streams is for these.
    namespaces: HashMap<String, Arc<Inbox>>,
}

/// A channel that is wanted.
struct Wanted {
    /// Gets what comes there.
    inbox: Arc<Inbox>,
    /// Until Redis has confirmed the subscription.
    confirmation: Option<Confirmation>,
}

/// What is heard of one server.
#[derive(Default)]
struct Line {
    /// What the connection listens to, as Redis has confirmed.
    heard: HashSet<Channel>,
    /// Channels that Redis has been told to unsubscribe, and has not confirmed.
    ending: HashSet<Channel>,
    /// Whether there is a connection: without one, nobody waits for it to confirm something.
    is_connected: bool,
    /// Where this differs from what is wanted, unless it is being seen to.
    changed: HashSet<Channel>,
    more: Arc<Notify>,
}

/// What is to be said to Redis.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) subscribe: Vec<Channel>,
    pub(crate) unsubscribe: Vec<Channel>,
}

impl Table {
    pub(crate) fn new(is_sharded: bool) -> Self {
        let (wanted, lines, namespaces) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { state: Mutex::new(State { is_sharded, map: None, wanted, lines, namespaces }) }
    }

    /// A namespace is there.
    pub(crate) fn enter(&self, inbox: &Arc<Inbox>) {
        self.state.lock().namespaces.insert(inbox.wire.namespace().to_string(), inbox.clone());
        for channel in inbox.wire.own_channels() {
            self.want(&channel, inbox, None);
        }
    }

    /// A namespace has gone, and wants nothing any more.
    pub(crate) fn leave(&self, inbox: &Arc<Inbox>) {
        let mut state = self.state.lock();
        state.namespaces.retain(|_, each| !Arc::ptr_eq(each, inbox));
        let gone: Vec<_> = state.wanted.extract_if(|_, each| Arc::ptr_eq(&each.inbox, inbox)).collect();
        gone.iter().for_each(|(channel, _)| state.note(channel));
        drop(state);
        drop(gone);
    }

    /// The messages of this channel are for this namespace. A confirmation is kept as long as the connection lasts.
    pub(crate) fn want(&self, channel: &Channel, inbox: &Arc<Inbox>, confirmation: Option<Confirmation>) {
        let mut state = self.state.lock();
        let waits = state
            .line_of(channel)
            .is_some_and(|line| line.is_connected && (!line.heard.contains(channel) || line.ending.contains(channel)));
        let (waiting, over) = if waits { (confirmation, None) } else { (None, confirmation) };
        let before = state.wanted.insert(channel.clone(), Wanted { inbox: inbox.clone(), confirmation: waiting });
        state.note(channel);
        drop(state);
        drop((before, over));
    }

    /// Nobody wants what comes in this channel any more.
    pub(crate) fn unwant(&self, channel: &Channel) {
        let mut state = self.state.lock();
        let before = state.wanted.remove(channel);
        state.note(channel);
        drop(state);
        drop(before);
    }

    /// Who gets what comes in this channel.
    pub(crate) fn inbox(&self, channel: &[u8]) -> Option<Arc<Inbox>> {
        self.state.lock().wanted.get(channel).map(|wanted| wanted.inbox.clone())
    }

    /// Who gets what is for this namespace.
    pub(crate) fn inbox_of(&self, namespace: &str) -> Option<Arc<Inbox>> {
        self.state.lock().namespaces.get(namespace).cloned()
    }

    /// Whether what comes in the channel arrives here.
    pub(crate) fn is_heard(&self, channel: &[u8]) -> bool {
        self.state.lock().line_of(channel).is_some_and(|line| line.heard.contains(channel))
    }

    /// Whether what this server sends in the channel counts. While a channel changes servers both may send the same: once the new
    /// one is heard, the other is not.
    pub(crate) fn counts(&self, server: &Address, channel: &[u8]) -> bool {
        let state = self.state.lock();
        let Some(owner) = state.map.as_ref().map(|map| state.server_of(map, channel)) else { return true };
        owner == server || !state.lines.get(owner).is_some_and(|line| line.heard.contains(channel))
    }

    /// The servers that have channels.
    pub(crate) fn servers(&self) -> Vec<Address> {
        self.state.lock().lines.keys().cloned().collect()
    }

    /// Channels have changed servers.
    pub(crate) fn adopt(&self, map: &Arc<Map>) {
        let mut state = self.state.lock();
        state.map = Some(map.clone());
        let owners = if state.is_sharded { map.owners() } else { std::slice::from_ref(map.any()) };
        state.lines.retain(|server, _| owners.contains(server));
        for owner in owners {
            state.lines.entry(owner.clone()).or_default();
        }
        let known: HashSet<_> = state.lines.values().flat_map(|line| &line.heard).chain(state.wanted.keys()).collect();
        let known: Vec<_> = known.into_iter().cloned().collect();
        known.iter().for_each(|channel| state.note(channel));
    }

    /// There is a connection, on which all that is wanted is about to be subscribed to.
    pub(crate) fn note_connected(&self, server: &Address) {
        if let Some(line) = self.state.lock().lines.get_mut(server) {
            line.is_connected = true;
        }
    }

    /// The connection has ended: the next one hears nothing yet.
    pub(crate) fn reset(&self, server: &Address) {
        let mut state = self.state.lock();
        let Some(line) = state.lines.get_mut(server) else { return };
        line.heard.clear();
        line.ending.clear();
        line.changed.clear();
        line.is_connected = false;
        let wanted: Vec<_> = state.wanted.keys().cloned().collect();
        wanted.iter().for_each(|channel| state.note(channel));
        let State { is_sharded, map, wanted, .. } = &mut *state;
        let is_there = |channel: &[u8]| map.as_ref().is_none_or(|map| owner_of(*is_sharded, map, channel) == server);
        let here = wanted.iter_mut().filter(|(channel, _)| is_there(channel));
        let over: Vec<_> = here.filter_map(|(_, wanted)| wanted.confirmation.take()).collect();
        drop(state);
        drop(over);
    }

    /// Waits until there is something to be said to this server, and gives it, of at most so many channels.
    pub(crate) async fn changes(&self, server: &Address, max: usize) -> Changes {
        loop {
            let more = {
                let mut state = self.state.lock();
                let changes = state.take_changes(server, max);
                if !changes.subscribe.is_empty() || !changes.unsubscribe.is_empty() {
                    return changes;
                }
                state.lines.get(server).map(|line| line.more.clone())
            };
            match more {
                Some(more) => more.notified().await,
                // It has no channels any more; whoever waits will be ended.
                None => std::future::pending().await,
            }
        }
    }

    /// The server has said that it sends this channel, or that it does not any more.
    pub(crate) fn confirm(&self, server: &Address, channel: &[u8], is_heard: bool) {
        let mut state = self.state.lock();
        let Some(line) = state.lines.get_mut(server) else { return };
        match is_heard {
            true => drop(line.heard.insert(channel.into())),
            false => {
                line.heard.remove(channel);
                line.ending.remove(channel);
            }
        }
        // What is wanted may have changed meanwhile, and the server may have dropped it by itself.
        state.note(&channel.into());
        let is_owner = is_heard && state.map.as_ref().is_none_or(|map| state.server_of(map, channel) == server);
        let over = state.wanted.get_mut(channel).filter(|_| is_owner).and_then(|wanted| wanted.confirmation.take());
        drop(state);
        drop(over);
    }

    /// All has been said. Whether it is so now: what is not will be said again.
    pub(crate) fn confirm_changes(&self, server: &Address, changes: &Changes) -> bool {
        let mut state = self.state.lock();
        let Some(line) = state.lines.get_mut(server) else { return true };
        for channel in &changes.unsubscribe {
            // If the server has refused it, then because the channel is not there any more.
            line.heard.remove(channel);
            line.ending.remove(channel);
        }
        let is_so = changes.subscribe.iter().all(|channel| line.heard.contains(channel));
        changes.subscribe.iter().chain(&changes.unsubscribe).for_each(|channel| state.note(channel));
        is_so
    }
}

impl State {
    /// Where a channel is.
    fn server_of<'a>(&self, map: &'a Map, channel: &[u8]) -> &'a Address {
        owner_of(self.is_sharded, map, channel)
    }

    /// What is heard of the server where a channel is.
    fn line_of(&self, channel: &[u8]) -> Option<&Line> {
        self.map.as_ref().and_then(|map| self.lines.get(self.server_of(map, channel)))
    }

    /// Notes whether there is something to be said about a channel.
    fn note(&mut self, channel: &Channel) {
        let Some(map) = &self.map else { return };
        let server = self.server_of(map, channel).clone();
        let is_wanted = self.wanted.contains_key(channel);
        for (each, line) in &mut self.lines {
            if (is_wanted && *each == server) == line.heard.contains(channel) {
                line.changed.remove(channel);
            } else if line.changed.insert(channel.clone()) {
                line.more.notify_one();
            }
        }
    }

    fn take_changes(&mut self, server: &Address, max: usize) -> Changes {
        let mut changes = Changes::default();
        let Some(line) = self.lines.get_mut(server) else { return changes };
        let taken: Vec<_> = line.changed.iter().take(max).cloned().collect();
        for channel in taken {
            line.changed.remove(&channel);
            match line.heard.contains(&channel) {
                false => changes.subscribe.push(channel),
                true => {
                    line.ending.insert(channel.clone());
                    changes.unsubscribe.push(channel);
                }
            }
        }
        changes
    }
}

/// Where a channel is.
fn owner_of<'a>(is_sharded: bool, map: &'a Map, channel: &[u8]) -> &'a Address {
    if is_sharded { map.owner(channel) } else { map.any() }
}

#[cfg(test)]
mod tests;
