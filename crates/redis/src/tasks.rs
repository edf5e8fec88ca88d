//! The tasks behind the adapter.

use sockeye_cluster::link::Tasks;

use crate::bus::{dispatcher, publisher, subscriber, subscribers};
use crate::connection::{Role, watcher};
use crate::link::Link;
use crate::options::Mode;
use crate::recovery::reader;

/// Starts the tasks that serve all namespaces.
pub(crate) fn start(tasks: &mut Tasks<'_, Link>, link: &Link) {
    tasks.start(Role::Delivering, dispatcher::run);
    if link.servers.fixed().is_none() {
        tasks.start(Role::Asking, watcher::run);
    }
    if link.servers.is_cluster() {
        tasks.start(Role::Asking, subscribers::run);
    }
    tasks.start(Role::Publishing, publisher::run);
    tasks.start(Role::Subscribing, subscriber::run);
    if link.options.mode == Mode::Streams {
        tasks.start(Role::Reading, reader::run);
        if link.recovery.is_used() {
            tasks.start(Role::Recovering, |link| async move { link.recovery.driver.run().await });
        }
    }
}
