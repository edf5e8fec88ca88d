//! How many keys a server has removed because its memory was full.

use std::time::Duration;

use tokio::time::Instant;

/// How many keys a server had removed, as far as that is known.
#[derive(Debug, Default)]
pub(crate) struct Evictions {
    count: Option<u64>,
    noted: Option<Instant>,
}

impl Evictions {
    /// The server has removed so many: whether some are new. A server that always removes some is noted from time to time only.
    pub(crate) fn note(&mut self, count: u64) -> bool {
        // One that was started anew begins at zero; its connections were lost.
        let is_new = self.count.is_some_and(|before| count > before);
        if is_new && self.noted.is_some_and(|at| at.elapsed() < PAUSE) {
            return false;
        }
        self.count = Some(count);
        if is_new {
            self.noted = Some(Instant::now());
        }
        is_new
    }
}

/// How often it is noted at most that a server has removed keys: all sessions are written again then.
const PAUSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn removed_keys_are_noted_from_time_to_time() {
        let mut evictions = Evictions::default();
        assert_eq!([7, 7, 8, 9].map(|count| evictions.note(count)), [false, false, true, false]);
        tokio::time::advance(PAUSE).await;
        assert_eq!([9, 9, 0].map(|count| evictions.note(count)), [true, false, false]);
    }
}
