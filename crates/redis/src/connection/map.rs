//! Which server owns which keys: the only one, the master of the sentinels' service, or in a Redis Cluster the owner of each slot.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use redis::{Cmd, ServerError, Value};

/// Where a server listens. A clone shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

/// A text that is no host with a port.
#[derive(Debug)]
pub(crate) struct AddressError;

/// From `host:port`; an IPv6 address may be in brackets.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.trim().rsplit_once(':').ok_or(AddressError)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self::new(bare, port.parse().map_err(|_| AddressError)?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The owners of all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    /// Never empty.
    owners: Vec<Address>,
    replicas: Vec<Address>,
    /// The owner of each slot, as its place among the owners. None: there is only one.
    slots: Option<Box<[u16]>>,
    /// The owner that gets what any of them can do.
    any: usize,
}

impl Map {
    /// One server has all keys.
    pub(crate) fn one(address: Address) -> Self {
        Self { owners: vec![address], replicas: Vec::new(), slots: None, any: 0 }
    }

    /// Reads the answer to `CLUSTER SLOTS` of the server at this address; none if it tells of no slot.
    pub(crate) fn read(answer: Value, asked: &Address) -> Option<Self> {
        let mut map =
            Self { owners: Vec::new(), replicas: Vec::new(), slots: Some(vec![NOBODY; SLOTS].into()), any: 0 };
        let Value::Array(ranges) = answer else { return None };
        for range in ranges {
            let Value::Array(parts) = range else { continue };
            let mut parts = parts.into_iter();
            let (Some(Value::Int(first)), Some(Value::Int(last))) = (parts.next(), parts.next()) else { continue };
            let mut servers = parts.filter_map(|each| server(each, asked));
            let Some(owner) = servers.next() else { continue };
            for replica in servers {
                if !map.replicas.contains(&replica) {
                    map.replicas.push(replica);
                }
            }
            map.assign(usize::try_from(first).ok()?, usize::try_from(last).ok()?, &owner);
        }
        (!map.owners.is_empty()).then_some(map)
    }

    fn assign(&mut self, first: usize, last: usize, owner: &Address) {
        let at = self.place_of(owner);
        if let Some(slots) = self.slots.as_mut().and_then(|slots| slots.get_mut(first..=last.min(SLOTS - 1))) {
            slots.fill(at);
        }
    }

    /// The place of an owner, which may be new.
    fn place_of(&mut self, owner: &Address) -> u16 {
        let known = self.owners.iter().position(|each| each == owner);
        let at = known.unwrap_or_else(|| {
            self.owners.push(owner.clone());
            self.owners.len() - 1
        });
        // There are fewer than slots.
        u16::try_from(at).unwrap_or(NOBODY)
    }

    /// The same map, after a server has said that this one has the slot now.
    pub(crate) fn with_moved(&self, slot: u16, to: &Address) -> Self {
        let mut map = self.clone();
        map.assign(slot.into(), slot.into(), to);
        map
    }

    /// The same map, with a server that may have no slot yet.
    pub(crate) fn with_owner(&self, owner: &Address) -> Self {
        let mut map = self.clone();
        map.place_of(owner);
        map
    }

    /// Chooses the server for what any can do: the one that was before, if it is not `avoided`, or one by chance.
    pub(crate) fn choose_any(&mut self, before: Option<&Address>, avoided: Option<&Address>) {
        let kept = before.filter(|before| Some(*before) != avoided);
        if let Some(at) = kept.and_then(|kept| self.owners.iter().position(|each| each == kept)) {
            self.any = at;
            return;
        }
        let may_be: Vec<_> = (0..self.owners.len()).filter(|at| self.owners.get(*at) != avoided).collect();
        self.any = match may_be.len() {
            0 => 0,
            count => may_be.get(rand::random_range(0..count)).copied().unwrap_or(0),
        };
    }

    /// Whether each key has the same owner in both.
    pub(crate) fn has_same_owners(&self, other: &Self) -> bool {
        let slots = |map: &Self| map.slots.as_ref().map_or(0, |slots| slots.len());
        slots(self) == slots(other) && (0..slots(self).max(1)).all(|slot| self.owner_at(slot) == other.owner_at(slot))
    }

