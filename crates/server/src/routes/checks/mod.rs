//! The checks that an event may have to pass, each in a file of its own.

mod arguments;
mod membership;
mod size;

pub(crate) use arguments::Arguments;
pub(super) use membership::Membership;
pub(crate) use size::Size;
