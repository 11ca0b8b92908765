//! What sessions with the mail hosts show, and what they take that they should not.

use super::{Said, View, met, not_met, unknown};
use crate::{
    assess::{Contact, Id, Observed, OfferedSession, Probe, StartTlsSeen, Tried, profile::Status},
    channel::TlsVersion,
    guideline::{Grade, Guideline},
    pki::Certificate,
};

impl View<'_> {
    pub(in super::super) fn extended_master_secret(&self) -> Said {
        let judged = self.seen(|| self.none_of(&[Id::TlsNoEms]));
        let (mut has, mut unasked) = (false, None);
        for (host, probe) in self.probes() {
            if !is_ready(probe) {
                continue;
            }
            let weak = probe.weak.as_ref();
            has |= weak.is_some_and(|weak| weak.extended_master_secret == Some(true));
            // Without TLS 1.2 there is nothing to extend.
            if weak.is_none_or(|weak| {
                weak.extended_master_secret.is_none() && weak.tls12 != Some(false)
            }) {
                unasked = Some(format!("it was not seen at {}", host.host));
            }
        }
        let judged = match (judged.0, unasked) {
            (Status::Met, Some(why)) => unknown(why),
            (Status::Met, None) if !has => {
                (Status::NotApplicable, "no mail host speaks TLS 1.2".into())
            }
            _ => judged,
        };
        self.with_tls(judged)
    }

    /// The chain and its dates; the name has a requirement of its own.
    pub(in super::super) fn certificates_trusted(&self) -> Said {
        if let Some(found) = self.found(&[Id::CertUntrusted]) {
            return not_met(found);
        }
        let now = self.survey.facts.at;
        for (host, probe) in self.probes() {
            for (_, certificate) in certificates(sessions_of(probe)) {
                if let Err(fault) = certificate.in_time(now) {
                    return not_met(format!("{}: {fault}", host.host));
                }
            }
        }
        met("each certificate leads to a public CA")
    }

    /// As [`Self::seen`], and with a session wherever a host spoke.
    pub(in super::super) fn sessions(&self, judge: impl FnOnce() -> Said) -> Said {
        let judged = self.seen(judge);
        let judged = match (judged.0, self.without_session()) {
            (Status::Met, Some(why)) => unknown(why),
            _ => judged,
        };
        self.with_tls(judged)
    }

    /// What is asked of TLS does not hold where TLS does not come about: mail in the clear keeps no
    /// lower limit of a version (RFC 3207 §4). That was seen, whatever is not known of other hosts.
    fn with_tls(&self, judged: Said) -> Said {
        match (judged.0, self.without_tls()) {
            (Status::Met | Status::Unknown | Status::NotApplicable, Some(why)) => not_met(why),
            (_, Some(_) | None) => judged,
        }
    }

    /// An address that talked, and with which TLS cannot be begun.
    fn without_tls(&self) -> Option<String> {
        self.survey.hosts.iter().find_map(|host| {
            host.addresses.iter().find_map(|address| {
                let Observed::Probed(probe) = &address.observed else { return None };
                let Contact::Spoke { starttls, .. } = &probe.contact else { return None };
                let why = match starttls {
                    StartTlsSeen::NotOffered => "offers no STARTTLS",
                    StartTlsSeen::Refused(_) => "offers STARTTLS and refuses it",
                    StartTlsSeen::Injected => "lets plaintext follow its 220 to STARTTLS",
                    StartTlsSeen::Ready => return None,
                };
                Some(format!("{} at {} {why}", host.host, address.ip))
            })
        })
    }

    /// An address that lets us begin with TLS, and had no session with us.
    fn without_session(&self) -> Option<String> {
        self.survey.hosts.iter().find_map(|host| {
            host.addresses.iter().find_map(|address| {
                let Observed::Probed(probe) = &address.observed else { return None };
                let bare = is_ready(probe) && sessions_of(probe).next().is_none();
                bare.then(|| format!("no TLS session with {} at {}", host.host, address.ip))
            })
        })
    }

    /// Whether what should not be taken was tried at all.
    pub(in super::super) fn tried(&self, part: Old, judge: impl FnOnce() -> Said) -> Said {
        let judged = self.seen(judge);
        let untried = self.probes().find(|(_, probe)| {
            let weak = probe.weak.as_ref();
            let tried = match part {
                Old::Versions => probe.legacy.is_some(),
                Old::Suites => weak.is_some(),
                Old::Groups => weak.is_some_and(|weak| weak.groups.is_some()),
            };
            is_ready(probe) && !tried
        });
        let judged = match (judged.0, untried) {
            (Status::Met, Some((host, _))) => {
                unknown(format!("old parameters were not tried at {}", host.host))
            }
            _ => judged,
        };
        self.with_tls(judged)
    }

    /// Of a host without any session nothing follows; [`Self::sessions`] says what is known of it.
    pub(in super::super) fn tls13(&self) -> Said {
        let without = self.probes().find(|(_, probe)| {
            let mut sessions = sessions_of(probe).peekable();
            sessions.peek().is_some() && sessions.all(|session| session.version != TlsVersion::V1_3)
        });
        match without {
            Some((host, _)) => not_met(format!("{} does not speak TLS 1.3", host.host)),
            None => met("each mail host speaks TLS 1.3"),
        }
    }

    /// Nothing that is worse than a grade of a guideline.
    pub(in super::super) fn parameters(&self, least: (&Guideline, Grade), part: Part) -> Said {
        let judge = || {
            for (host, probe) in self.probes() {
                if let Some(bad) = part.below(least, probe) {
                    return not_met(format!("{}: {bad}", host.host));
                }
            }
            met("all that was seen is on the list")
        };
        match part {
            // Only what was tried can show that the host takes worse.
            Part::Suite => self.tried(Old::Suites, || self.sessions(judge)),
            Part::Group => self.tried(Old::Groups, || self.sessions(judge)),
            Part::Key | Part::Hash => self.sessions(judge),
        }
    }
}

