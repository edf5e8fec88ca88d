//! Budgets in bytes for the whole server, by what holds them, and who holds how much.
//!
//! The bounds of [`Limits`](crate::Limits) are for one client; a million clients may each be within theirs and together use up the
//! machine. A budget bounds what all of them make the server hold. It is shared fairly: an address has a [`share`](crate::share), and
//! each of its clients half of what the address may still have, so that whoever holds most is refused or closed first.

mod account;
mod available;

pub use self::account::{Account, Accounts, Charge};
use self::available::available;
use crate::metrics::Counter;
use crate::share::share;

use std::sync::atomic::{AtomicUsize, Ordering};

/// What holds bytes for clients: each has a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Holder {
    /// The URL and headers of the request that opened a session. At the budget: HTTP 503.
    Requests,
    /// The `auth` that clients gave. At the budget: the connection is closed as `overload`.
    Auth,
    /// Messages, attachments and POST bodies of which the end has not come. At the budget: the connection is closed as `overload`;
    /// a POST is answered 503.
    Incoming,
    /// Events whose handlers wait, and events that wait for a handler. At the budget the client is read no further; what does not
    /// fit then closes its connection as `overload`.
    Events,
    /// Packets that clients do not read. At the budget: the connection is closed as `slow consumer`.
    Outboxes,
    /// Long-polling responses that clients do not read. At the budget: the session is closed as `slow consumer`.
    Responses,
    /// The memberships of sockets in rooms, and the names of these. At the budget: `join` gives an error.
    Rooms,
    /// Events and sessions kept for connection state recovery by the adapter in memory. At the budget: the oldest go.
    Recovery,
}

impl Holder {
    /// Every holder, for tables of metrics.
    pub const ALL: [Self; 8] = [
        Self::Requests,
        Self::Auth,
        Self::Incoming,
        Self::Events,
        Self::Outboxes,
        Self::Responses,
        Self::Rooms,
        Self::Recovery,
    ];

    /// The name of its budget, as in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Auth => "auth",
            Self::Incoming => "incoming",
            Self::Events => "events",
            Self::Outboxes => "outboxes",
            Self::Responses => "responses",
            Self::Rooms => "rooms",
            Self::Recovery => "recovery",
        }
    }

    /// Its part of the memory that is available, in sixteenths. Together they are three quarters of it, but hardly ever used up at
    /// once, and by one address to a half: the rest is for what each connection costs, for the program, and for what the allocator
    /// cannot give back.
    const fn part(self) -> usize {
        match self {
            Self::Requests | Self::Incoming | Self::Outboxes | Self::Rooms => 2,
            Self::Auth | Self::Events | Self::Responses | Self::Recovery => 1,
        }
    }
}

/// The most bytes that the server may hold for all clients together, by what holds them.
///
/// # Example
///
/// ```
/// use sockeye_engine::{Budgets, Holder};
///
/// let mut budgets = Budgets::of(1 << 30);
/// budgets.set(Holder::Outboxes, 256 << 20);
/// assert_eq!(budgets.get(Holder::Outboxes), 256 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets([usize; Holder::ALL.len()]);

impl Default for Budgets {
    /// Budgets for the memory that is available: the least of what the machine has, what the control group allows, and what the
    /// process may address.
    fn default() -> Self {
        Self::of(available())
    }
}

impl Budgets {
    /// Budgets for a process that may use `memory` bytes: together they are three quarters of it.
    pub fn of(memory: usize) -> Self {
        Self(Holder::ALL.map(|holder| (memory / 16 * holder.part()).max(MIN_BUDGET)))
    }

    /// The budget of a holder, in bytes.
    pub fn get(&self, holder: Holder) -> usize {
        self.0.get(holder as usize).copied().unwrap_or(MIN_BUDGET)
    }

    /// Sets the budget of a holder, in bytes.
    pub fn set(&mut self, holder: Holder, bytes: usize) {
        if let Some(budget) = self.0.get_mut(holder as usize) {
            *budget = bytes;
        }
    }
}

/// The least that a budget is by default: what a few clients need.
const MIN_BUDGET: usize = 4 << 20;

/// What the server holds for all clients, and how often a budget was reached.
#[derive(Debug)]
pub struct Ledger(Box<[Entry; Holder::ALL.len()]>);

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Entry {
    limit: usize,
    held: AtomicUsize,
    refused: Counter,
}

impl Ledger {
    /// Nothing is held yet.
    pub fn new(budgets: &Budgets) -> Self {
        Self(Box::new(Holder::ALL.map(|holder| Entry { limit: budgets.get(holder), ..Entry::default() })))
    }

    /// The budget, in bytes.
    pub fn limit(&self, holder: Holder) -> usize {
        self.entry(holder).limit
    }

    /// The bytes that are held now.
    pub fn held(&self, holder: Holder) -> usize {
        self.entry(holder).held.load(Ordering::Relaxed)
    }

    /// How often a client was refused or closed, or something was let go of, because of the budget.
    pub fn refused(&self, holder: Holder) -> u64 {
        self.entry(holder).refused.value()
    }

    /// What is free of a budget: the share of one address.
    fn free(&self, holder: Holder) -> usize {
        let entry = self.entry(holder);
        share(entry.limit, entry.held.load(Ordering::Relaxed))
    }

    fn entry(&self, holder: Holder) -> &Entry {
        let [first, ..] = &*self.0;
        self.0.get(holder as usize).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_three_quarters_of_the_memory_together() {
        let budgets = Budgets::of(32 << 30);
        let sum: usize = Holder::ALL.iter().map(|holder| budgets.get(*holder)).sum();
        assert_eq!(sum, 24 << 30);
        assert!(Holder::ALL.iter().all(|holder| Budgets::of(0).get(*holder) == MIN_BUDGET));
        for (at, holder) in Holder::ALL.iter().enumerate() {
            assert_eq!(*holder as usize, at);
        }
    }
}
