//! Where NATS is, and how to get in.

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use thiserror::Error;

use crate::options::{Login, NatsOptions};

/// Options that cannot be used.
#[derive(Clone, Debug, Error)]
#[error("{what} of NATS cannot be used: {why}")]
pub struct OptionsError {
    what: &'static str,
    why: String,
}

impl OptionsError {
    pub(crate) fn new(what: &'static str, why: &dyn ToString) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// Where NATS is, and how to get in.
pub(crate) struct Server {
    pub(crate) addresses: Vec<ServerAddr>,
    pub(crate) tls: ClientConfig,
}

impl Server {
    pub(crate) fn new(options: &NatsOptions) -> Result<Self, OptionsError> {
        let parse = |url: &str| url.trim().parse::<ServerAddr>().map_err(|error| OptionsError::new("the url", &error));
        let addresses = options.url.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
        if addresses.iter().any(ServerAddr::is_websocket) {
            return Err(OptionsError::new("the url", &"the scheme must be nats or tls"));
        }
        let is_token =
            |token: &str| !token.is_empty() && !token.contains(['*', '>']) && !token.contains(char::is_whitespace);
        if !options.prefix.split('.').all(is_token) {
            return Err(OptionsError::new("the prefix", &"it must be the beginning of a subject, such as `sockeye`"));
        }
        let tls = options.tls.client_config().map_err(|error| OptionsError::new("a certificate or key", &error))?;
        let server = Self { addresses, tls };
        server.log_in(&options.login)?;
        Ok(server)
    }

    /// The options of the library that say who this is.
    pub(crate) fn log_in(&self, login: &Login) -> Result<ConnectOptions, OptionsError> {
        match login {
            Login::NKey(seed) => Ok(ConnectOptions::with_nkey(seed.trim().to_owned())),
            Login::Credentials(text) => {
                ConnectOptions::with_credentials(text).map_err(|error| OptionsError::new("the credentials", &error))
            }
            Login::Url => {
                let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                let named = self.addresses.iter().find_map(|address| Some((address.username()?, address.password())));
                Ok(match named {
                    None => ConnectOptions::new(),
                    Some((token, None)) => ConnectOptions::with_token(decode(token)),
                    Some((user, Some(password))) => {
                        ConnectOptions::with_user_and_password(decode(user), decode(password))
                    }
                })
            }
        }
    }
}
