//! A world to assess, as it is written.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use crate::scenario::file::Policy;

/// One file of `scenarios/check/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What it shows.
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
    /// The same at the second name server, 192.0.2.54, alone.
    #[serde(default)]
    pub(super) second_server: Vec<[String; 3]>,
    /// The domain is not there at all.
    #[serde(default)]
    pub(super) no_domain: bool,
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
    /// NSEC3 with so many iterations.
    pub(super) nsec3: Option<u16>,
    /// Signatures run out in so many hours.
    pub(super) expires_in: Option<i64>,
    /// The number of the DNSSEC algorithm.
    pub(super) algorithm: Option<u8>,
    /// Two servers, at 192.0.2.53 and 192.0.2.54.
    #[serde(default)]
    pub(super) servers: bool,
    #[serde(default)]
    pub(super) denies_empty_names: bool,
    /// So many MX records, all for hosts that do not answer.
    #[serde(default)]
    pub(super) mx_records: u16,
    /// TTL of TLSA records; 300.
    pub(super) ttl: Option<u32>,
}

/// One address of a mail host. The name may stand there more than once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: String,
    /// Of its MX record at `receiver.example`; without, there is none.
    pub(super) mx: Option<u16>,
    /// Without, 192.0.2.1 and so on.
    pub(super) address: Option<IpAddr>,
    #[serde(default)]
    pub(super) tls: Tls,
    /// `ecdsa`, `rsa`, `ed25519`; the first is shown first.
    #[serde(default)]
    pub(super) keys: Vec<String>,
    /// `1.2`, `1.3`, `classic`
    pub(super) speaks: Option<String>,
    /// The certificate ends in so many days.
    pub(super) days: Option<i64>,
    /// `3 1 1 key`: data is `key`, `second`, `wrong`, `short`, `cert` or `ca`.
    #[serde(default)]
    pub(super) tlsa: Vec<String>,
    #[serde(default)]
    pub(super) requiretls: bool,
    /// Step, and reply or what happens.
    pub(super) fault: Option<[String; 2]>,
    /// Who sits before it.
    pub(super) attacker: Option<String>,
    /// TLS is done by `openssl s_server` with these options.
    pub(super) openssl: Option<Vec<String>>,
}

/// What a server shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tls {
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

/// What an assessment has to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The level; `none` where nothing is delivered, or nothing is known.
    pub(super) level: String,
    /// All findings, but for those that every world here has.
    pub(super) findings: Vec<String>,
    /// `findings` has those of every world, too.
    #[serde(default)]
    pub(super) complete: bool,
    /// The worst severity of them.
    pub(super) worst: Option<String>,
}
