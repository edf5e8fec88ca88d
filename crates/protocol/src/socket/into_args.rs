//! What a program may give as the arguments of an event.

use serde::Serialize;

use super::args::{Args, ArgsError};

/// Arguments of an event or acknowledgement: a value to be encoded, or [`Args`] as they were received.
pub trait IntoArgs {
    /// The arguments. A tuple becomes several, `()` none, anything else one; [`Args`] stay what they are, unparsed.
    ///
    /// # Errors
    ///
    /// A value cannot be encoded, a map with keys that are no strings for example.
    fn into_args(self) -> Result<Args, ArgsError>;
}

impl<T: Serialize> IntoArgs for T {
    fn into_args(self) -> Result<Args, ArgsError> {
        Args::from_serialize(&self)
    }
}

impl IntoArgs for Args {
    fn into_args(self) -> Result<Args, ArgsError> {
        Ok(self)
    }
}

impl IntoArgs for &Args {
    fn into_args(self) -> Result<Args, ArgsError> {
        Ok(self.clone())
    }
}
