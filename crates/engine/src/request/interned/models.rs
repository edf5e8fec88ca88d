//! Models of the interner: threads that share texts and let go of them, where all hashes are equal.

use super::*;
use crate::budget::{Budgets, Ledger};
use crate::sync::{check, thread};

struct Server {
    interner: Interner,
    ledger: Arc<Ledger>,
    account: Arc<Account>,
}

impl Server {
    fn new(ledger: &Arc<Ledger>) -> Arc<Self> {
        Arc::new(Self { interner: Interner::default(), account: Account::own(ledger), ledger: ledger.clone() })
    }

    fn intern(&self, text: &str) -> Interned {
        let interned = self.interner.intern(text, &self.account).expect("the budget is large");
        assert_eq!(*interned, *text);
        interned
    }

    fn assert_empty(&self) {
        assert_eq!(self.interner.0.texts.lock().len(), 0, "a text goes away with its last user");
        assert_eq!(self.ledger.held(Holder::Requests), 0, "its bytes are given back");
    }
}

/// The budgets are made before: that takes more stack than a thread of a model has.
fn check_server(model: impl Fn(Arc<Server>) + Send + Sync + 'static) {
    let ledger = Arc::new(Ledger::new(&Budgets::of(1 << 30)));
    check(3, move || model(Server::new(&ledger)));
}

#[test]
fn the_last_users_of_a_text_leave_nothing_behind() {
    check_server(|server| {
        let first = server.intern("a");
        let threads = [0, 1].map(|_| {
            let server = server.clone();
            thread::spawn(move || drop(server.intern("a")))
        });
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        server.assert_empty();
    });
}

/// The look at another's text may be its last use, while the table is locked.
#[test]
fn a_text_that_goes_away_while_it_is_looked_at_blocks_nobody() {
    check_server(|server| {
        let (first, second) = (server.intern("a"), server.intern("b"));
        let drops = thread::spawn(move || drop(second));
        let interns = {
            let server = server.clone();
            thread::spawn(move || drop(server.intern("c")))
        };
        drops.join().unwrap();
        interns.join().unwrap();
        assert!(Shared::ptr_eq(&first.0, &server.intern("a").0), "others' texts stay");
        drop(first);
        server.assert_empty();
    });
}

#[test]
fn users_at_the_same_time_share_a_text_that_has_come_back() {
    check_server(|server| {
        let first = server.intern("a");
        let threads = [0, 1].map(|_| {
            let server = server.clone();
            thread::spawn(move || server.intern("a"))
        });
        drop(first);
        let [second, third] = threads.map(|thread| thread.join().unwrap());
        assert!(Shared::ptr_eq(&second.0, &third.0));
        drop((second, third));
        server.assert_empty();
    });
}
