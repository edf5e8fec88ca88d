//! What a program may give as the arguments of an event, and take them as.

use serde::{Serialize, de::DeserializeOwned};

use super::args::{Args, ArgsError};

/// Arguments of an event or acknowledgement: a value to be encoded, or [`Args`] as they were received.
pub trait IntoArgs {
    /// The arguments. A tuple is their list, so that `()` is none; anything else is one argument; [`Args`] stay what they are,
    /// unparsed.
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

/// What arguments can be read as: whatever [`Args::deserialize`] makes, or [`Args`] as they came, unparsed.
pub trait FromArgs: Sized {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// They are not of this type.
    fn from_args(args: Args) -> Result<Self, ArgsError>;
}

impl<T: DeserializeOwned> FromArgs for T {
    fn from_args(args: Args) -> Result<Self, ArgsError> {
        args.deserialize()
    }
}

impl FromArgs for Args {
    fn from_args(args: Args) -> Result<Self, ArgsError> {
        Ok(args)
    }
}
