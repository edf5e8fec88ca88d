//! Stand-ins for models: what Loom has not, or has with other signatures.

use std::io;
use std::sync::{Arc, PoisonError};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Condvar, MutexGuard};

pub use loom::sync::atomic;
pub use loom::thread;

/// Runs a model in all orders in which its threads switch at most so often against their will.
pub fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Like parking_lot's: to lock cannot fail.
#[derive(Debug, Default)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock for a value.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is a value, and who sees that, is Loom's.
#[derive(Debug)]
pub struct OnceLock<T> {
    is_set: AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self { is_set: AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }
}

impl<T> OnceLock<T> {
    /// The value, if it is seen to be there.
    pub fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    /// Sets the value; gives it back if there is one.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.is_set.store(true, Ordering::Release);
        Ok(())
    }
}

/// Wakes a thread from its poll, which is a wait for this and nothing else.
#[derive(Clone, Debug, Default)]
pub struct PollWaker(Arc<Poll>);

#[derive(Debug, Default)]
struct Poll {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl PollWaker {
    /// As mio's; it wakes nothing of the registry's poll.
    pub fn new(_: &mio::Registry, _: mio::Token) -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Ends the wait, or the next one.
    pub fn wake(&self) -> io::Result<()> {
        *self.0.is_woken.lock() = true;
        self.0.changed.notify_one();
        Ok(())
    }

    /// Waits until it is woken, if it may block.
    pub fn wait(&self, may_block: bool) {
        let mut is_woken = self.0.is_woken.lock();
        while may_block && !*is_woken {
            is_woken = self.0.changed.wait(is_woken).unwrap_or_else(PoisonError::into_inner);
        }
        *is_woken = false;
    }
}
