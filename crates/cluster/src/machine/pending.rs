//! One open question: who has still to answer, and what has come.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use sockeye_protocol::socket::Args;

use super::super::message::{NodeId, Sender};
use sockeye::BroadcastAckError;
use sockeye::adapter::{Answers, RemoteSocketData};

/// The kind of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The other nodes' sockets.
    Sockets,
    /// The other nodes' programs, each of which answers once.
    Programs,
    /// The clients, of this node and of the others, for acknowledgements of a broadcast.
    Clients,
}

/// The result of a question.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`Question::Sockets`].
    Sockets(Answers<RemoteSocketData>),
    /// Of [`Question::Programs`].
    Programs(Answers<Args>),
    /// Of [`Question::Clients`].
    Clients(Result<Vec<Args>, BroadcastAckError>),
}

impl Outcome {
    /// The nodes that did not answer.
    pub fn missing(&self) -> &[String] {
        match self {
            Self::Sockets(answers) => &answers.missing,
            Self::Programs(answers) => &answers.missing,
            Self::Clients(Ok(_)) => &[],
            Self::Clients(Err(error)) => &error.missing,
        }
    }
}

/// One open question.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) deadline: Instant,
    /// The nodes that have still to answer.
    waiting: HashSet<NodeId>,
    /// How many more must answer whose names are not known.
    unnamed: usize,
    answered: HashSet<NodeId>,
    missing: Vec<String>,
    collected: Collected,
}

#[derive(Debug)]
pub(super) enum Collected {
    Sockets(Vec<RemoteSocketData>),
    Programs(Vec<Args>),
    Clients(Clients),
}

/// The acknowledgements of a broadcast.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// This node's own clients have been counted.
    is_local_counted: bool,
    responses: Vec<Args>,
    expected: usize,
    /// How many will not answer any more.
    lost: usize,
    /// How many acknowledgements each node still owes.
    owed: HashMap<NodeId, usize>,
    /// Acknowledgements that came before their sender's count: not every broker keeps the order of all messages of a node.
    early: Vec<(Sender, Args)>,
}

impl Pending {
    pub(super) fn new(question: Question, waiting: HashSet<NodeId>, unnamed: usize, deadline: Instant) -> Self {
        let collected = match question {
            Question::Sockets => Collected::Sockets(Vec::new()),
            Question::Programs => Collected::Programs(Vec::new()),
            Question::Clients => Collected::Clients(Clients::default()),
        };
        Self { deadline, waiting, unnamed, answered: HashSet::new(), missing: Vec::new(), collected }
    }

    /// Notes that a node answers; false if it must not, or has.
    fn accept(&mut self, sender: &Sender) -> bool {
        match sender {
            Sender::Node(node) => {
                if !self.answered.insert(node.clone()) {
                    return false;
                }
                // A node that came after the question was asked is not waited for, and welcome.
                if !self.waiting.remove(node) {
                    self.unnamed = self.unnamed.saturating_sub(1);
                }
                true
            }
            Sender::Unnamed if self.unnamed > 0 => {
                self.unnamed -= 1;
                true
            }
            Sender::Unnamed => false,
        }
    }

    /// Descriptions of sockets have come; false if they make no sense.
    pub(super) fn handle_sockets(&mut self, sender: &Sender, sockets: Vec<RemoteSocketData>) -> bool {
        if !matches!(self.collected, Collected::Sockets(_)) || !self.accept(sender) {
            return false;
        }
        if let Collected::Sockets(all) = &mut self.collected {
            all.extend(sockets);
        }
        true
    }

    /// A program has answered; false if that makes no sense.
    pub(super) fn handle_program(&mut self, sender: &Sender, args: Args) -> bool {
        if !matches!(self.collected, Collected::Programs(_)) || !self.accept(sender) {
            return false;
        }
        if let Collected::Programs(all) = &mut self.collected {
            all.push(args);
        }
        true
    }

    /// A node has told how many of its clients are asked; false if that makes no sense. If it has left by now, the count came behind
    /// the leave, by another subject of the broker: its clients are not waited for.
    pub(super) fn handle_count(&mut self, sender: &Sender, count: usize, has_left: bool) -> bool {
        if !matches!(self.collected, Collected::Clients(_)) || !self.accept(sender) {
            return false;
        }
        if let Collected::Clients(clients) = &mut self.collected {
            clients.expected = clients.expected.saturating_add(count);
            if let Sender::Node(node) = sender {
                clients.owed.insert(node.clone(), count);
            }
        }
        self.take_early();
        if has_left && let Sender::Node(node) = sender {
            self.forget_owed(node);
        }
        true
    }

