//! Ports for the servers of tests.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below those that systems hand out by themselves: what is free among them can be taken before a broker has it, by any connection.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// The locks of this process on its ports.
static LOCKS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 where nobody listens, for a broker that is about to start. No other test gets it while this process lives: if two
/// brokers were started on one port, two tests would talk to one of them, and be told of each other's nodes.
///
/// # Panics
///
/// There is none, or no file can be made in the system's folder for temporary ones.
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join("sockeye-test-ports");
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    // Each process begins elsewhere.
    let begin = std::process::id().wrapping_mul(7_919);
    for step in 0..u32::from(COUNT) {
        let port = FIRST + u16::try_from(begin.wrapping_add(step) % u32::from(COUNT)).unwrap_or(0);
        let Ok(file) = File::create(folder.join(port.to_string())) else { continue };
        if file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            LOCKS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(file);
            return port;
        }
    }
    panic!("no port is free");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_port_twice() {
        let mut ports: Vec<_> = (0..50).map(|_| free_port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }
}
