//! What we publish about ourselves: `[domain.publish]`, `[publish]` and `[web.policy]`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use waxseal_core::{domain::Domain, publish::Mta, sts::MAX_AGE};

use super::{
    BadValue, Identity, SecretRef, TsigAlgorithm,
    build::Build,
    raw::{RawDomainPublish, RawPublish, RawPublishMx, RawUpdate},
};

/// What one of our domains publishes. The default publishes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPublish {
    /// Our MX hosts.
    pub mx: Vec<Domain>,
    /// `rua` of TLSRPT (RFC 8460 §3); none: no record.
    pub tlsrpt: Vec<String>,
    /// What is published of MTA-STS.
    pub mta_sts: Mta,
    /// `max_age` of the policy.
    pub max_age: Duration,
    /// The same where it was written down, and is no default.
    pub max_age_said: Option<Duration>,
    /// Certificate of the policy host; `None`: that of `[web.policy]`.
    pub policy_identity: Option<Identity>,
    /// Mechanisms of SPF for other senders (RFC 7208 §5).
    pub spf: Vec<String>,
    /// DKIM keys whose records have to be there.
    pub dkim: Vec<DkimKey>,
    /// Selectors that sign no more.
    pub dkim_retired: Vec<Domain>,
    /// What receivers are asked to do with mail that fails DMARC.
    pub dmarc: Option<String>,
    /// Where aggregate reports of DMARC go.
    pub dmarc_reports: Vec<String>,
}

/// A selector and where its key lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimKey {
    /// `s=` (RFC 6376 §3.1)
    pub selector: Domain,
    /// The private key, PKCS #8.
    pub key: SecretRef,
}

/// `[publish]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// TTL of the records that we write.
    pub ttl: Duration,
    /// What `publish` remembers; an absolute path.
    pub state: PathBuf,
    /// The keys of our MX hosts.
    pub mx: Vec<MxKeys>,
    /// Where records are sent; `None`: they are printed.
    pub update: Option<Update>,
}

/// The keys of one MX host, as PEM files: certificates, public or private keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MxKeys {
    /// Its name in DNS.
    pub host: Domain,
    /// What it uses now, one file for each key algorithm.
    pub current: Vec<PathBuf>,
    /// What it will use next.
    pub next: Vec<PathBuf>,
    /// Issuers whose certificates may follow (`2 1 1`).
    pub issuers: Vec<PathBuf>,
}

/// `[publish.update]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The primary server.
    pub server: SocketAddr,
    /// The name of the key.
    pub name: Domain,
    /// Its algorithm.
    pub algorithm: TsigAlgorithm,
    /// The key, in base64.
    pub key: SecretRef,
}

/// `[web.policy]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySite {
    /// Where it listens.
    pub address: SocketAddr,
    /// Certificate for all policy hosts; `None`: that of `[tls]`, or each domain's own.
    pub identity: Option<Identity>,
}

/// More than any zone should have: a receiver may give up at that (rules §5.2: about 12 TLSA records).
const MOST_FILES: usize = 8;

impl FromStr for DkimKey {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some((selector, key)) = text.split_once('=') else {
            return Err(BadValue::new("write SELECTOR=file:/path or SELECTOR=credential:NAME"));
        };
        let selector = Domain::parse(selector.trim())
            .map_err(|error| BadValue::new(format!("the selector: {error}")))?;
        Ok(Self { selector, key: key.trim().parse()? })
    }
}

