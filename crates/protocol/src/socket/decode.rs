//! The decoder of one connection: messages in, packets out.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    args::{Args, Elements, scan_elements},
    error::DecodeError,
    limits::Limits,
    msgpack,
    name::EventName,
    packet::{Packet, PacketBody, Parser},
    scan::{Kind, Scanner},
};

/// Turns the messages of one connection into packets, in the order of their arrival.
///
/// # Example
///
/// ```
/// use sockeye_protocol::socket::{Decoder, Limits, PacketBody, Parser};
///
/// let mut decoder = Decoder::new(Parser::Json);
/// let packet = decoder.decode_text(r#"2/chat,7["message","hi"]"#, &Limits::default())?.unwrap();
/// assert_eq!((&*packet.namespace, packet.id), ("/chat", Some(7)));
/// let PacketBody::Event { name, args } = packet.body else { panic!("not an event") };
/// assert_eq!((&*name, args.json_elements()), ("message", r#""hi""#));
/// # Ok::<(), sockeye_protocol::socket::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    parser: Parser,
    pending: Option<Box<Pending>>,
}

/// A packet that waits for attachments.
#[derive(Debug)]
struct Pending {
    packet: Packet,
    missing: usize,
    bytes: usize,
}

impl Decoder {
    /// A decoder of a connection that speaks this way.
    pub fn new(parser: Parser) -> Self {
        Self { parser, pending: None }
    }

    /// Takes a text message. `None` when the packet's attachments are still to come.
    ///
    /// # Errors
    ///
    /// When the message is not a packet within the limits; the decoder then waits for nothing any more.
    pub fn decode_text(&mut self, text: &str, limits: &Limits) -> Result<Option<Packet>, DecodeError> {
        if self.pending.take().is_some() || self.parser == Parser::MsgPack {
            return Err(DecodeError::UnexpectedText);
        }
        let (packet, missing) = decode_json(text, limits)?;
        if missing == 0 {
            return Ok(Some(packet));
        }
        self.pending = Some(Box::new(Pending { packet, missing, bytes: 0 }));
        Ok(None)
    }

    /// Takes a binary message: an attachment, or a MessagePack packet. `None` when more attachments are still to come.
    ///
    /// An attachment is kept as it is, so a small slice of a large buffer keeps that buffer alive.
    ///
    /// # Errors
    ///
    /// When the message is not a packet within the limits; the decoder then waits for nothing any more.
    pub fn decode_binary(&mut self, data: Bytes, limits: &Limits) -> Result<Option<Packet>, DecodeError> {
        if self.parser == Parser::MsgPack {
            return msgpack::read_packet(&data, limits).map(Some);
        }
        let mut pending = self.pending.take().ok_or(DecodeError::UnexpectedBinary)?;
        pending.bytes = pending.bytes.saturating_add(data.len());
        if pending.bytes > limits.max_attachment_bytes {
            return Err(DecodeError::AttachmentsTooLarge { limit: limits.max_attachment_bytes });
        }
        if let Some(args) = pending.packet.args_mut() {
            args.push_attachment(data);
        }
        pending.missing -= 1;
        if pending.missing == 0 {
            return Ok(Some(pending.packet));
        }
        self.pending = Some(pending);
        Ok(None)
    }

    /// The bytes that are held of a packet whose attachments are still to come.
    pub fn held(&self) -> usize {
        self.pending
            .as_ref()
            .map_or(0, |pending| pending.bytes + pending.packet.args().map_or(0, |args| args.json_elements().len()))
    }

    /// Whether attachments of a packet are still to come. Somebody must put an end to waiting for them.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }
}

/// Reads `<type>[<attachments>-][<namespace>,][<id>][JSON]`: the packet and how many attachments it waits for.
fn decode_json(text: &str, limits: &Limits) -> Result<(Packet, usize), DecodeError> {
    let mut head = Head { bytes: text.as_bytes(), at: 1 };
    let kind = match text.as_bytes().first() {
        None => return Err(DecodeError::Empty),
        Some(kind @ b'0'..=b'6') => *kind,
        Some(_) => return Err(DecodeError::UnknownType),
    };
    let attachments = if kind >= b'5' { head.attachments(limits)? } else { 0 };
    let start = head.at;
    let namespace = head.namespace(limits)?;
    let id = head.id()?;
    let data = text.get(head.at..).unwrap_or_default();

    // One allocation holds all of the packet that is kept.
    let (namespace, data) = match namespace {
        None | Some("/") => (ByteString::from_static("/"), ByteString::from(data)),
        Some(namespace) if data.is_empty() => (ByteString::from(namespace), ByteString::new()),
        Some(namespace) => {
            let kept = ByteString::from(text.get(start..).unwrap_or_default());
            let namespace = kept.slice_ref(kept.get(..namespace.len()).unwrap_or_default());
            let data = kept.slice_ref(kept.get(kept.len() - data.len()..).unwrap_or_default());
            (namespace, data)
        }
    };
    let body = match kind {
        b'0' if data.is_empty() => PacketBody::Connect(None),
        b'0' => PacketBody::Connect(Some(scan_data(&data, &[Kind::Object], limits)?)),
        b'1' if data.is_empty() => PacketBody::Disconnect,
        b'1' => return Err(DecodeError::InvalidPayload),
        b'4' if data.is_empty() => PacketBody::ConnectError(data),
        b'4' => PacketBody::ConnectError(scan_data(&data, &[Kind::Object, Kind::String], limits)?),
        b'2' | b'5' => scan_event(data, attachments, limits)?,
        _ if data.is_empty() => PacketBody::Ack(Args::empty()),
        _ => PacketBody::Ack(scan_ack(data, attachments, limits)?),
    };
    Ok((Packet { namespace, id, body }, attachments))
}

