//! The machine under virtual time.

use super::*;
use sockeye::Target;

struct Test {
    machine: Machine,
    now: Instant,
    /// What was to be done so far, a word each.
    told: Vec<String>,
}

impl Test {
    fn new(others: &[&str]) -> Self {
        Self::with(others, MachineOptions::default())
    }

    fn with(others: &[&str], options: MachineOptions) -> Self {
        let machine = Machine::new("me".into(), options, 1);
        let mut test = Self { machine, now: Instant::now(), told: Vec::new() };
        test.machine.handle_open(test.now);
        for node in others {
            test.hear(node, Message::Heartbeat);
        }
        test.effects();
        test
    }

    fn hear(&mut self, node: &str, message: Message) {
        self.hear_from(Sender::Node(node.into()), message);
    }

    fn hear_unnamed(&mut self, message: Message) {
        self.hear_from(Sender::Unnamed, message);
    }

    fn hear_from(&mut self, sender: Sender, message: Message) {
        let asked = self.machine.handle_message(sender, message, self.now);
        self.take_effects();
        self.told.extend(asked.map(|(message, reply_to)| format!("apply {} for {reply_to:?}", word(&message))));
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.machine.handle_timeout(self.now);
    }

    fn ask(&mut self, question: Question) -> RequestId {
        self.machine.start(question, None, self.now + Duration::from_secs(5)).expect("there is room")
    }

    fn ask_counted(&mut self, question: Question, others: usize) -> RequestId {
        self.machine.start(question, Some(others), self.now + Duration::from_secs(5)).expect("there is room")
    }

    /// What was to be done since this was last called.
    fn effects(&mut self) -> Vec<String> {
        self.take_effects();
        std::mem::take(&mut self.told)
    }

    fn take_effects(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            self.told.push(match effect {
                Effect::Publish(message, to) => format!("{} to {to:?}", word(&message)),
                Effect::Complete(_, outcome) => format!("complete {}", told(&outcome)),
                Effect::Joined(node) => format!("joined {node}"),
                Effect::Left { node, is_lost } => format!("left {node} {is_lost}"),
                Effect::Garbage(reason) => format!("garbage: {reason}"),
            });
        }
    }
}

fn word(message: &Message) -> String {
    let text = format!("{message:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

fn told(outcome: &Outcome) -> String {
    let (count, all) = match outcome {
        Outcome::Sockets(answers) => (answers.len(), String::new()),
        Outcome::Programs(answers) => (answers.len(), String::new()),
        Outcome::Clients(Ok(responses)) => (responses.len(), " of all".to_owned()),
        Outcome::Clients(Err(error)) => (error.responses.len(), format!(" of {}", error.expected)),
    };
    format!("{count}{all} without {:?}", outcome.missing())
}

fn answer(request: &RequestId) -> Message {
    Message::ServerSideEmitResponse { request: request.clone(), args: Args::empty() }
}

fn count(request: &RequestId, clients: usize) -> Message {
    Message::ClientCount { request: request.clone(), clients }
}

fn acknowledgement(request: &RequestId) -> Message {
    Message::Acknowledgement { request: request.clone(), args: Args::empty() }
}

#[test]
fn a_node_that_comes_is_greeted_and_one_that_is_silent_goes() {
    let mut test = Test::new(&[]);
    test.hear("a", Message::InitialHeartbeat);
    assert_eq!(test.effects(), ["joined a", "Heartbeat to Node(\"a\")"]);
    test.pass(5);
    assert_eq!(test.effects(), ["Heartbeat to All"]);
    test.hear("a", Message::Heartbeat);
    test.pass(5);
    assert_eq!(test.effects(), ["Heartbeat to All"]);
    test.pass(5);
    assert_eq!(test.effects(), ["Heartbeat to All", "left a true"]);
    test.hear("a", Message::Heartbeat);
    assert_eq!(test.effects(), ["joined a"]);
}

#[test]
fn every_message_is_a_sign_of_life_but_none_of_a_node_that_has_gone() {
    let mut test = Test::new(&["a"]);
    test.pass(9);
    test.hear("a", Message::LeaveSockets { target: Target::default(), rooms: Vec::new() });
    test.pass(9);
    assert_eq!(test.effects(), ["Heartbeat to All", "apply LeaveSockets for None", "Heartbeat to All"]);
    test.hear("a", Message::Close);
    assert_eq!(test.effects(), ["left a false"]);
    test.hear("a", Message::Heartbeat);
    test.hear("a", Message::Close);
    assert_eq!(test.effects(), Vec::<String>::new());
    assert_eq!(test.machine.nodes().count(), 0);
    test.hear("a", Message::InitialHeartbeat);
    test.hear("a", Message::Heartbeat);
    assert_eq!(test.effects(), ["joined a", "Heartbeat to Node(\"a\")"]);
}

#[test]
fn what_this_node_said_itself_is_nothing() {
    let mut test = Test::new(&["a"]);
    test.hear("me", Message::InitialHeartbeat);
    test.hear("me", Message::Close);
    assert_eq!(test.effects(), Vec::<String>::new());
}

#[test]
fn the_next_wake_up_is_the_earliest_of_all() {
    let mut test = Test::new(&["a"]);
    let start = test.now;
    assert_eq!(test.machine.poll_timeout(), Some(start + Duration::from_secs(5)));
    let request = test.machine.start(Question::Sockets, None, start + Duration::from_secs(2)).expect("there is room");
    assert_eq!(test.machine.poll_timeout(), Some(start + Duration::from_secs(2)));
    test.machine.cancel(&request);
    test.pass(7);
    assert_eq!(test.machine.poll_timeout(), Some(start + Duration::from_secs(10)));
    test.machine.handle_close();
    assert_eq!(test.machine.poll_timeout(), None);
}

#[test]
fn a_question_ends_with_the_last_answer() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Programs);
    test.hear("a", answer(&request));
    test.hear("a", answer(&request));
    assert_eq!(test.effects(), ["garbage: an answer that was not asked for"]);
    test.hear("b", answer(&request));
    assert_eq!(test.effects(), ["complete 2 without []"]);
    test.hear("b", answer(&request));
    assert_eq!((test.effects(), test.machine.open_requests()), (Vec::new(), 0));
}

