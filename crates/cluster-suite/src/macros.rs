//! The macro that makes tests of the cases.

/// Makes a test of every case, for the [`Cluster`](crate::Cluster) that is named. Then may follow what it lacks, and what goes to
/// `#[tokio::test(…)]`:
///
/// ```text
/// cluster_suite!(MyCluster, without { cut: "the test has no proxy" }, flavor = "multi_thread");
/// ```
///
/// It can lack `names`, `cut`, `garbage` and `delivered`, see [`Cluster`](crate::Cluster). A case that needs it is a test that is
/// ignored for this reason.
#[macro_export]
macro_rules! cluster_suite {
    ($cluster:ty, without { $($without:tt)* } $(, $($test:tt)+)?) => {
        $crate::cluster_suite! { @all $cluster; { $($without)* }; ($($($test)+)?) }
    };
    (@all $cluster:ty; $without:tt; $test:tt) => {
        $crate::cluster_suite! { @cases $cluster; $without; $test;
            broadcasts: a_broadcast_reaches_all_nodes [], rooms_are_rooms_of_all_nodes [], a_local_emit_stays [],
                volatile_emits_reach_who_is_ready [], a_socket_does_not_hear_itself [], binary_reaches_all_nodes [],
                namespaces_are_apart [], the_order_of_a_sender_is_kept [], many_rooms [],
                a_listener_that_panics_holds_up_nothing [];
            acknowledgements: all_clients_acknowledge [], binary_acknowledgements [], a_silent_client_is_counted [],
                a_node_that_is_cut_off_is_named [cut], a_local_broadcast_asks_nobody_else [],
                one_socket_elsewhere_answers [], a_node_that_leaves_ends_what_it_owes [names],
                local_clients_that_leave_are_not_waited_for [];
            sockets: sockets_are_described [], sockets_join_and_leave_rooms [], sockets_are_disconnected [],
                what_is_local_stays_local [], a_node_that_is_cut_off_is_missing [cut],
                questions_stay_within_their_bound [], questions_that_nobody_waits_for_are_forgotten [cut];
            programs: an_event_reaches_the_other_programs [], the_other_programs_answer [],
                a_program_that_is_silent_is_missing [], a_program_that_panics_holds_up_nothing [],
                the_order_of_events_is_kept [];
            nodes: nodes_are_counted [], a_node_that_leaves_is_not_waited_for [names], a_node_that_dies_is_noticed [cut names],
                a_node_that_was_cut_off_comes_back [cut names], garbage_is_counted_and_ignored [garbage];
            interest: who_has_no_member_gets_nothing [delivered], interest_follows_the_members [delivered],
                interest_survives_races [], no_interest_is_left_after_races [delivered],
                who_was_let_join_gets_what_follows [], who_was_told_of_a_join_gets_what_follows [];
        }
    };
    (@cases $cluster:ty; $without:tt; $test:tt; $($module:ident: $($case:ident $needs:tt),+;)+) => {
        $($($crate::cluster_suite! { @case $cluster; $without; $test; $module $case $needs })+)+
    };
    (@case $cluster:ty; $without:tt; ($($test:tt)*); $module:ident $case:ident []) => {
        #[tokio::test($($test)*)]
        async fn $case() {
            $crate::cases::$module::$case::<$cluster>().await;
        }
    };
    (@case $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident [$need:ident $($needs:ident)*]) => {
        $crate::cluster_suite! { @find $cluster; $without; $test; $module $case [$($needs)*]; $need $without }
    };
    // Looks for what a case needs in the list of what the cluster lacks.
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; names { names: $reason:literal $($rest:tt)* }) => {
        $crate::cluster_suite! { @ignored $cluster; $test; $module $case $reason }
    };
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; cut { cut: $reason:literal $($rest:tt)* }) => {
        $crate::cluster_suite! { @ignored $cluster; $test; $module $case $reason }
    };
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; garbage { garbage: $reason:literal $($rest:tt)* }) => {
        $crate::cluster_suite! { @ignored $cluster; $test; $module $case $reason }
    };
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; delivered { delivered: $reason:literal $($rest:tt)* }) => {
        $crate::cluster_suite! { @ignored $cluster; $test; $module $case $reason }
    };
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; trim { trim: $reason:literal $($rest:tt)* }) => {
        $crate::cluster_suite! { @ignored $cluster; $test; $module $case $reason }
    };
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; refuse { refuse: $reason:literal $($rest:tt)* }) => {
        $crate::cluster_suite! { @ignored $cluster; $test; $module $case $reason }
    };
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; $need:ident { $other:ident: $reason:literal $(, $($rest:tt)*)? }) => {
        $crate::cluster_suite! { @find $cluster; $without; $test; $module $case $needs; $need { $($($rest)*)? } }
    };
    (@find $cluster:ty; $without:tt; $test:tt; $module:ident $case:ident $needs:tt; $need:ident {}) => {
        $crate::cluster_suite! { @case $cluster; $without; $test; $module $case $needs }
    };
    (@ignored $cluster:ty; ($($test:tt)*); $module:ident $case:ident $reason:literal) => {
        #[tokio::test($($test)*)]
        #[ignore = $reason]
        async fn $case() {
            $crate::cases::$module::$case::<$cluster>().await;
        }
    };
    ($cluster:ty $(, $($test:tt)+)?) => {
        $crate::cluster_suite! { @all $cluster; {}; ($($($test)+)?) }
    };
}

/// Makes a test of every case about recovery, for a [`Recovering`](crate::Recovering) cluster. It is called as
/// [`cluster_suite!`](crate::cluster_suite); the cluster can lack `cut`, `trim` and `refuse`.
#[macro_export]
macro_rules! recovery_suite {
    ($cluster:ty, without { $($without:tt)* } $(, $($test:tt)+)?) => {
        $crate::recovery_suite! { @all $cluster; { $($without)* }; ($($($test)+)?) }
    };
    (@all $cluster:ty; $without:tt; $test:tt) => {
        $crate::cluster_suite! { @cases $cluster; $without; $test;
            recovery: events_have_one_order [], a_client_comes_back [], a_client_is_recovered_elsewhere [],
                a_client_that_moves_is_there_once [], a_client_of_a_dead_node_is_recovered [cut],
                a_session_is_claimed_once [], nonsense_recovers_nobody [], a_trimmed_log_is_no_silent_gap [trim],
                a_broker_that_refuses_is_no_silent_gap [refuse], a_node_that_was_cut_off_misses_nothing [cut],
                what_a_cut_off_node_emits_is_no_silent_gap [cut];
        }
    };
    ($cluster:ty $(, $($test:tt)+)?) => {
        $crate::recovery_suite! { @all $cluster; {}; ($($($test)+)?) }
    };
}