    /// A client of another node has acknowledged; false if none was to.
    pub(super) fn handle_ack(&mut self, sender: &Sender, args: Args) -> bool {
        let has_counted = self.has_counted(sender);
        let Collected::Clients(clients) = &mut self.collected else { return false };
        if clients.is_owed(sender) {
            clients.responses.push(args);
        } else if has_counted || clients.early.len() >= MAX_EARLY {
            return false;
        } else {
            clients.early.push((sender.clone(), args));
        }
        true
    }

    /// A node has counted: what came too early may count now.
    fn take_early(&mut self) {
        let Collected::Clients(clients) = &mut self.collected else { return };
        let early = std::mem::take(&mut clients.early);
        for (sender, args) in early {
            // Where it is too much now, nobody waits for it.
            self.handle_ack(&sender, args);
        }
    }

    /// Whether all acknowledgements of this sender that still come are owed.
    fn has_counted(&self, sender: &Sender) -> bool {
        match sender {
            Sender::Node(node) => self.answered.contains(node),
            Sender::Unnamed => self.unnamed == 0,
        }
    }

    /// The acknowledgements of this node's own clients.
    pub(super) fn local(&mut self) -> Option<&mut Clients> {
        match &mut self.collected {
            Collected::Clients(clients) => Some(clients),
            _ => None,
        }
    }

    /// A node has left: nothing more is waited for from it.
    pub(super) fn handle_leave(&mut self, node: &NodeId) {
        let was_waited_for = self.waiting.remove(node);
        if was_waited_for {
            self.missing.push(node.to_string());
        }
        if let Collected::Clients(clients) = &mut self.collected {
            clients.early.retain(|(sender, _)| *sender != Sender::Node(node.clone()));
        }
        self.forget_owed(node);
    }

    /// The acknowledgements that a node still owes will not come.
    fn forget_owed(&mut self, node: &NodeId) {
        let Collected::Clients(clients) = &mut self.collected else { return };
        if let Some(owed) = clients.owed.remove(node).filter(|owed| *owed > 0) {
            clients.lost = clients.lost.saturating_add(owed);
            if !self.missing.iter().any(|missing| **missing == **node) {
                self.missing.push(node.to_string());
            }
        }
    }

    /// The question did not reach anybody.
    pub(super) fn handle_unsent(&mut self) {
        let unnamed = std::mem::take(&mut self.unnamed);
        self.missing.extend(self.waiting.drain().map(|node| node.to_string()));
        self.missing.extend(std::iter::repeat_n(UNKNOWN.to_owned(), unnamed));
    }

    /// Whether nothing more is waited for.
    pub(super) fn is_complete(&self) -> bool {
        let is_counted = self.waiting.is_empty() && self.unnamed == 0;
        is_counted
            && match &self.collected {
                Collected::Sockets(_) | Collected::Programs(_) => true,
                Collected::Clients(clients) => {
                    clients.is_local_counted && clients.responses.len().saturating_add(clients.lost) >= clients.expected
                }
            }
    }

    /// The answers that came, and the missing nodes.
    pub(super) fn into_outcome(mut self) -> Outcome {
        // Nodes that have not answered by now are missing.
        self.handle_unsent();
        let Self { mut missing, collected, .. } = self;
        missing.sort_unstable();
        match collected {
            Collected::Sockets(answers) => Outcome::Sockets(Answers { answers, missing }),
            Collected::Programs(answers) => Outcome::Programs(Answers { answers, missing }),
            Collected::Clients(Clients { responses, expected, owed, .. }) => {
                let silent = owed.into_iter().filter(|(_, owed)| *owed > 0).count();
                let is_complete = missing.is_empty() && silent == 0 && responses.len() >= expected;
                Outcome::Clients(match is_complete {
                    true => Ok(responses),
                    false => Err(BroadcastAckError::new(responses, expected, missing)),
                })
            }
        }
    }
}

impl Clients {
    /// Notes that a client of another node acknowledges; false if none was to.
    fn is_owed(&mut self, sender: &Sender) -> bool {
        match sender {
            Sender::Node(node) => match self.owed.get_mut(node) {
                Some(owed) if *owed > 0 => {
                    *owed -= 1;
                    true
                }
                _ => false,
            },
            Sender::Unnamed => self.responses.len() < self.expected,
        }
    }

    pub(super) fn handle_count(&mut self, count: usize) {
        self.is_local_counted = true;
        self.expected = self.expected.saturating_add(count);
    }

    pub(super) fn handle_ack(&mut self, args: Args) {
        self.responses.push(args);
    }

    pub(super) fn handle_loss(&mut self) {
        self.lost += 1;
    }
}

/// The name of a missing node whose name is not known.
pub(in super::super) const UNKNOWN: &str = "unknown";

/// How many acknowledgements may come before they are counted, for one question.
const MAX_EARLY: usize = 10_000;
