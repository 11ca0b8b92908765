//! What the domain says about mail that claims to come from it: SPF, DKIM, DMARC; and CAA, BIMI and
//! security.txt.

use std::collections::BTreeSet;

use super::{
    case::{Case, Findings, Place, TakesMail, said},
    mx,
};
use crate::{
    assess::{
        Consent, DkimKey, Dmarc, DmarcPolicy, Id, OwnKey, Published, Quoted, ReportDomain, Reports,
        Severity, Spf, SpfAll,
        mail::{restricts_issuance, tags::Tags},
    },
    domain::Domain,
    facts::MxFact,
};

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    let records = &case.survey.mail;
    spf(case, &records.spf, out);
    dmarc(case, &records.dmarc, out);
    for (selector, key) in &records.dkim {
        dkim(case, selector, key, out);
    }
    caa(case, out);
    others(case, out);
}

fn spf(case: &Case<'_>, spf: &Published<Spf>, out: &mut Findings) {
    let domain = case.domain();
    let place = || Place::named(domain);
    let wanted = match case.survey.facts.mx {
        MxFact::Null { .. } => format!("{domain}. IN TXT \"v=spf1 -all\""),
        MxFact::Found { .. }
        | MxFact::Implicit { .. }
        | MxFact::NoDomain { .. }
        | MxFact::Configured
        | MxFact::Failed(_) => {
            format!("{domain}. IN TXT \"v=spf1 mx <others that send for you> -all\"")
        }
    };
    let spf = match spf {
        Published::NotAsked => return,
        Published::Failed(failure) => return mx::failed(out, Place::named(&failure.name), failure),
        // The finding of the null MX says what it should publish.
        Published::Absent { .. } if case.takes_mail() != TakesMail::MayBe => return,
        Published::Absent { .. } => {
            let words = said("no v=spf1 record", wanted);
            return out.add(Id::SpfMissing, Severity::Warning, place(), words);
        }
        Published::Broken { text, why, .. } => {
            let words = said(format!("{why}: {text}"), wanted);
            return out.add(Id::SpfBroken, Severity::Warning, place(), words);
        }
        Published::Found { value, .. } => value,
    };
    if !spf.faults.is_empty() {
        let fix = "take out includes that nobody needs, and mend what is named; receivers treat \
                   the record as broken";
        let words = said(spf.faults.join("; "), fix);
        out.add(Id::SpfBroken, Severity::Warning, place(), words);
    }
    if !spf.unknown.is_empty() {
        let fix =
            "check again; if it stays, look at the name servers: receivers cannot tell either";
        let words = said(format!("in the SPF record: {}", spf.unknown.join("; ")), fix);
        out.add(Id::DnsFailed, Severity::Unknown, place(), words);
    }
    if !spf.ptr.is_empty() {
        let names: BTreeSet<_> = spf.ptr.iter().map(Domain::as_str).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let fix = "list the addresses or hosts instead: `ip4`, `ip6`, `a` (RFC 7208 §5.5)";
        let words = said(format!("`ptr` in the record of {names}"), fix);
        out.add(Id::SpfPtr, Severity::Notice, place(), words);
    }
    if !spf.unreached.is_empty() {
        let evidence =
            format!("behind `all`, so that it counts for nothing: {}", spf.unreached.join("; "));
        let fix = "put what shall count before `all`, and take out the rest (RFC 7208 §5.1)";
        out.add(Id::SpfUnreached, Severity::Notice, place(), said(evidence, fix));
    }
    if !spf.open.is_empty() {
        let evidence =
            format!("nearly everybody may send for this domain: {}", spf.open.join("; "));
        let fix = "list the networks that send for the domain; of a service that says so, ask for \
                   another record, or do without it";
        out.add(Id::SpfWeak, Severity::Error, place(), said(evidence, fix));
        return;
    }
    let (severity, evidence) = match spf.all {
        SpfAll::Fail | SpfAll::SoftFail | SpfAll::Unknown => return,
        SpfAll::Neutral => (Severity::Notice, "?all, or no all at the end"),
        SpfAll::Pass => (Severity::Error, "+all: everybody may send for this domain"),
    };
    let fix = "list all that send for the domain, then end the record with -all or ~all";
    out.add(Id::SpfWeak, severity, place(), said(evidence, fix));
}

