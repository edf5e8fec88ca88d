//! An Engine.IO server without Socket.IO: it sends back each message.
//!
//! usage: `engine-echo [ADDRESS]`
//!
//! Prints the address that it listens on; by default it is port 3000 of this machine. `engine.io-client` speaks to it.

use std::io::{self, Write as _};
use std::sync::Arc;

use sockeye_engine::{
    Application, CloseReason, Conn, Data, Encoded, Engine, Limits, NotFound, Options, PerMessageDeflate, Server,
};
use tokio::net::TcpListener;

/// What is above the engine: it owns the engine of its connections.
struct Echo(Engine<Conn<Self>>);

impl Application for Echo {
    /// Nothing is kept of a connection.
    type Session = ();

    fn engine(&self) -> &Engine<Conn<Self>> {
        &self.0
    }

    fn new_session(&self) {}

    fn handle_open(conn: &Arc<Conn<Self>>) {
        // There is nothing to join: every client is welcome.
        conn.joined();
    }

    fn handle_message(conn: &Arc<Conn<Self>>, message: Data<'_>) {
        conn.send(Encoded::of(&message), false);
    }

    fn handle_close(_: &Arc<Conn<Self>>, _: CloseReason) {}
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let mut options = Options::default();
    options.path = "/engine.io".to_owned();
    options.max_http_buffer_size = 64 << 20;
    options.per_message_deflate = Some(PerMessageDeflate::default());
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 256 << 20;
    Server::new(Echo(Engine::new(options, limits))).serve(listener, NotFound).await;
    Ok(())
}
