//! What waits to be sent, in a queue for each server that owns something.

use std::convert::Infallible;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use redis::{Arg, Cmd};
use sockeye_cluster::link::Queue;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::connection::Evictions;
use crate::connection::commands::Commands;
use crate::connection::map::{Address, Map};

/// What waits to be sent.
pub(crate) enum Sending {
    /// A command, and since when it waits, where that matters.
    Message(Cmd, Option<Instant>),
    /// A command that a server has passed on to this one, while the slot of its key moves.
    Asking(Cmd, Option<Instant>),
    /// Is dropped when all before it has been sent.
    Mark(Mark),
}

/// Whoever has the receiver waits until all clones are dropped.
pub(crate) type Mark = mpsc::Sender<Infallible>;

impl Sending {
    /// About how many bytes a command has.
    fn bytes(command: &Cmd) -> usize {
        command.args_iter().map(|arg| if let Arg::Simple(word) = arg { word.len() } else { 0 }).sum()
    }
}

/// What waits for one server, and the connection that it goes by.
pub(crate) struct SendQueue {
    pub(crate) address: Address,
    pub(crate) waiting: Queue<Sending>,
    /// None while there is no connection.
    pub(crate) commands: Mutex<Option<Commands>>,
    is_retired: watch::Sender<bool>,
    pub(crate) evictions: Mutex<Evictions>,
}

impl SendQueue {
    fn new(address: Address, max_bytes: usize) -> Self {
        Self {
            address,
            waiting: Queue::new(max_bytes),
            commands: Mutex::default(),
            is_retired: watch::Sender::new(false),
            evictions: Mutex::default(),
        }
    }

    /// Waits until the server owns nothing any more.
    pub(crate) async fn retired(&self) {
        // The queue has the sender, so it is not gone.
        let mut changes = self.is_retired.subscribe();
        let _value = changes.wait_for(|is_retired| *is_retired).await;
    }

    pub(crate) fn is_retired(&self) -> bool {
        *self.is_retired.borrow()
    }
}

/// The queues to all servers.
pub(crate) struct SendQueues {
    state: RwLock<State>,
    max_bytes: usize,
    /// Whether messages may be too old to be sent.
    has_max_age: bool,
    /// Is told when there are others.
    pub(crate) changed: watch::Sender<()>,
}

struct State {
    map: Option<Arc<Map>>,
    queues: HashMap<Address, Arc<SendQueue>>,
    /// What comes before a server is known.
    early: Queue<Sending>,
}

impl SendQueues {
    /// SendQueues for so many bytes each.
    pub(crate) fn new(max_bytes: usize, has_max_age: bool) -> Self {
        let state = State { map: None, queues: HashMap::new(), early: Queue::new(max_bytes) };
        Self { state: RwLock::new(state), max_bytes, has_max_age, changed: watch::Sender::new(()) }
    }

    /// Enters a command, of so many bytes, for the server that it is for; gives it back if there is no room.
    pub(crate) fn push(&self, command: Cmd, bytes: usize) -> Result<(), Sending> {
        let state = self.state.read();
        let since = self.has_max_age.then(Instant::now);
        state.queue_of(&command).push(Sending::Message(command, since), bytes)
    }

    /// Enters commands again that a server has not taken, before all others, in their order, as old as they were. Some go to a server
    /// that was named.
    pub(crate) fn put_back(&self, commands: Vec<(Cmd, Option<Address>, Option<Instant>)>) {
        let state = self.state.read();
        for (command, asked, since) in commands.into_iter().rev() {
            let bytes = Sending::bytes(&command);
            match asked.and_then(|asked| state.queues.get(&asked)) {
                Some(queue) => queue.waiting.put_back(Sending::Asking(command, since), bytes),
                None => state.queue_of(&command).put_back(Sending::Message(command, since), bytes),
            }
        }
    }

    /// Marks what waits now in each queue that has a connection. The receiver ends when all of it has been sent.
    pub(crate) fn mark(&self) -> mpsc::Receiver<Infallible> {
        let (mark, receiver) = mpsc::channel(1);
        self.mark_with(&mark);
        receiver
    }

    /// The same, with a mark that is there already.
    pub(crate) fn mark_with(&self, mark: &Mark) {
        for queue in self.state.read().queues.values().filter(|queue| queue.commands.lock().is_some()) {
            // Where there is no room, it is not waited for.
            let _full = queue.waiting.push(Sending::Mark(mark.clone()), 0);
        }
    }

    /// The queue of a command.
    pub(crate) fn of(&self, command: &Cmd) -> Option<Arc<SendQueue>> {
        let state = self.state.read();
        let target = state.map.as_ref()?.target(command);
        state.queues.get(target).cloned()
    }

    /// The queue to a server, if it owns something.
    pub(crate) fn to(&self, address: &Address) -> Option<Arc<SendQueue>> {
        self.state.read().queues.get(address).cloned()
    }

