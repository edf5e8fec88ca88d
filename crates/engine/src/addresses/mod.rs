//! What each address holds of the bounds that all clients share, so that no address can take them all.
//!
//! An address has an entry for as long as it holds something. What it holds is entered when a connection or session is opened and
//! taken out when it closes: nothing here is done for a message.

mod forwarded;
mod key;
mod range;
mod tcp;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use hashbrown::{DefaultHashBuilder, HashMap};
use http::request::Parts;
use parking_lot::Mutex;

pub use self::key::Key;
pub use self::range::{AddressRange, AddressRangeError};
pub(crate) use self::tcp::{Opener, Served, TcpConnection};
use crate::metrics::Bound;
use crate::request::{Forwarded, RemoteAddr};
use crate::share::share;

const SHARDS: usize = 32;

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sessions.
    Sessions,
    /// Those of them that are in no namespace.
    Unjoined,
    /// Handshakes of Engine.IO that are being answered.
    Handshakes,
    /// TLS handshakes.
    Encryption,
    /// TCP connections that speak HTTP.
    Connections,
}

const KINDS: usize = 5;

/// Who holds what, by address.
pub(crate) struct Addresses {
    trusted: Vec<AddressRange>,
    hasher: DefaultHashBuilder,
    shards: [Mutex<HashMap<Key, Held>>; SHARDS],
    used: [AtomicUsize; KINDS],
    /// Numbers TCP connections in the order in which they came.
    next: AtomicU64,
}

/// What one address holds.
#[derive(Default)]
struct Held {
    counts: [u32; KINDS],
    /// What gives way when the address wants more than its share. Few addresses have it, and only for a moment.
    yielding: Option<Box<Yielding>>,
}

/// A session that has not been taken yet, whatever its application.
pub(crate) trait Unjoined: Send + Sync {
    fn id(&self) -> &str;

    /// Closes it, to make room.
    fn give_way(self: Arc<Self>, detail: &str);
}

#[derive(Default)]
struct Yielding {
    unjoined: BTreeMap<Age, Weak<dyn Unjoined>>,
    /// TCP connections on which no request has come yet.
    silent: BTreeMap<u64, Weak<TcpConnection>>,
}

impl Held {
    fn count(&self, kind: Kind) -> usize {
        self.counts.get(kind as usize).and_then(|count| usize::try_from(*count).ok()).unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0) && self.yielding.is_none()
    }
}

impl Yielding {
    fn is_empty(&self) -> bool {
        self.unjoined.is_empty() && self.silent.is_empty()
    }
}

/// Whether a holder that has `held` of a bound gets one more.
pub fn may_enter(limit: usize, used: usize, held: usize, key: Key) -> bool {
    used < limit && (key == Key::TRUSTED || held < share(limit, used).max(HANDFUL))
}

/// So many an address always gets if they are free: of a small bound a share would be too small for a browser with some tabs.
const HANDFUL: usize = 8;

/// The order in which unjoined sessions came: when their time to join is over, and to tell them apart the place in memory.
pub(crate) type Age = (Option<Instant>, usize);

