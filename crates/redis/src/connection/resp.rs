//! What Redis says, RESP3: where a value ends, and what nearly all values are.
//!
//! Messages of channels, the numbers that answer publications, and the lists of entries of streams are read here; errors and what
//! else is rare by the `redis` crate. Its parser can stop within a value and go on, at thousands of instructions for a number: with
//! it, half of what a node did for a message of another node was reading.

use redis::{ErrorKind, PushInfo, RedisError, RedisResult, Value};

/// Something that Redis has said.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    /// A message in a channel.
    Message(Message<'a>),
    /// Which channels are heard, and what else is no answer.
    Push(PushInfo),
    /// An answer.
    Answer(Value),
}

/// A message in a channel, and the pattern that the channel fits, if it came for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) pattern: Option<&'a [u8]>,
    pub(crate) channel: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// How far the first value of a buffer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It has so many bytes.
    Whole(usize),
    /// It goes on. The buffer has at least so many bytes when it is whole, so that it need not be looked at before.
    Cut(usize),
}

/// Finds the end of the first value, without reading it.
///
/// # Errors
///
/// It is no value, or a larger one than Redis sends.
pub(crate) fn extent(buffer: &[u8]) -> RedisResult<Extent> {
    let mut at = 0;
    let mut left = 1_usize;
    while left > 0 {
        let Some((kind, line, next)) = line(buffer, at) else { return cut(buffer.len() + 1) };
        left -= 1;
        at = next;
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            b'$' | b'!' | b'=' => {
                // There is nothing where it is negative.
                if let Some(len) = length(line)? {
                    at = at.checked_add(len + 2).ok_or_else(malformed)?;
                    if at > buffer.len() {
                        return cut(at);
                    }
                }
            }
            b'*' | b'~' | b'>' => left = left.checked_add(length(line)?.unwrap_or_default()).ok_or_else(malformed)?,
            // Keys and values; what has attributes comes after them.
            b'%' => left = left.checked_add(2 * length(line)?.unwrap_or_default()).ok_or_else(malformed)?,
            b'|' => left = left.checked_add(2 * length(line)?.unwrap_or_default() + 1).ok_or_else(malformed)?,
            _ => return Err(malformed()),
        }
    }
    Ok(Extent::Whole(at))
}

fn cut(at_least: usize) -> RedisResult<Extent> {
    if at_least > MAX_VALUE { Err(malformed()) } else { Ok(Extent::Cut(at_least)) }
}

/// Reads a value that is whole.
///
/// # Errors
///
/// It is no value.
pub(crate) fn read(value: &[u8]) -> RedisResult<Said<'_>> {
    if let Some(message) = message(value) {
        return Ok(Said::Message(message));
    }
    let mut reader = Reader::new(value);
    match reader.value(0) {
        Some(answer) if reader.at == value.len() => Ok(Said::Answer(answer)),
        _ => Ok(match redis::parse_redis_value(value)? {
            Value::Push { kind, data } => Said::Push(PushInfo { kind, data }),
            answer => Said::Answer(answer),
        }),
    }
}

/// Reads a message, if that is what it is.
fn message(value: &[u8]) -> Option<Message<'_>> {
    let head = [&b">3\r\n$7\r\nmessage\r\n"[..], b">3\r\n$8\r\nsmessage\r\n", b">4\r\n$8\r\npmessage\r\n"];
    let head = head.into_iter().find(|head| value.starts_with(head))?;
    let mut reader = Reader { value, at: head.len() };
    let pattern = if head.starts_with(b">4") { Some(reader.text()?) } else { None };
    Some(Message { pattern, channel: reader.text()?, payload: reader.text()? })
}

/// Reads what is common. None is what it leaves to the library.
pub(crate) struct Reader<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { value, at: 0 }
    }

    /// How many items a list has, or how many pairs a map; they come next.
    pub(crate) fn list(&mut self) -> Option<usize> {
        let (_, len, next) = line(self.value, self.at).filter(|(kind, ..)| matches!(kind, b'*' | b'%'))?;
        self.at = next;
        length(len).ok()?
    }

    /// The bytes of the next value.
    pub(crate) fn whole(&mut self) -> Option<&'a [u8]> {
        let rest = self.value.get(self.at..)?;
        let Ok(Extent::Whole(len)) = extent(rest) else { return None };
        self.at += len;
        rest.get(..len)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let (kind, text, next) = line(self.value, self.at)?;
        Some(match kind {
            b':' => {
                self.at = next;
                Value::Int(number(text)?)
            }
            b'$' => self.text().map(|text| Value::BulkString(text.to_vec()))?,
            b'+' => {
                self.at = next;
                match text {
                    b"OK" => Value::Okay,
                    text => Value::SimpleString(std::str::from_utf8(text).ok()?.to_owned()),
                }
            }
            b'_' => {
                self.at = next;
                Value::Nil
            }
            b'*' | b'%' if depth < MAX_DEPTH => {
                self.at = next;
                let len = length(text).ok()??;
                // A claim is no reason to reserve much.
                let mut items = Vec::with_capacity(len.min(1_024));
                let mut pairs = Vec::new();
                for _ in 0..len {
                    if kind == b'*' {
                        items.push(self.value(depth + 1)?);
                    } else {
                        pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
                    }
                }
                if kind == b'*' { Value::Array(items) } else { Value::Map(pairs) }
            }
            _ => return None,
        })
    }

    /// A text with its length in front.
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let (_, text, start) = line(self.value, self.at).filter(|(kind, ..)| *kind == b'$')?;
        let end = start.checked_add(length(text).ok()??)?;
        let text = self.value.get(start..end)?;
        self.at = self.value.get(end..)?.starts_with(b"\r\n").then_some(end + 2)?;
        Some(text)
    }
}