#[test]
fn a_question_to_nobody_ends_at_once() {
    let mut test = Test::new(&[]);
    test.ask(Question::Sockets);
    test.ask_counted(Question::Programs, 0);
    assert_eq!(test.effects(), ["complete 0 without []"; 2]);
}

#[test]
fn a_question_ends_with_its_time_and_names_who_is_missing() {
    let mut test = Test::new(&["a", "b", "c"]);
    let request = test.ask(Question::Programs);
    test.hear("b", answer(&request));
    // One that was not there when it was asked may answer, and is not waited for.
    test.hear("d", answer(&request));
    test.pass(5);
    assert_eq!(test.effects(), ["joined d", "complete 2 without [\"a\", \"c\"]", "Heartbeat to All"]);
}

#[test]
fn a_question_ends_when_the_last_that_owes_an_answer_leaves() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Programs);
    test.hear("a", answer(&request));
    test.hear("b", Message::Close);
    assert_eq!(test.effects(), ["left b false", "complete 1 without [\"b\"]"]);
}

#[test]
fn a_question_that_reaches_nobody_names_all() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Sockets);
    test.machine.handle_unsent(&request);
    let request = test.ask_counted(Question::Sockets, 2);
    test.machine.handle_unsent(&request);
    assert_eq!(test.effects(), ["complete 0 without [\"a\", \"b\"]", "complete 0 without [\"unknown\", \"unknown\"]"]);
}

#[test]
fn answers_without_names_are_counted() {
    let mut test = Test::with(&[], MachineOptions { heartbeat_interval: None, ..MachineOptions::default() });
    assert_eq!(test.machine.poll_timeout(), None);
    let request = test.ask_counted(Question::Programs, 3);
    test.hear_unnamed(answer(&request));
    test.hear("a", answer(&request));
    test.hear_unnamed(answer(&request));
    assert_eq!(test.effects(), ["complete 3 without []"]);
    let request = test.ask_counted(Question::Programs, 2);
    test.hear_unnamed(answer(&request));
    test.pass(5);
    assert_eq!(test.effects(), ["complete 1 without [\"unknown\"]"]);
}

#[test]
fn a_broadcast_is_acknowledged_when_all_have_counted_and_all_their_clients_answered() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Clients);
    test.hear("a", count(&request, 2));
    test.hear("a", acknowledgement(&request));
    test.machine.handle_local_count(&request, 1);
    test.machine.handle_local_ack(&request, Args::empty());
    test.hear("a", acknowledgement(&request));
    assert_eq!(test.effects(), Vec::<String>::new());
    test.hear("b", count(&request, 0));
    assert_eq!(test.effects(), ["complete 3 of all without []"]);
}

#[test]
fn clients_of_this_node_that_leave_are_not_waited_for() {
    let mut test = Test::new(&["a"]);
    let request = test.ask(Question::Clients);
    test.machine.handle_local_count(&request, 2);
    test.machine.handle_local_loss(&request);
    test.hear("a", count(&request, 0));
    test.machine.handle_local_ack(&request, Args::empty());
    assert_eq!(test.effects(), ["complete 1 of 2 without []"]);
}

#[test]
fn what_a_node_owes_ends_with_it() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Clients);
    test.machine.handle_local_count(&request, 0);
    test.hear("a", count(&request, 2));
    test.hear("a", acknowledgement(&request));
    test.hear("b", count(&request, 1));
    test.hear("a", Message::Close);
    test.hear("b", acknowledgement(&request));
    assert_eq!(test.effects(), ["left a false", "complete 2 of 3 without [\"a\"]"]);
}

