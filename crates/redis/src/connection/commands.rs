//! The commands of a connection: who has a handle sends some and waits for the answers; one task writes and reads for all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use redis::{Arg, Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, cmd};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::connection::resp::{Extent, Message, Said, extent, read};

/// What carries a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// What comes unasked.
pub(crate) enum Pushed<'a> {
    Message(Message<'a>),
    Other(&'a PushInfo),
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the value that it is.
    Value,
    /// Not taken apart: a text has the bytes of it, unless it is an error.
    Raw,
}

/// A handle to a connection. It ends when all handles are gone.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    requests: mpsc::Sender<Request>,
    timeout: Duration,
}

/// Commands that are to be sent together.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    waiting: Waiting,
}

/// Who waits for answers.
#[derive(Debug)]
struct Waiting {
    /// How many answers come first that nobody wants, and how many then.
    skip: usize,
    left: usize,
    answers: Vec<Value>,
    /// Whether an answer that is no error is wanted as it is, in a text.
    is_raw: bool,
    /// Whether channels are subscribed to, or given up: that is answered by pushes.
    is_confirmed: bool,
    sender: oneshot::Sender<RedisResult<Vec<Value>>>,
}

impl Commands {
    /// Starts a connection over this stream. `handle` gets what is pushed, and must not wait; `lost` is notified when the connection
    /// ends. Each answer may take as long as `timeout`.
    pub(crate) fn start(
        stream: impl Stream,
        timeout: Duration,
        lost: Arc<Notify>,
        handle: impl Fn(Pushed<'_>) + Send + Sync + 'static,
    ) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let (requests, received) = mpsc::channel(MAX_REQUESTS);
        let driver = Driver {
            reader,
            writer,
            requests: received,
            waiting: VecDeque::new(),
            input: BytesMut::new(),
            wanted: 0,
            output: BytesMut::new(),
            handle,
        };
        let _detached = tokio::spawn(async move {
            driver.run().await;
            lost.notify_one();
        });
        Self { requests, timeout }
    }

    /// Sends a command and waits for the answer, which may be an error of the server.
    ///
    /// # Errors
    ///
    /// The connection has ended, or the answer took too long; whether the command was carried out is not known.
    ///
    /// # Cancel safety
    ///
    /// The command is sent, or it is not; the answer is dropped.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let (waiting, answers) = Waiting::new(0, 1, is_confirmed(command));
        self.request(command.get_packed_command(), waiting, answers).await?.pop().ok_or_else(lost)
    }

    /// The same with several commands.
    pub(crate) async fn send_all(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let is_confirmed = pipeline.cmd_iter().next().is_some_and(is_confirmed);
        let (waiting, answers) = Waiting::new(0, pipeline.len(), is_confirmed);
        self.request(pipeline.get_packed_pipeline(), waiting, answers).await
    }

    /// The same with the answer in this form, and `ASKING` before the command if another server has sent us here with it.
    pub(crate) async fn ask(&self, command: &Cmd, is_asked: bool, form: Form) -> RedisResult<Value> {
        let mut bytes = if is_asked { cmd("ASKING").get_packed_command() } else { Vec::new() };
        bytes.extend_from_slice(&command.get_packed_command());
        let (waiting, answers) = Waiting::new(usize::from(is_asked), 1, false);
        let waiting = Waiting { is_raw: form == Form::Raw, ..waiting };
        self.request(bytes, waiting, answers).await?.pop().ok_or_else(lost)
    }

    async fn request(&self, bytes: Vec<u8>, waiting: Waiting, answers: Answers) -> RedisResult<Vec<Value>> {
        let answered = async {
            self.requests.send(Request { bytes, waiting }).await.map_err(|_| lost())?;
            answers.await.map_err(|_| lost())?
        };
        let late = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        tokio::time::timeout(self.timeout, answered).await.unwrap_or_else(|_| Err(late()))
    }
}

type Answers = oneshot::Receiver<RedisResult<Vec<Value>>>;

impl Waiting {
    fn new(skip: usize, left: usize, is_confirmed: bool) -> (Self, Answers) {
        let (sender, receiver) = oneshot::channel();
        (Self { skip, left, answers: Vec::with_capacity(left), is_raw: false, is_confirmed, sender }, receiver)
    }
}

