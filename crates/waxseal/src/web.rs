//! What is served over HTTP: one listener for each role, so that each can have its own network.
//! Pages are rendered here, work without JavaScript, and load nothing from anywhere else.

mod admin;
mod csrf;
mod health;
mod policy;
mod session;
mod site;
#[cfg(test)]
mod tests;
mod words;

use std::{future::Future, pin::Pin, sync::Arc};

pub use admin::admin;
pub use csrf::{Csrf, Token};
pub use health::{Check, Queue, Snapshot, State, Topic, metrics};
pub use policy::PolicyHost;
pub use session::{Session, SessionId, Sessions};
pub use site::{Listener, serve, serve_tls};
pub use words::{Language, Words};

/// What the pages look at: the running gateway.
pub trait Watch: Send + Sync + 'static {
    /// How things stand now.
    fn snapshot(&self) -> Pin<Box<dyn Future<Output = Snapshot> + Send + '_>>;
}

/// A gateway that many pages look at.
pub type Watched = Arc<dyn Watch>;
