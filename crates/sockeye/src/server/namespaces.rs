//! The namespaces of a server: how they are found, made by a pattern, and let go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;

use super::ServerInner;
use crate::handler::call_listener;
use crate::namespace::{Joining, Matcher, Namespace, Parent, ParentNamespace};
use crate::telemetry::Bound;
use sockeye_engine::internal::{Key, may_enter};

/// The namespaces that are alive.
#[derive(Default)]
pub(super) struct Namespaces {
    by_name: HashMap<ByteString, Namespace>,
    /// How many of them have a parent.
    children: usize,
    /// Which address made a client's child, by the child's name.
    makers: HashMap<ByteString, Key>,
    /// How many each address has made.
    made: HashMap<Key, usize>,
    /// When it was last looked in vain for children that nobody uses: of all, and of one address.
    looked: [Option<Instant>; 2],
}

impl ServerInner {
    /// The namespace that a client asks for, brought to life if a pattern or function says so. It stays for as long as what is
    /// given back lives.
    pub(crate) async fn find_namespace(
        self: &Arc<Self>,
        name: &ByteString,
        auth: Option<&str>,
        maker: Key,
    ) -> Option<Joining> {
        // Counted under the lock under which a namespace without sockets and joins would be let go of.
        if let Some(found) = self.namespaces.read().by_name.get(name) {
            return Some(Joining::new(found));
        }
        let parents = self.parents.read().clone();
        for parent in parents {
            if parent.matches(name, auth).await {
                let found = self.child(name, &parent, maker);
                if found.is_none() {
                    self.metrics.bound_reached(Bound::ChildNamespaces, name);
                }
                return found;
            }
        }
        None
    }

    /// The child of this name, made if there is none and the bound, and the share of who wants it, allow it.
    fn child(self: &Arc<Self>, name: &ByteString, parent: &Arc<Parent>, maker: Key) -> Option<Joining> {
        let max = self.options.limits.max_child_namespaces;
        let is_there = |namespaces: &Namespaces| namespaces.by_name.get(name).map(Joining::new);
        let has_room = {
            let namespaces = self.namespaces.read();
            if let Some(found) = is_there(&namespaces) {
                return Some(found);
            }
            namespaces.has_room(max, maker)
        };
        if !has_room {
            self.evict_children(max, maker);
            let namespaces = self.namespaces.read();
            if !namespaces.has_room(max, maker) {
                return is_there(&namespaces);
            }
        }
        // Made without the lock, for the program's own code makes the adapter. If another thread was quicker, its one counts.
        let namespace = Namespace::new(self, name.clone(), Some(parent.clone()), false);
        let joining = Joining::new(&namespace);
        {
            let mut namespaces = self.namespaces.write();
            if let Some(found) = is_there(&namespaces) {
                return Some(found);
            }
            if !namespaces.has_room(max, maker) {
                return None;
            }
            namespaces.insert(&namespace);
            namespaces.charge(name, maker);
        }
        self.announce(&namespace);
        Some(joining)
    }

    /// A namespace that the program names itself. It gets the handlers of a pattern that matches it.
    pub(super) fn namespace_of_program(self: &Arc<Self>, name: &ByteString) -> Namespace {
        if let Some(found) = self.namespaces.read().by_name.get(name) {
            return found.clone();
        }
        let is_match =
            |parent: &&Arc<Parent>| matches!(&parent.matcher, Matcher::Pattern(pattern) if pattern.is_match(name));
        let parent = self.parents.read().iter().find(is_match).cloned();
        let namespace = Namespace::new(self, name.clone(), parent, true);
        {
            let mut namespaces = self.namespaces.write();
            if let Some(found) = namespaces.by_name.get(name) {
                return found.clone();
            }
            namespaces.insert(&namespace);
        }
        self.announce(&namespace);
        namespace
    }

    /// A namespace has come to life: its adapter begins, and the program hears of it.
    fn announce(self: &Arc<Self>, namespace: &Namespace) {
        if self.engine.is_started() {
            self.init_adapter(namespace);
        }
        let listeners = self.new_namespace.read().clone();
        for listener in listeners {
            call_listener(namespace, || listener(namespace));
        }
    }