fn dmarc(case: &Case<'_>, dmarc: &Published<Dmarc>, out: &mut Findings) {
    let domain = case.domain();
    let place = || Place::named(domain);
    let first = match case.survey.facts.mx {
        // Nobody writes from it, so that nothing has to be watched first.
        MxFact::Null { .. } => "p=reject".to_owned(),
        MxFact::Found { .. }
        | MxFact::Implicit { .. }
        | MxFact::NoDomain { .. }
        | MxFact::Configured
        | MxFact::Failed(_) => format!("p=none; rua={MAILBOX}"),
    };
    let wanted = || format!("_dmarc.{domain}. IN TXT \"v=DMARC1; {first}\"");
    match dmarc {
        Published::NotAsked => {}
        Published::Failed(failure) => mx::failed(out, Place::named(&failure.name), failure),
        Published::Absent { .. } if case.takes_mail() != TakesMail::MayBe => {}
        Published::Absent { .. } => {
            let words = said("no v=DMARC1 record", wanted());
            out.add(Id::DmarcMissing, Severity::Warning, place(), words);
        }
        Published::Broken { text, why, .. } => {
            let fix = format!("mend what is named, and keep the rest; the least is {}", wanted());
            let words = said(format!("{why}: {text}"), fix);
            out.add(Id::DmarcBroken, Severity::Warning, place(), words);
        }
        Published::Found { value, text, .. } => {
            report_addresses(value, place(), out);
            consents(value, place, out);
            let open = value.at == *domain && value.subdomains == Some(DmarcPolicy::None);
            let evidence = match (value.policy, value.testing) {
                (DmarcPolicy::None, _) => "p=none: nothing is asked of receivers".to_owned(),
                (DmarcPolicy::Quarantine | DmarcPolicy::Reject, true) => {
                    "t=y: receivers act one step milder (RFC 9989)".to_owned()
                }
                (DmarcPolicy::Quarantine | DmarcPolicy::Reject, false) if open => {
                    let fix = "when the reports show nothing of yours that fails, take out sp=none";
                    let evidence = "sp=none: anybody may write as a subdomain of it";
                    return out.add(Id::DmarcWeak, Severity::Notice, place(), said(evidence, fix));
                }
                (DmarcPolicy::Quarantine | DmarcPolicy::Reject, false) => match value.percent {
                    Some(percent) => format!(
                        "pct={percent}: receivers that go by RFC 7489 §6.3 apply the policy to {percent} in \
                         100 messages, the others to all"
                    ),
                    None => return,
                },
            };
            let evidence = format!("{evidence}; found at {}", value.at);
            let words = said(evidence, next_step(domain, value, text));
            out.add(Id::DmarcWeak, Severity::Notice, place(), words);
        }
    }
}

/// Where nobody can send reports to: whoever waits for them before a stricter policy waits for ever.
fn report_addresses(dmarc: &Dmarc, place: Place, out: &mut Findings) {
    if dmarc.rua_unusable.is_empty() {
        return;
    }
    let listed: Vec<_> = dmarc.rua_unusable.iter().map(|uri| format!("`{uri}`")).collect();
    let (severity, come) = match dmarc.rua.is_empty() {
        true => (Severity::Warning, "so that no report ever comes"),
        false => (Severity::Notice, "beside others that can be used"),
    };
    let evidence = format!("{} in `rua` is no mailto: address, {come}", listed.join(", "));
    let fix = format!("write rua={MAILBOX} into the record of _dmarc.{}", dmarc.at);
    out.add(Id::DmarcRua, severity, place, said(evidence, fix));
}

/// Domains of others that have not said that they take the reports (RFC 7489 §7.1, RFC 9990 §4).
fn consents(dmarc: &Dmarc, place: impl Fn() -> Place, out: &mut Findings) {
    let (about, unheard) = (&dmarc.at, dmarc.is_unheard());
    for ReportDomain { domain, reports, consent } in &dmarc.report_domains {
        let asked = format!("{about}._report._dmarc.{domain}");
        let (severity, says, again) = match consent {
            Consent::NotAsked | Consent::NotNeeded | Consent::Given => continue,
            Consent::Missing(why) if unheard && *reports != Reports::Failure => {
                let says = format!(
                    "does not say that it takes them ({why}), so that no report ever comes"
                );
                (Severity::Warning, says, "")
            }
            Consent::Missing(why) => {
                let says = format!("does not say that it takes them ({why}): none are sent there");
                (Severity::Notice, says, "")
            }
            Consent::Unknown(why) => {
                let says = format!("could not be asked whether it takes them: {why}");
                (Severity::Unknown, says, "check again; if it stays, look at its name servers. ")
            }
        };
        let evidence =
            format!("{} has reports sent to {domain}, and {asked} {says}", reports.tags());
        let fix = format!(
            "{again}{domain} has to publish {asked}. IN TXT \"v=DMARC1\", or *._report._dmarc.{domain}. \
             IN TXT \"v=DMARC1\" if it takes those about anybody; otherwise name a mailbox of yours"
        );
        out.add(Id::DmarcRuaConsent, severity, place(), said(evidence, fix));
    }
}

