//! What a domain publishes about the mail that it sends; and CAA, which any host may have.

use std::net::IpAddr;

use tokio::task::JoinSet;
use waxseal_core::{
    assess::{
        Consent, DkimKey, Dmarc, MailRecords, OwnKey, Published, Quoted, Spf,
        mail::{
            consent::{self, MOST_ASKED},
            dkim, dmarc, spf,
        },
    },
    dns::{Absence, Answer, Authenticity, Denial, LookupFailure},
    dnssec::RecordType,
    domain::Domain,
};

use super::{
    Errand, Scope, Surveyor,
    span::{Span, USED_UP},
    text::Read,
};
use crate::resolve::Lookup;

/// Questions that following one SPF record may cost us.
const MOST_SPF_QUESTIONS: usize = 48;

/// CAA records that are kept.
const MOST_CAA: usize = 16;

/// Selectors that are looked at.
pub(crate) const MOST_SELECTORS: usize = 16;

impl Surveyor {
    /// All of it.
    pub(super) async fn mail(&self, domain: &Domain, errand: &Errand) -> MailRecords {
        let span = &errand.span;
        let (spf, dmarc, dkim, domainkey, bimi) = tokio::join!(
            span.published("the SPF record", domain, self.spf(domain)),
            async {
                let dmarc = span.published("the DMARC record", domain, self.dmarc(domain)).await;
                self.consents(dmarc, span).await
            },
            self.dkim(domain, errand),
            span.published("the name _domainkey", domain, self.domainkey(domain)),
            span.published("the BIMI record", domain, self.bimi(domain)),
        );
        let own = errand.scope.own.clone();
        MailRecords { spf, dmarc, dkim, own, domainkey, bimi, security_txt: Published::NotAsked }
    }

    /// SPF (RFC 7208), followed through what it includes.
    async fn spf(&self, domain: &Domain) -> Published<Spf> {
        let (texts, authenticity, expires) = match self.resolver().txt(domain).await.answer {
            Answer::Found { value, authenticity, expires, .. } => (value, authenticity, expires),
            Answer::Absent { denial, absence, .. } => return Published::Absent { denial, absence },
            Answer::Failed(failure) => return Published::Failed(failure),
        };
        let mut ours = texts.iter().filter(|text| spf::is_spf(text));
        let record = match (ours.next(), ours.next()) {
            (None, _) => return nothing(authenticity),
            (Some(record), None) => record,
            (Some(record), Some(_)) => {
                let why = "there is more than one SPF record (RFC 7208 §3.2)".to_owned();
                return Published::Broken { text: Quoted::octets(record), why, authenticity };
            }
        };
        let mut walk = spf::Walk::new(domain, record);
        for _ in 0..MOST_SPF_QUESTIONS {
            let Some(needs) = walk.needs().cloned() else { break };
            walk.tell(self.told(&needs).await);
        }
        let text = Quoted::octets(record);
        Published::Found { value: walk.finish(), text, authenticity, expires }
    }

    async fn told(&self, needs: &spf::Needs) -> spf::Told {
        match needs {
            spf::Needs::Txt(name) => match self.resolver().txt(name).await.answer {
                Answer::Found { value, .. } => spf::Told::Texts(value),
                Answer::Absent { .. } => spf::Told::Nothing,
                Answer::Failed(failure) => spf::Told::Failed(failure.detail),
            },
            spf::Needs::Addresses(name) => there(self.resolver().addresses(name).await),
            spf::Needs::Exists(name) => match self.resolver().addresses(name).await.answer {
                Answer::Found { value, .. } if value.iter().any(IpAddr::is_ipv4) => {
                    spf::Told::Records(1)
                }
                Answer::Found { .. } | Answer::Absent { .. } => spf::Told::Nothing,
                Answer::Failed(failure) => spf::Told::Failed(failure.detail),
            },
            spf::Needs::Mx(name) => there(self.resolver().mx(name).await),
        }
    }

    /// DMARC, by the tree walk (RFC 9989 §4.10).
    async fn dmarc(&self, domain: &Domain) -> Published<Dmarc> {
        self.walked(dmarc::Walk::new(domain)).await.finish()
    }

    /// Asks what a walk needs to know, up to its end.
    async fn walked(&self, mut walk: dmarc::Walk) -> dmarc::Walk {
        while let Some(name) = walk.needs() {
            walk.tell(self.resolver().txt(&name).await.answer);
        }
        walk
    }