    fn owner_at(&self, slot: usize) -> Option<&Address> {
        let at = self.slots.as_ref().map_or(Some(0), |slots| slots.get(slot).copied())?;
        self.owners.get(usize::from(at))
    }

    /// All that own something.
    pub(crate) fn owners(&self) -> &[Address] {
        &self.owners
    }

    /// Copies of the owners, which clients may be connected to as well.
    pub(crate) fn replicas(&self) -> &[Address] {
        &self.replicas
    }

    /// The server for what any can do.
    pub(crate) fn any(&self) -> &Address {
        // It is always the place of an owner: there is one at least, and none is taken away.
        &self.owners[self.any]
    }

    /// The owner of a key.
    pub(crate) fn owner(&self, key: &[u8]) -> &Address {
        if self.slots.is_none() {
            return self.any();
        }
        // Of a slot without an owner any server says that the cluster is down, until it is not.
        self.owner_at(slot(key).into()).unwrap_or_else(|| self.any())
    }

    /// Whether this server has the slot, as far as is known.
    pub(crate) fn has(&self, owner: &Address, slot: u16) -> bool {
        self.owner_at(slot.into()) == Some(owner)
    }

    /// Where a command goes, by its key.
    pub(crate) fn target(&self, command: &Cmd) -> &Address {
        if self.slots.is_none() {
            return self.any();
        }
        match key(command) {
            Some(key) => self.owner(key),
            None => self.any(),
        }
    }
}

/// The key of a command that has one, or the channel of a sharded one.
fn key(command: &Cmd) -> Option<&[u8]> {
    let mut words = command.args_iter().map(|word| match word {
        redis::Arg::Simple(word) => word,
        _ => &[],
    });
    match words.next()? {
        b"PUBLISH" | b"PING" => None,
        b"PUBSUB" => (words.next()? == b"SHARDNUMSUB").then(|| words.next()).flatten(),
        // After the script and the number of keys.
        b"EVAL" => words.nth(2),
        b"XREAD" => words.skip_while(|word| *word != b"STREAMS").nth(1),
        _ => words.next(),
    }
}

/// A server as `CLUSTER SLOTS` tells of it.
fn server(value: Value, asked: &Address) -> Option<Address> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let host = parts.next()?;
    let Value::Int(port) = parts.next()? else { return None };
    let port = u16::try_from(port).ok()?;
    match host {
        Value::BulkString(host) => host_at(std::str::from_utf8(&host).ok()?, port, asked),
        // It does not know by which name it is reached: that is the one that was asked.
        Value::Nil => host_at("", port, asked),
        _ => None,
    }
}

fn host_at(host: &str, port: u16, asked: &Address) -> Option<Address> {
    match host {
        "?" => None,
        "" => Some(Address { host: asked.host.clone(), port }),
        _ => Some(Address::new(host, port)),
    }
}

/// What a server says when a command is not for it, or not yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The slot has another owner.
    Moved { slot: u16, to: Address },
    /// The slot is moving, and the key has gone on already.
    Ask { to: Address },
    /// It cannot be done now: the cluster has lost an owner, or the server is still loading.
    Later,
    /// The server is a master no more.
    Demoted,
}

impl Redirect {
    /// Reads an error of the server at this address; none if it is final.
    pub(crate) fn read(error: &ServerError, asked: &Address) -> Option<Self> {
        let to = || {
            let (slot, to) = error.details()?.split_once(' ')?;
            let to: Address = to.parse().ok()?;
            Some((slot.parse().ok()?, host_at(&to.host, to.port, asked)?))
        };
        match error.code() {
            "MOVED" => to().map(|(slot, to)| Self::Moved { slot, to }),
            "ASK" => to().map(|(_, to)| Self::Ask { to }),
            "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" => Some(Self::Later),
            "READONLY" => Some(Self::Demoted),
            _ => None,
        }
    }
}

/// The slot of a key: CRC-16 of its tag.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let crc = tag(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    crc % 0x4000
}

/// What says where a key is: what it has between the first braces, or all of it.
pub(crate) fn tag(key: &[u8]) -> &[u8] {
    let braced = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    braced.unwrap_or(key)
}

/// How many slots there are.
const SLOTS: usize = 0x4000;

/// The owner of a slot that has none.
const NOBODY: u16 = u16::MAX;

#[cfg(test)]
mod tests;