/// Where reports go, until somebody says where.
const MAILBOX: &str = "mailto:<a mailbox that somebody reads>";

/// The record that is there, one step further: reports first, then `quarantine`, then `reject`
/// (RFC 9989 §5.1). Its other tags stay.
fn next_step(domain: &Domain, record: &Dmarc, text: &Quoted) -> String {
    let mut tags: Vec<(String, String)> = text
        .as_str()
        .split(';')
        .filter_map(|tag| tag.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let whole = tags.first().is_some_and(|(name, _)| name == "v") && !text.as_str().ends_with('…');
    // A subdomain without a record of its own is asked for by `sp` (RFC 9989 §4.7).
    let name = match record.at != *domain && tags.iter().any(|(name, _)| name == "sp") {
        true => "sp",
        false => "p",
    };
    if record.policy == DmarcPolicy::None && record.is_unheard() {
        return "first have reports arrive: no domain in `rua` takes any (DMARC-RUA-CONSENT)"
            .into();
    }
    let (step, why) = match (record.policy, record.rua.is_empty()) {
        (DmarcPolicy::None, true) => {
            let rua = ("rua".to_owned(), MAILBOX.to_owned());
            (Some(rua), "first have reports sent, and read who sends for the domain")
        }
        (DmarcPolicy::None, false) => {
            let policy = (name.to_owned(), "quarantine".to_owned());
            (Some(policy), "when the reports show nothing of yours that fails")
        }
        (DmarcPolicy::Quarantine | DmarcPolicy::Reject, _) => {
            (None, "when the reports show nothing of yours that fails, take out t=y and pct")
        }
    };
    match step {
        None => tags.retain(|(name, _)| name != "t" && name != "pct"),
        Some((name, value)) => match tags.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            // `v` and `p` come first.
            None if name == "p" => tags.insert(tags.len().min(1), (name, value)),
            None => tags.push((name, value)),
        },
    }
    if !whole {
        return why.to_owned();
    }
    let tags: Vec<_> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{why}: _dmarc.{}. IN TXT \"{}\"", record.at, tags.join("; "))
}

fn dkim(case: &Case<'_>, selector: &str, key: &Published<DkimKey>, out: &mut Findings) {
    let own = case.survey.mail.own.iter().find(|own| own.selector.as_str() == selector);
    let place = || Place::named(&format!("{selector}._domainkey.{}", case.domain()));
    let fault = match key {
        Published::NotAsked => return,
        Published::Failed(failure) => return mx::failed(out, Place::named(&failure.name), failure),
        Published::Absent { .. } => "no record".into(),
        Published::Broken { text, why, .. } => format!("{why}: {text}"),
        Published::Found { value, .. } if value.revoked => "p= is empty: the key is revoked".into(),
        Published::Found { value, .. } => {
            // RFC 8301 §3.2: at least 1024 bits, better 2048.
            if value.algorithm.eq_ignore_ascii_case("rsa") && value.bits < 2048 {
                let severity = if value.bits < 1024 { Severity::Warning } else { Severity::Notice };
                let words = said(
                    format!("RSA with {} bits", value.bits),
                    "a new selector with an RSA key of 2048 bits, or Ed25519 beside it (RFC 8463)",
                );
                out.add(Id::DkimWeakKey, severity, place(), words);
            }
            if let Some(own) = own {
                ours(case, (own, value), place, out);
            }
            return;
        }
    };
    let fix = match own {
        Some(_) => {
            "publish the key that signs, as `waxseal publish records` prints it, or take the \
             selector out of the configuration and sign with it no more"
        }
        None => "publish the key that signs (RFC 6376 §3.6.1), or stop signing with it",
    };
    out.add(Id::DkimKey, Severity::Warning, place(), said(fault, fix));
}

