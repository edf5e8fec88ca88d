//! The stream that keeps events, and the bucket that keeps sessions.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{self, DiscardPolicy, Republish, StorageType, Stream};
use async_nats::jetstream::{self, kv};
use async_nats::{Client, Message};
use sockeye_cluster::recovery::{LogError, Position};
use tokio::time::timeout;

use crate::dispatcher::next_of;
use crate::options::{JetStreamOptions, NatsOptions};

/// What is known of the stream: its name is that of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The time when it was made. One that is made anew has another.
    pub(crate) epoch: u64,
    /// Its first entry, or the next one if there is none; and its last, 0 before the first one.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Extent {
    pub(crate) fn at(self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }
}

/// An entry of the stream, of whichever namespace.
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) message: Message,
}

/// JetStream, as the log and the store need it.
#[derive(Clone, Debug)]
pub(crate) struct JetStream {
    context: Context,
    name: String,
    limit: Duration,
}

impl JetStream {
    pub(crate) fn new(client: Client, options: &NatsOptions) -> Self {
        let mut context = jetstream::new(client);
        context.set_timeout(options.timeout);
        Self { context, name: name(&options.prefix), limit: options.timeout }
    }

    /// Makes the stream and the bucket, where they are not there yet. What is there stays as it is.
    pub(crate) async fn create(&self, options: &NatsOptions, jetstream: &JetStreamOptions) -> Result<(), LogError> {
        let prefix = &options.prefix;
        let storage = if jetstream.in_memory { StorageType::Memory } else { StorageType::File };
        let bytes = |max: u64| i64::try_from(max).unwrap_or(i64::MAX);
        let config = stream::Config {
            name: self.name.clone(),
            subjects: vec![format!("{prefix}.log.*")],
            republish: Some(Republish {
                source: format!("{prefix}.log.*"),
                destination: format!("{prefix}.out.{{{{wildcard(1)}}}}"),
                headers_only: false,
            }),
            discard: DiscardPolicy::Old,
            max_bytes: bytes(jetstream.max_log_bytes),
            max_age: jetstream.max_age,
            num_replicas: jetstream.replicas,
            storage,
            ..Default::default()
        };
        self.within(self.context.get_or_create_stream(config)).await?;
        // A bucket as the library makes it; but that asks for the account first, whose description by servers of 2.9 it cannot read.
        let config = stream::Config {
            name: format!("KV_{}", self.name),
            subjects: vec![format!("$KV.{}.>", self.name)],
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            discard: DiscardPolicy::New,
            max_bytes: bytes(jetstream.max_session_bytes),
            max_age: jetstream.max_age,
            num_replicas: jetstream.replicas,
            storage,
            ..Default::default()
        };
        self.within(self.context.get_or_create_stream(config)).await?;
        Ok(())
    }

    async fn within<T, E: ToString>(&self, ask: impl IntoFuture<Output = Result<T, E>>) -> Result<T, LogError> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::debug!(%error, "JetStream has no answer");
            LogError::Unavailable
        };
        match timeout(self.limit, ask.into_future()).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(late) => Err(failed(&late)),
        }
    }

    async fn stream(&self, name: &str) -> Result<Stream<()>, LogError> {
        self.within(self.context.get_stream_no_info(name)).await
    }

    pub(crate) async fn extent(&self) -> Result<Extent, LogError> {
        let stream = self.stream(&self.name).await?;
        let info = self.within(stream.get_info()).await?;
        let epoch = u64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let last = info.state.last_sequence;
        // That of one which has never had an entry is 0 on some servers.
        Ok(Extent { epoch, first: info.state.first_sequence.max(1), last })
    }

    /// Some entries after this one, in order; only those with a subject, if one is named.
    pub(crate) async fn read(&self, after: u64, subject: &str) -> Result<Vec<Entry>, LogError> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            ack_policy: AckPolicy::None,
            filter_subject: subject.to_owned(),
            inactive_threshold: self.limit,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let consumer = self.within(self.context.create_consumer_on_stream(config, &self.name)).await?;
        let fetch = consumer.fetch().max_messages(READ).expires(self.limit);
        let mut batch = self.within(fetch.messages()).await?;
        let mut entries = Vec::new();
        while let Some(message) = next_of(&mut batch).await {
            let message = message.map_err(|_| LogError::Unavailable)?;
            let offset = message.info().map_err(|_| LogError::Unavailable)?.stream_sequence;
            entries.push(Entry { offset, message: message.message });
        }
        Ok(entries)
    }

    /// What was written last to the subjects of the bucket that match: subject and value.
    pub(crate) async fn value(&self, key: &str) -> Result<Option<(String, bytes::Bytes)>, LogError> {
        let stream = self.stream(&format!("KV_{}", self.name)).await?;
        let subject = format!("$KV.{}.{key}", self.name);
        match timeout(self.limit, stream.get_last_raw_message_by_subject(&subject)).await {
            Ok(Ok(message)) => Ok(Some((message.subject.to_string(), message.payload))),
            Ok(Err(error)) if error.kind() == stream::LastRawMessageErrorKind::NoMessageFound => Ok(None),
            _ => Err(LogError::Unavailable),
        }
    }

    /// Writes a key of the bucket that was never written before: whether this was the first to do so.
    pub(crate) async fn create_key(&self, key: &str) -> Result<bool, LogError> {
        let bucket = self.within(self.context.get_key_value(&self.name)).await?;
        match timeout(self.limit, bucket.create(key, bytes::Bytes::new())).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if error.kind() == kv::CreateErrorKind::AlreadyExists => Ok(false),
            _ => Err(LogError::Unavailable),
        }
    }
}

/// The name of the stream, and of the bucket: no dots are allowed there.
pub(crate) fn name(prefix: &str) -> String {
    prefix.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect()
}

/// How many entries are read at once.
const READ: usize = 500;
