//! What all kinds of routes have in common: a table of the configuration becomes a chain.

use super::super::chain::Chain;
use super::super::template::Template;
use crate::config::problems::Problems;

/// A kind of route.
pub(crate) trait Kind {
    /// How many arguments the event must have where the configuration does not say.
    fn args(&self) -> Option<usize> {
        None
    }

    /// The route, with its own checks before it. What is wrong is reported, and then there is none.
    fn resolve(&self, place: &mut Place<'_>) -> Option<Chain>;
}

/// Where in the configuration a route is.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The path of its table.
    pub(crate) path: &'a str,
    /// How many arguments the event has, if that is known.
    pub(crate) args: Option<usize>,
    /// Whether there may be other nodes.
    pub(crate) is_clustered: bool,
    pub(crate) problems: &'a mut Problems,
}

impl Place<'_> {
    /// The key `room`: a template, which is required.
    pub(super) fn room(&mut self, text: Option<&String>) -> Option<Template> {
        let path = format!("{}.room", self.path);
        let Some(text) = text else {
            self.problems.add(&path, "is missing: the room, such as \"{data.room}\"");
            return None;
        };
        let template = Template::parse(text).map_err(|error| self.problems.add(&path, error)).ok()?;
        if let (Some(args), Some(last)) = (self.args, template.last_argument())
            && last >= args
        {
            self.problems.add(&path, format!("names argument {last}, and the event has {args} of them, from 0 on"));
        }
        Some(template)
    }
}
