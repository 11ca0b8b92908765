//! Fetches MTA-STS policies over HTTPS (RFC 8461 §3.3): from one host, at one path, without
//! redirects, within limits of time and size.

mod https;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hyper::StatusCode;
use rustls_pki_types::TrustAnchor;
use waxseal_core::{
    domain::Domain,
    facts::StsFailure,
    sts::{MAX_POLICY_BYTES, PATH, Policy},
};

pub(crate) use self::https::{Body, Each, Fetched, Https, Unasked, Wanted};
use crate::{
    dial::Dialler,
    gather::{Dns, Own, PolicySource, Soon},
};

/// How policies are fetched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// 443.
    pub port: u16,
    /// For everything together: addresses, TLS, head and body (RFC 8461 §3.3: a minute).
    pub timeout: Duration,
    /// Addresses that are ours; a policy host there is refused like one in a private network.
    pub own: Own,
    /// Domains of ours. What serves their policies may be this gateway (`[web.policy]`), and to fetch from
    /// ourselves is no loop: nothing is sent.
    pub ours: BTreeSet<Domain>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 443,
            timeout: Duration::from_secs(60),
            own: Own::default(),
            ours: BTreeSet::new(),
        }
    }
}

/// Fetches policies.
#[derive(Clone)]
pub struct PolicyFetcher(Https);

impl std::fmt::Debug for PolicyFetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PolicyFetcher").field(&self.0.settings).finish()
    }
}

impl PolicyFetcher {
    /// A fetcher that believes certificates of `roots`.
    ///
    /// # Errors
    /// The cryptographic provider lacks what TLS 1.2 or 1.3 need: a broken build.
    pub fn new(
        settings: Settings,
        dns: Arc<dyn Dns>,
        dialler: Dialler,
        roots: &[TrustAnchor<'static>],
    ) -> Result<Self, rustls::Error> {
        Https::new(settings, dns, dialler, roots).map(Self)
    }

    /// The same, with addresses from here.
    pub(crate) fn through(&self, dns: Arc<dyn Dns>) -> Self {
        Self(self.0.through(dns))
    }

    /// For other files, with the same care.
    pub(crate) const fn https(&self) -> &Https {
        &self.0
    }

    /// What the policy host serves.
    pub(crate) async fn served(&self, destination: &Domain) -> Result<Fetched, StsFailure> {
        let host = policy_host(destination)?;
        self.0.get(Wanted { host: &host, path: PATH, most: MAX_POLICY_BYTES }).await
    }

    /// The same at each of its addresses, up to `most` of them.
    pub(crate) async fn served_each(
        &self,
        destination: &Domain,
        most: usize,
    ) -> Result<Each, StsFailure> {
        let host = policy_host(destination)?;
        self.0.get_each(Wanted { host: &host, path: PATH, most: MAX_POLICY_BYTES }, most).await
    }
}

impl PolicySource for PolicyFetcher {
    fn fetch<'a>(&'a self, destination: &'a Domain) -> Soon<'a, Result<Policy, StsFailure>> {
        Box::pin(async move { policy(destination, &self.served(destination).await?) })
    }
}

fn policy_host(destination: &Domain) -> Result<Domain, StsFailure> {
    destination
        .below("mta-sts")
        .map_err(|error| StsFailure::Fetch(format!("mta-sts.{destination}: {error}")))
}

/// What is a policy: 200 and `text/plain`, nothing else. A redirect is not followed, and an error
/// page is no policy (RFC 8461 §3.3).
pub(crate) fn policy(destination: &Domain, fetched: &Fetched) -> Result<Policy, StsFailure> {
    let host = policy_host(destination)?;
    let status = fetched.status;
    if status.is_redirection() {
        let text = format!("{host} redirects ({status}), and redirects are not followed");
        return Err(StsFailure::Fetch(text));
    }
    if status != StatusCode::OK {
        return Err(StsFailure::Fetch(format!("{host} answered {status}")));
    }
    let essence = fetched.media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if !essence.trim_ascii().eq_ignore_ascii_case(b"text/plain") {
        return Err(StsFailure::Invalid(format!("what {host} serves is not text/plain")));
    }
    match &fetched.body {
        Body::Whole(file) => Policy::parse(file).map_err(|error| {
            StsFailure::Invalid(format!("what {host} serves is not a policy: {error}"))
        }),
        Body::TooLong | Body::NotRead => {
            Err(StsFailure::Invalid(format!("{host} serves more than {MAX_POLICY_BYTES} octets")))
        }
    }
}