/// What should not be taken any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Old {
    Versions,
    Suites,
    Groups,
}

/// A part of a session that a guideline grades.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Part {
    Suite,
    Group,
    Key,
    Hash,
}

impl Part {
    /// The first thing that is worse than a grade.
    fn below(self, (guideline, least): (&Guideline, Grade), probe: &Probe) -> Option<String> {
        let sessions = || sessions_of(probe);
        let bad =
            |grade: Grade, what: String| (grade > least).then(|| format!("{what} is {grade}"));
        let weak = probe.weak.as_ref();
        match self {
            Self::Suite => sessions()
                .map(|session| &session.suite)
                .chain(weak.into_iter().flat_map(|weak| &weak.suites))
                .find_map(|suite| bad(guideline.suite(suite), suite.clone())),
            Self::Group => sessions()
                .filter_map(|session| session.group.as_ref())
                .chain(weak.into_iter().flat_map(|weak| weak.groups.iter().flatten()))
                .find_map(|group| bad(guideline.group(group), group.clone())),
            Self::Key => certificates(sessions()).find_map(|(_, certificate)| {
                let key = certificate.public_key().ok()?;
                bad(guideline.key(&key), key.to_string())
            }),
            Self::Hash => certificates(sessions()).find_map(|(_, certificate)| {
                let hash = certificate.signature_hash()?;
                (!certificate.is_self_issued())
                    .then(|| bad(guideline.hash(hash), hash.to_string()))
                    .flatten()
            }),
        }
    }
}

/// Whether it let us begin with TLS.
const fn is_ready(probe: &Probe) -> bool {
    matches!(probe.contact, Contact::Spoke { starttls: StartTlsSeen::Ready, .. })
}

fn sessions_of(probe: &Probe) -> impl Iterator<Item = &OfferedSession> {
    probe.handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(session) => Some(session),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    })
}

/// All certificates but roots.
fn certificates<'a>(
    sessions: impl Iterator<Item = &'a OfferedSession>,
) -> impl Iterator<Item = (usize, Certificate<'a>)> {
    sessions
        .flat_map(|session| session.chain.iter().enumerate())
        .filter_map(|(depth, der)| Some((depth, Certificate::read(der).ok()?)))
        .filter(|(depth, certificate)| *depth == 0 || !certificate.is_self_issued())
}