/// The line that begins at a place: its first byte, the others, and where the next one begins. None if it is cut.
fn line(buffer: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let (kind, rest) = buffer.get(at..)?.split_first()?;
    // Most are short: a number, a length.
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let text = rest.get(..end)?;
    Some((*kind, text.strip_suffix(b"\r").unwrap_or(text), at + 1 + end + 1))
}

/// A length; none if it says that there is nothing.
fn length(text: &[u8]) -> RedisResult<Option<usize>> {
    match number(text) {
        Some(-1) => Ok(None),
        Some(len) => usize::try_from(len).ok().filter(|len| *len <= MAX_VALUE).map(Some).ok_or_else(malformed),
        None => Err(malformed()),
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn malformed() -> RedisError {
    (ErrorKind::Parse, "Redis, or what is in its place, has sent what is no value").into()
}

/// How many bytes a value may have: twice what Redis takes for a text (`proto-max-bulk-len`).
const MAX_VALUE: usize = 1024 * 1024 * 1024;

/// How deep the lists are that are read here: those of a stream's entries are five.
const MAX_DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use redis::PushKind;

    use super::*;

    fn answer(text: &str) -> Value {
        match read(text.as_bytes()).unwrap() {
            Said::Answer(value) => value,
            other => panic!("{other:?}"),
        }
    }

    const VALUES: [&str; 17] = [
        ":-7\r\n",
        "+OK\r\n",
        "+PONG\r\n",
        "_\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "$0\r\n\r\n",
        "$4\r\n\r\n$1\r\n",
        "*0\r\n",
        "-MOVED 5 host:1\r\n",
        "*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
        "%1\r\n$1\r\na\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nk\r\n$1\r\nv\r\n",
        "*2\r\n:1\r\n-ERR no\r\n",
        "#t\r\n",
        ",1.5\r\n",
        "~1\r\n:1\r\n",
        ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
    ];

    #[test]
    fn a_value_ends_where_it_ends_and_nowhere_before() {
        for text in VALUES {
            let text = text.as_bytes();
            assert_eq!(extent(text).unwrap(), Extent::Whole(text.len()));
            let more = [text, b":1\r\n"].concat();
            assert_eq!(extent(&more).unwrap(), Extent::Whole(text.len()));
            for len in 0..text.len() {
                match extent(&text[..len]).unwrap() {
                    Extent::Cut(at_least) => assert!((len + 1..=text.len()).contains(&at_least)),
                    Extent::Whole(_) => panic!("{len} bytes of {}", String::from_utf8_lossy(text)),
                }
            }
        }
    }

    #[test]
    fn what_is_read_here_is_what_the_library_reads() {
        for text in VALUES {
            let theirs = redis::parse_redis_value(text.as_bytes()).unwrap();
            match read(text.as_bytes()).unwrap() {
                Said::Answer(value) => assert_eq!(value, theirs),
                Said::Push(PushInfo { kind, data }) => assert_eq!(Value::Push { kind, data }, theirs),
                Said::Message(message) => panic!("{message:?}"),
            }
        }
        assert_eq!(answer(":1\r\n"), Value::Int(1));
    }

    #[test]
    fn messages() {
        let read = |text: &'static [u8]| match read(text).unwrap() {
            Said::Message(message) => message,
            other => panic!("{other:?}"),
        };
        let plain = Message { pattern: None, channel: b"c", payload: b"\r\n" };
        assert_eq!(read(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n"), plain);
        assert_eq!(read(b">3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n"), plain);
        let matched = Message { pattern: Some(b"c*"), ..plain };
        assert_eq!(read(b">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$2\r\n\r\n\r\n"), matched);
    }

    #[test]
    fn pushes_are_no_answers() {
        let Said::Push(push) = read(b">3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n").unwrap() else { panic!() };
        assert_eq!(push.kind, PushKind::SUnsubscribe);
    }

    #[test]
    fn whatever_comes_is_read_or_refused() {
        let (mut read_whole, mut refused) = (0, 0);
        for text in VALUES {
            for at in 0..text.len() {
                for byte in *b"0139-\r\n*$>%|+:\xff" {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[at] = byte;
                    match extent(&bytes) {
                        Ok(Extent::Whole(len)) if read(&bytes[..len]).is_ok() => read_whole += 1,
                        Ok(Extent::Cut(at_least)) => assert!(at_least > bytes.len()),
                        _ => refused += 1,
                    }
                }
            }
        }
        assert!(read_whole > 100 && refused > 100, "{read_whole} {refused}");
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for text in ["x\r\n", "HTTP/1.1 400\r\n", "$x\r\n", "$-2\r\n", "*99999999999999999999\r\n", "$2000000000\r\n"] {
            assert!(extent(text.as_bytes()).is_err(), "{text}");
        }
        // Deep ones are the library's, which has a bound of its own.
        let deep = "*1\r\n".repeat(200) + ":1\r\n";
        assert_eq!(extent(deep.as_bytes()).unwrap(), Extent::Whole(deep.len()));
        assert!(read(deep.as_bytes()).is_err());
        assert!(read(b"$3\r\nabcd\r\n").is_err());
    }
}
