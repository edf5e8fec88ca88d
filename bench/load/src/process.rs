//! What processes use of the machine, as Linux tells in /proc.

use std::io;
use std::time::{Duration, Instant};

use crate::error::Error;

/// What a process, or several together, have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The CPU time since the start.
    pub(crate) cpu: Duration,
    /// The memory in use that is not swapped out, in bytes.
    pub(crate) resident: u64,
}

/// What the server and this process had used up to a moment.
#[derive(Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) server: Usage,
    /// None where /proc is not that of Linux.
    generator: Option<Usage>,
}

/// What was used between two moments.
#[derive(Debug, Default)]
pub(crate) struct Used {
    wall: Duration,
    pub(crate) server: Duration,
    pub(crate) generator: Option<Duration>,
}

impl Moment {
    /// This moment, with the usage of the server.
    pub(crate) fn now(server: Usage) -> Self {
        Self { at: Instant::now(), server, generator: usage("self").ok() }
    }
}

impl Used {
    pub(crate) fn between(from: &Moment, to: &Moment) -> Self {
        let generator = from.generator.zip(to.generator).map(|(from, to)| to.cpu.saturating_sub(from.cpu));
        let server = to.server.cpu.saturating_sub(from.server.cpu);
        Self { wall: to.at - from.at, server, generator }
    }

    /// How many cores were busy to use so much CPU time.
    pub(crate) fn cores(&self, cpu: Duration) -> f64 {
        if self.wall.is_zero() { 0.0 } else { cpu.as_secs_f64() / self.wall.as_secs_f64() }
    }
}

/// The usage of several processes together.
pub(crate) fn usage_of_all(pids: &[u32]) -> Result<Usage, Error> {
    pids.iter().try_fold(Usage::default(), |sum, &pid| {
        let usage = usage(&pid.to_string()).map_err(|source| Error::Process { pid, source })?;
        Ok(Usage { cpu: sum.cpu + usage.cpu, resident: sum.resident + usage.resident })
    })
}

fn usage(process: &str) -> io::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    parse(&stat, &status).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc is not that of Linux"))
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name of the program is in parentheses and may hold anything, spaces and parentheses included.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = ticks(USER_TIME)? + ticks(SYSTEM_TIME)?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(Usage { cpu: Duration::from_millis(ticks * MILLISECONDS_PER_TICK), resident: kibibytes * 1024 })
}

/// Places among the fields after the name (proc_pid_stat(5), fields 14 and 15).
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
/// Linux shows times to programs in hundredths of a second, whatever the kernel's own tick is.
const MILLISECONDS_PER_TICK: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 1 1 1 1";
        let status = "Name:\ta\nVmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n";
        let expected = Usage { cpu: Duration::from_secs(3), resident: 2 << 20 };
        assert_eq!(parse(stat, status), Some(expected));
        assert_eq!(parse("", status), None);
        assert_eq!(parse(stat, ""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn observes_itself() {
        assert!(usage_of_all(&[std::process::id()]).unwrap().resident > 100_000);
        assert!(Moment::now(Usage::default()).generator.is_some());
        assert!(usage_of_all(&[u32::MAX]).unwrap_err().to_string().contains("--pid"));
    }
}
