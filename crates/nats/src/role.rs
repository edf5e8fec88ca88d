//! What the connection to NATS, and the tasks behind the adapter, are for.

use std::fmt;

use sockeye_cluster::link;

/// What a connection or a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Connecting,
    Publishing,
    Listening,
    Delivering,
    Following,
    Recovering,
}

impl link::Role for Role {
    const ALL: &'static [Self] =
        &[Self::Connecting, Self::Publishing, Self::Listening, Self::Delivering, Self::Following, Self::Recovering];

    fn is_connection(self) -> bool {
        self == Self::Connecting
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Publishing => "publishing",
            Self::Listening => "listening",
            Self::Delivering => "delivering",
            Self::Following => "following the stream of events",
            Self::Recovering => "keeping sessions",
        })
    }
}
