//! What a domain's mail security is worth: facts first, then findings, then what a standard says.
//!
//! The shell asks ([`Survey`]); [`assess`] turns facts into [`Finding`]s with stable ids and into
//! the level that an attacker between us and the domain leaves standing. Nothing here asks again,
//! and the same survey always gives the same assessment.

pub mod change;
mod finding;
mod judge;
pub mod mail;
mod offers;
mod probe;
pub mod profile;
mod published;
mod quoted;
mod survey;

pub use self::{
    finding::{Finding, Id, Severity},
    judge::{
        AddressAssessment, Against, Assessment, Check, Delivery, HostAssessment, KeyAssessment,
        assess,
    },
    mail::{Consent, DkimKey, Dmarc, DmarcPolicy, OwnKey, ReportDomain, Reports, Spf, SpfAll},
    offers::{Offer, Offers, offers},
    probe::{
        Contact, HandshakeTried, KeyKind, LegacyVersion, OfferedSession, Probe, StartTlsSeen,
        Tried, WeakOffer,
    },
    published::Published,
    quoted::Quoted,
    survey::{
        AddressSurvey, Delegation, HostSurvey, MOST_EXCHANGES, MOST_UNASKED, MOST_UNUSED,
        MailRecords, MxSurvey, NameServer, NameServers, Observed, PolicyElsewhere, PolicySurvey,
        PolicyThere, Reachable, ReportTarget, ServerAnswer, ServerName, Servers, Signing, Survey,
        Unprobed, Unused, UnusedHost, ZoneSurvey,
    },
};

#[cfg(test)]
mod tests;
