//! DNSSEC of the domain and of its mail hosts, and whether their servers agree.

use std::{collections::BTreeMap, time::Duration};

use super::{
    case::{Case, Findings, Place, TakesMail, said},
    mx,
};
use crate::{
    assess::{
        Delegation, Id, NameServer, Published, ServerAnswer, Servers, Severity, Signing, ZoneSurvey,
    },
    dns::{Answer, Authenticity},
    domain::Domain,
    time::UnixTime,
};

/// Signatures that run out sooner than this are a finding.
const SOON: Duration = Duration::from_hours(3 * 24);

/// Iterations above which validators, ours too, take no denial any more (RFC 9276 §3.2).
const TOO_MANY_ITERATIONS: u16 = 100;

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    let zone = &case.survey.zone;
    signing(case, zone, out);
    if let (Signing::Unsigned { because }, TakesMail::MayBe) = (&zone.signing, case.takes_mail()) {
        // With an enforced policy nobody gains by forging the names of the hosts (RFC 8461 §10.1); but one
        // with a record that cannot be read is no policy to anybody (RFC 8461 §3.1).
        let found = !matches!(case.survey.policy.record, Published::Broken { .. });
        let severity = match case.enforced() {
            Some(_) if found => Severity::Notice,
            Some(_) | None => Severity::Warning,
        };
        let fix = format!(
            "sign {} and have its registrar publish the DS record; until then anybody on the path \
             can name another mail host",
            zone.zone
        );
        out.add(Id::ZoneUnsigned, severity, Place::named(case.domain()), said(because, fix));
    }
    servers(&zone.zone, &zone.servers, |_| true, out);
    delegation(zone, out);
    let mut done = vec![&zone.zone];
    for host in &case.hosts {
        let Some(survey) = host.survey else { continue };
        let unsigned = matches!(survey.zone.signing, Signing::Unsigned { .. });
        let insecure = matches!(
            host.facts.addresses,
            Answer::Found { authenticity: Authenticity::Insecure, .. }
        );
        if unsigned || insecure {
            let because = match &survey.zone.signing {
                Signing::Unsigned { because } => because.clone(),
                Signing::Signed { .. } | Signing::Failed(_) | Signing::NotAsked => {
                    format!("the addresses of {} are not signed", survey.host)
                }
            };
            let fix = format!("sign the zone of {}, then publish TLSA records there", survey.host);
            out.add(Id::MxZoneUnsigned, Severity::Notice, host.place(), said(because, fix));
        }
        if let Some(fault) = &survey.denial_fault {
            let fix = "let the name servers answer NODATA, not NXDOMAIN, for `_tcp` and other names \
                       that have something below them (RFC 8020 §2)";
            out.add(Id::TlsaEntNxdomain, Severity::Warning, host.place(), said(fault, fix));
        }
        if !done.contains(&&survey.zone.zone) {
            done.push(&survey.zone.zone);
            signing(case, &survey.zone, out);
            servers(&survey.zone.zone, &survey.zone.servers, |_| true, out);
            delegation(&survey.zone, out);
        } else {
            // The zone's own records were compared already; those of this host were not.
            servers(
                &survey.zone.zone,
                &survey.zone.servers,
                |answer| answer.record_type != "SOA" && answer.record_type != "DNSKEY",
                out,
            );
        }
    }
}

fn signing(case: &Case<'_>, zone: &ZoneSurvey, out: &mut Findings) {
    let place = || Place::named(&zone.zone);
    match &zone.signing {
        Signing::NotAsked | Signing::Unsigned { .. } => {}
        Signing::Failed(failure) => mx::failed(out, place(), failure),
        Signing::Signed {
            algorithms,
            smallest_rsa,
            first_expiry,
            signed_at,
            nsec3_iterations,
            ds_digests,
        } => {
            for algorithm in algorithms {
                weak_algorithm(*algorithm, place(), out);
            }
            weak_digest(ds_digests, place(), out);
            if let Some(bits) = smallest_rsa.filter(|bits| *bits < 2048) {
                let severity = if bits < 1024 { Severity::Warning } else { Severity::Notice };
                let words = said(
                    format!("an RSA key of {bits} bits"),
                    "roll to ECDSA P-256 (algorithm 13)",
                );
                out.add(Id::ZoneWeakAlgorithm, severity, place(), words);
            }
            if let Some(iterations) = nsec3_iterations.filter(|iterations| *iterations > 0) {
                let severity = if iterations > TOO_MANY_ITERATIONS {
                    Severity::Warning
                } else {
                    Severity::Notice
                };
                let words = said(
                    format!("{iterations} NSEC3 iterations"),
                    "set the iterations to 0 and the salt to none (RFC 9276 §3.1)",
                );
                out.add(Id::ZoneNsec3Iterations, severity, place(), words);
            }
            expiry(case.against.now, *first_expiry, *signed_at, place(), out);
        }
    }
}

