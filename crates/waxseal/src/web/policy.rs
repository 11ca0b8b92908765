//! The role `policy`: MTA-STS policies of our own domains over HTTPS (RFC 8461 §3.3), and nothing
//! else. One path, two methods, no redirect; a policy is a few hundred octets that never change
//! while a request is answered.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Extension, Router,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use waxseal_core::{
    domain::Domain,
    pki::{self, Certificate},
    publish::texts,
    sts::{PATH, Policy},
};

use super::site::Sni;
use crate::config::{Config, Identity};

/// What is served now. A reload puts something else in place; clones see it.
#[derive(Clone)]
pub struct PolicyHost(Arc<RwLock<Arc<Served>>>);

impl fmt::Debug for PolicyHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PolicyHost").field(&self.now().pages.keys()).finish()
    }
}

/// Policies and certificates, by the name of the policy host.
struct Served {
    pages: BTreeMap<Domain, Page>,
    certificates: BTreeMap<Domain, Arc<CertifiedKey>>,
    /// For everybody else.
    default: Option<Arc<CertifiedKey>>,
}

#[derive(Clone)]
struct Page {
    text: String,
    /// In quotes (RFC 9110 §8.8.3).
    tag: HeaderValue,
}

impl PolicyHost {
    /// From a configuration; reads certificates and keys.
    ///
    /// # Errors
    /// A file that cannot be used, or a policy host without a certificate, in one sentence.
    pub fn new(config: &Config) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(Served::new(config)?)))))
    }

    /// Serves what another configuration says from now on.
    ///
    /// # Errors
    /// As for [`Self::new`]; what was served before still is.
    pub fn replace(&self, config: &Config) -> Result<(), String> {
        let served = Arc::new(Served::new(config)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = served;
        Ok(())
    }

    fn now(&self) -> Arc<Served> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// TLS for the listener: the certificate is chosen by SNI (RFC 8461 §3.3, RFC 6066 §3).
    ///
    /// # Errors
    /// The cryptographic provider lacks what TLS 1.2 or 1.3 need: a broken build.
    pub fn tls(&self) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The pages.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }
}

impl ResolvesServerCert for PolicyHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.now();
        let name = hello.server_name().and_then(|name| Domain::parse(name).ok());
        let own = name.and_then(|name| served.certificates.get(&name).cloned());
        own.or_else(|| served.default.clone())
    }
}

impl Served {
    fn new(config: &Config) -> Result<Self, String> {
        let site = config.web.policy.as_ref().and_then(|site| site.identity.as_ref());
        let default = match site.or(config.tls.identity.as_ref()) {
            Some(identity) => Some(Arc::new(certified(identity)?)),
            None => None,
        };
        let mut served = Self { pages: BTreeMap::new(), certificates: BTreeMap::new(), default };
        for domain in &config.domains {
            let publish = &domain.publish;
            let policy = texts::policy(publish.mta_sts, &publish.mx, publish.max_age);
            let Some(policy) = policy else { continue };
            let host = domain.name.below("mta-sts").map_err(|error| error.to_string())?;
            let own = publish.policy_identity.as_ref().map(certified).transpose()?.map(Arc::new);
            let Some(shown) = own.clone().or_else(|| served.default.clone()) else {
                return Err(format!(
                    "{host} has no certificate: name one in [web.policy], [tls] or its \
                     [domain.publish]"
                ));
            };
            warn_of_name(&host, &shown);
            served.pages.insert(host.clone(), Page::new(&policy));
            if let Some(own) = own {
                served.certificates.insert(host, own);
            }
        }
        if served.pages.is_empty() {
            tracing::warn!("[web.policy] listens, and no [[domain]] has a policy (`mta_sts`)");
        }
        Ok(served)
    }
}

impl Page {
    fn new(policy: &Policy) -> Self {
        let tag = HeaderValue::try_from(format!("\"{}\"", texts::policy_id(policy)));
        Self { text: policy.to_string(), tag: tag.unwrap_or(HeaderValue::from_static("\"\"")) }
    }
}

/// A certificate for another name is served all the same: it may be replaced in a minute, and mail does
/// not depend on it. But it is said.
fn warn_of_name(host: &Domain, shown: &CertifiedKey) {
    let Ok(first) = shown.end_entity_cert() else { return };
    let names = [host.clone()];
    let fits = Certificate::read(first).and_then(|read| pki::presents(&read, &names).map(|_| ()));
    if let Err(fault) = fits {
        tracing::warn!("no sender can fetch the policy of {host}: {fault}");
    }
}

fn certified(identity: &Identity) -> Result<CertifiedKey, String> {
    let wrong =
        |path: &std::path::Path, why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let file = &identity.certificate;
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(file, &error))?;
    if chain.is_empty() {
        return Err(wrong(file, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&identity.key)
        .map_err(|error| wrong(&identity.key, &error))?;
    CertifiedKey::from_der(chain, key, &crate::tls::provider()).map_err(|error| wrong(file, &error))
}

async fn answer(
    Shared(host): Shared<PolicyHost>,
    Extension(sni): Extension<Sni>,
    request: Request,
) -> Response {
    let Some(page) = host.page(&request, &sni) else {
        // RFC 9110 §15.5.20: not a name that we answer for, or not the one of the certificate.
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    };
    if request.uri().path() != PATH || request.uri().query().is_some() {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, page.tag.clone());
    if request.headers().get(header::IF_NONE_MATCH) == Some(&page.tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    (headers, page.text).into_response()
}

impl PolicyHost {
    /// The policy of the host that a request is for. Where the client named one in the handshake, it has
    /// to be the same: its certificate was checked for that one.
    fn page(&self, request: &Request, sni: &Sni) -> Option<Page> {
        // HTTP/1.1 has one Host field or an absolute target (RFC 9112 §3.2).
        let mut fields = request.headers().get_all(header::HOST).iter();
        let (field, None) = (fields.next()?, fields.next()) else { return None };
        let text = field.to_str().ok()?;
        let name = text.strip_suffix(":443").unwrap_or(text);
        let name = Domain::parse(name).ok()?;
        if request
            .uri()
            .host()
            .is_some_and(|target| Domain::parse(target).ok().as_ref() != Some(&name))
        {
            return None;
        }
        if let Sni(Some(shown)) = sni
            && Domain::parse(shown).ok().as_ref() != Some(&name)
        {
            return None;
        }
        self.now().pages.get(&name).cloned()
    }
}