/// A broker may bring an answer, which is for one node, behind the leave, which is for all.
#[test]
fn a_count_behind_the_leave_is_not_waited_for() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Clients);
    test.machine.handle_local_count(&request, 0);
    test.hear("a", Message::Close);
    test.hear("a", count(&request, 2));
    test.hear("b", count(&request, 1));
    test.hear("b", acknowledgement(&request));
    assert_eq!(test.effects(), ["left a false", "complete 1 of 3 without [\"a\"]"]);
}

#[test]
fn silent_clients_make_a_broadcast_incomplete() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Clients);
    test.machine.handle_local_count(&request, 0);
    test.hear("a", count(&request, 2));
    test.hear("a", acknowledgement(&request));
    test.pass(5);
    assert_eq!(test.effects(), ["complete 1 of 2 without [\"b\"]", "Heartbeat to All"]);
}

#[test]
fn acknowledgements_may_overtake_their_count() {
    for is_named in [true, false] {
        let mut test = Test::new(&["a", "b"]);
        let request = if is_named { test.ask(Question::Clients) } else { test.ask_counted(Question::Clients, 2) };
        let hear = |test: &mut Test, node: &str, message| match is_named {
            true => test.hear(node, message),
            false => test.hear_unnamed(message),
        };
        test.machine.handle_local_count(&request, 0);
        hear(&mut test, "a", acknowledgement(&request));
        hear(&mut test, "a", acknowledgement(&request));
        hear(&mut test, "b", count(&request, 1));
        hear(&mut test, "b", acknowledgement(&request));
        assert!(test.effects().is_empty(), "named: {is_named}");
        hear(&mut test, "a", count(&request, 2));
        assert_eq!(test.effects(), ["complete 3 of all without []"], "named: {is_named}");
    }
}

#[test]
fn what_a_node_that_left_sent_too_early_does_not_count() {
    let mut test = Test::new(&["a", "b"]);
    let request = test.ask(Question::Clients);
    test.machine.handle_local_count(&request, 0);
    test.hear("a", acknowledgement(&request));
    test.hear("a", Message::Close);
    test.hear("b", count(&request, 0));
    assert_eq!(test.effects(), ["left a false", "complete 0 of 0 without [\"a\"]"]);
}

#[test]
fn more_acknowledgements_than_clients_are_garbage() {
    let mut test = Test::new(&["a"]);
    let request = test.ask(Question::Clients);
    test.hear("a", acknowledgement(&request));
    test.hear("a", count(&request, 1));
    test.hear("a", count(&request, usize::MAX));
    test.hear("a", acknowledgement(&request));
    test.hear("a", acknowledgement(&request));
    test.hear_unnamed(count(&request, 1));
    test.hear("a", answer(&request));
    assert_eq!(test.effects(), ["garbage: an answer that was not asked for"; 5]);
    test.machine.handle_local_count(&request, 0);
    assert_eq!(test.effects(), ["complete 1 of all without []"]);
}

#[test]
fn what_others_ask_is_carried_out_and_answered_to_them() {
    let mut test = Test::new(&["a"]);
    let ask = || Message::FetchSockets { target: Target::default(), request: "r".into() };
    test.hear("a", ask());
    test.hear_unnamed(ask());
    test.hear_unnamed(Message::DisconnectSockets { target: Target::default(), close: true });
    let expected =
        ["apply FetchSockets for Some(\"a\")", "garbage: a question of nobody", "apply DisconnectSockets for None"];
    assert_eq!(test.effects(), expected);
}

#[test]
fn questions_and_nodes_are_bounded() {
    let options = MachineOptions { max_requests: 2, max_nodes: 2, ..MachineOptions::default() };
    let mut test = Test::with(&["a", "b"], options);
    test.hear("c", Message::Heartbeat);
    assert_eq!(test.effects(), ["garbage: too many nodes"]);
    let first = test.ask(Question::Sockets);
    assert_ne!(first, test.ask(Question::Sockets));
    let deadline = test.now + Duration::from_secs(5);
    assert_eq!(test.machine.start(Question::Sockets, None, deadline), Err(Refusal::TooMany));
    test.machine.cancel(&first);
    test.ask(Question::Sockets);
    test.pass(5);
    assert_eq!((test.effects().len(), test.machine.open_requests()), (3, 0));
    assert!(test.machine.deadlines.is_empty());
}

#[test]
fn closing_ends_all_questions() {
    let mut test = Test::new(&["a"]);
    test.ask(Question::Sockets);
    test.machine.handle_close();
    assert_eq!(test.effects(), ["Close to All", "complete 0 without [\"a\"]"]);
}
