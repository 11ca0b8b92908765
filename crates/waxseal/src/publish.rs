//! What we publish: wanted by the configuration, looked at from outside, sent where a server takes
//! updates. What is judged is judged in `waxseal_core::publish`.

mod dkim;
mod keys;
mod look;
mod send;
mod state;
mod wanted;

pub(crate) use self::{dkim::own, wanted::spf};
pub use self::{
    look::{Depth, DomainLook, HostLook, Looker, PolicyLook, Zone},
    send::{Consent, How, Reason, Refusal, Sender, Sent, There},
    state::{State, StateError},
    wanted::{DomainWanted, HostWanted, Served, StsWanted, Wanted},
};