/// RFC 8624 §3.1, with SHA-1 out of use since RFC 9905.
fn weak_algorithm(number: u8, place: Place, out: &mut Findings) {
    let (severity, name) = match number {
        1 => (Severity::Warning, "RSA/MD5"),
        3 | 6 => (Severity::Warning, "DSA/SHA-1"),
        5 | 7 => (Severity::Warning, "RSA/SHA-1"),
        12 => (Severity::Warning, "GOST R 34.10-2001"),
        10 => (Severity::Info, "RSA/SHA-512"),
        _ => return,
    };
    let evidence = format!("algorithm {number}, {name}");
    let fix = "roll to ECDSA P-256 with SHA-256 (algorithm 13) or Ed25519 (15)";
    out.add(Id::ZoneWeakAlgorithm, severity, place, said(evidence, fix));
}

/// RFC 9905 §5: nobody should publish DS records with SHA-1 any more, and validators may stop taking
/// them.
fn weak_digest(digests: &[u8], place: Place, out: &mut Findings) {
    if !digests.contains(&1) {
        return;
    }
    let (severity, evidence, fix) = match digests.iter().any(|digest| *digest != 1) {
        false => (
            Severity::Warning,
            "the DS record has digest type 1, SHA-1, alone",
            "have the registrar publish the DS record with digest type 2 (SHA-256): validators that \
             do not take SHA-1 any more see an unsigned zone",
        ),
        true => (
            Severity::Info,
            "a DS record with digest type 1, SHA-1, beside better ones",
            "have the registrar remove it: nobody needs it",
        ),
    };
    out.add(Id::ZoneWeakAlgorithm, severity, place, said(evidence, fix));
}

fn expiry(
    now: UnixTime,
    expires: UnixTime,
    signed_at: Option<UnixTime>,
    place: Place,
    out: &mut Findings,
) {
    let left = expires.since(now);
    if left >= SOON {
        return;
    }
    // Zones that sign while they answer never have more than a day or two left.
    let short = signed_at.is_some_and(|at| expires.since(at) < SOON * 2);
    if short && left > expires.since(signed_at.unwrap_or(expires)) / 4 {
        return;
    }
    let severity = if left.is_zero() { Severity::Error } else { Severity::Warning };
    let evidence = format!("the first signature runs out at {expires}");
    let fix = "let the signer run now, and watch that it does";
    out.add(Id::RrsigExpires, severity, place, said(evidence, fix));
}

