//! How much memory this process may use.

/// The least of what the machine has, what the control group allows and what the process may address, in bytes.
pub(crate) fn available() -> usize {
    let all = [machine(), control_group(), address_space()];
    all.into_iter().flatten().min().unwrap_or(UNKNOWN)
}

/// Where the system does not tell.
const UNKNOWN: usize = 1 << 30;

fn machine() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kilobytes.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// The limit of the control group, of either version. A process sees its own group at the root of the file system in most containers;
/// where it does not, the path is in `/proc/self/cgroup`. Groups above it may be narrower.
fn control_group() -> Option<usize> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files =
        vec!["/sys/fs/cgroup/memory.max".to_owned(), "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned()];
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let above = std::path::Path::new(path).ancestors();
        files.extend(above.map(|path| format!("{root}{}/{file}", path.display().to_string().trim_end_matches('/'))));
    }
    // `max`, or a number near the largest, means none.
    let limit = |file: &String| std::fs::read_to_string(file).ok()?.trim().parse::<usize>().ok();
    files.iter().filter_map(limit).min()
}

#[cfg(unix)]
fn address_space() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As);
    limit.current.and_then(|bytes| usize::try_from(bytes).ok())
}

#[cfg(not(unix))]
fn address_space() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_memory() {
        assert!(super::available() > 16 << 20);
    }
}