    /// Whether the domains of others that DMARC reports are to go to take them (RFC 7489 §7.1, RFC 9990 §4).
    async fn consents(&self, mut dmarc: Published<Dmarc>, span: &Span) -> Published<Dmarc> {
        let Published::Found { value, .. } = &mut dmarc else { return dmarc };
        let about = &value.at;
        let others = value.report_domains.iter_mut().filter(|to| to.domain != *about);
        let mut asking = JoinSet::new();
        let mut waiting = Vec::new();
        for (place, to) in others.enumerate() {
            if place >= MOST_ASKED {
                to.consent = Consent::Unknown(format!("only {MOST_ASKED} domains are asked"));
                continue;
            }
            let (surveyor, about, of, span) =
                (self.clone(), about.clone(), to.domain.clone(), span.clone());
            asking.spawn(async move {
                let what = format!("whether {of} takes the DMARC reports about {about}");
                let said = span.within(what, surveyor.consent(&about, &of)).await;
                (place, said.unwrap_or_else(|| Consent::Unknown(USED_UP.into())))
            });
            waiting.push(to);
        }
        for (place, said) in asking.join_all().await {
            if let Some(to) = waiting.get_mut(place) {
                to.consent = said;
            }
        }
        dmarc
    }

    /// Whether `to` takes the reports about `about`. Who belongs to the same organisation is asked last:
    /// it takes up to sixteen questions.
    async fn consent(&self, about: &Domain, to: &Domain) -> Consent {
        let said = match consent::name(about, to) {
            Ok(name) => match self.resolver().txt(&name).await.answer {
                Answer::Found { value, .. } => match consent::read(to, &value) {
                    Ok(()) => return Consent::Given,
                    Err(why) => Consent::Missing(why),
                },
                Answer::Absent { .. } => Consent::Missing("there is no such record".into()),
                Answer::Failed(failure) => Consent::Unknown(failure.detail),
            },
            Err(error) => Consent::Missing(error.to_string()),
        };
        let ours = tokio::join!(self.organisation(about), self.organisation(to));
        match ours {
            (Ok(about), Ok(to)) if about == to => Consent::NotNeeded,
            (Ok(_), Ok(_)) => said,
            (Err(failure), _) | (_, Err(failure)) => {
                Consent::Unknown(format!("whose domain it is: {}", failure.detail))
            }
        }
    }

    /// The organisation that a domain belongs to (RFC 9989 §4.10.2).
    async fn organisation(&self, domain: &Domain) -> Result<Domain, LookupFailure> {
        self.walked(dmarc::Walk::to_organisation(domain)).await.organisation()
    }

    /// DKIM keys (RFC 6376 §3.6.1) at our own selectors, and at those that were given.
    async fn dkim(&self, domain: &Domain, errand: &Errand) -> Vec<(String, Published<DkimKey>)> {
        let Scope { selectors, own, .. } = &errand.scope;
        let is_own =
            |given: &str| own.iter().any(|own| given.eq_ignore_ascii_case(own.selector.as_str()));
        let ours = own.iter().map(|own| (own.selector.to_string(), Some(own)));
        let given = selectors.iter().filter(|given| !is_own(given)).take(MOST_SELECTORS);
        let mut found = Vec::new();
        for (selector, own) in ours.chain(given.map(|given| (given.clone(), None))) {
            let below = format!("{selector}._domainkey");
            let asking = self.published(domain, &below, |records| key(records, own));
            let key = errand.span.published("a DKIM key", domain, asking).await;
            found.push((selector, key));
        }
        found
    }

    /// Whether the name that all DKIM keys are below is there, whatever the selectors are.
    async fn domainkey(&self, domain: &Domain) -> Published<Quoted> {
        self.published(domain, "_domainkey", |records| {
            let text = records.first().map(|record| Quoted::octets(record)).unwrap_or_default();
            Read::Means(text.clone(), text)
        })
        .await
    }