/// What the servers said to one question: the digest and whether it was signed, how many records that
/// are, and who said so.
type Said<'a> = BTreeMap<(&'a str, bool), (usize, Vec<&'a NameServer>)>;

fn servers(
    zone: &Domain,
    servers: &Servers,
    counts: impl Fn(&ServerAnswer) -> bool,
    out: &mut Findings,
) {
    let servers = match servers {
        Servers::Asked(servers) => servers,
        // What is said where that was not asked on purpose, or could not be, is said elsewhere.
        Servers::NotAsked(_) => return,
        Servers::Unreached(why) => {
            let evidence = format!("whether its name servers agree is not known: {why}");
            let fix = "let this machine reach port 53 of others, or check from another one";
            return out.add(
                Id::NsUnreached,
                Severity::Info,
                Place::named(zone),
                words(evidence, fix),
            );
        }
    };
    let mut questions: BTreeMap<(&Domain, &str), Said<'_>> = BTreeMap::new();
    for server in servers {
        for answer in server.answers.iter().filter(|answer| counts(answer)) {
            let ServerAnswer { name, record_type, digest, signed, .. } = answer;
            let said = questions.entry((name, record_type)).or_default();
            match digest {
                Ok(digest) => {
                    let (records, servers_of) = said.entry((digest, *signed)).or_default();
                    *records = answer.records;
                    servers_of.push(server);
                    bogus(server, answer, servers, out);
                }
                Err(why) => {
                    let evidence =
                        format!("{} [{}] for {record_type}: {why}", server.name, server.address);
                    let fix = "let this name server answer, or remove it from the NS records";
                    let place = Place::named(name);
                    out.add(Id::DnsFailed, Severity::Notice, place, words(evidence, fix));
                }
            }
        }
    }
    for ((name, record_type), said) in questions {
        diverges((name, record_type), &said, out);
    }
}

/// Where servers answer the same question in different words.
fn diverges((name, record_type): (&Domain, &str), said: &Said<'_>, out: &mut Findings) {
    // Addresses that nobody signs are often another one for each who asks, to spread load.
    let spread = matches!(record_type, "A" | "AAAA") && said.keys().any(|(_, signed)| !signed);
    if said.len() < 2 || spread {
        return;
    }
    let groups: Vec<_> = said
        .iter()
        .map(|((digest, signed), (records, servers))| {
            let first = servers.first().map(|server| server.name.to_string());
            let short: String = digest.chars().take(8).collect();
            let signed = if *signed { "signed" } else { "unsigned" };
            let what = match records {
                0 => "no record".to_owned(),
                1 => format!("1 record, {short}"),
                more => format!("{more} records, {short}"),
            };
            let first = first.unwrap_or_default();
            format!("{first} ({} in all): {what}, {signed}", servers.len())
        })
        .collect();
    let evidence = format!("{record_type}: {}", groups.join("; "));
    let fix = "bring all authoritative servers to the same version of the zone";
    let (id, severity, fix) = match record_type {
        "TLSA" => (Id::TlsaNsDiverges, Severity::Error, fix),
        "A" | "AAAA" => (
            Id::NsDiverges,
            Severity::Notice,
            "check again: a zone transfer may be on its way, or the zone spreads load; if it \
             stays and nobody meant it, look at the server that is behind",
        ),
        // A new version takes a while to all servers; what they answer is looked at by itself.
        "SOA" => (
            Id::NsDiverges,
            Severity::Notice,
            "check again: a zone transfer may be on its way; if it stays, look at why a server \
             does not get the zone",
        ),
        _ => (Id::NsDiverges, Severity::Warning, fix),
    };
    out.add(id, severity, Place::named(name), words(evidence, fix));
}

/// A server that only the zone above names is one that resolvers are sent to and nobody keeps up to date:
/// what it still says of MX and TLSA counts for them.
fn delegation(zone: &ZoneSurvey, out: &mut Findings) {
    let Delegation::Compared { above_only, zone_only } = &zone.delegation else { return };
    let list = |names: &[crate::domain::Domain]| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let severity = match (&**above_only, &**zone_only) {
        ([], []) => return,
        ([], [_, ..]) => Severity::Notice,
        ([_, ..], _) => Severity::Warning,
    };
    let only = [("the zone above", above_only), ("the zone itself", zone_only)];
    let only = only.iter().filter(|(_, names)| !names.is_empty());
    let evidence: Vec<_> =
        only.map(|(who, names)| format!("only {who} names {}", list(names))).collect();
    let fix = "have the registrar name the servers that the zone names in its own NS records";
    out.add(Id::NsDelegation, severity, Place::named(&zone.zone), words(evidence.join("; "), fix));
}

/// Signatures of one server that do not hold, while those of another do: our resolver took the
/// other's answer, and other senders take this one's. Where none hold, the look-up has failed, which
/// is told by itself.
fn bogus(server: &NameServer, answer: &ServerAnswer, all: &[NameServer], out: &mut Findings) {
    let Some(why) = &answer.bogus else { return };
    let is_same = |other: &&ServerAnswer| {
        (&other.name, &other.record_type) == (&answer.name, &answer.record_type)
    };
    let mut others = all.iter().flat_map(|one| &one.answers).filter(is_same);
    if !others.any(|other| other.digest.is_ok() && other.bogus.is_none()) {
        return;
    }
    let evidence =
        format!("{} [{}] for {}: {why}", server.name, server.address, answer.record_type);
    let fix = "let this name server fetch the zone anew, and look at why it did not: validating \
               resolvers that ask it get no answer";
    out.add(Id::NsBogus, Severity::Error, Place::named(&answer.name), words(evidence, fix));
}

fn words(evidence: String, fix: &str) -> super::case::Said {
    said(evidence, fix)
}