/// Whether the key at a selector of ours is the one that signs.
fn ours(
    case: &Case<'_>,
    (own, key): (&OwnKey, &DkimKey),
    place: impl Fn() -> Place,
    out: &mut Findings,
) {
    let there = key.digest.as_deref().unwrap_or_default();
    let mine = match &own.digest {
        Err(why) => {
            let evidence =
                format!("whether the key there is ours is unknown: {}", Quoted::new(why));
            let fix = "let the gateway and whoever runs the check read the key, and check again";
            return out.add(Id::DkimKeyUnknown, Severity::Unknown, place(), said(evidence, fix));
        }
        Ok(mine) => mine,
    };
    if mine != there {
        let elsewhere = case.survey.mail.own.iter().find(|own| own.digest.as_deref() == Ok(there));
        let (whose, fix) = match elsewhere {
            Some(other) => (
                format!("the key of our selector {}", other.selector),
                "publish the key of this selector, as `waxseal publish records` prints it",
            ),
            None => (
                "a key that is not ours".to_owned(),
                "after a rotation of yours, name the new key in the configuration or publish the \
                 key of this selector (`waxseal publish records`). If nobody of yours changed the \
                 record, somebody else can write into the zone and sign as you: lock them out, \
                 publish a new key at a new selector, and sign with that",
            ),
        };
        let evidence = format!(
            "{whose}, {} of {} bits with SHA-256 {there}; ours has {mine}: what we sign fails",
            Quoted::new(&key.algorithm),
            key.bits
        );
        return out.add(Id::DkimOtherKey, Severity::Error, place(), said(evidence, fix));
    }
    if key.testing {
        let fix = "take t=y out of the record";
        let words = said("t=y: receivers treat what it signs as unsigned", fix);
        out.add(Id::DkimKey, Severity::Notice, place(), words);
    }
}

/// CAA counts for the names in certificates (RFC 8659 §3): those of the mail hosts and of the policy
/// host. Who may issue for the domain itself protects no mail.
fn caa(case: &Case<'_>, out: &mut Findings) {
    if case.takes_mail() != TakesMail::MayBe {
        return;
    }
    let hosts = case.survey.hosts.iter().map(|host| (host.host.clone(), &host.caa));
    let policy = case.domain().below("mta-sts").ok().map(|name| (name, &case.survey.policy.caa));
    for (name, published) in hosts.chain(policy) {
        let place = || Place::named(&name);
        let wanted = || {
            format!(
                "{name}. IN CAA 0 issue \"<the domain of its CA>\", one for each CA that it uses: the \
                 others will not renew what they have issued"
            )
        };
        match published {
            Published::NotAsked => {}
            Published::Found { value, .. } if restricts_issuance(value) => {}
            Published::Found { .. } => {
                let words = said("CAA records without `issue`: any CA may issue", wanted());
                out.add(Id::CaaMissing, Severity::Info, place(), words);
            }
            Published::Absent { .. } => {
                let words = said("no CAA record: any CA may issue for this name", wanted());
                out.add(Id::CaaMissing, Severity::Info, place(), words);
            }
            Published::Broken { text, why, .. } => {
                let words = said(format!("{why}: {text}"), wanted());
                out.add(Id::CaaBroken, Severity::Notice, place(), words);
            }
            Published::Failed(failure) => mx::failed(out, Place::named(&failure.name), failure),
        }
    }
}

fn others(case: &Case<'_>, out: &mut Findings) {
    let domain = case.domain();
    let place = || Place::named(domain);
    if let Published::Found { text, .. } = &case.survey.mail.bimi {
        let tags = Tags::read(text.as_str()).ok();
        let declines = tags.is_some_and(|tags| tags.value("l").is_none_or(str::is_empty));
        let fix = match declines {
            true => "nothing; it says that there is no logo",
            false => "nothing; it shows a logo and protects nothing",
        };
        let words = said(text.to_string(), fix);
        out.add(Id::BimiPresent, Severity::Info, place(), words);
    }
    match &case.survey.mail.security_txt {
        Published::Absent { .. } | Published::Broken { .. }
            if case.takes_mail() != TakesMail::MayBe => {}
        Published::Absent { .. } | Published::Broken { .. } => {
            let words = said(
                "no security.txt that can be read",
                format!("serve https://{domain}/.well-known/security.txt (RFC 9116 §3)"),
            );
            out.add(Id::SecurityTxtMissing, Severity::Info, place(), words);
        }
        Published::Found { value, .. } if *value < case.against.now => {
            let words = said(format!("expired at {value}"), "set a new Expires (RFC 9116 §2.5.5)");
            out.add(Id::SecurityTxtExpired, Severity::Notice, place(), words);
        }
        // That a web page could not be had says nothing about mail.
        Published::Found { .. } | Published::Failed(_) | Published::NotAsked => {}
    }
}
