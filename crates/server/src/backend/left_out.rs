//! The table of a broker that was left out when the program was built: what is in it is not looked at.

use crate::config::problems::Problems;
use crate::config::setting::{Schema, Section};
use crate::config::tree::Table;

/// Any table. [`backend`](super::backend) says what is wrong when the configuration wants the broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut;

impl Section for LeftOut {
    const SCHEMA: &'static Schema = &Schema { keys: &[] };

    fn read_table(_: &Table, _: &str, _: &mut Problems) -> Self {
        Self
    }
}