/// Whether the server answers with pushes.
fn is_confirmed(command: &Cmd) -> bool {
    matches!(command.args_iter().next(), Some(Arg::Simple(verb)) if verb.ends_with(b"SUBSCRIBE"))
}

/// The reason when a connection has just ended.
pub(crate) fn lost() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()
}

/// Writes and reads.
struct Driver<S, F> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    requests: mpsc::Receiver<Request>,
    /// In the order of their commands.
    waiting: VecDeque<Waiting>,
    input: BytesMut,
    /// How many bytes the value that has begun to come has at least.
    wanted: usize,
    output: BytesMut,
    handle: F,
}

impl<S: Stream, F: Fn(Pushed<'_>) + Send + Sync + 'static> Driver<S, F> {
    /// Until the connection is lost, or nobody has a handle any more.
    async fn run(mut self) {
        let error = loop {
            if self.input.capacity() - self.input.len() < READ / 4 {
                self.input.reserve(READ);
            }
            tokio::select! {
                biased;
                read = self.reader.read_buf(&mut self.input) => match read.map_err(RedisError::from) {
                    Ok(0) => break lost(),
                    Ok(_) => if let Err(error) = self.take_input() { break error },
                    Err(error) => break error,
                },
                request = self.requests.recv(), if self.output.len() < MAX_OUTPUT => match request {
                    Some(Request { bytes, waiting }) => {
                        self.output.extend_from_slice(&bytes);
                        self.waiting.push_back(waiting);
                    }
                    None => return,
                },
                written = self.writer.write_buf(&mut self.output), if self.output.has_remaining() => {
                    if let Err(error) = written {
                        break error.into();
                    }
                }
            }
        };
        // Others hear that it is lost; the first one, why.
        let mut errors = std::iter::once(error).chain(std::iter::repeat_with(lost));
        for (waiting, error) in self.waiting.drain(..).zip(&mut errors) {
            let _gone = waiting.sender.send(Err(error));
        }
    }

    fn take_input(&mut self) -> RedisResult<()> {
        let mut at = 0;
        while self.input.len() - at >= self.wanted.max(1) {
            let rest = self.input.get(at..).unwrap_or_default();
            let end = match extent(rest)? {
                Extent::Whole(len) => len,
                Extent::Cut(at_least) => {
                    self.wanted = at_least;
                    break;
                }
            };
            self.wanted = 0;
            at += end;
            let value = rest.get(..end).unwrap_or_default();
            if !matches!(value.first(), Some(b'>' | b'-' | b'!'))
                && self.waiting.front().is_some_and(|waiting| waiting.is_raw && waiting.skip == 0)
            {
                answered(&mut self.waiting, Value::BulkString(value.to_vec()));
                continue;
            }
            match read(value)? {
                Said::Message(message) => (self.handle)(Pushed::Message(message)),
                Said::Answer(answer) => answered(&mut self.waiting, answer),
                Said::Push(push) => {
                    (self.handle)(Pushed::Other(&push));
                    // It comes unasked too, when a slot has moved.
                    if is_confirmation(&push) && self.waiting.front().is_some_and(|waiting| waiting.is_confirmed) {
                        answered(&mut self.waiting, Value::Okay);
                    }
                }
            }
        }
        self.input.advance(at);
        if self.input.is_empty() && self.input.capacity() > MAX_KEPT {
            self.input = BytesMut::new();
        }
        Ok(())
    }
}

/// An answer to whoever has waited longest.
fn answered(all: &mut VecDeque<Waiting>, answer: Value) {
    let Some(waiting) = all.front_mut() else { return };
    if waiting.skip > 0 {
        waiting.skip -= 1;
        return;
    }
    waiting.answers.push(answer);
    waiting.left -= 1;
    if waiting.left == 0
        && let Some(waiting) = all.pop_front()
    {
        // Who asked may have given up.
        let _gone = waiting.sender.send(Ok(waiting.answers));
    }
}

fn is_confirmation(push: &PushInfo) -> bool {
    matches!(
        push.kind,
        PushKind::Subscribe
            | PushKind::PSubscribe
            | PushKind::SSubscribe
            | PushKind::Unsubscribe
            | PushKind::PUnsubscribe
            | PushKind::SUnsubscribe
    )
}

/// How many requests of a connection may wait to be written; who has another waits.
const MAX_REQUESTS: usize = 64;

/// With so many bytes that are not written yet no more requests are taken.
const MAX_OUTPUT: usize = 1024 * 1024;

/// How many bytes are read at once.
const READ: usize = 64 * 1024;

/// How many bytes a buffer for input may keep when it is empty.
const MAX_KEPT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::DuplexStream;

    use super::*;

    /// A connection, the server's side of it, and how many pushes came that are no messages.
    fn start() -> (Commands, Arc<Notify>, DuplexStream, Arc<AtomicUsize>) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (lost, pushes) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let counted = pushes.clone();
        let handle = move |pushed: Pushed<'_>| {
            if let Pushed::Other(_) = pushed {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        (Commands::start(ours, Duration::from_secs(5), lost.clone(), handle), lost, theirs, pushes)
    }

    /// Reads so many bytes of commands, and says this, a few bytes at a time.
    async fn answer(server: &mut DuplexStream, commands: Vec<&Cmd>, said: &str) {
        let len = commands.iter().map(|command| command.get_packed_command().len()).sum();
        server.read_exact(&mut vec![0; len]).await.unwrap();
        for piece in said.as_bytes().chunks(3) {
            server.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn each_gets_its_answers() {
        let (commands, _, mut server, _) = start();
        let mut pipeline = Pipeline::new();
        pipeline.add_command(cmd("GET")).add_command(cmd("PING"));
        let (first, second, third) = (cmd("FIRST"), cmd("ASKING"), cmd("RAW"));
        let (one, several, text, ()) = tokio::join!(
            commands.send(&first),
            commands.send_all(&pipeline),
            commands.ask(&third, true, Form::Raw),
            async {
                let (get, ping) = (cmd("GET"), cmd("PING"));
                let all = vec![&first, &get, &ping, &second, &third];
                answer(&mut server, all, ":1\r\n$1\r\na\r\n-ERR no\r\n+OK\r\n*1\r\n:5\r\n").await;
            },
        );
        assert_eq!(one.unwrap(), Value::Int(1));
        let several = several.unwrap();
        assert_eq!(several.first(), Some(&Value::BulkString(b"a".to_vec())));
        assert!(matches!(several.as_slice(), [_, Value::ServerError(_)]));
        assert_eq!(text.unwrap(), Value::BulkString(b"*1\r\n:5\r\n".to_vec()));
        let (refused, ()) = tokio::join!(
            commands.ask(&third, true, Form::Raw),
            answer(&mut server, vec![&second, &third], "+OK\r\n-ERR\r\n")
        );
        assert!(matches!(refused, Ok(Value::ServerError(_))));
        let (last, ()) = tokio::join!(
            commands.ask(&third, true, Form::Value),
            answer(&mut server, vec![&second, &third], "+OK\r\n*1\r\n:5\r\n")
        );
        assert_eq!(last.unwrap(), Value::Array(vec![Value::Int(5)]));
    }

    #[tokio::test]
    async fn a_push_answers_only_who_subscribes() {
        let (commands, _, mut server, pushes) = start();
        let (ping, subscribe) = (cmd("PING"), cmd("SSUBSCRIBE").arg("c").take());
        let push = |verb: &str| format!(">3\r\n${}\r\n{verb}\r\n$1\r\nc\r\n:0\r\n", verb.len());
        let unasked = push("sunsubscribe") + "+PONG\r\n";
        let (pong, ()) = tokio::join!(commands.send(&ping), answer(&mut server, vec![&ping], &unasked));
        assert_eq!(pong.unwrap(), Value::SimpleString("PONG".to_owned()));
        let confirmed = push("ssubscribe");
        let (done, ()) = tokio::join!(commands.send(&subscribe), answer(&mut server, vec![&subscribe], &confirmed));
        assert_eq!(done.unwrap(), Value::Okay);
        assert_eq!(pushes.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_told() {
        for said in ["", "nonsense\r\n"] {
            let (commands, lost, mut server, _) = start();
            let ping = cmd("PING");
            let (answered, ()) = tokio::join!(commands.send(&ping), async {
                answer(&mut server, vec![&ping], said).await;
                drop(server);
            });
            answered.unwrap_err();
            lost.notified().await;
            commands.send(&ping).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn it_ends_with_the_last_handle() {
        let (commands, _, mut server, _) = start();
        drop(commands.clone());
        drop(commands);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_late_is_an_error() {
        let (commands, _, _server, _) = start();
        assert!(commands.send(&cmd("PING")).await.unwrap_err().is_timeout());
    }
}
