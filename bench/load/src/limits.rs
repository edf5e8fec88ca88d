//! How many files this process may open.

use crate::error::Error;

/// Raises the limit of open files to what the system allows, and fails if the clients need more.
pub(crate) fn raise_open_files(clients: u32, files_per_client: u32) -> Result<(), Error> {
    // Where there is no such limit there is nothing to check.
    let Ok(limit) = rlimit::increase_nofile_limit(u64::MAX) else { return Ok(()) };
    check(clients, files_per_client, limit)
}

fn check(clients: u32, files_per_client: u32, limit: u64) -> Result<(), Error> {
    let needed = u64::from(clients) * u64::from(files_per_client) + OTHER_FILES;
    if needed > limit { Err(Error::OpenFiles { clients, needed, limit }) } else { Ok(()) }
}

/// What the process needs besides: standard input and output, the runtime's, those of /proc.
const OTHER_FILES: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_told_with_what_is_needed() {
        assert!(check(100, 1, 1024).is_ok());
        let complaint = check(1000, 2, 1024).unwrap_err().to_string();
        assert!(complaint.contains("the limit is 1024") && complaint.contains("ulimit -n 2032"), "{complaint}");
    }
}
