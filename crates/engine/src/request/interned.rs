//! Texts that many connections have in common, each kept once for all of them.
//!
//! Nearly all headers of a browser are those of every other browser of its kind. A text goes away with its last user.

use std::fmt;
use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::budget::{Account, Holder};
use crate::sync::{Arc as Shared, Mutex, RandomState, Weak};

#[cfg(all(test, sockeye_loom))]
mod models;

/// The texts that are in use.
#[derive(Clone, Default)]
pub(crate) struct Interner(Arc<Table>);

#[derive(Default)]
struct Table {
    /// Not a faster hash: clients choose the texts.
    hasher: RandomState,
    texts: Mutex<HashTable<Entry>>,
}

struct Entry {
    hash: u64,
    text: Weak<Inner>,
}

/// A text that is shared with whoever has the same.
#[derive(Clone)]
pub(crate) struct Interned(Shared<Inner>);

struct Inner {
    text: Box<str>,
    hash: u64,
    table: Arc<Table>,
    /// Who brought it; it is charged for all that share it.
    account: Arc<Account>,
}

/// What a text costs besides itself: its place in the table, and the allocator's.
const OVERHEAD: usize = 96;

impl Interner {
    /// The shared copy of a text. If it is new, it is charged to `account`; none if that may not hold it.
    pub(crate) fn intern(&self, text: &str, account: &Arc<Account>) -> Option<Interned> {
        let table = &self.0;
        let hash = table.hasher.hash_one(text);
        let mut found = None;
        // To look at a text is to hold it, perhaps as the last one; it must not go while the table is locked.
        let mut others = Vec::new();
        let mut texts = table.texts.lock();
        let is_same = |entry: &Entry| match entry.text.upgrade() {
            Some(inner) if *inner.text == *text => {
                found = Some(inner);
                true
            }
            other => {
                others.push(other);
                false
            }
        };
        if texts.find(hash, is_same).is_none() && account.take(Holder::Requests, 0, text.len() + OVERHEAD) {
            let (table, account) = (table.clone(), account.clone());
            let inner = Shared::new(Inner { text: text.into(), hash, table, account });
            texts.insert_unique(hash, Entry { hash, text: Shared::downgrade(&inner) }, |entry| entry.hash);
            found = Some(inner);
        }
        drop(texts);
        drop(others);
        found.map(Interned)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.account.give_back(Holder::Requests, self.text.len() + OVERHEAD);
        let mut texts = self.table.texts.lock();
        // By its address: the same text may have come back meanwhile.
        if let Ok(entry) = texts.find_entry(self.hash, |entry| std::ptr::eq(entry.text.as_ptr(), self)) {
            entry.remove();
        }
        if texts.len() * 4 < texts.capacity() {
            texts.shrink_to_fit(|entry| entry.hash);
        }
    }
}

impl Deref for Interned {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl fmt::Debug for Interner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interner").field("texts", &self.0.texts.lock().len()).finish()
    }
}

#[cfg(all(test, not(sockeye_loom)))]
mod tests {
    use super::*;
    use crate::budget::{Budgets, Ledger};

    fn account() -> Arc<Account> {
        Account::own(&Arc::new(Ledger::new(&Budgets::of(1 << 30))))
    }

    #[test]
    fn equal_texts_are_one_and_go_away_with_their_last_user() {
        let interner = Interner::default();
        let account = account();
        let intern = |text| interner.intern(text, &account).unwrap();
        let (first, second, other) = (intern("a:1\n"), intern("a:1\n"), intern("a:2\n"));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert_eq!((&*first, &*other), ("a:1\n", "a:2\n"));
        assert_eq!(interner.0.texts.lock().len(), 2);
        drop(first);
        assert_eq!(interner.0.texts.lock().len(), 2);
        drop((second, other));
        assert_eq!(interner.0.texts.lock().len(), 0);
    }

    #[test]
    fn threads_that_intern_and_drop_the_same_text_leave_nothing_behind() {
        let (interner, account) = (Interner::default(), account());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for at in 0..5_000 {
                        let text = format!("{}", at % 3);
                        assert_eq!(*interner.intern(&text, &account).unwrap(), *text);
                    }
                });
            }
        });
        assert_eq!(interner.0.texts.lock().len(), 0);
    }
}
