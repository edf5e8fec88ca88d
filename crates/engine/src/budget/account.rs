//! What one address holds, and the charges to it.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;

use super::{Holder, Ledger};
use crate::addresses::Key;

/// Charges are in units of so many bytes, so that an address needs little memory.
const UNIT: usize = 16;

const SHARDS: usize = 16;

/// The accounts of all addresses that hold something.
pub struct Accounts {
    ledger: Arc<Ledger>,
    hasher: DefaultHashBuilder,
    shards: [Mutex<HashMap<Key, Weak<Account>>>; SHARDS],
}

/// What one address holds.
pub struct Account {
    ledger: Arc<Ledger>,
    /// In units, by holder.
    held: [AtomicU32; Holder::ALL.len()],
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Accounts of these budgets.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, hasher: DefaultHashBuilder::default(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The account of an address.
    pub fn of(&self, key: Key) -> Arc<Account> {
        let at = usize::try_from(self.hasher.hash_one(key) >> 60).unwrap_or(0);
        let mut shard = self.shards.get(at).unwrap_or(&self.shards[0]).lock();
        if let Some(account) = shard.get(&key).and_then(Weak::upgrade) {
            return account;
        }
        if shard.len() == shard.capacity() {
            // Those that nobody holds any more make room.
            shard.retain(|_, account| account.strong_count() > 0);
        }
        let account = Arc::new(Account::new(self.ledger.clone()));
        shard.insert(key, Arc::downgrade(&account));
        account
    }
}

impl Account {
    fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, held: [const { AtomicU32::new(0) }; Holder::ALL.len()] }
    }

    /// An account of the server's own, for what belongs to no address.
    pub fn own(ledger: &Arc<Ledger>) -> Arc<Self> {
        Arc::new(Self::new(ledger.clone()))
    }

    /// Whether a client of this address that holds `held` may hold `more`.
    pub fn has_room(&self, holder: Holder, held: usize, more: usize) -> bool {
        let own = usize::try_from(self.held(holder).load(Ordering::Relaxed)).unwrap_or(usize::MAX).saturating_mul(UNIT);
        let free = self.ledger.free(holder).saturating_sub(own);
        // Half of what the address may still have, so that one large piece does not leave nothing for its neighbours.
        held.saturating_add(more) <= free / 2
    }

    /// The same, and counted if it may not.
    pub fn allows(&self, holder: Holder, held: usize, more: usize) -> bool {
        let is_allowed = self.has_room(holder, held, more);
        if !is_allowed {
            self.ledger.entry(holder).refused.increment();
        }
        is_allowed
    }

    /// Takes `bytes` for a client that holds `held` already; false if that is more than its share.
    pub fn take(&self, holder: Holder, held: usize, bytes: usize) -> bool {
        let is_allowed = self.allows(holder, held, bytes);
        if is_allowed {
            self.add(holder, bytes);
        }
        is_allowed
    }

    /// Gives back what was taken at once.
    pub fn give_back(&self, holder: Holder, bytes: usize) {
        self.subtract(holder, units(bytes));
    }

    /// What was `from` bytes becomes `to`; false, and nothing is changed, if it is more than its share.
    pub fn resize(&self, holder: Holder, from: usize, to: usize) -> bool {
        let (old, new) = (units(from), units(to));
        if new <= old {
            self.subtract(holder, old - new);
            return true;
        }
        let is_allowed = self.allows(holder, from, to - from);
        if is_allowed {
            self.add_units(holder, new - old);
        }
        is_allowed
    }

    /// Adds what is held already, whatever the share.
    pub fn add(&self, holder: Holder, bytes: usize) {
        self.add_units(holder, units(bytes));
    }

    fn add_units(&self, holder: Holder, units: usize) {
        self.held(holder).fetch_add(u32::try_from(units).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.ledger.entry(holder).held.fetch_add(units * UNIT, Ordering::Relaxed);
    }

    fn subtract(&self, holder: Holder, units: usize) {
        if units > 0 {
            self.held(holder).fetch_sub(u32::try_from(units).unwrap_or(u32::MAX), Ordering::Relaxed);
            self.ledger.entry(holder).held.fetch_sub(units * UNIT, Ordering::Relaxed);
        }
    }

    fn held(&self, holder: Holder) -> &AtomicU32 {
        let [first, ..] = &self.held;
        self.held.get(holder as usize).unwrap_or(first)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("held", &self.held).finish_non_exhaustive()
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT)
}

