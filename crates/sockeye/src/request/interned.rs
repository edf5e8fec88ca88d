//! Texts that many connections have in common, each kept once for all of them.
//!
//! Nearly all headers of a browser are those of every other browser of its kind. A text goes away with its last user.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use hashbrown::HashTable;
use parking_lot::Mutex;

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
pub(crate) struct Interned(Arc<Inner>);

struct Inner {
    text: Box<str>,
    hash: u64,
    table: Arc<Table>,
}

impl Interner {
    /// The shared copy of a text.
    pub(crate) fn intern(&self, text: &str) -> Interned {
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
        if texts.find(hash, is_same).is_none() {
            let inner = Arc::new(Inner { text: text.into(), hash, table: table.clone() });
            texts.insert_unique(hash, Entry { hash, text: Arc::downgrade(&inner) }, |entry| entry.hash);
            found = Some(inner);
        }
        drop(texts);
        drop(others);
        Interned(found.unwrap_or_else(|| Arc::new(Inner { text: text.into(), hash, table: table.clone() })))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_go_away_with_their_last_user() {
        let interner = Interner::default();
        let (first, second, other) = (interner.intern("a:1\n"), interner.intern("a:1\n"), interner.intern("a:2\n"));
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
        let interner = Interner::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for at in 0..5_000 {
                        assert_eq!(&*interner.intern(&format!("{}", at % 3)), format!("{}", at % 3));
                    }
                });
            }
        });
        assert_eq!(interner.0.texts.lock().len(), 0);
    }
}
