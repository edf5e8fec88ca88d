//! Of which events it was told lately that their arguments do not fit: one warning for each name in a minute.

use hashbrown::HashMap;
use parking_lot::Mutex;

/// How long nothing more is told of a name, in milliseconds.
const PERIOD: u64 = 60_000;
/// Names that are told apart. Names of events that have a handler are few; but a handler of any event gets whatever a client sends.
const MAX_NAMES: usize = 256;

/// The names of events.
#[derive(Debug, Default)]
pub(super) struct Rejected(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Box<str>, Told>,
    /// For those that there is no room for.
    others: Told,
    /// When it may be looked again for names that are free to go.
    next_look: u64,
}

#[derive(Debug, Default)]
struct Told {
    /// When the next may be told, in milliseconds.
    next: u64,
    /// How many were not, since the last one.
    suppressed: u64,
}

impl Rejected {
    /// Whether an event of this name is to be told of now, and if so of how many it was not since the last one.
    pub(super) fn admit(&self, name: &str, now: u64) -> Option<u64> {
        self.0.lock().told(name, now).admit(now)
    }
}

impl Names {
    fn told(&mut self, name: &str, now: u64) -> &mut Told {
        if self.by_name.len() >= MAX_NAMES && now >= self.next_look && !self.by_name.contains_key(name) {
            self.by_name.retain(|_, told| told.next > now);
            self.next_look = now + 1_000;
        }
        if self.by_name.len() >= MAX_NAMES && !self.by_name.contains_key(name) {
            return &mut self.others;
        }
        self.by_name.entry_ref(name).or_default()
    }
}

impl Told {
    fn admit(&mut self, now: u64) -> Option<u64> {
        if now < self.next {
            self.suppressed += 1;
            return None;
        }
        self.next = now + PERIOD;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_once_in_a_minute() {
        let rejected = Rejected::default();
        assert_eq!(rejected.admit("a", 5), Some(0));
        assert_eq!((rejected.admit("a", 6), rejected.admit("a", 60_004)), (None, None));
        assert_eq!(rejected.admit("b", 7), Some(0), "another is told for itself");
        assert_eq!(rejected.admit("a", 60_005), Some(2));
        assert_eq!(rejected.admit("a", 60_006), None);
    }

    #[test]
    fn names_that_clients_make_up_are_bounded() {
        let rejected = Rejected::default();
        let count = |now: u64, names: std::ops::Range<u32>| {
            names.filter(|name| rejected.admit(&name.to_string(), now).is_some()).count()
        };
        assert_eq!(count(0, 0..10_000), MAX_NAMES + 1, "the others count as one");
        assert_eq!(rejected.0.lock().by_name.len(), MAX_NAMES);
        assert_eq!(count(59_999, 0..10_000), 0);
        assert_eq!(count(61_000, 10_000..10_010), 10, "the old ones make room");
        assert_eq!(rejected.0.lock().by_name.len(), 10);
    }
}
