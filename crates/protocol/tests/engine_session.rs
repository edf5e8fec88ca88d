//! Every rule of a session under virtual time: heartbeat, upgrade, close. Nothing here sleeps.
//!
//! Each trace reads like a capture: `milliseconds  what happens  -> what the session asks for`. The harness also checks
//! that no timer is due before a line, and that a `timer` line is at the very time that the session named.

use std::time::{Duration, Instant};

use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{
    Data, Outcome, Packet, PacketKind, ProbeOutcome, ProbeRefused, Revision, Session, SessionConfig, Timeout,
    TransportKind,
};

const CONFIG: SessionConfig = SessionConfig {
    ping_interval: Duration::from_secs(25),
    ping_timeout: Duration::from_secs(20),
    upgrade_timeout: Duration::from_secs(10),
};

struct Harness {
    base: Instant,
    session: Option<Session>,
}

impl Harness {
    fn run(trace: &str) -> Session {
        let mut harness = Self { base: Instant::now(), session: None };
        for line in trace.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (event, expected) = line.split_once("->").unwrap_or((line, ""));
            let (time, event) = event.trim().split_once(' ').expect("a time and an event");
            let now = harness.base + Duration::from_millis(time.parse().expect("milliseconds"));
            assert_eq!(harness.step(event.trim(), now), expected.trim(), "{line}");
        }
        harness.session.expect("an open line")
    }

    fn step(&mut self, event: &str, now: Instant) -> String {
        let (verb, text) = event.split_once(' ').unwrap_or((event, ""));
        if verb == "open" {
            self.session = Some(open(text, now));
            return String::new();
        }
        let session = self.session.as_mut().expect("an open line first");
        let due = session.poll_timeout();
        match verb {
            "timer" => assert_eq!(due, Some(now), "the session asked for another time"),
            "late" => assert!(due.is_some_and(|due| due < now), "nothing was due"),
            _ => assert!(due.is_none_or(|due| due > now), "a timer was due"),
        }
        match verb {
            "timer" | "late" => drain(session, now),
            "recv" => on_packet(session, Packet::decode_text(text, session.revision()).expect("a packet"), now),
            "recv-binary" => on_packet(session, Packet::binary(PacketKind::Message, text.as_bytes()), now),
            "probe-start" => session.handle_probe_start(&CONFIG, now).err().map_or("", refusal).to_owned(),
            "probe" => on_probe(session, Packet::decode_text(text, session.revision()).expect("a packet"), now),
            "probe-binary" => on_probe(session, Packet::binary(PacketKind::Message, text.as_bytes()), now),
            "probe-closed" => {
                session.handle_probe_closed();
                String::new()
            }
            "close" => format!("{}", session.close(reason(text))),
            _ => panic!("no such event: {verb}"),
        }
    }
}

fn open(text: &str, now: Instant) -> Session {
    let (revision, transport) = match text {
        "v3 polling" => (Revision::V3, TransportKind::Polling),
        "v3 websocket" => (Revision::V3, TransportKind::WebSocket),
        "v4 polling" => (Revision::V4, TransportKind::Polling),
        "v4 websocket" => (Revision::V4, TransportKind::WebSocket),
        _ => panic!("no such session: {text}"),
    };
    Session::new(revision, transport, &CONFIG, now)
}

fn drain(session: &mut Session, now: Instant) -> String {
    let mut asked = Vec::new();
    loop {
        match session.handle_timeout(&CONFIG, now) {
            Timeout::None => break,
            Timeout::Ping => asked.push("send 2".to_owned()),
            Timeout::Noop => asked.push("send 6".to_owned()),
            Timeout::AbortProbe => asked.push("abort probe".to_owned()),
            Timeout::Close(reason) => asked.push(format!("closed: {reason}")),
        }
        assert!(asked.len() < 4, "timeouts without end");
    }
    assert!(session.poll_timeout().is_none_or(|due| due > now), "a timeout is left over");
    asked.join(", ")
}

