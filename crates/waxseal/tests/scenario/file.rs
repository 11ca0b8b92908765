//! A scenario as it is written. Zones, hosts and policies are written alike in those of a delivery and in
//! those of an assessment.

use std::{collections::BTreeMap, net::IpAddr};

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
pub(crate) struct Zone {
    #[serde(default)]
    pub(crate) signed: bool,
    /// `owner TYPE data`, as in a zone file.
    #[serde(default)]
    pub(crate) records: Vec<String>,
    /// NSEC3 with so many iterations.
    pub(crate) nsec3: Option<u16>,
    /// Signatures run out in so many hours.
    pub(crate) expires_in: Option<i64>,
    /// The number of the DNSSEC algorithm.
    pub(crate) algorithm: Option<u8>,
    /// Two servers, at 192.0.2.53 and 192.0.2.54.
    #[serde(default)]
    pub(crate) servers: bool,
    /// Two servers that do not answer, at 192.0.2.97 and 192.0.2.98: only the resolver knows the zone.
    #[serde(default)]
    pub(crate) dead_servers: bool,
    #[serde(default)]
    pub(crate) denies_empty_names: bool,
    /// So many MX records, all for hosts that do not answer.
    #[serde(default)]
    pub(crate) mx_records: u16,
    /// The TTL of its records.
    pub(crate) ttl: Option<u32>,
}

/// One address of a mail host. The name may stand there more than once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// Of its MX record at `receiver.example`; without, there is none.
    pub(crate) mx: Option<u16>,
    /// Without, 192.0.2.1 and so on.
    pub(crate) address: Option<IpAddr>,
    #[serde(default)]
    pub(crate) tls: Tls,
    /// `ecdsa`, `rsa`, `ed25519`; the first is shown first.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    /// `1.2`, `1.3`, `classic`
    pub(crate) speaks: Option<String>,
    /// The certificate ends in so many days.
    pub(crate) days: Option<i64>,
    /// `3 1 1 key`: data is `key`, `second`, `wrong`, `short`, `cert` or `ca`.
    #[serde(default)]
    pub(crate) tlsa: Vec<String>,
    #[serde(default)]
    pub(crate) requiretls: bool,
    /// Step, and reply or what happens.
    pub(crate) fault: Option<[String; 2]>,
    /// Who sits before it.
    pub(crate) attacker: Option<String>,
    /// TLS is done by `openssl s_server` with these options.
    pub(crate) openssl: Option<Vec<String>>,
    /// Lines of its configuration, `Options = -ExtendedMasterSecret`.
    #[serde(default)]
    pub(crate) openssl_config: Vec<String>,
    /// What it takes of old.
    pub(crate) aged: Option<Aged>,
}

/// What a server takes of old, in hellos that nobody means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aged {
    /// `SSLv3`, `TLSv1.0`, `TLSv1.1`, `TLSv1.2`
    pub(crate) versions: Vec<String>,
    /// IANA names.
    pub(crate) suites: Vec<String>,
    /// It speaks nothing else.
    #[serde(default)]
    pub(crate) alone: bool,
}

/// What a server shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tls {
    None,
    SelfSigned,
    #[default]
    Public,
    Expired,
    WrongName,
    Tls10,
    HugeCertificate,
    /// Nobody listens.
    Dead,
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
    /// What a second address of the policy host serves: like `answer`, or `another-policy`.
    pub(crate) second: Option<String>,
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