impl Build<'_> {
    pub(super) fn domain_publish(&mut self, raw: RawDomainPublish, at: &str) -> DomainPublish {
        let at = |key: &str| format!("{at}.publish.{key}");
        let mx = raw.mx.unwrap_or_default();
        let mta_sts = raw.mta_sts.unwrap_or(Mta::Off);
        let said = raw.mta_sts_max_age.is_some();
        let max_age = self.span(raw.mta_sts_max_age, 14 * 86_400, &at("mta_sts_max_age"));
        if max_age > MAX_AGE {
            // RFC 8461 §3.2
            self.fault(at("mta_sts_max_age"), "at most 31557600 s, a year");
        }
        if matches!(mta_sts, Mta::Testing | Mta::Enforce) && mx.is_empty() {
            self.fault(at("mta_sts"), "a policy needs the MX hosts in `mx`");
        }
        let tlsrpt = raw.tlsrpt.unwrap_or_default();
        self.reports(&tlsrpt, &["mailto:", "https://"], &at("tlsrpt"));
        let dmarc_reports = raw.dmarc_reports.unwrap_or_default();
        self.reports(&dmarc_reports, &["mailto:"], &at("dmarc_reports"));
        let dmarc = raw.dmarc.filter(|policy| !policy.is_empty());
        if dmarc.as_deref().is_some_and(|p| !matches!(p, "none" | "quarantine" | "reject")) {
            self.fault(at("dmarc"), "one of \"none\", \"quarantine\", \"reject\"");
        }
        let spf = raw.spf.unwrap_or_default();
        let printable = |word: &String| {
            !word.is_empty() && word.len() < 256 && word.bytes().all(|b| b.is_ascii_graphic())
        };
        if !spf.iter().all(printable) {
            self.fault(at("spf"), "each is one mechanism, such as \"include:_spf.example.net\"");
        }
        let mut dkim: Vec<DkimKey> = Vec::new();
        for text in raw.dkim.unwrap_or_default() {
            match text.parse::<DkimKey>() {
                Ok(key) if dkim.iter().any(|other| other.selector == key.selector) => {
                    self.fault(at("dkim"), format!("{} is listed twice", key.selector));
                }
                Ok(key) => dkim.push(key),
                Err(error) => self.fault(at("dkim"), error.to_string()),
            }
        }
        let dkim_retired = raw.dkim_retired.unwrap_or_default();
        if dkim.iter().any(|key| dkim_retired.contains(&key.selector)) {
            self.fault(at("dkim_retired"), "a selector with a key in `dkim` is not retired");
        }
        let identity = (raw.mta_sts_certificate, raw.mta_sts_key);
        let policy_identity = self.identity(identity.0, identity.1, &at("mta_sts_"));
        DomainPublish {
            mx,
            tlsrpt,
            mta_sts,
            max_age,
            max_age_said: said.then_some(max_age),
            policy_identity,
            spf,
            dkim,
            dkim_retired,
            dmarc,
            dmarc_reports,
        }
    }

    /// URIs that stand in a record: a comma, semicolon or exclamation mark would end them
    /// (RFC 8460 §3, RFC 7489 §6.3).
    fn reports(&mut self, uris: &[String], schemes: &[&str], at: &str) {
        let fine = |uri: &String| {
            let known = |scheme: &&str| uri.len() > scheme.len() && uri.starts_with(*scheme);
            let clean = |b: u8| b.is_ascii_graphic() && !b",;!\"\\".contains(&b);
            schemes.iter().any(known) && uri.bytes().all(clean)
        };
        if let Some(bad) = uris.iter().find(|uri| !fine(uri)) {
            let known = schemes.join(" or ");
            self.fault(at, format!("{bad:?} is no {known} address without , ; !"));
        }
    }

    pub(super) fn publish(&mut self, raw: RawPublish, data_dir: &std::path::Path) -> Publish {
        let ttl = self.span(raw.ttl, 3_600, "publish.ttl");
        if ttl > Duration::from_secs(86_400) {
            self.fault("publish.ttl", "at most a day: a change of keys takes twice as long");
        }
        let mut mx: Vec<MxKeys> = Vec::new();
        for (nth, raw) in raw.mx.unwrap_or_default().into_iter().enumerate() {
            let at = format!("publish.mx[{nth}]");
            let Some(keys) = self.mx_keys(raw, &at) else { continue };
            if mx.iter().any(|other| other.host == keys.host) {
                self.fault(format!("{at}.host"), format!("{} is listed twice", keys.host));
            }
            mx.push(keys);
        }
        let state = self.path(raw.state).unwrap_or_else(|| data_dir.join("publish.json"));
        let update = raw.update.and_then(|raw| self.update(raw));
        Publish { ttl, state, mx, update }
    }

    fn mx_keys(&mut self, raw: RawPublishMx, at: &str) -> Option<MxKeys> {
        let Some(host) = raw.host else {
            self.fault(at, "a [[publish.mx]] needs a `host`");
            return None;
        };
        let mut files = |paths: Option<Vec<PathBuf>>, key: &str| {
            let paths: Vec<PathBuf> =
                paths.unwrap_or_default().into_iter().filter_map(|p| self.path(Some(p))).collect();
            if paths.len() > MOST_FILES {
                self.fault(format!("{at}.{key}"), format!("at most {MOST_FILES} files"));
            }
            paths
        };
        let current = files(raw.current, "current");
        let next = files(raw.next, "next");
        let issuers = files(raw.issuers, "issuers");
        Some(MxKeys { host, current, next, issuers })
    }

    fn update(&mut self, raw: RawUpdate) -> Option<Update> {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let key = self.secret(raw.tsig_key, "publish.update.tsig_key");
        let (server, name) = match (set(raw.server), set(raw.tsig_name), key.is_some()) {
            (None, None, false) => return None,
            (Some(server), Some(name), true) => (server, name),
            (None, ..) | (_, None, _) | (.., false) => {
                let what = "`server`, `tsig_name` and `tsig_key` belong together";
                self.fault("publish.update.server", what);
                return None;
            }
        };
        let server = match server.parse::<super::Upstream>() {
            Ok(upstream) if upstream.tls.is_none() => upstream.address,
            Ok(_) | Err(_) => {
                self.fault("publish.update.server", "an address: 192.0.2.53 or 192.0.2.53:53");
                return None;
            }
        };
        let name = match Domain::parse(&name) {
            Ok(name) => name,
            Err(error) => {
                self.fault("publish.update.tsig_name", error.to_string());
                return None;
            }
        };
        let algorithm = raw.tsig_algorithm.unwrap_or(TsigAlgorithm::HmacSha256);
        Some(Update { server, name, algorithm, key: key? })
    }
}