    /// Lets go of a child without sockets, unless a client is about to join it.
    pub(crate) fn remove_child(self: &Arc<Self>, child: &Namespace) {
        let is_removed = {
            let mut namespaces = self.namespaces.write();
            let is_it = namespaces.by_name.get(child.name_shared()) == Some(child);
            is_it && child.is_unused() && namespaces.remove(child).is_some()
        };
        if is_removed {
            self.close_adapter(child.clone());
        }
    }

    /// Lets go of children that clients brought to life and that nobody uses or holds, to make room for others: of all clients'
    /// when there are `max`, else of those that an address has made which is at its share.
    ///
    /// Looking for them takes time where there are many, so that it is not done for each of many requests that come in vain.
    fn evict_children(self: &Arc<Self>, max: usize, maker: Key) {
        let evicted: Vec<_> = {
            let mut namespaces = self.namespaces.write();
            let is_full = namespaces.children >= max;
            let now = sockeye_engine::now();
            let looked = namespaces.looked[usize::from(is_full)];
            if looked.is_some_and(|looked| now.duration_since(looked) < LOOK_AGAIN) {
                return;
            }
            let is_wanted = |each: &&Namespace| {
                (is_full || namespaces.makers.get(each.name_shared()) == Some(&maker)) && each.is_evictable()
            };
            let idle: Vec<_> = namespaces.by_name.values().filter(is_wanted).take(EVICTED_AT_ONCE).cloned().collect();
            namespaces.looked[usize::from(is_full)] = idle.is_empty().then_some(now);
            idle.iter().filter_map(|each| namespaces.remove(each)).collect()
        };
        for namespace in evicted {
            self.close_adapter(namespace);
        }
    }

    /// Lets the adapter of a namespace begin.
    fn init_adapter(&self, namespace: &Namespace) {
        let namespace = namespace.clone();
        // An adapter may try for as long as its broker is not there; the close does not wait for that.
        self.engine.spawn_aside(async move {
            if !namespace.begin() {
                return; // both the start and the making of the namespace may see to it
            }
            if let Err(error) = namespace.adapter().init().await {
                tracing::error!(namespace = namespace.name(), %error, "the adapter did not start");
            }
        });
    }

    /// Lets the adapters of all namespaces begin.
    pub(super) fn init_adapters(&self) {
        for namespace in self.all_namespaces() {
            self.init_adapter(&namespace);
        }
    }

    /// The namespaces, as they are now.
    pub(super) fn all_namespaces(&self) -> Vec<Namespace> {
        self.namespaces.read().by_name.values().cloned().collect()
    }

    fn close_adapter(self: &Arc<Self>, namespace: Namespace) {
        self.spawn(async move { namespace.adapter().close().await });
    }

    pub(super) fn add_parent(&self, matcher: Matcher) -> ParentNamespace {
        let parent = Parent::new(matcher);
        self.parents.write().push(parent.clone());
        ParentNamespace(parent)
    }
}

impl Namespaces {
    fn insert(&mut self, namespace: &Namespace) {
        self.by_name.insert(namespace.name_shared().clone(), namespace.clone());
        if let Some(parent) = namespace.parent() {
            self.children += 1;
            parent.adopt(namespace);
        }
    }

    /// Whether an address may make one more.
    fn has_room(&self, max: usize, maker: Key) -> bool {
        may_enter(max, self.children, self.made.get(&maker).copied().unwrap_or(0), maker)
    }

    /// Notes who made a child.
    fn charge(&mut self, name: &ByteString, maker: Key) {
        self.makers.insert(name.clone(), maker);
        *self.made.entry(maker).or_default() += 1;
    }

    fn remove(&mut self, namespace: &Namespace) -> Option<Namespace> {
        let removed = self.by_name.remove(namespace.name_shared())?;
        if let Some(maker) = self.makers.remove(namespace.name_shared())
            && let Entry::Occupied(mut made) = self.made.entry(maker)
        {
            *made.get_mut() -= 1;
            if *made.get() == 0 {
                made.remove();
            }
        }
        if let Some(parent) = removed.parent() {
            self.children -= 1;
            parent.forget(&removed);
        }
        Some(removed)
    }
}

/// How long it is not looked again for children that nobody uses, after it was in vain.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How many of them go at once.
const EVICTED_AT_ONCE: usize = 256;
