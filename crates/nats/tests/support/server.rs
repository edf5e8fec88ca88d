//! Servers of NATS with a configuration, which end with the test whatever becomes of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye_cluster_suite::free_port;

/// The server of today, and one of a distribution that is some years old.
pub(crate) const CURRENT: &str = "nats-server";
pub(crate) const OLD: &str = "nats-server-old";

/// A `nats-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    program: &'static str,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
    /// Ends the server when this process has ended, however that was.
    watchdog: Mutex<Option<Child>>,
}

impl Server {
    /// One that runs with this configuration.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_as(CURRENT, config)
    }

    /// One of this program.
    pub(crate) fn start_as(program: &'static str, config: &str) -> Self {
        let server = Self::stopped(program, |_| config.to_owned());
        server.run();
        server
    }

    /// One that keeps streams in its folder.
    pub(crate) fn start_with_jetstream(program: &'static str) -> Self {
        let server = Self::stopped(program, |folder| format!("jetstream {{ store_dir: \"{}\" }}", folder.display()));
        server.run();
        server
    }

    /// A port, and nothing there yet. The configuration may name files in the folder.
    pub(crate) fn stopped(program: &'static str, config: impl FnOnce(&Path) -> String) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("sockeye-nats-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let config = config(&folder);
        let common = format!("listen: 127.0.0.1:{port}\nserver_name: s{port}\n");
        fs::write(folder.join("nats.conf"), format!("{common}{config}\n")).unwrap();
        Self { port, program, folder, process: Mutex::default(), watchdog: Mutex::default() }
    }

    /// Three that form a cluster, and keep streams.
    pub(crate) fn cluster() -> [Self; 3] {
        let routes = [free_port(), free_port(), free_port()];
        let all = routes.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let servers = routes.map(|port| {
            Self::stopped(CURRENT, |folder| {
                let cluster = format!("cluster {{ name: tests, listen: 127.0.0.1:{port}, routes: [{all}] }}");
                fs::write(folder.join("monitor"), free_port().to_string()).unwrap();
                let monitor = fs::read_to_string(folder.join("monitor")).unwrap();
                format!("{cluster}\nhttp: 127.0.0.1:{monitor}\njetstream {{ store_dir: \"{}\" }}", folder.display())
            })
        });
        servers.iter().for_each(Self::run);
        servers
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, again perhaps.
    pub(crate) fn run(&self) {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let child = Command::new(self.program)
            .arg("-c")
            .arg(self.folder.join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server is installed: ./test does that");
        let script =
            format!("trap '' TERM INT; cat; kill -9 {} 2>/dev/null; rm -rf '{}'", child.id(), self.folder.display());
        let watchdog = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        *self.watchdog.lock() = Some(watchdog.unwrap());
        *self.process.lock() = Some(child);
        for _ in 0..1_500 {
            if self.connect().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("not in 30 s: it answers: {}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    /// A connection that has said what it is.
    fn connect(&self) -> Option<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut start = [0; 5];
        stream.read_exact(&mut start).ok()?;
        (start == *b"INFO ").then_some(stream)
    }

    /// Sends a message, where no login is needed.
    pub(crate) fn publish(&self, subject: &str, payload: &[u8]) {
        let mut bytes = format!("PUB {subject} {}\r\n", payload.len()).into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\nPING\r\n");
        self.send_and_read(&bytes, b"PONG\r\n");
    }

    /// Asks the server for something, and waits for its answer.
    pub(crate) fn ask(&self, subject: &str) {
        let bytes = format!("SUB answer 1\r\nPUB {subject} answer 0\r\n\r\n");
        self.send_and_read(bytes.as_bytes(), b"MSG answer");
    }

    fn send_and_read(&self, bytes: &[u8], until: &[u8]) {
        let mut stream = self.connect().expect("it runs");
        stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").unwrap();
        stream.write_all(bytes).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !answer.windows(until.len()).any(|window| window == until) {
            let len = stream.read(&mut buffer).unwrap();
            assert!(len > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..len]);
        }
    }

    /// Removes what it has kept, while it does not run.
    pub(crate) fn forget_streams(&self) {
        fs::remove_dir_all(self.folder.join("jetstream")).unwrap();
    }

    /// Deletes a stream under the nodes.
    pub(crate) fn delete_stream(&self, name: &str) {
        self.publish(&format!("$JS.API.STREAM.DELETE.{name}"), b"");
    }

    /// Whether one of a cluster has all that the others have.
    pub(crate) fn is_current(&self) -> bool {
        let monitor: u16 = fs::read_to_string(self.folder.join("monitor")).unwrap().parse().unwrap();
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, monitor)) else { return false };
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).is_ok_and(|_| answer.starts_with("HTTP/1.0 200"))
    }

    /// Ends it without a word.
    pub(crate) fn kill(&self) {
        if let Some(mut process) = self.process.lock().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        if let Some(mut watchdog) = self.watchdog.lock().take() {
            // Else it would end whoever gets the number of the process next.
            watchdog.kill().unwrap();
            watchdog.wait().unwrap();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.lock().as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _gone = fs::remove_dir_all(&self.folder);
    }
}
