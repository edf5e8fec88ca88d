//! When messages are to be sent.

use std::time::Duration;

use crate::shared::Shared;

/// What makes a sender send.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// The messages that have come back: so many may be under way for each sender.
    Closed {
        /// How many.
        window: u32,
    },
    /// The clock.
    Open(Schedule),
}

/// Messages at a steady rate, dealt to the senders in turn.
///
/// Each has its time from its number and not from the message before, so nothing drifts and nothing is left out: while a sender
/// cannot send, its messages become overdue, and all of them count from their own time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Messages a second.
    rate: f64,
    senders: u32,
}

impl Schedule {
    pub(crate) fn new(rate: f64, senders: u32) -> Self {
        Self { rate, senders }
    }

    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// When the message with this number is due, in nanoseconds since the start.
    pub(crate) fn due(&self, number: u64) -> u64 {
        (number as f64 * 1e9 / self.rate) as u64
    }

    /// The number of a sender's `nth` message.
    pub(crate) fn number(&self, sender: u32, nth: u64) -> u64 {
        u64::from(sender) + nth * u64::from(self.senders)
    }

    /// How many messages are due before `time`.
    pub(crate) fn count_before(&self, time: u64) -> u64 {
        let mut count = (time as f64 * self.rate / 1e9) as u64;
        while self.due(count) < time {
            count += 1;
        }
        while count > 0 && self.due(count - 1) >= time {
            count -= 1;
        }
        count
    }
}

/// Wakes each sender when a message of its is due, until no more is to be sent.
///
/// On a thread of its own, as a runtime's timers are only good to a millisecond. A sender that is woken late, or is busy, sends
/// all that is due then.
pub(crate) fn wake_in_time(shared: &Shared, schedule: Schedule) {
    let mut next = 0;
    while let Some(window) = shared.window() {
        let now = shared.now();
        if now >= window.end {
            return;
        }
        let due = schedule.count_before(now.saturating_sub(window.start) + 1);
        for number in next..due.min(next + u64::from(schedule.senders)) {
            shared.wake((number % u64::from(schedule.senders)) as usize);
        }
        next = next.max(due);
        let wait = Duration::from_nanos((window.start + schedule.due(next)).saturating_sub(shared.now()));
        std::thread::sleep(wait.min(LONGEST_SLEEP));
    }
}

/// How soon the thread notices that the end has been brought forward.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_the_rate_and_do_not_drift() {
        let schedule = Schedule::new(3.0, 1);
        assert_eq!([0, 1, 2, 3].map(|number| schedule.due(number)), [0, 333_333_333, 666_666_666, 1_000_000_000]);
        assert_eq!(schedule.due(3_000_000), 1_000_000 * 1_000_000_000);
    }

    #[test]
    fn senders_take_turns() {
        let schedule = Schedule::new(10.0, 4);
        let mut numbers: Vec<_> = (0..4).flat_map(|sender| (0..3).map(move |nth| (sender, nth))).collect();
        numbers.sort_by_key(|&(sender, nth)| schedule.number(sender, nth));
        let senders: Vec<_> = numbers.iter().map(|&(sender, _)| sender).collect();
        assert_eq!(senders, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn the_count_agrees_with_the_times() {
        for rate in [0.5, 1.0, 3.0, 7.7, 1_000.0, 123_456.7] {
            let schedule = Schedule::new(rate, 1);
            for time in [0, 1, 333_333_333, 333_333_334, 1_000_000_000, 59_999_999_999] {
                let count = schedule.count_before(time);
                assert!(count == 0 || schedule.due(count - 1) < time, "{rate} {time}");
                assert!(schedule.due(count) >= time, "{rate} {time}");
            }
        }
        assert_eq!(Schedule::new(1_000.0, 8).count_before(10_000_000_000), 10_000);
    }
}