    /// CAA of a name, or of the first name above it that has some (RFC 8659 §3).
    pub(super) async fn caa(&self, domain: &Domain) -> Published<Vec<Quoted>> {
        let mut name = domain.clone();
        loop {
            let lookup = self.resolver().lookup(&name, RecordType::CAA).await;
            match lookup.answer {
                Answer::Found { ref value, authenticity, expires, .. } => {
                    let rdata = value.iter().take(MOST_CAA).map(|record| record.rdata.as_slice());
                    return match rdata.map(caa).collect::<Result<Vec<_>, _>>() {
                        Ok(value) => {
                            let text = value.first().cloned().unwrap_or_default();
                            Published::Found { value, text, authenticity, expires }
                        }
                        // A CA that cannot read a record must not issue (RFC 8659 §4.1).
                        Err((text, why)) => Published::Broken { text, why, authenticity },
                    };
                }
                Answer::Failed(failure) => return Published::Failed(failure),
                Answer::Absent { denial, absence, .. } => match above(&name) {
                    Some(higher) => name = higher,
                    None => return Published::Absent { denial, absence },
                },
            }
        }
    }

    /// Whether there is a BIMI record; nothing of it is judged.
    async fn bimi(&self, domain: &Domain) -> Published<Quoted> {
        self.published(domain, "default._bimi", |records| {
            match records.iter().find(|record| record.starts_with(b"v=BIMI1")) {
                Some(record) => Read::Means(Quoted::octets(record), Quoted::octets(record)),
                None => Read::Nothing,
            }
        })
        .await
    }
}

/// What the TXT records at a selector are. Which of several a receiver takes is undefined
/// (RFC 6376 §3.6.2.2): beside our own key it is the stranger's that matters.
fn key(records: &[Vec<u8>], own: Option<&OwnKey>) -> Read<DkimKey> {
    let Some(record) = records.first() else { return Read::Nothing };
    if records.len() > 1 {
        let ours = own.and_then(|own| own.digest.as_deref().ok());
        let strange = |record: &&Vec<u8>| {
            let key = dkim::read(record).ok()?;
            let digest = key.digest.as_deref()?;
            ours.is_some_and(|ours| ours != digest).then(|| (key, Quoted::octets(record)))
        };
        return match records.iter().find_map(|record| strange(&record)) {
            Some((key, text)) => Read::Means(key, text),
            None => {
                let why = format!("{} TXT records are at its name", records.len());
                Read::Broken(Quoted::octets(record), why)
            }
        };
    }
    match dkim::read(record) {
        Ok(key) => Read::Means(key, Quoted::octets(record)),
        Err(why) => Read::Broken(Quoted::octets(record), why),
    }
}

/// The parent, where it is no top-level domain.
fn above(name: &Domain) -> Option<Domain> {
    let (_, rest) = name.as_str().split_once('.')?;
    if rest.contains('.') { Domain::parse(rest).ok() } else { None }
}

fn there<T>(lookup: Lookup<Vec<T>>) -> spf::Told {
    match lookup.answer {
        Answer::Found { value, .. } => spf::Told::Records(value.len()),
        Answer::Absent { .. } => spf::Told::Nothing,
        Answer::Failed(failure) => spf::Told::Failed(failure.detail),
    }
}

/// TXT records, none of which is meant.
const fn nothing<T>(authenticity: Authenticity) -> Published<T> {
    let absence = match authenticity {
        Authenticity::Secure => Absence::Secure,
        Authenticity::Insecure => Absence::Unconfirmed,
    };
    Published::Absent { denial: Denial::NoData, absence }
}

/// `flags tag value`; or the record in hexadecimal, and what is wrong with it (RFC 8659 §4.1).
fn caa(rdata: &[u8]) -> Result<Quoted, (Quoted, String)> {
    let whole = || {
        let (&flags, rest) = rdata.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (tag, value) = rest.split_at_checked(usize::from(length))?;
        let tag = std::str::from_utf8(tag).ok()?;
        let is_tag = !tag.is_empty() && tag.bytes().all(|octet| octet.is_ascii_alphanumeric());
        is_tag
            .then(|| Quoted::new(&format!("{flags} {tag} \"{}\"", String::from_utf8_lossy(value))))
    };
    whole().ok_or_else(|| {
        let hex: String = rdata.iter().take(64).map(|octet| format!("{octet:02x}")).collect();
        (Quoted::new(&hex), "a CAA record has no tag that can be read".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::caa;

    #[test]
    fn a_caa_record_has_flags_a_tag_and_a_value_or_is_broken() {
        let good = caa(b"\x00\x05issueca.example").unwrap();
        assert_eq!(good.as_str(), "0 issue \"ca.example\"");
        for bad in [
            &b""[..],
            b"\x00",
            b"\x00\x00",
            b"\x00\x09issue",
            b"\x00\x05is ue",
            b"\x00\x02\xff\xff",
        ] {
            assert!(caa(bad).is_err(), "{bad:?}");
        }
    }
}
