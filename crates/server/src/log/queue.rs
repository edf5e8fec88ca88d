//! Lines on their way to standard error: a queue that is bounded in bytes, and the loop of the thread that writes them.
//!
//! Standard error may take nothing for hours (a pipe that nobody reads), or fail (a full disk, a reader that is gone). The
//! queue is full then, and further lines are dropped and counted. Once lines are written again, one says how many are missing.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sockeye::Counter;

/// Lines that wait to be written.
#[derive(Debug)]
pub(super) struct Queue {
    max_bytes: usize,
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Everything is written.
    drained: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Box<[u8]>>,
    /// Bytes of the lines, until they are written.
    bytes: usize,
    /// Lines that found no room behind the last one in the queue.
    overflowed: u64,
    /// Whether the thread is busy with lines that it has taken.
    is_writing: bool,
}

impl Queue {
    pub(super) fn new(max_bytes: usize) -> Self {
        let (state, filled, drained) = (Mutex::default(), Condvar::new(), Condvar::new());
        Self { max_bytes, state, filled, drained, dropped: Counter::default() }
    }

    /// Lines that were not written.
    pub(super) fn dropped(&self) -> &Counter {
        &self.dropped
    }

    /// Adds a line if there is room. Waits for nothing.
    pub(super) fn push(&self, line: Box<[u8]>) {
        let mut state = self.lock();
        let bytes = state.bytes.saturating_add(cost(&line));
        if bytes > self.max_bytes {
            state.overflowed += 1;
            self.dropped.increment();
        } else {
            state.bytes = bytes;
            state.lines.push_back(line);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until everything is written, for at most this long.
    pub(super) fn flush(&self, time: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty() || state.overflowed > 0;
        // Whether it was in time makes no difference to who waits.
        drop(self.drained.wait_timeout_while(self.lock(), time, is_busy));
    }

    /// Writes lines for ever. `notice` makes the line that says how many were dropped.
    pub(super) fn write_to(&self, output: impl Write, notice: impl Fn(u64) -> String) -> ! {
        let mut sink = Sink { output, is_torn: false };
        // Lines that were dropped, and of which no line has told yet.
        let mut missing = 0;
        loop {
            let (lines, overflowed) = self.take();
            for line in lines {
                // While not even the notice can be written, the line is not tried.
                if (missing == 0 || sink.write(notice(missing).as_bytes()).is_ok()) && sink.write(&line).is_ok() {
                    missing = 0;
                } else {
                    missing += 1;
                    self.dropped.increment();
                }
                self.lock().bytes -= cost(&line);
            }
            missing += overflowed;
            if missing > 0 && sink.write(notice(missing).as_bytes()).is_ok() {
                missing = 0;
            }
        }
    }

    /// Waits for lines. Gives back all of them, and how many were dropped behind the last.
    fn take(&self) -> (VecDeque<Box<[u8]>>, u64) {
        let mut state = self.lock();
        state.is_writing = false;
        self.drained.notify_all();
        let is_empty = |state: &mut State| state.lines.is_empty() && state.overflowed == 0;
        let mut state = self.filled.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        (std::mem::take(&mut state.lines), std::mem::take(&mut state.overflowed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where lines are written to.
struct Sink<W> {
    output: W,
    /// Whether only the beginning of a line was written.
    is_torn: bool,
}

impl<W: Write> Sink<W> {
    /// Writes a line, and ends a torn one before it.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_all(b"\n")?;
        }
        self.write_all(line)?;
        self.is_torn = false;
        Ok(())
    }

    /// Like the method of the standard library, but waits where standard error does not block.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.output.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.is_torn = true;
                    bytes = bytes.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a line is counted with: its bytes, and its place in the queue.
fn cost(line: &[u8]) -> usize {
    line.len() + size_of::<Box<[u8]>>()
}

/// How long to wait for a standard error that does not block.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Standard error as the test wants it: each write waits for its result.
    struct Output {
        results: mpsc::Receiver<io::Result<()>>,
        written: mpsc::Sender<String>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the test has ended, nobody gives results.
            self.results.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
            self.written.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap_or_default();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Test {
        queue: Arc<Queue>,
        results: mpsc::Sender<io::Result<()>>,
        written: mpsc::Receiver<String>,
    }

    impl Test {
        fn start(max_bytes: usize) -> Self {
            let queue = Arc::new(Queue::new(max_bytes));
            let ((results, taken), (writer, written)) = (mpsc::channel(), mpsc::channel());
            let (theirs, output) = (queue.clone(), Output { results: taken, written: writer });
            std::thread::spawn(move || theirs.write_to(output, |count| format!("{count} dropped")));
            Self { queue, results, written }
        }

        fn push(&self, line: &str) {
            self.queue.push(line.as_bytes().into());
        }

        fn next(&self) -> String {
            self.results.send(Ok(())).unwrap();
            self.written.recv_timeout(PATIENCE).unwrap()
        }
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted_and_nobody_waits() {
        let test = Test::start(2 * (1 + size_of::<Box<[u8]>>()));
        for line in ["a", "b", "c", "d"] {
            test.push(line);
        }
        // Nothing was written so far.
        assert_eq!(test.queue.dropped().value(), 2);
        assert_eq!([test.next(), test.next()], ["a", "b"]);
        // At once, or one by one if the thread was that quick.
        let mut missing = 2;
        while missing > 0 {
            missing -= test.next().strip_suffix(" dropped").unwrap().parse::<u64>().unwrap();
        }
        test.queue.flush(PATIENCE);
        test.push("e");
        assert_eq!(test.next(), "e");
    }

    #[test]
    fn failures_are_survived_and_the_next_line_tells_of_them() {
        let test = Test::start(1000);
        for line in ["a", "b"] {
            test.push(line);
            // The line; after the first failure the notice instead, and the notice once more when the queue is empty.
            test.results.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
            test.results.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
            test.queue.flush(PATIENCE);
        }
        assert_eq!(test.queue.dropped().value(), 2);
        test.push("c");
        assert_eq!([test.next(), test.next()], ["2 dropped", "c"]);
    }

    #[test]
    fn a_line_longer_than_the_queue_is_dropped() {
        let test = Test::start(100);
        test.push(&"x".repeat(101));
        assert_eq!(test.next(), "1 dropped");
    }

    #[test]
    fn flushing_ends_although_nothing_is_written() {
        let test = Test::start(100);
        test.push("a");
        test.queue.flush(Duration::from_millis(1));
        assert_eq!(test.next(), "a");
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        struct Short(Vec<u8>, usize);
        impl Write for Short {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let count = bytes.len().min(self.1);
                self.1 -= count;
                self.0.extend_from_slice(&bytes[..count]);
                if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = Sink { output: Short(Vec::new(), 3), is_torn: false };
        assert!(sink.write(b"12345\n").is_err());
        sink.output.1 = 100;
        sink.write(b"67\n").unwrap();
        assert_eq!(sink.output.0, b"123\n67\n");
    }
}