fn on_packet(session: &mut Session, packet: Packet<'_>, now: Instant) -> String {
    match session.handle_packet(packet, &CONFIG, now) {
        Outcome::Ignored => String::new(),
        Outcome::Message(Data::Text(text)) => format!("message {text:?}"),
        Outcome::Message(Data::Binary(data)) => format!("binary {data:?}"),
        Outcome::Pong => "send 3".to_owned(),
        Outcome::Closed(reason) => {
            assert_eq!(session.close_reason(), Some(reason));
            format!("closed: {reason}")
        }
    }
}

fn on_probe(session: &mut Session, packet: Packet<'_>, now: Instant) -> String {
    match session.handle_probe_packet(packet, &CONFIG, now) {
        ProbeOutcome::Pong => "probe sends 3probe",
        ProbeOutcome::Upgrade => "upgraded",
        ProbeOutcome::Abort => "abort probe",
    }
    .to_owned()
}

fn refusal(refused: ProbeRefused) -> &'static str {
    match refused {
        ProbeRefused::Closed => "refused: closed",
        ProbeRefused::Upgrading => "refused: upgrading",
        ProbeRefused::Upgraded => "refused: upgraded",
    }
}

fn reason(text: &str) -> CloseReason {
    CloseReason::ALL.into_iter().find(|reason| reason.as_str() == text).expect("a close reason")
}

mod heartbeat_of_revision_4 {
    use super::*;

    #[test]
    fn the_server_pings_an_interval_after_the_last_pong() {
        Harness::run(
            "    0 open v4 websocket
             25000 timer       -> send 2
             25040 recv 3
             50040 timer       -> send 2
             52000 recv 3
             77000 timer       -> send 2",
        );
    }

    #[test]
    fn a_pong_at_the_last_moment_is_in_time() {
        Harness::run(
            "    0 open v4 polling
             25000 timer       -> send 2
             44999 recv 3
             69999 timer       -> send 2",
        );
    }

    #[test]
    fn a_missing_pong_closes_the_session() {
        let session = Harness::run(
            "    0 open v4 websocket
             25000 timer       -> send 2
             45000 timer       -> closed: ping timeout
             99000 recv 4late
             99000 close transport close -> false",
        );
        assert_eq!(session.close_reason(), Some(CloseReason::PingTimeout));
    }

    #[test]
    fn the_first_packet_while_a_pong_is_due_extends_the_timeout() {
        Harness::run(
            "    0 open v4 websocket
             25000 timer       -> send 2
             40000 recv 4big   -> message \"big\"
             59999 recv 3
             84999 timer       -> send 2",
        );
    }