impl Addresses {
    pub(crate) fn new(trusted: Vec<AddressRange>) -> Arc<Self> {
        Arc::new(Self {
            trusted,
            hasher: DefaultHashBuilder::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            used: Default::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Puts the client's address into a request that a trusted proxy has sent.
    pub(crate) fn resolve(&self, parts: &mut Parts) {
        // What another node has forwarded has the client's address already.
        if self.trusted.is_empty() || parts.extensions.get::<Forwarded>().is_some() {
            return;
        }
        if let Some(RemoteAddr(peer)) = parts.extensions.get().copied() {
            let client = forwarded::client(peer, &parts.headers, &self.trusted);
            parts.extensions.insert(RemoteAddr(client));
        }
    }

    /// Whose share a TCP connection is.
    pub(crate) fn key_of_peer(&self, peer: Option<SocketAddr>) -> Key {
        match peer {
            Some(peer) if self.trusted.iter().any(|range| range.contains(peer.ip())) => Key::TRUSTED,
            peer => Key::of(peer),
        }
    }

    /// A place for a session that joins no namespace yet. An address that has its share already gives up its oldest such session, of which
    /// `note` is told.
    pub(crate) fn place_unjoined(self: &Arc<Self>, key: Key, limit: usize, note: impl Fn(&str)) -> Option<Place> {
        let give_way = || {
            let Some(oldest) = self.oldest_unjoined(key) else { return false };
            note(oldest.id());
            oldest.give_way("its address opens too many sessions");
            true
        };
        self.place_or(key, Kind::Unjoined, limit, give_way)
    }

    /// A place for one more. An address that has its share gets one after it has let one go; and one that has more, since others
    /// have come, after two, so that it comes down to its share.
    fn place_or(self: &Arc<Self>, key: Key, kind: Kind, limit: usize, give_way: impl Fn() -> bool) -> Option<Place> {
        let place = || Place { addresses: Some(self.clone()), key, kind };
        let is_entered = self.enter(key, kind, limit, true)
            || (give_way()
                && (self.enter(key, kind, limit, true) || (give_way() && self.enter(key, kind, limit, false))));
        is_entered.then(place)
    }

    /// Whether the address gets one more, within its share or within the bound alone; then it holds it until
    /// [`leave`](Self::leave).
    fn enter(&self, key: Key, kind: Kind, limit: usize, is_shared: bool) -> bool {
        let mut shard = self.shard(key).lock();
        let held = shard.get(&key).map_or(0, |held| held.count(kind));
        let fits = |used: usize| if is_shared { may_enter(limit, used, held, key) } else { used < limit };
        let take = |used: usize| fits(used).then(|| used + 1);
        // Others change it under other locks.
        if self.used(kind).fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return false;
        }
        if let Some(count) = shard.entry(key).or_default().counts.get_mut(kind as usize) {
            *count += 1;
        }
        true
    }

    fn leave(&self, key: Key, kind: Kind) {
        self.change(key, |held| {
            if let Some(count) = held.counts.get_mut(kind as usize) {
                *count = count.saturating_sub(1);
            }
        });
        self.used(kind).fetch_sub(1, Ordering::Relaxed);
    }

    /// A place for one more, if the address gets one. Dropping it gives it back.
    pub(crate) fn place(self: &Arc<Self>, key: Key, kind: Kind, limit: usize) -> Option<Place> {
        self.enter(key, kind, limit, true).then(|| Place { addresses: Some(self.clone()), key, kind })
    }

    /// A session is open, and in no namespace: from now on it may have to give way.
    pub(crate) fn enter_unjoined(&self, key: Key, age: Age, session: Weak<dyn Unjoined>) {
        self.change(key, |held| {
            held.yielding.get_or_insert_default().unjoined.insert(age, session);
        });
    }

    /// A session has joined its first namespace, or has closed before.
    pub(crate) fn leave_unjoined(&self, key: Key, age: Age) {
        let mut gone = None;
        self.change(key, |held| {
            gone = held.yielding.as_mut().and_then(|yielding| yielding.unjoined.remove(&age));
        });
        self.leave(key, Kind::Unjoined);
    }

    /// A session has closed.
    pub(crate) fn leave_session(&self, key: Key) {
        self.leave(key, Kind::Sessions);
    }

    /// Changes what an address holds, and forgets the address if that is nothing any more.
    fn change(&self, key: Key, change: impl FnOnce(&mut Held)) {
        let mut shard = self.shard(key).lock();
        let Some(held) = shard.get_mut(&key) else { return };
        change(held);
        held.yielding.take_if(|yielding| yielding.is_empty());
        if held.is_empty() {
            shard.remove(&key);
            let room = shard.len() * 2;
            if shard.len() < shard.capacity() / 8 {
                shard.shrink_to(room);
            }
        }
    }

    /// The process has no more file descriptors: the address that holds most gives one up, if it has one that does nothing yet. `note` is
    /// told of it.
    pub(crate) fn free_a_file(&self, note: impl Fn(Bound, &str)) -> bool {
        let Some(key) = self.greediest() else { return false };
        if let Some(silent) = self.take_silent(key) {
            note(Bound::TcpConnections, "open files");
            silent.give_way();
            return true;
        }
        let Some(oldest) = self.oldest_unjoined(key) else { return false };
        note(Bound::Unjoined, oldest.id());
        oldest.give_way("its address holds too many open files");
        true
    }

    /// Which address holds the most connections and sessions, of those that have one which may give way.
    fn greediest(&self) -> Option<Key> {
        let held = |held: &Held| held.count(Kind::Connections) + held.count(Kind::Sessions);
        let of_shard = |shard: &Mutex<HashMap<Key, Held>>| {
            let shard = shard.lock();
            let yielding = shard.iter().filter(|(_, held)| held.yielding.is_some());
            yielding.map(|(key, each)| (held(each), *key)).max_by_key(|(held, _)| *held)
        };
        self.shards.iter().filter_map(of_shard).max_by_key(|(held, _)| *held).map(|(_, key)| key)
    }

    /// The oldest session of an address that is in no namespace.
    fn oldest_unjoined(&self, key: Key) -> Option<Arc<dyn Unjoined>> {
        let shard = self.shard(key).lock();
        let unjoined = &shard.get(&key)?.yielding.as_ref()?.unjoined;
        unjoined.values().find_map(Weak::upgrade)
    }

    fn used(&self, kind: Kind) -> &AtomicUsize {
        self.used.get(kind as usize).unwrap_or(&self.used[0])
    }

    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, Held>> {
        // The top bits choose the shard; the table within uses the low ones, and seven of the top for its tags.
        let at = usize::try_from(self.hasher.hash_one(key) >> 52).unwrap_or(0) % SHARDS;
        self.shards.get(at).unwrap_or(&self.shards[0])
    }

    /// How many addresses hold something.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").field("used", &self.used).finish_non_exhaustive()
    }
}

/// Something that an address holds, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// None once it is somebody else's to give back.
    addresses: Option<Arc<Addresses>>,
    key: Key,
    kind: Kind,
}