/// What comes before the data.
struct Head<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Head<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Consumes digits: the number that they are. `None` if there are none, or if they are too many for one.
    fn digits(&mut self) -> Option<u64> {
        let start = self.at;
        let mut number = Some(0_u64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number.and_then(|number| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        number.filter(|_| self.at > start)
    }

    fn attachments(&mut self, limits: &Limits) -> Result<usize, DecodeError> {
        let start = self.at;
        let count = self.digits();
        if self.peek() != Some(b'-') || self.at == start {
            return Err(DecodeError::IllegalAttachmentCount);
        }
        self.at += 1;
        match count.map(usize::try_from) {
            Some(Ok(0)) => Err(DecodeError::IllegalAttachmentCount),
            Some(Ok(count)) if count <= limits.max_attachments => Ok(count),
            _ => Err(DecodeError::TooManyAttachments { limit: limits.max_attachments }),
        }
    }

    fn namespace(&mut self, limits: &Limits) -> Result<Option<&'a str>, DecodeError> {
        if self.peek() != Some(b'/') {
            return Ok(None);
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        // Only as far as a namespace may reach, and its comma.
        let within = rest.get(..limits.max_namespace_len.saturating_add(1)).unwrap_or(rest);
        let (len, comma) = match memchr::memchr(b',', within) {
            Some(comma) => (comma, 1),
            None => (rest.len(), 0),
        };
        if len > limits.max_namespace_len {
            return Err(DecodeError::NamespaceTooLong { limit: limits.max_namespace_len });
        }
        self.at += len + comma;
        // It ends before a comma or at the end of a text.
        rest.get(..len).and_then(|name| str::from_utf8(name).ok()).map(Some).ok_or(DecodeError::InvalidNamespace)
    }

    /// An id that no number of ours can hold is as none: the event counts, and nobody could be answered.
    fn id(&mut self) -> Result<Option<u64>, DecodeError> {
        let id = self.digits();
        // White space counts as the number 0 to the official parser; nobody means that.
        if self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            return Err(DecodeError::InvalidId);
        }
        Ok(id)
    }
}

/// Checks data that is one value of one of these kinds.
fn scan_data(data: &ByteString, kinds: &[Kind], limits: &Limits) -> Result<ByteString, DecodeError> {
    let mut scanner = Scanner::new(data, limits.max_depth, 0);
    let kind = scanner.value().map_err(|error| limits.scan_error(error))?;
    let end = scanner.position();
    scanner.end().map_err(|error| limits.scan_error(error))?;
    if !kinds.contains(&kind) {
        return Err(DecodeError::InvalidPayload);
    }
    Ok(if end == data.len() { data.clone() } else { data.slice_ref(data.get(..end).unwrap_or_default()) })
}

fn scan_event(data: ByteString, attachments: usize, limits: &Limits) -> Result<PacketBody, DecodeError> {
    if data.is_empty() {
        return Err(DecodeError::InvalidEventName);
    }
    let mut scanner = Scanner::new(&data, limits.max_depth, attachments);
    let scan_error = |error| limits.scan_error(error);
    scanner.open(b'[').map_err(|_| not_an_array(&data, limits))?;
    if !scanner.next_item(true, b']').map_err(scan_error)? {
        return Err(DecodeError::InvalidEventName);
    }
    let name = match scanner.peek() {
        Some(b'"') => {
            let raw = scanner.string().map_err(scan_error)?;
            if raw.raw.len() > limits.max_event_name_len.saturating_mul(6) {
                return Err(DecodeError::EventNameTooLong { limit: limits.max_event_name_len });
            }
            EventName::from(&*raw.unescape())
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = scanner.number().map_err(scan_error)?;
            EventName::from_number(number.parse().map_err(|_| DecodeError::InvalidEventName)?)
        }
        _ => return Err(DecodeError::InvalidEventName),
    };
    limits.check_event_name(&name)?;
    let elements = scan_rest(&mut scanner, false, limits)?;
    let args = args_of(data, elements, 1);
    Ok(PacketBody::Event { name, args })
}

fn scan_ack(data: ByteString, attachments: usize, limits: &Limits) -> Result<Args, DecodeError> {
    let mut scanner = Scanner::new(&data, limits.max_depth, attachments);
    scanner.open(b'[').map_err(|_| not_an_array(&data, limits))?;
    let elements = scan_rest(&mut scanner, true, limits)?;
    Ok(args_of(data, elements, 0))
}

/// Scans the rest of an array and of the text.
fn scan_rest(scanner: &mut Scanner<'_>, first: bool, limits: &Limits) -> Result<Elements, DecodeError> {
    let elements = scan_elements(scanner, first).map_err(|error| limits.scan_error(error))?;
    scanner.end().map_err(|error| limits.scan_error(error))?;
    if scanner.has_illegal_placeholder() {
        return Err(DecodeError::IllegalPlaceholder);
    }
    Ok(elements)
}

fn args_of(data: ByteString, elements: Elements, before: usize) -> Args {
    let data = if elements.end == data.len() {
        data
    } else {
        // White space after the array.
        data.slice_ref(data.get(..elements.end).unwrap_or_default())
    };
    Args::from_scanned(data, elements.start, before, elements.count)
}

/// The error for data that does not start an array: it is JSON of another kind, or none.
fn not_an_array(data: &ByteString, limits: &Limits) -> DecodeError {
    match scan_data(data, &[], limits) {
        Err(error) => error,
        Ok(_) => DecodeError::InvalidPayload,
    }
}
