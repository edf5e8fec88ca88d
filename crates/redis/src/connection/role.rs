//! What the connections to Redis, and the tasks behind the adapter, are for.

use std::fmt;

use sockeye_cluster::link;

/// What a connection or a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Asking,
    Publishing,
    Subscribing,
    Reading,
    Delivering,
    Recovering,
}

impl link::Role for Role {
    const ALL: &'static [Self] =
        &[Self::Asking, Self::Publishing, Self::Subscribing, Self::Reading, Self::Delivering, Self::Recovering];

    fn is_connection(self) -> bool {
        !matches!(self, Self::Delivering | Self::Recovering)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asking => "asking for the masters",
            Self::Publishing => "publishing",
            Self::Subscribing => "subscribing",
            Self::Reading => "reading streams",
            Self::Delivering => "delivering",
            Self::Recovering => "keeping sessions",
        })
    }
}
