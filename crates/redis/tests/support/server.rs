//! Servers of Redis with a configuration, which end with the test whatever becomes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Client, ClientTlsConfig, Cmd, FromRedisValue, TlsCertificates, Value};
use sockeye_cluster_suite::free_port;

use super::tls::Secrets;

/// A `redis-server`, perhaps as a sentinel.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    secrets: Option<Secrets>,
    process: Mutex<Option<Child>>,
    /// Ends the server when this process has ended, however that was.
    watchdog: Mutex<Option<Child>>,
}

impl Server {
    /// One that runs with this configuration.
    pub(crate) fn start(config: &str, secrets: Option<&Secrets>) -> Self {
        Self::start_as(config, secrets, &[])
    }

    /// One with these arguments, too.
    pub(crate) fn start_as(config: &str, secrets: Option<&Secrets>, arguments: &[&str]) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("sockeye-redis-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let listen = match secrets {
            None => format!("port {port}\n"),
            Some(secrets) => secrets.config(&folder, port),
        };
        let common = "bind 127.0.0.1\nsave \"\"\nappendonly no\nprotected-mode no\n";
        fs::write(folder.join("redis.conf"), format!("{common}{listen}dir {}\n{config}", folder.display())).unwrap();
        let server = Self {
            port,
            folder,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            secrets: secrets.cloned(),
            process: Mutex::default(),
            watchdog: Mutex::default(),
        };
        server.run();
        server
    }

    /// Starts it, again perhaps.
    pub(crate) fn run(&self) {
        let child = Command::new("redis-server")
            .arg(self.folder.join("redis.conf"))
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let script =
            format!("trap '' TERM INT; cat; kill -9 {} 2>/dev/null; rm -rf '{}'", child.id(), self.folder.display());
        let watchdog = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        *self.watchdog.lock() = Some(watchdog.unwrap());
        *self.process.lock() = Some(child);
        wait_until("it answers", || self.try_command::<Value>(&["PING"]).is_ok());
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

    /// Stops it from running, or lets it run on.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let pid = self.process.lock().as_ref().expect("it runs").id().to_string();
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).unwrap()
    }

    /// Sends a command.
    pub(crate) fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = match &self.secrets {
            None => Client::open(format!("redis://127.0.0.1:{}", self.port))?,
            Some(secrets) => {
                let client_tls = ClientTlsConfig { client_cert: secrets.cert.clone(), client_key: secrets.key.clone() };
                let certificates =
                    TlsCertificates { client_tls: Some(client_tls), root_cert: Some(secrets.ca.clone()) };
                Client::build_with_tls(secrets.url("rediss", &[self.port]), certificates)?
            }
        };
        let mut command = Cmd::new();
        command.arg(words);
        command.query(&mut client.get_connection_with_timeout(Duration::from_secs(2))?)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_500 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not in 30 s: {what}");
}
