//! Wakers of tasks that wait for the same thing, to be kept under a lock.

use std::task::Waker;

/// Each task is in it once.
#[derive(Debug, Default)]
pub struct Wakers(Vec<Waker>);

impl Wakers {
    /// Wakes this one, too.
    pub fn add(&mut self, waker: &Waker) {
        if !self.0.iter().any(|each| each.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    /// Takes all, to be [woken](Self::wake) without the lock.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Wakes all.
    pub fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}
