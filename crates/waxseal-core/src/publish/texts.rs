//! The records, from what the administrator decided.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};

use super::{Data, Mta, Protocol, Record};
use crate::{
    dane::{self, Tlsa},
    domain::{Domain, DomainError},
    sts::{MxPattern, Policy, PolicyId},
};

/// The policy of a domain (RFC 8461 §3.2); `None` where it has none.
pub fn policy(mta: Mta, mx: &[Domain], max_age: Duration) -> Option<Policy> {
    let mx = mx.iter().cloned().map(MxPattern::Host).collect();
    Some(Policy { mode: mta.mode()?, mx, max_age })
}

/// The `id` that belongs to a policy: another policy has another one, and the same policy has the same
/// one on every machine, so nobody has to keep count (RFC 8461 §3.1: 1 to 32 letters and digits).
pub fn policy_id(policy: &Policy) -> PolicyId {
    let hash = digest(&SHA256, policy.to_string().as_bytes());
    hash.as_ref().iter().take(10).map(|octet| format!("{octet:02x}")).collect()
}

/// `_mta-sts.DOMAIN TXT` (RFC 8461 §3.1).
///
/// # Errors
/// The name would be too long.
pub fn mta_sts(domain: &Domain, policy: &Policy, ttl: Duration) -> Result<Record, DomainError> {
    let text = format!("v=STSv1; id={};", policy_id(policy));
    txt(Protocol::MtaSts, domain.below("_mta-sts")?, ttl, text)
}

/// `mta-sts.DOMAIN CNAME`: where the policy is served (RFC 8461 §3.3, §8.2).
///
/// # Errors
/// The name would be too long.
pub fn policy_host(domain: &Domain, host: &Domain, ttl: Duration) -> Result<Record, DomainError> {
    let owner = domain.below("mta-sts")?;
    Ok(Record { protocol: Protocol::MtaSts, owner, ttl, data: Data::Cname(host.clone()) })
}

/// `_smtp._tls.DOMAIN TXT` (RFC 8460 §3).
///
/// # Errors
/// The name would be too long.
pub fn tlsrpt(domain: &Domain, rua: &[String], ttl: Duration) -> Result<Record, DomainError> {
    let text = format!("v=TLSRPTv1; rua={}", rua.join(","));
    txt(Protocol::Tlsrpt, domain.below("_smtp._tls")?, ttl, text)
}

/// `_dmarc.DOMAIN TXT` (RFC 9989, before it RFC 7489 §6.3).
///
/// # Errors
/// The name would be too long.
pub fn dmarc(
    domain: &Domain,
    policy: &str,
    reports: &[String],
    ttl: Duration,
) -> Result<Record, DomainError> {
    let mut text = format!("v=DMARC1; p={policy}");
    if !reports.is_empty() {
        text.push_str("; rua=");
        text.push_str(&reports.join(","));
    }
    txt(Protocol::Dmarc, domain.below("_dmarc")?, ttl, text)
}

/// `SELECTOR._domainkey.DOMAIN TXT` (RFC 6376 §3.6.1, RFC 8463 §4). `text` is the record of the key;
/// a selector that signs no more has an empty `p=`: revoked, so that a stolen old key is worth nothing.
///
/// # Errors
/// The name would be too long.
pub fn dkim(
    domain: &Domain,
    selector: &Domain,
    text: Option<String>,
    ttl: Duration,
) -> Result<Record, DomainError> {
    let owner = domain.below(&format!("{selector}._domainkey"))?;
    txt(Protocol::Dkim, owner, ttl, text.unwrap_or_else(|| "v=DKIM1; p=".to_owned()))
}

/// The mechanisms of SPF that let the gateway send (RFC 7208 §5.6, §5.3): its source addresses, or its
/// name where none is configured.
pub fn own_mechanisms(sources: &[IpAddr], hostname: &Domain) -> Vec<String> {
    let mechanism = |address: &IpAddr| match address {
        IpAddr::V4(v4) => format!("ip4:{v4}"),
        IpAddr::V6(v6) => format!("ip6:{v6}"),
    };
    match sources {
        [] => vec![format!("a:{hostname}")],
        some => some.iter().map(mechanism).collect(),
    }
}

/// `DOMAIN TXT` (RFC 7208 §3). It ends with `~all`: with `-all` receivers refuse forwarded mail
/// before they look at its DKIM signature (RFC 7489 §10.1 says why; DMARC decides instead).
pub fn spf(domain: &Domain, mechanisms: &[String], ttl: Duration) -> Record {
    let text = format!("v=spf1 {} ~all", mechanisms.join(" "));
    Record { protocol: Protocol::Spf, owner: domain.clone(), ttl, data: Data::Txt(text) }
}

/// `3 1 1`: the key of the host itself, by SHA-256 (RFC 7672 §3.1.1, RFC 7671 §5.1).
pub fn end_entity(spki_sha256: [u8; 32]) -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: spki_sha256.to_vec() }
}

/// `2 1 1`: the key of an issuer, by SHA-256 (RFC 7672 §3.1.2, RFC 7671 §5.2).
pub fn issuer(spki_sha256: [u8; 32]) -> Tlsa {
    Tlsa { usage: 2, selector: 1, matching: 1, data: spki_sha256.to_vec() }
}

/// `_25._tcp.HOST TLSA` (RFC 7672 §2.2.3), each record once.
///
/// # Errors
/// The name would be too long.
pub fn tlsa(host: &Domain, records: Vec<Tlsa>, ttl: Duration) -> Result<Vec<Record>, DomainError> {
    let owner = dane::owner(host, 25)?;
    let mut found: Vec<Record> = Vec::new();
    for record in records {
        let data = Data::Tlsa(record);
        if !found.iter().any(|known| known.data == data) {
            found.push(Record { protocol: Protocol::Tlsa, owner: owner.clone(), ttl, data });
        }
    }
    Ok(found)
}

fn txt(
    protocol: Protocol,
    owner: Domain,
    ttl: Duration,
    text: String,
) -> Result<Record, DomainError> {
    Ok(Record { protocol, owner, ttl, data: Data::Txt(text) })
}
