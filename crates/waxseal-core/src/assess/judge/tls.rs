//! STARTTLS and the parameters of the sessions (RFC 3207, RFC 8446, RFC 8996).

use std::net::IpAddr;

use super::case::{Case, Findings, Host, said};
use crate::{
    assess::{
        Contact, HandshakeTried, Id, LegacyVersion, Probe, Quoted, Severity, StartTlsSeen, Tried,
        WeakOffer,
    },
    channel::{Legacy, TlsVersion},
    guideline::{self, Grade},
    hello::{Weakness, weakness},
};

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    for host in &case.hosts {
        for (ip, probe) in host.probes() {
            let Contact::Spoke { starttls, .. } = &probe.contact else { continue };
            match starttls {
                StartTlsSeen::NotOffered => missing(case, host, ip, out),
                StartTlsSeen::Refused(reply) => refused(host, ip, reply, out),
                StartTlsSeen::Injected => injected(host, ip, out),
                StartTlsSeen::Ready => {
                    handshakes(host, ip, probe, out);
                    parameters(host, ip, probe, out);
                    require_tls(host, ip, probe, out);
                }
            }
            if let Some(versions) = probe.legacy.as_ref().filter(|versions| !versions.is_empty()) {
                old_versions(host, ip, (probe, versions), out);
            }
        }
        post_quantum(host, out);
    }
}

fn missing(case: &Case<'_>, host: &Host<'_>, ip: IpAddr, out: &mut Findings) {
    let words = said(
        "EHLO offers no STARTTLS",
        "offer STARTTLS with TLS 1.2 and 1.3 (RFC 3207 §4), also to senders that you do not know",
    );
    out.add(Id::TlsMissing, Severity::Error, host.at(ip), words);
    let elsewhere = host.probes().any(|(_, probe)| offers(probe));
    let before = case.against.before.is_some_and(|before| {
        let then = before.hosts.iter().filter(|then| Some(&then.host) == host.name());
        then.flat_map(|then| then.addresses.iter()).any(|address| {
            address.ip == ip
                && match &address.observed {
                    crate::assess::Observed::Probed(probe) => offers(probe),
                    crate::assess::Observed::Not(_) => false,
                }
        })
    });
    let evidence = match (elsewhere, before) {
        (_, true) => "this address offered STARTTLS before and does not now",
        (true, false) => "other addresses of the host offer STARTTLS",
        (false, false) => return,
    };
    let fix = "offer STARTTLS to everybody; if you do, somebody on the path takes it out";
    out.add(Id::StartTlsReputation, Severity::Warning, host.at(ip), said(evidence, fix));
}

/// Whether STARTTLS was there, whatever came of it.
fn offers(probe: &Probe) -> bool {
    match &probe.contact {
        Contact::Spoke { starttls, .. } => !matches!(starttls, StartTlsSeen::NotOffered),
        Contact::Unreachable(_) | Contact::TurnedAway(_) | Contact::Misbehaved(_) => false,
    }
}

fn refused(host: &Host<'_>, ip: IpAddr, reply: &Quoted, out: &mut Findings) {
    let words = said(
        format!("STARTTLS is offered and then refused: {reply}"),
        "give the server a certificate and a key that it can read",
    );
    out.add(Id::TlsFailed, Severity::Error, host.at(ip), words);
}

fn injected(host: &Host<'_>, ip: IpAddr, out: &mut Findings) {
    let words = said(
        "bytes followed the 220 to STARTTLS before the handshake (CVE-2011-0411)",
        "look for a proxy that speaks on this connection; a proper server says nothing there",
    );
    out.add(Id::TlsInjected, Severity::Error, host.at(ip), words);
}

fn handshakes(host: &Host<'_>, ip: IpAddr, probe: &Probe, out: &mut Findings) {
    let works = probe.handshakes.iter().any(|one| matches!(one.tried, Tried::Session(_)));
    let kind = |handshake: &HandshakeTried| match works {
        true => format!(" for {}", handshake.key.as_str()),
        false => String::new(),
    };
    for handshake in &probe.handshakes {
        let (severity, evidence, fix) = match &handshake.tried {
            Tried::Session(_) | Tried::NoSuchKey => continue,
            Tried::Failed { legacy: Legacy::TooOld, detail } => (
                if works { Severity::Warning } else { Severity::Error },
                format!("it speaks only what is below every guideline: {detail}"),
                "upgrade the TLS library; offer TLS 1.2 and 1.3 with forward secrecy",
            ),
            Tried::Failed { legacy: Legacy::No, detail } => (
                if works { Severity::Warning } else { Severity::Error },
                format!("the handshake fails: {detail}"),
                "try `openssl s_client -starttls smtp` from outside",
            ),
            Tried::Unknown(why) => (
                Severity::Unknown,
                format!("no handshake{} came about: {why}", kind(handshake)),
                "check again later",
            ),
        };
        out.add(Id::TlsFailed, severity, host.at(ip), said(evidence, fix));
    }
}

