//! The functions of the program that look at requests and responses.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::HeaderMap;
use http::request::Parts;

use super::RequestInfo;

type AllowFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type AllowRequest = dyn Fn(RequestInfo) -> AllowFuture + Send + Sync;
type EditHeaders = dyn Fn(&mut HeaderMap, &Parts) + Send + Sync;
type GenerateId = dyn Fn(&RequestInfo) -> String + Send + Sync;

/// Functions of the program that see requests and responses.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestHooks {
    allow_request: Option<Hook<AllowRequest>>,
    initial_headers: Option<Hook<EditHeaders>>,
    headers: Option<Hook<EditHeaders>>,
    generate_id: Option<Hook<GenerateId>>,
}

impl RequestHooks {
    pub(crate) fn set_allow_request<F, Fut>(&mut self, allow: F)
    where
        F: Fn(RequestInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.allow_request = Some(Hook(Arc::new(move |request| Box::pin(allow(request)))));
    }

    pub(crate) fn set_initial_headers(&mut self, edit: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) {
        self.initial_headers = Some(Hook(Arc::new(edit)));
    }

    pub(crate) fn set_headers(&mut self, edit: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) {
        self.headers = Some(Hook(Arc::new(edit)));
    }

    pub(crate) fn set_generate_id(&mut self, generate: impl Fn(&RequestInfo) -> String + Send + Sync + 'static) {
        self.generate_id = Some(Hook(Arc::new(generate)));
    }

    pub(crate) async fn allow(&self, request: &RequestInfo) -> Result<(), String> {
        match &self.allow_request {
            Some(Hook(allow)) => allow(request.clone()).await,
            None => Ok(()),
        }
    }

    pub(crate) fn generates_ids(&self) -> bool {
        self.generate_id.is_some()
    }

    pub(crate) fn generate_id(&self, request: &RequestInfo) -> Option<String> {
        self.generate_id.as_ref().map(|Hook(generate)| generate(request))
    }

    /// Lets the program edit the headers of a response; `is_first` for the one that opens a session.
    pub(crate) fn edit_headers(&self, is_first: bool, headers: &mut HeaderMap, request: &Parts) {
        if let (true, Some(Hook(edit))) = (is_first, &self.initial_headers) {
            edit(headers, request);
        }
        if let Some(Hook(edit)) = &self.headers {
            edit(headers, request);
        }
    }
}

/// A function that the options hold; printing it tells only that it is there.
struct Hook<F: ?Sized>(Arc<F>);

impl<F: ?Sized> Clone for Hook<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F: ?Sized> fmt::Debug for Hook<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