impl Place {
    /// Leaves it with the address: whoever holds the thing itself now gives it back.
    pub(crate) fn keep(mut self) {
        self.addresses = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(addresses) = &self.addresses {
            addresses.leave(self.key, self.kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> Key {
        Key::of(Some(SocketAddr::new(address.parse().unwrap(), 1)))
    }

    /// How many places the address gets, all kept.
    fn fill(addresses: &Arc<Addresses>, key: Key, limit: usize) -> usize {
        std::iter::from_fn(|| addresses.place(key, Kind::Sessions, limit).map(Place::keep)).count()
    }

    #[test]
    fn an_address_of_ipv4_and_a_network_of_ipv6_are_one_holder() {
        assert_ne!(key("1.2.3.4"), key("1.2.3.5"));
        assert_eq!(key("1.2.3.4"), key("::ffff:1.2.3.4"));
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(Key::of(None), Key::TRUSTED);
    }

    #[test]
    fn one_address_gets_half_and_others_always_something() {
        let addresses = Addresses::new(Vec::new());
        assert_eq!(fill(&addresses, key("1.1.1.1"), 1_000), 500);
        assert_eq!(fill(&addresses, key("1.1.1.2"), 1_000), 250);
        assert_eq!(fill(&addresses, Key::UNKNOWN, 1_000), 125);
        // Somebody new made the shares of the first ones smaller: they get no more before they have less.
        assert_eq!(fill(&addresses, key("1.1.1.1"), 1_000), 0);
        for _ in 0..400 {
            addresses.leave(key("1.1.1.1"), Kind::Sessions);
        }
        assert!(fill(&addresses, key("1.1.1.1"), 1_000) > 100);
    }

    #[test]
    fn an_address_above_its_share_comes_down_to_it_while_it_takes_new_ones() {
        let addresses = Addresses::new(Vec::new());
        let greedy = key("1.1.1.1");
        fill(&addresses, greedy, 1_000);
        fill(&addresses, key("1.1.1.2"), 1_000);
        let held = || addresses.shard(greedy).lock().get(&greedy).unwrap().count(Kind::Sessions);
        let give_way = || {
            addresses.leave(greedy, Kind::Sessions);
            true
        };
        for _ in 0..1_000 {
            addresses.place_or(greedy, Kind::Sessions, 1_000, give_way).unwrap().keep();
        }
        assert!(held().abs_diff(375) <= 1, "{}", held());
        assert!(addresses.place_or(greedy, Kind::Sessions, 1_000, || false).is_none(), "it has nothing to give");
    }

    #[test]
    fn of_a_small_bound_an_address_gets_a_handful() {
        let addresses = Addresses::new(Vec::new());
        assert_eq!(fill(&addresses, key("1.1.1.1"), 10), HANDFUL);
        assert_eq!(fill(&addresses, key("1.1.1.2"), 10), 2);
        assert_eq!(fill(&addresses, key("1.1.1.3"), 10), 0, "it is full");
    }

    #[test]
    fn a_trusted_proxy_has_no_share_but_the_bound() {
        let addresses = Addresses::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let peer = |text: &str| addresses.key_of_peer(Some(SocketAddr::new(text.parse().unwrap(), 1)));
        assert_eq!((peer("10.1.1.1"), peer("1.1.1.1")), (Key::TRUSTED, key("1.1.1.1")));
        assert_eq!(fill(&addresses, Key::TRUSTED, 1_000), 1_000);
    }

    #[test]
    fn an_address_is_forgotten_with_the_last_that_it_holds() {
        let addresses = Addresses::new(Vec::new());
        for number in 0..10_000_u32 {
            addresses.place(Key(number.into()), Kind::Handshakes, 20_000).unwrap().keep();
        }
        let place = addresses.place(Key(0), Kind::Sessions, 10).unwrap();
        assert_eq!(addresses.len(), 10_000);
        for number in 0..10_000_u32 {
            addresses.leave(Key(number.into()), Kind::Handshakes);
        }
        assert_eq!(addresses.len(), 1);
        drop(place);
        assert_eq!(addresses.len(), 0);
        assert!(addresses.shards.iter().all(|shard| shard.lock().capacity() < 100), "the tables are small again");
    }

    /// Each address of a client costs that much, and a client has one.
    #[test]
    fn an_address_is_small() {
        assert!(size_of::<(Key, Held)>() <= 40, "{}", size_of::<(Key, Held)>());
    }
}
