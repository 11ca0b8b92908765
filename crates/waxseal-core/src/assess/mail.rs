//! What a domain says about the mail that it sends: SPF, DMARC, DKIM.

pub mod consent;
pub mod dkim;
pub mod dmarc;
pub mod security_txt;
pub mod spf;
pub(crate) mod tags;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::consent::{Consent, ReportDomain, Reports};
use crate::domain::Domain;

/// An SPF record (RFC 7208) as far as it matters to a reader: how it ends, and whether it can be
/// evaluated within the limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spf {
    /// What happens to senders that nothing matches.
    pub all: SpfAll,
    /// DNS lookups that evaluation costs, includes followed (RFC 7208 §4.6.4: at most 10).
    pub lookups: u32,
    /// Lookups without an answer (RFC 7208 §4.6.4: at most 2).
    pub void_lookups: u32,
    /// What cannot be evaluated, in words; empty where all is well.
    pub faults: Vec<String>,
    /// What could not be looked up now, in words: receivers try again (RFC 7208 §2.6.6).
    #[serde(default)]
    pub unknown: Vec<String>,
    /// Whose records use `ptr`, which is evaluated and should not be published (RFC 7208 §5.5).
    #[serde(default)]
    pub ptr: Vec<Domain>,
    /// Terms and included records that let everybody in whatever `all` says, in words.
    #[serde(default)]
    pub open: Vec<String>,
    /// Whose records have terms behind their `all`, which nobody evaluates (RFC 7208 §5.1), in words.
    #[serde(default)]
    pub unreached: Vec<String>,
}

/// The last word of an SPF record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpfAll {
    /// `-all`
    Fail,
    /// `~all`
    SoftFail,
    /// `?all`, or no `all` at all.
    Neutral,
    /// `+all`: everybody may.
    Pass,
    /// It stands in another record that could not be looked up, or that depends on the sender.
    Unknown,
}

/// A DMARC record (RFC 9989), and where the tree walk found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dmarc {
    /// The domain at whose `_dmarc` it is.
    pub at: Domain,
    /// What is asked for the domain that was asked about: `p`, or `sp` for a subdomain.
    pub policy: DmarcPolicy,
    /// `t=y`: receivers act one step milder.
    pub testing: bool,
    /// `pct`, where it is less than 100: to so many in a hundred messages receivers that go by RFC 7489
    /// §6.3 apply the policy; RFC 9989 knows no such tag.
    #[serde(default)]
    pub percent: Option<u8>,
    /// What `sp` asks for subdomains without a record of their own.
    #[serde(default)]
    pub subdomains: Option<DmarcPolicy>,
    /// What `np` asks for names below it that do not exist (RFC 9989 §4.7).
    #[serde(default)]
    pub nonexistent: Option<DmarcPolicy>,
    /// Where aggregate reports go: those that anybody can send to.
    pub rua: Vec<super::Quoted>,
    /// What stands in `rua` beside, to which nobody sends.
    #[serde(default)]
    pub rua_unusable: Vec<super::Quoted>,
    /// The domains of all mailboxes that get reports, each once.
    #[serde(default)]
    pub report_domains: Vec<ReportDomain>,
    /// Whether SPF has to align exactly (`aspf=s`).
    pub strict_spf: bool,
    /// Whether DKIM has to align exactly (`adkim=s`).
    pub strict_dkim: bool,
}

impl Dmarc {
    /// Whether aggregate reports are asked for and none will ever come: no domain in `rua` takes them.
    pub fn is_unheard(&self) -> bool {
        let mut aggregate =
            self.report_domains.iter().filter(|to| to.reports != Reports::Failure).peekable();
        aggregate.peek().is_some() && aggregate.all(|to| matches!(to.consent, Consent::Missing(_)))
    }
}

/// What a DMARC record asks receivers to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DmarcPolicy {
    /// Nothing.
    None,
    /// Treat with suspicion.
    Quarantine,
    /// Refuse.
    Reject,
}

/// Whether CAA records, as `flags tag value`, say who may issue: without `issue` any CA may
/// (RFC 8659 §4.2).
pub fn restricts_issuance(caa: &[super::Quoted]) -> bool {
    let tag = |record: &super::Quoted| {
        record.as_str().split(' ').nth(1).is_some_and(|tag| tag.eq_ignore_ascii_case("issue"))
    };
    caa.iter().any(tag)
}

/// A DKIM key record (RFC 6376 §3.6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimKey {
    /// `rsa` or `ed25519`.
    pub algorithm: String,
    /// Bits of the key; 256 for Ed25519.
    pub bits: u32,
    /// `p=` is empty: the key was revoked.
    pub revoked: bool,
    /// `t=y`: in test.
    pub testing: bool,
    /// SHA-256 of the key in hexadecimal, the same however it is written down; `None` where it was
    /// revoked, and in looks that versions before kept.
    #[serde(default)]
    pub digest: Option<String>,
}

/// A DKIM key of our own: its record has to be there, and has to be no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnKey {
    /// Where it stands: below `_domainkey` (RFC 6376 §3.6.2.1).
    pub selector: Domain,
    /// [`DkimKey::digest`] of the key that signs or will; or why our own key cannot be read, in
    /// words.
    pub digest: Result<String, String>,
}
