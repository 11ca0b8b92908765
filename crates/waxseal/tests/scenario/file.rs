//! A scenario as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use waxseal_core::channel::{Floor, Level};

/// One file of `scenarios/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What it shows, with the RFC section, and who attacks.
    #[expect(dead_code, reason = "for readers")]
    about: String,
    #[serde(default)]
    pub(super) zone: BTreeMap<String, Zone>,
    #[serde(default)]
    pub(super) host: Vec<Host>,
    pub(super) policy: Option<Policy>,
    /// What happens to answers: name, type, what.
    #[serde(default)]
    pub(super) damage: Vec<[String; 3]>,
    /// Resolvers of other operators (`[dns] confirm`), whose answers nobody damages.
    #[serde(default)]
    pub(super) witnesses: u8,
    pub(super) message: Message,
    pub(super) expect: Expect,
}

/// A zone; `receiver.example` is there, unsigned, when it is not listed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Zone {
    #[serde(default)]
    pub(super) signed: bool,
    /// `owner TYPE data`, as in a zone file.
    #[serde(default)]
    pub(super) records: Vec<String>,
}

/// A receiving server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: String,
    /// Of its MX record at `receiver.example`; without, there is none.
    pub(super) mx: Option<u16>,
    pub(super) tls: Tls,
    /// `3 1 1 key`: data is `key`, `wrong` or `ca`.
    #[serde(default)]
    pub(super) tlsa: Vec<String>,
    #[serde(default)]
    pub(super) requiretls: bool,
    /// Step and reply, or `close`.
    pub(super) fault: Option<[String; 2]>,
    /// Who sits before it.
    pub(super) attacker: Option<String>,
}

/// What a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tls {
    None,
    SelfSigned,
    Public,
    Expired,
    WrongName,
    Tls10,
}

/// MTA-STS of `receiver.example`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) text: String,
    pub(crate) record: Option<String>,
    /// Known before the damage and the attack begin.
    #[serde(default)]
    pub(crate) known: bool,
    /// `policy`, `not-found`, `redirect`, `html`, `huge`, `blocked`, `wrong-certificate`
    pub(crate) answer: Option<String>,
}

/// What is sent to `bob@receiver.example`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) floor: Floor,
    #[serde(default)]
    pub(super) requiretls: bool,
    #[serde(default)]
    pub(super) tls_required_no: bool,
}

/// What has to come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// `host level` in order, then `wait`, `hold` or `give-up`.
    pub(super) plan: Vec<String>,
    /// `accepted`, `deferred`, `rejected`, `unknown`, `disconnected`
    pub(super) outcome: String,
    /// Which server has it; nobody when it is missing.
    pub(super) received_by: Option<String>,
    pub(super) level: Option<Level>,
    /// A source that stands in the reasons: `RFC 7672 §2.2`.
    pub(super) because: Option<String>,
    /// Questions that must not be asked: `name TYPE`.
    #[serde(default)]
    pub(super) not_asked: Vec<String>,
    /// The server name that was sent.
    pub(super) sni: Option<String>,
    /// What the store has of it.
    pub(super) evidence: Evidence,
}

/// What the record of the attempt says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    /// Of the channel that took the message; nothing where none did.
    pub(super) level: Option<Level>,
    /// Nothing where the level is the highest.
    pub(super) why_not_higher: Option<String>,
    /// Where the reasons come from, of the plan and then of each host, each once.
    pub(super) because: Vec<String>,
}
