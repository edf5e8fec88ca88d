//! One client: connects, and moves the packets of its session.

mod http;
mod polling;
mod stream;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Failure;
use crate::options::Transport;
use crate::plan::Plan;
use crate::session::Session;
use crate::target::Resolved;

/// Until when a transport moves packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The session is ready.
    Ready,
    /// The run is over.
    Closing,
}

/// Connects a client and lets it run to the end. `permit` is given back when it is ready.
pub(crate) async fn run<P>(mut session: Session, plan: Arc<Plan>, target: Arc<Resolved>, timeout: Duration, permit: P) {
    let shared = session.shared().clone();
    let connecting = async {
        let mut connection = Connection::open(&target, &plan, &mut session).await?;
        connection.run(&mut session, Until::Ready).await?;
        Ok(connection)
    };
    let done = match within(timeout, &target, connecting).await {
        Ok(mut connection) => {
            shared.stats.count_ready();
            drop(permit);
            connection.run(&mut session, Until::Closing).await
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = done {
        shared.stats.count_failure(&failure);
    }
}

/// A connection by either transport.
enum Connection {
    WebSocket(Box<websocket::Connection>),
    Polling(Box<polling::Connection>),
}

impl Connection {
    async fn open(target: &Arc<Resolved>, plan: &Plan, session: &mut Session) -> Result<Self, Failure> {
        Ok(match plan.transport {
            Transport::Websocket => Self::WebSocket(Box::new(websocket::Connection::open(target, plan).await?)),
            Transport::Polling => Self::Polling(Box::new(polling::Connection::open(target, plan, session).await?)),
        })
    }

    async fn run(&mut self, session: &mut Session, until: Until) -> Result<(), Failure> {
        match self {
            Self::WebSocket(connection) => connection.run(session, until).await,
            Self::Polling(connection) => connection.run(session, until).await,
        }
    }
}

async fn within<T>(
    timeout: Duration,
    target: &Resolved,
    connecting: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, connecting).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Slow { url: target.url.clone(), timeout }),
    }
}
