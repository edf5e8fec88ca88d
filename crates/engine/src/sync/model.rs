//! Stand-ins for models: what Loom has not, or has with other signatures.

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::ops::Deref;
use std::pin::pin;
use std::sync::PoisonError;
use std::task::{Context, Poll as Polled, Wake, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
pub struct PollWaker(std::sync::Arc<Poll>);

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

/// Runs a future. One that is not ready lets others run, so that a task which wakes itself makes way for those it waits for.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let thread = std::sync::Arc::new(Thread(PollWaker::default()));
    let waker = Waker::from(thread.clone());
    let mut future = pin!(future);
    loop {
        if let Polled::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::yield_now();
        thread.0.wait(true);
    }
}

struct Thread(PollWaker);

impl Wake for Thread {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.wake().expect("it cannot fail");
    }
}

/// Shared values. To let go of one is a step, as is to try to hold it, and Loom knows that these steps depend on each other. The counts
/// are the standard library's.
#[derive(Debug)]
pub struct Arc<T> {
    value: std::sync::Arc<T>,
    steps: std::sync::Arc<AtomicUsize>,
}

/// A reference that does not hold the value.
#[derive(Debug)]
pub struct Weak<T> {
    value: std::sync::Weak<T>,
    steps: std::sync::Arc<AtomicUsize>,
}

impl<T> Arc<T> {
    /// A value to be shared.
    pub fn new(value: T) -> Self {
        Self { value: std::sync::Arc::new(value), steps: std::sync::Arc::new(AtomicUsize::new(0)) }
    }

    /// A reference that does not hold it.
    pub fn downgrade(this: &Self) -> Weak<T> {
        Weak { value: std::sync::Arc::downgrade(&this.value), steps: this.steps.clone() }
    }

    /// Whether both are of one value.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&this.value, &other.value)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), steps: self.steps.clone() }
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        self.steps.fetch_add(1, Ordering::AcqRel);
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Weak<T> {
    /// The value, if somebody holds it.
    pub fn upgrade(&self) -> Option<Arc<T>> {
        self.steps.fetch_add(1, Ordering::AcqRel);
        Some(Arc { value: self.value.upgrade()?, steps: self.steps.clone() })
    }

    /// Where the value is, or was.
    pub fn as_ptr(&self) -> *const T {
        self.value.as_ptr()
    }
}

/// All hashes are equal.
#[derive(Clone, Debug, Default)]
pub struct RandomState;

/// Its only hash is zero.
#[derive(Debug)]
pub struct Collide;

impl BuildHasher for RandomState {
    type Hasher = Collide;

    fn build_hasher(&self) -> Collide {
        Collide
    }
}

impl Hasher for Collide {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, _: &[u8]) {}
}