    #[test]
    fn it_does_so_once() {
        Harness::run(
            "    0 open v4 websocket
             25000 timer       -> send 2
             26000 recv 4a     -> message \"a\"
             30000 recv 4b     -> message \"b\"
             45000 recv 4c     -> message \"c\"
             46000 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn each_ping_has_an_extension_of_its_own() {
        Harness::run(
            "    0 open v4 websocket
             25000 timer       -> send 2
             40000 recv 4a     -> message \"a\"
             50000 recv 3
             75000 timer       -> send 2
             90000 recv 4b     -> message \"b\"
            110000 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn a_packet_that_is_otherwise_ignored_extends_it_too() {
        for packet in ["0", "5", "6"] {
            Harness::run(&format!(
                "    0 open v4 websocket
                 25000 timer        -> send 2
                 30000 recv {packet}
                 50000 timer        -> closed: ping timeout"
            ));
        }
    }

    #[test]
    fn packets_while_no_pong_is_due_change_nothing() {
        Harness::run(
            "    0 open v4 websocket
             10000 recv 4a     -> message \"a\"
             20000 recv 6
             25000 timer       -> send 2
             45000 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn a_pong_that_nobody_asked_for_puts_off_nothing() {
        Harness::run(
            "    0 open v4 websocket
             20000 recv 3
             25000 timer       -> send 2
             25001 recv 3
             25002 recv 3
             40000 recv 3
             50001 timer       -> send 2
             70001 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn a_ping_of_the_client_is_an_error() {
        for transport in ["polling", "websocket"] {
            Harness::run(&format!(
                "   0 open v4 {transport}
                 1000 recv 2           -> closed: transport error
                 1001 recv 4a"
            ));
        }
    }

    #[test]
    fn the_pong_is_due_a_timeout_after_the_ping_was() {
        Harness::run(
            "    0 open v4 websocket
             25020 late        -> send 2
             45000 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn a_timer_that_comes_very_late_leaves_most_of_the_timeout() {
        Harness::run(
            "    0 open v4 websocket
             90000 late        -> send 2
            105000 timer       -> closed: ping timeout",
        );
    }
}

mod heartbeat_of_revision_3 {
    use super::*;

    #[test]
    fn the_server_answers_pings() {
        Harness::run(
            "    0 open v3 websocket
             25000 recv 2      -> send 3
             50000 recv 2hello -> send 3
             70000 recv 4a     -> message \"a\"
             95000 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn a_client_that_never_pings_is_closed() {
        Harness::run(
            "    0 open v3 polling
             45000 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn only_pings_count_as_a_heartbeat() {
        Harness::run(
            "    0 open v3 polling
             44000 recv 4a     -> message \"a\"
             44500 recv 6
             45000 timer       -> closed: ping timeout",
        );
    }

    #[test]
    fn a_pong_of_the_client_is_an_error() {
        Harness::run(
            "    0 open v3 websocket
              1000 recv 3      -> closed: transport error",
        );
    }
}

mod upgrade {
    use super::*;

    #[test]
    fn polling_to_websocket() {
        let session = Harness::run(
            "   0 open v4 polling
              500 probe-start
              520 probe 2probe    -> probe sends 3probe
              620 timer           -> send 6
              720 timer           -> send 6
              750 recv 4last      -> message \"last\"
              760 probe 5         -> upgraded
             1000 recv 4first     -> message \"first\"
            25000 timer           -> send 2
            25100 recv 3
            50100 timer           -> send 2",
        );
        assert_eq!(session.transport(), TransportKind::WebSocket);
        assert!(session.is_upgraded() && !session.is_upgrading());
    }

    #[test]
    fn no_noop_before_the_probe() {
        Harness::run(
            "    0 open v4 polling
               500 probe-start
             10500 timer          -> abort probe",
        );
    }

    #[test]
    fn a_client_may_upgrade_without_a_probe() {
        Harness::run(
            "    0 open v4 polling
               500 probe-start
               510 probe 5        -> upgraded
             25000 timer          -> send 2",
        );
    }

    #[test]
    fn a_second_probe_is_answered_and_restarts_the_noops() {
        Harness::run(
            "    0 open v4 polling
               500 probe-start
               520 probe 2probe   -> probe sends 3probe
               570 probe 2probe   -> probe sends 3probe
               670 timer          -> send 6",
        );
    }

    #[test]
    fn any_other_packet_aborts_the_probe_and_not_the_session() {
        for packet in ["0", "1", "2", "2prob", "2probe!", "3probe", "4probe", "6", "bcHJvYmU="] {
            let session = Harness::run(&format!(
                "    0 open v4 polling
                   500 probe-start
                   510 probe {packet}    -> abort probe
                   520 probe 2probe      -> abort probe
                   600 recv 4a           -> message \"a\"
                   700 probe-start
                   710 probe 2probe      -> probe sends 3probe
                   720 probe 5           -> upgraded"
            ));
            assert!(session.is_upgraded(), "{packet}");
        }
    }

    #[test]
    fn a_probe_has_to_be_text() {
        Harness::run(
            "    0 open v3 polling
               500 probe-start
               510 probe b2cHJvYmU= -> abort probe
               520 probe-start
               530 probe-binary probe -> abort probe",
        );
    }

    #[test]
    fn an_upgrade_that_takes_too_long_is_given_up() {
        let session = Harness::run(
            "    0 open v4 polling
              1000 probe-start
             10950 probe 2probe   -> probe sends 3probe
             11000 timer          -> abort probe
             11100 recv 4a        -> message \"a\"
             11200 probe 5        -> abort probe
             25000 timer          -> send 2",
        );
        assert_eq!(session.transport(), TransportKind::Polling);
        assert!(!session.is_upgraded() && !session.is_upgrading());
    }

    #[test]
    fn a_probe_does_not_extend_the_time_of_the_upgrade() {
        let mut trace = "0 open v4 polling\n 1000 probe-start\n 1000 probe 2probe -> probe sends 3probe\n".to_owned();
        for at in (1100..11_000).step_by(100) {
            trace.push_str(&format!("{at} timer -> send 6\n"));
        }
        trace.push_str("11000 timer -> abort probe\n 25000 timer -> send 2");
        Harness::run(&trace);
    }

    #[test]
    fn a_lost_probe_leaves_the_session_on_polling() {
        Harness::run(
            "    0 open v4 polling
               500 probe-start
               510 probe 2probe   -> probe sends 3probe
               550 probe-closed
               600 probe-start
               610 probe 5        -> upgraded",
        );
    }

    #[test]
    fn one_upgrade_at_a_time_and_one_for_ever() {
        Harness::run(
            "    0 open v4 polling
               500 probe-start
               501 probe-start    -> refused: upgrading
               510 probe 2probe   -> probe sends 3probe
               511 probe-start    -> refused: upgrading
               520 probe 5        -> upgraded
               521 probe-start    -> refused: upgraded
               522 probe 2probe   -> abort probe",
        );
    }

    #[test]
    fn a_session_that_began_on_a_websocket_stays_there() {
        let session = Harness::run(
            "    0 open v4 websocket
               500 probe-start    -> refused: upgraded",
        );
        assert!(!session.is_upgraded());
    }

    #[test]
    fn the_heartbeat_goes_on_meanwhile() {
        Harness::run(
            "    0 open v4 polling
             24850 probe-start
             24860 probe 2probe   -> probe sends 3probe
             24960 timer          -> send 6
             25000 timer          -> send 2
             25060 timer          -> send 6
             25100 recv 3
             25110 probe 5        -> upgraded
             50100 timer          -> send 2",
        );
    }

    #[test]
    fn a_heartbeat_and_a_noop_at_one_time_both_come() {
        Harness::run(
            "    0 open v4 polling
             24890 probe-start
             24900 probe 2probe   -> probe sends 3probe
             25000 timer          -> send 2, send 6",
        );
    }

    #[test]
    fn a_pong_that_is_due_has_its_full_time_on_the_new_transport() {
        Harness::run(
            "    0 open v4 polling
             25000 timer          -> send 2
             44000 probe-start
             44500 probe 5        -> upgraded
             64499 recv 3
             89499 timer          -> send 2",
        );
        Harness::run(
            "    0 open v4 polling
             25000 timer          -> send 2
             44000 probe-start
             44500 probe 5        -> upgraded
             64500 timer          -> closed: ping timeout",
        );
    }

    #[test]
    fn a_probe_does_not_stand_in_for_a_pong() {
        Harness::run(
            "    0 open v4 polling
             25000 timer          -> send 2
             44950 probe-start
             44960 probe 2probe   -> probe sends 3probe
             45000 timer          -> closed: ping timeout
             45001 probe 5        -> abort probe",
        );
    }

    #[test]
    fn clients_of_revision_3_upgrade_alike_and_keep_their_heartbeat() {
        Harness::run(
            "    0 open v3 polling
             20000 probe-start
             20010 probe 2probe   -> probe sends 3probe
             20110 timer          -> send 6
             20150 probe 5        -> upgraded
             25000 recv 2         -> send 3
             70000 timer          -> closed: ping timeout",
        );
        Harness::run(
            "    0 open v3 polling
             20000 probe-start
             20150 probe 5        -> upgraded
             65150 timer          -> closed: ping timeout",
        );
    }

    #[test]
    fn the_end_of_the_session_ends_its_upgrade() {
        let session = Harness::run(
            "    0 open v4 polling
               500 probe-start
               510 probe 2probe   -> probe sends 3probe
               550 recv 1         -> closed: transport close
               600 probe 5        -> abort probe
               700 probe-start    -> refused: closed",
        );
        assert!(!session.is_upgrading() && !session.is_upgraded());
        assert_eq!(session.transport(), TransportKind::Polling);
    }

    /// The client has paused its long-polling, and fetches on the new transport what is left for it.
    #[test]
    fn a_server_that_closes_lets_an_upgrade_finish() {
        let session = Harness::run(
            "    0 open v4 polling
               500 probe-start
               510 probe 2probe   -> probe sends 3probe
               550 close forced close -> true
               600 probe 5        -> upgraded
               700 recv 4hello",
        );
        assert!(session.is_upgraded() && !session.is_open());
    }
}

mod messages_and_close {
    use super::*;

    #[test]
    fn messages_pass_through() {
        Harness::run(
            "    0 open v4 websocket
                 1 recv 42[\"x\"]  -> message \"2[\\\"x\\\"]\"
                 2 recv 4          -> message \"\"
                 3 recv bAQI=      -> binary [1, 2]
                 4 recv-binary a   -> binary [97]",
        );
    }

    #[test]
    fn packets_without_a_meaning_here_are_ignored() {
        Harness::run(
            "    0 open v4 polling
                 1 recv 0{}
                 2 recv 5
                 3 recv 6
                 4 recv 4a         -> message \"a\"",
        );
    }

    #[test]
    fn a_close_packet_closes_the_session_on_either_transport() {
        for session in ["v3 polling", "v3 websocket", "v4 polling", "v4 websocket"] {
            Harness::run(&format!(
                "0 open {session}
                 1 recv 1              -> closed: transport close
                 2 recv 4a
                 3 recv 2
                 4 recv 3
                 5 close ping timeout  -> false"
            ));
        }
    }

    #[test]
    fn the_first_reason_stays() {
        for reason in CloseReason::ALL {
            let session = Harness::run(&format!(
                "    0 open v4 polling
                     1 close {reason}     -> true
                     2 close parse error  -> false
                     3 recv 1
                     4 probe-start        -> refused: closed"
            ));
            assert_eq!(session.close_reason(), Some(reason));
            assert!(!session.is_open());
        }
    }

    #[test]
    fn a_closed_session_has_no_timer() {
        let mut session = Harness::run(
            "    0 open v4 polling
               100 probe-start
               200 close transport error -> true",
        );
        assert_eq!(session.poll_timeout(), None);
        let far = Instant::now() + Duration::from_secs(1_000_000);
        assert_eq!(session.handle_timeout(&CONFIG, far), Timeout::None);
        session.handle_probe_closed();
        assert_eq!(session.close_reason(), Some(CloseReason::TransportError));
    }
}

mod bounds {
    use super::*;

    #[test]
    fn times_that_no_clock_can_show_never_come() {
        let forever =
            SessionConfig { ping_interval: Duration::MAX, ping_timeout: Duration::MAX, upgrade_timeout: Duration::MAX };
        let now = Instant::now();
        for revision in [Revision::V3, Revision::V4] {
            let mut session = Session::new(revision, TransportKind::Polling, &forever, now);
            session.handle_probe_start(&forever, now).unwrap();
            let year = now + Duration::from_secs(365 * 24 * 60 * 60);
            assert_eq!(session.handle_timeout(&forever, year), Timeout::None);
            assert!(session.poll_timeout().is_some_and(|due| due > year));
        }
    }

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Session>() <= 32, "{} bytes", size_of::<Session>());
    }
}