    /// All queues.
    pub(crate) fn all(&self) -> Vec<Arc<SendQueue>> {
        self.state.read().queues.values().cloned().collect()
    }

    /// How many bytes wait in all of them.
    pub(crate) fn bytes(&self) -> usize {
        let state = self.state.read();
        state.queues.values().map(|queue| queue.waiting.bytes()).sum::<usize>() + state.early.bytes()
    }

    /// All connections have ended.
    pub(crate) fn disconnect(&self) {
        self.state.read().queues.values().for_each(|queue| *queue.commands.lock() = None);
    }

    /// The owners have changed: what waits changes queues with them, in its order.
    pub(crate) fn adopt(&self, map: &Arc<Map>) {
        let mut state = self.state.write();
        let mut waiting = state.early.drain();
        waiting.extend(state.queues.values().flat_map(|queue| queue.waiting.drain()));
        for owner in map.owners() {
            state
                .queues
                .entry(owner.clone())
                .or_insert_with(|| Arc::new(SendQueue::new(owner.clone(), self.max_bytes)));
        }
        state.queues.retain(|address, queue| {
            let stays = map.owners().contains(address);
            if !stays {
                queue.is_retired.send_replace(true);
            }
            stays
        });
        state.map = Some(map.clone());
        for (sending, bytes) in waiting {
            match sending {
                Sending::Message(command, since) | Sending::Asking(command, since) => {
                    state.queue_of(&command).put(Sending::Message(command, since), bytes);
                }
                Sending::Mark(mark) => {
                    state.queues.values().for_each(|queue| queue.waiting.put(Sending::Mark(mark.clone()), 0));
                }
            }
        }
        drop(state);
        self.changed.send_replace(());
    }
}

impl State {
    fn queue_of(&self, command: &Cmd) -> &Queue<Sending> {
        let queue = self.map.as_ref().and_then(|map| self.queues.get(map.target(command)));
        queue.map_or(&self.early, |queue| &queue.waiting)
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, cmd};

    use super::*;

    fn map(owners: &[(i64, i64, &str)]) -> Arc<Map> {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |(first, last, host): &(i64, i64, &str)| {
            let server = Value::Array(vec![text(host), Value::Int(7000)]);
            Value::Array(vec![Value::Int(*first), Value::Int(*last), server])
        };
        let answer = Value::Array(owners.iter().map(range).collect());
        Arc::new(Map::read(answer, &Address::new("asked", 1)).unwrap())
    }

    fn waiting(queues: &SendQueues, host: &str) -> Vec<String> {
        let queue = queues.to(&Address::new(host, 7000)).unwrap();
        let name = |(sending, _)| match sending {
            Sending::Message(command, _) => command.args_iter().nth(2).map(|arg| format!("{arg:?}")).unwrap(),
            Sending::Asking(..) => "asking".to_owned(),
            Sending::Mark(_) => "mark".to_owned(),
        };
        queue.waiting.drain().into_iter().map(name).collect()
    }

    fn publish(channel: &str, text: &str) -> Cmd {
        let mut command = cmd("SPUBLISH");
        command.arg(channel).arg(text);
        command
    }

    fn simple(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| format!("{:?}", Arg::<&[u8]>::Simple(text.as_bytes()))).collect()
    }

    /// `123456789` is in slot 12,739, and `socket.io` in 9,972.
    #[test]
    fn what_waits_follows_the_owners() {
        let queues = SendQueues::new(10_000, false);
        for number in ["1", "2"] {
            queues.push(publish("socket.io", number), 10).ok().unwrap();
            queues.push(publish("123456789", number), 10).ok().unwrap();
        }
        queues.adopt(&map(&[(0, 9999, "a"), (10_000, 16_383, "b")]));
        queues.push(publish("socket.io", "3"), 10).ok().unwrap();
        assert_eq!(waiting(&queues, "b"), simple(&["1", "2"]));
        let gone = queues.to(&Address::new("a", 7000)).unwrap();
        queues.adopt(&map(&[(0, 16_383, "b")]));
        assert!(gone.is_retired() && queues.to(&gone.address).is_none());
        queues.push(publish("socket.io", "4"), 10).ok().unwrap();
        queues.put_back(["x", "y"].map(|text| (publish("socket.io", text), None, None)).into());
        assert_eq!(waiting(&queues, "b"), simple(&["x", "y", "1", "2", "3", "4"]));
    }

    #[test]
    fn who_is_asked_is_not_the_owner() {
        let queues = SendQueues::new(10_000, false);
        let map = map(&[(0, 16_383, "a")]);
        let to = Address::new("b", 7000);
        queues.adopt(&Arc::new(map.with_owner(&to)));
        queues.put_back(vec![(publish("socket.io", "1"), Some(to), None)]);
        assert_eq!(waiting(&queues, "b"), ["asking"]);
        assert!(waiting(&queues, "a").is_empty());
    }
}