/// Bytes charged to an account until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    holder: Holder,
    bytes: usize,
}

impl Charge {
    /// Nothing yet.
    pub fn new(account: &Arc<Account>, holder: Holder) -> Self {
        Self { account: account.clone(), holder, bytes: 0 }
    }

    /// Takes `bytes` for a client that holds `held` already; none if that is more than its share.
    pub fn take(account: &Arc<Account>, holder: Holder, held: usize, bytes: usize) -> Option<Self> {
        account.take(holder, held, bytes).then(|| Self { account: account.clone(), holder, bytes })
    }

    /// Changes what is charged; false, and nothing is changed, if it is more than the share.
    pub fn resize(&mut self, bytes: usize) -> bool {
        let is_allowed = self.account.resize(self.holder, self.bytes, bytes);
        if is_allowed {
            self.bytes = bytes;
        }
        is_allowed
    }

    /// How many bytes it stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(self.holder, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Budgets;
    use super::*;

    fn accounts(bytes: usize) -> Accounts {
        let mut budgets = Budgets::of(0);
        budgets.set(Holder::Incoming, bytes);
        Accounts::new(Arc::new(Ledger::new(&budgets)))
    }

    fn address(last: u8) -> Key {
        Key::of(Some(([127, 0, 0, last], 1).into()))
    }

    #[test]
    fn one_address_leaves_half_to_the_others() {
        let accounts = accounts(64_000);
        let (hog, other) = (accounts.of(address(2)), accounts.of(address(3)));
        let mut charges = Vec::new();
        while let Some(charge) = Charge::take(&hog, Holder::Incoming, 0, 160) {
            charges.push(charge);
        }
        let held = accounts.ledger.held(Holder::Incoming);
        assert!((31_000..=32_000).contains(&held), "{held}");
        assert_eq!(accounts.ledger.refused(Holder::Incoming), 1);
        assert!(Charge::take(&other, Holder::Incoming, 0, 15_000).is_some());
        drop(charges);
        assert_eq!(accounts.ledger.held(Holder::Incoming), 0);
    }

    #[test]
    fn who_holds_most_at_an_address_is_refused_first() {
        let accounts = accounts(64_000);
        let account = accounts.of(address(2));
        let mut large = Charge::new(&account, Holder::Incoming);
        while large.resize(large.bytes() + 160) {}
        assert!(large.bytes() > 15_000, "{}", large.bytes());
        let mut small = Charge::new(&account, Holder::Incoming);
        assert!(small.resize(1_600));
        assert!(!large.resize(large.bytes() + 160));
    }

    #[test]
    fn a_charge_that_changes_in_odd_steps_leaves_nothing_behind() {
        let accounts = accounts(64_000);
        let account = accounts.of(address(2));
        let mut charge = Charge::new(&account, Holder::Incoming);
        for bytes in [1, 5, 17, 16, 900, 33, 3] {
            assert!(charge.resize(bytes));
        }
        drop(charge);
        assert_eq!(accounts.ledger.held(Holder::Incoming), 0);
    }

    #[test]
    fn accounts_go_with_their_last_user() {
        let accounts = accounts(64_000);
        let one = accounts.of(address(1));
        assert!(Arc::ptr_eq(&one, &accounts.of(address(1))));
        for last in 0..=255 {
            let _gone = accounts.of(address(last));
        }
        let kept: usize = accounts.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!(kept < 250, "{kept}");
    }
}
