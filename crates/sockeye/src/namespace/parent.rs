//! Namespaces that come to life when a client asks for them: by a pattern, or by a function.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::RwLock;
use regex::Regex;
use sockeye_protocol::socket::{IntoArgs, from_json};

use super::{Namespace, WeakNamespace, register_methods};
use crate::handler::Listeners;

type MatchFuture = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Whether a name is one of the pattern's.
pub(crate) enum Matcher {
    Pattern(Regex),
    /// Gets the name, and the JSON text of the client's `auth`.
    Function(Box<dyn Fn(String, serde_json::Value) -> MatchFuture + Send + Sync>),
}

/// A pattern with its children.
pub(crate) struct Parent {
    pub(crate) matcher: Matcher,
    pub(crate) listeners: Arc<Listeners>,
    /// By their address.
    children: RwLock<HashMap<usize, WeakNamespace>>,
}

impl Parent {
    pub(crate) fn new(matcher: Matcher) -> Arc<Self> {
        Arc::new(Self { matcher, listeners: Arc::default(), children: RwLock::default() })
    }

    pub(crate) async fn matches(&self, name: &str, auth: Option<&str>) -> bool {
        match &self.matcher {
            Matcher::Pattern(pattern) => pattern.is_match(name),
            Matcher::Function(function) => {
                let auth = auth.and_then(|auth| from_json(auth).ok()).unwrap_or_default();
                function(name.to_owned(), auth).await
            }
        }
    }

    pub(crate) fn adopt(&self, child: &Namespace) {
        self.children.write().insert(child.key(), child.downgrade());
    }

    pub(crate) fn forget(&self, child: &Namespace) {
        self.children.write().remove(&child.key());
    }

    fn children(&self) -> Vec<Namespace> {
        self.children.read().values().filter_map(WeakNamespace::upgrade).collect()
    }
}

/// All namespaces of a pattern. Handlers registered here serve every one of them; an emit goes to all.
#[derive(Clone)]
pub struct ParentNamespace(pub(crate) Arc<Parent>);

impl ParentNamespace {
    register_methods!();

    /// The namespaces that are alive.
    pub fn children(&self) -> Vec<Namespace> {
        self.0.children()
    }

    /// Sends an event to everybody in all namespaces of the pattern.
    ///
    /// A failure is a mistake of the program; it is logged.
    pub fn emit(&self, event: &str, args: impl IntoArgs) {
        let args = match args.into_args() {
            Ok(args) => args,
            Err(error) => return tracing::error!(event, %error, "emit failed; nothing was sent"),
        };
        for child in self.0.children() {
            child.emit(event, &args);
        }
    }

    fn listeners(&self) -> &Arc<Listeners> {
        &self.0.listeners
    }
}

impl fmt::Debug for ParentNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentNamespace").field("children", &self.children()).finish()
    }
}
