//! What every adapter for clusters must do, as tests that any of them can run.
//!
//! A crate with an adapter implements [`Cluster`] and names it in [`cluster_suite!`], which makes one test of each case.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what fails here fails a test")]

pub mod cases;
mod fleet;
#[path = "../../sockeye/tests/support/mod.rs"]
mod support;

use std::future::Future;
use std::sync::Arc;

pub use fleet::Fleet;
use sockeye::Server;
use sockeye_cluster::{ClusterMetrics, ClusterOptions};
pub use support::{Got, WebSocket};

/// A server that has joined a cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// The server.
    pub server: Server,
    /// The name that the others call it by.
    pub name: String,
    /// What it counts.
    pub metrics: Arc<ClusterMetrics>,
}

/// A cluster that servers can join: a broker, or what stands for one.
pub trait Cluster: Send + Sync + Sized + 'static {
    /// A cluster without nodes, that shares nothing with any other.
    fn start() -> impl Future<Output = Self> + Send;

    /// Makes a server that joins when it is started.
    fn join(&self, options: ClusterOptions) -> impl Future<Output = Node> + Send;

    /// Whether nodes are known by their names, from heartbeats.
    fn names_nodes(&self) -> bool;

    /// How to do harm, if that can be done. Cases that need it pass without it.
    fn faults(&self) -> Option<&dyn Faults> {
        None
    }
}

/// Harm to order.
pub trait Faults: Send + Sync {
    /// Nothing comes from this node, nor reaches it.
    fn cut(&self, node: &str);

    /// Takes a [`cut`](Self::cut) back.
    fn heal(&self, node: &str);

    /// Every node gets something, in the main namespace, that is no message.
    fn send_garbage(&self);

    /// How many messages a node got, if the cluster routes by interest.
    fn delivered(&self, node: &str) -> Option<u64>;
}

/// Makes a test of every case, for the [`Cluster`] that is named; what comes after it goes to `#[tokio::test(…)]`.
#[macro_export]
macro_rules! cluster_suite {
    ($cluster:ty $(, $($test:tt)+)?) => {
        $crate::cluster_suite! { @cases $cluster; ($($($test)+)?);
            broadcasts: a_broadcast_reaches_all_nodes, rooms_are_rooms_of_all_nodes, a_local_emit_stays,
                volatile_emits_reach_who_is_ready, a_socket_does_not_hear_itself, binary_reaches_all_nodes,
                namespaces_are_apart, the_order_of_a_sender_is_kept, many_rooms,
                a_listener_that_panics_holds_up_nothing;
            acknowledgements: all_clients_acknowledge, binary_acknowledgements, a_silent_client_is_counted,
                a_node_that_is_cut_off_is_named, a_local_broadcast_asks_nobody_else, one_socket_elsewhere_answers,
                a_node_that_leaves_ends_what_it_owes, local_clients_that_leave_are_not_waited_for;
            sockets: sockets_are_described, sockets_join_and_leave_rooms, sockets_are_disconnected,
                what_is_local_stays_local, a_node_that_is_cut_off_is_missing, questions_stay_within_their_bound,
                questions_that_nobody_waits_for_are_forgotten;
            programs: an_event_reaches_the_other_programs, the_other_programs_answer, a_program_that_is_silent_is_missing, a_program_that_panics_holds_up_nothing,
                the_order_of_events_is_kept;
            nodes: nodes_are_counted, a_node_that_leaves_is_not_waited_for, a_node_that_dies_is_noticed,
                a_node_that_was_cut_off_comes_back, garbage_is_counted_and_ignored;
            interest: who_has_no_member_gets_nothing, interest_follows_the_members, interest_survives_races,
                who_was_let_join_gets_what_follows;
        }
    };
    (@cases $cluster:ty; $test:tt; $($module:ident: $($case:ident),+;)+) => {
        $($($crate::cluster_suite! { @case $cluster; $test; $module $case })+)+
    };
    (@case $cluster:ty; ($($test:tt)*); $module:ident $case:ident) => {
        #[tokio::test($($test)*)]
        async fn $case() {
            $crate::cases::$module::$case::<$cluster>().await;
        }
    };
}
