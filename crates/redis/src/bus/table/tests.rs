//! When a subscription counts as confirmed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, Weak};

use sockeye_cluster::NodeId;

use super::*;
use crate::bus::wire::Wire;
use crate::options::{Mode, RedisOptions};

/// A table with one server, to which there is a connection.
struct Case {
    table: Table,
    server: Address,
    inbox: Arc<Inbox>,
}

impl Case {
    fn new() -> Self {
        let (table, server) = (Table::new(false), Address::new("redis", 6379));
        let wire = Wire::new(&RedisOptions::new("redis://redis", Mode::Native), &NodeId::from("node"), "/");
        let inbox = Inbox { wire: Arc::new(wire), local: Weak::new(), receiver: OnceLock::new(), recovery: None };
        table.adopt(&Arc::new(Map::one(server.clone())));
        table.note_connected(&server);
        Self { table, server, inbox: Arc::new(inbox) }
    }

    fn channel() -> Channel {
        b"room".as_slice().into()
    }

    /// Wants the channel. Tells whether that is confirmed.
    fn want(&self) -> impl Fn() -> bool + use<> {
        let is_confirmed = Arc::new(AtomicBool::new(false));
        let set = is_confirmed.clone();
        let confirmation = Confirmation::new(move || set.store(true, Ordering::Relaxed));
        self.table.want(&Self::channel(), &self.inbox, Some(confirmation));
        move || is_confirmed.load(Ordering::Relaxed)
    }

    /// What is said to the server now: how many subscriptions, and how many ends of some.
    fn said(&self) -> (Changes, (usize, usize)) {
        let changes = self.table.state.lock().take_changes(&self.server, 10);
        let counts = (changes.subscribe.len(), changes.unsubscribe.len());
        (changes, counts)
    }

    fn confirm(&self, is_heard: bool) {
        self.table.confirm(&self.server, &Self::channel(), is_heard);
    }
}

#[test]
fn a_subscription_is_confirmed_by_the_server() {
    let case = Case::new();
    let is_confirmed = case.want();
    assert_eq!(case.said().1, (1, 0));
    assert!(!is_confirmed());
    case.table.confirm(&Address::new("another", 6379), &Case::channel(), true);
    assert!(!is_confirmed());
    case.confirm(true);
    assert!(is_confirmed());
}

#[test]
fn what_is_heard_already_is_confirmed() {
    let case = Case::new();
    drop(case.want());
    case.said();
    case.confirm(true);
    // Its end was not said yet.
    case.table.unwant(&Case::channel());
    assert!(case.want()());
    assert_eq!(case.said().1, (0, 0));
}

#[test]
fn what_is_heard_but_ends_is_not_confirmed() {
    let case = Case::new();
    drop(case.want());
    case.said();
    case.confirm(true);
    case.table.unwant(&Case::channel());
    let (changes, counts) = case.said();
    assert_eq!(counts, (0, 1));
    let is_confirmed = case.want();
    assert!(!is_confirmed());
    case.confirm(false);
    case.table.confirm_changes(&case.server, &changes);
    assert!(!is_confirmed());
    assert_eq!(case.said().1, (1, 0));
    case.confirm(true);
    assert!(is_confirmed());
}

#[test]
fn nobody_waits_for_a_channel_that_is_not_wanted_or_without_a_connection() {
    let case = Case::new();
    let given_up = case.want();
    case.table.unwant(&Case::channel());
    assert!(given_up());
    let lost = case.want();
    assert!(!lost());
    case.table.reset(&case.server);
    assert!(lost());
    assert!(case.want()());
}