fn old_versions(
    host: &Host<'_>,
    ip: IpAddr,
    (probe, versions): (&Probe, &[LegacyVersion]),
    out: &mut Findings,
) {
    let modern = probe.handshakes.iter().any(|one| matches!(one.tried, Tried::Session(_)));
    let names: Vec<_> = versions
        .iter()
        .map(|version| match version {
            LegacyVersion::Ssl3 => "SSLv3",
            LegacyVersion::V1_0 => "TLSv1.0",
            LegacyVersion::V1_1 => "TLSv1.1",
        })
        .collect();
    let words = said(
        format!("it takes {}", names.join(", ")),
        match modern {
            true => "switch them off (RFC 8996); every sender that matters speaks TLS 1.2",
            // Without them there would be no TLS at all.
            false => "get TLS 1.2 and 1.3 to work first, then switch these off (RFC 8996)",
        },
    );
    out.add(Id::TlsOldVersion, Severity::Warning, host.at(ip), words);
}

fn parameters(host: &Host<'_>, ip: IpAddr, probe: &Probe, out: &mut Findings) {
    let sights = || host.sights.iter().filter(|sight| sight.ip == ip);
    if sights().next().is_some() && !sights().any(|sight| sight.session.version == TlsVersion::V1_3)
    {
        let words = said("the best is TLS 1.2", "switch TLS 1.3 on (RFC 8446)");
        out.add(Id::TlsNo13, Severity::Notice, host.at(ip), words);
    }
    for sight in sights() {
        weak(host, ip, Named::Suite(&sight.session.suite), Severity::Warning, out);
        if let Some(group) = &sight.session.group {
            weak(host, ip, Named::Group(group), Severity::Warning, out);
        }
    }
    let Some(weak_offer) = &probe.weak else { return };
    let WeakOffer { suites, groups, extended_master_secret, tls12: _ } = weak_offer;
    for suite in suites {
        // Whoever offers such a suite gets it, and has nothing from it.
        let broken = weakness(suite).is_some_and(Weakness::is_broken);
        let severity = if broken { Severity::Warning } else { Severity::Notice };
        weak(host, ip, Named::Suite(suite), severity, out);
    }
    for group in groups.iter().flatten() {
        weak(host, ip, Named::Group(group), Severity::Notice, out);
    }
    if *extended_master_secret == Some(false) {
        let words = said(
            "TLS 1.2 without the extended master secret",
            "upgrade the TLS library, or switch the extension on in it (RFC 7627)",
        );
        out.add(Id::TlsNoEms, Severity::Notice, host.at(ip), words);
    }
}

/// A parameter by its IANA name.
enum Named<'a> {
    Suite(&'a str),
    Group(&'a str),
}

/// A parameter that nobody calls good or sufficient.
fn weak(host: &Host<'_>, ip: IpAddr, what: Named<'_>, severity: Severity, out: &mut Findings) {
    let (id, name, fix) = match what {
        Named::Suite(name) => (
            Id::TlsWeakSuite,
            name,
            "keep the AEAD suites with ECDHE: AES-GCM and ChaCha20-Poly1305",
        ),
        Named::Group(name) => {
            (Id::TlsWeakGroup, name, "keep X25519MLKEM768, X25519, P-256, P-384, P-521")
        }
    };
    let grades = guideline::all().map(|guideline| {
        let grade = match what {
            Named::Suite(name) => guideline.suite(name),
            Named::Group(name) => guideline.group(name),
        };
        (grade, guideline.title.as_str())
    });
    if grades.iter().any(|(grade, _)| *grade <= Grade::Sufficient) {
        return;
    }
    let grades: Vec<_> = grades.iter().map(|(grade, title)| format!("{title}: {grade}")).collect();
    let evidence = format!("{name} ({})", grades.join(", "));
    out.add(id, severity, host.at(ip), said(evidence, fix));
}

fn require_tls(host: &Host<'_>, ip: IpAddr, probe: &Probe, out: &mut Findings) {
    let Some(keywords) = &probe.keywords_in_tls else { return };
    let offers = keywords.iter().any(|keyword| {
        let word = keyword.as_str().split(' ').next().unwrap_or_default();
        word.eq_ignore_ascii_case("REQUIRETLS")
    });
    if !offers {
        let words = said(
            "EHLO under TLS does not offer REQUIRETLS",
            "offer it where the server can keep the promise (RFC 8689 §4.2.1)",
        );
        out.add(Id::RequireTlsMissing, Severity::Info, host.at(ip), words);
    }
}

fn post_quantum(host: &Host<'_>, out: &mut Findings) {
    for sight in &host.sights {
        let Some(group) = &sight.session.group else { continue };
        let here = |other: &&super::case::Sight| other.ip == sight.ip;
        let hybrid = host.sights.iter().filter(here).any(|other| {
            other
                .session
                .group
                .as_deref()
                .is_some_and(|group| group.to_ascii_uppercase().contains("MLKEM"))
        });
        if !hybrid {
            let words = said(
                format!("key exchange with {group}"),
                "offer X25519MLKEM768: OpenSSL 3.5, BoringSSL and AWS-LC have it",
            );
            out.add(Id::PqNone, Severity::Info, host.at(sight.ip), words);
        }
    }
}
