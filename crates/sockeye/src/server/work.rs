//! What runs for the server: its drivers, and the work that a close waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::ServerInner;
use crate::engine::shard;
use crate::namespace::Namespace;

impl ServerInner {
    /// Starts the timers and the shards, once, in the runtime of the caller.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let _only_here = self.runtime.set(Handle::current());
        let weak = Arc::downgrade(self);
        spawn_driver(weak.clone(), self.wheel.clone().run());
        for shard in shard::all(&self.flusher, &self.poller) {
            spawn_driver(weak.clone(), shard.run(self.options.dedicated_threads));
        }
        let namespaces: Vec<_> = self.namespaces.read().by_name.values().cloned().collect();
        for namespace in namespaces {
            self.init_adapter(&namespace);
        }
    }

    /// Lets the adapter of a namespace begin.
    pub(super) fn init_adapter(self: &Arc<Self>, namespace: &Namespace) {
        let namespace = namespace.clone();
        // An adapter may try for as long as its broker is not there; the close does not wait for that.
        self.spawn_aside(async move {
            if !namespace.begin() {
                return; // both the start and the making of the namespace may see to it
            }
            if let Err(error) = namespace.adapter().init().await {
                tracing::error!(namespace = namespace.name(), %error, "the adapter did not start");
            }
        });
    }

    /// Runs a future of a connection beside everything else. [`Server::close`] waits for it.
    pub(crate) fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        let running = self.begin_work();
        self.spawn_aside(async move {
            future.await;
            drop(running);
        });
    }

    /// Runs a future that [`Server::close`] does not wait for.
    pub(super) fn spawn_aside(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = Handle::try_current().ok().or_else(|| self.runtime.get().cloned()) else {
            // Before the start there is no connection that could wait for it.
            return tracing::warn!("outside of a runtime, and before the start, nothing can run");
        };
        let _detached = runtime.spawn(future);
    }

    /// Something has begun that [`Server::close`] waits for, until what is given back is dropped.
    pub(crate) fn begin_work(&self) -> Running {
        Work::begin(&self.work)
    }

    /// A long-polling client has to be told of the end of its session, and has to come for that, until what is given back is
    /// dropped. Requests are accepted until then.
    pub(crate) fn begin_farewell(&self) -> Running {
        Work::begin(&self.farewells)
    }
}

/// Counts what goes on, for one who waits until it is done.
#[derive(Debug, Default)]
pub(crate) struct Work {
    count: AtomicUsize,
    idle: Notify,
}

impl Work {
    fn begin(work: &Arc<Self>) -> Running {
        work.count.fetch_add(1, Ordering::AcqRel);
        Running(work.clone())
    }

    /// Waits until nothing goes on.
    pub(super) async fn done(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Runs a driver until the server is gone: it holds the server's parts, not the server.
fn spawn_driver(server: Weak<ServerInner>, driver: impl Future<Output = ()> + Send + 'static) {
    let _detached = tokio::spawn(async move {
        let gone = async {
            while server.strong_count() > 0 {
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            }
        };
        tokio::select! {
            () = driver => {}
            () = gone => {}
        }
    });
}

/// Counts work for as long as it goes on.
pub(crate) struct Running(Arc<Work>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
