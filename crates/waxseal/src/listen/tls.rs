//! TLS as a server: our certificate, and what a client's certificate is good for.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use aws_lc_rs::digest;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime as PkiTime, pem::PemObject};
use waxseal_core::{
    channel::TlsVersion,
    domain::Domain,
    pki::Certificate,
    smtp::{
        received::TlsFacts,
        server::{Certified, Grant},
    },
};

use crate::{
    config::{ClientId, RelayClient},
    tls::{group_name, provider, suite_name},
};

/// Where our certificate and the CA of our clients lie: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// End entity first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA of the client certificates that may relay.
    pub client_ca: Option<PathBuf>,
    /// Which of its certificates may.
    pub clients: Vec<RelayClient>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsFilesError {
    /// A file that cannot be read, or holds something else than it should.
    #[error("{path}: cannot read {what}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What went wrong.
        why: String,
    },
    /// Certificate and key do not belong together, or the key is of a kind that TLS does not use.
    #[error("{certificate}: the certificate and its key cannot be used: {source}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// What rustls says.
        source: Error,
    },
}

/// A certificate that is served, and who is known by a certificate of their own.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    clients: Option<Clients>,
}

/// Clients that are known by their certificates.
#[derive(Clone, Debug)]
struct Clients {
    authority: Arc<dyn ClientCertVerifier>,
    listed: Arc<[RelayClient]>,
}

/// Client certificates, before they are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientCa<'a> {
    /// The CA; none: no certificate is asked for.
    pub certificates: &'a [CertificateDer<'static>],
    /// Which of its certificates may relay.
    pub listed: &'a [RelayClient],
}

impl ServerTls {
    /// Reads the files: at start, and again at each reload.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsFilesError> {
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|why| TlsFilesError::File {
            path: files.key.clone(),
            what: "a private key",
            why: why.to_string(),
        })?;
        let authority = files.client_ca.as_ref().map(certificates).transpose()?;
        let authority = authority.unwrap_or_default();
        let clients = ClientCa { certificates: &authority, listed: &files.clients };
        Self::new(chain, key, clients).map_err(|source| TlsFilesError::Unusable {
            certificate: files.certificate.clone(),
            source,
        })
    }

    /// From parts. Client certificates are asked for where there is a CA for them.
    ///
    /// # Errors
    /// Certificate and key do not belong together.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: ClientCa<'_>,
    ) -> Result<Self, Error> {
        let clients = match clients.certificates {
            [] => None,
            some => Some(Clients {
                authority: client_verifier(some)?,
                listed: clients.listed.to_vec().into(),
            }),
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let builder = match &clients {
            Some(known) => {
                let ask = AskOnly(Arc::clone(&known.authority));
                builder.with_client_cert_verifier(Arc::new(ask))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key)?;
        // A client that comes often saves both sides the signature and the key exchange's proof.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), clients })
    }

    /// What the client's certificate is good for. Asked after each handshake, resumed ones too, so
    /// that a CA or a client that was taken out of the configuration counts no longer. The CA alone
    /// is not enough: it may have other customers, and insiders.
    pub(super) fn grant(&self, session: &ServerConnection, now: PkiTime) -> Option<Grant> {
        let (end_entity, intermediates) = session.peer_certificates()?.split_first()?;
        let clients = self.clients.as_ref()?;
        clients.authority.verify_client_cert(end_entity, intermediates, now).ok()?;
        let print = digest::digest(&digest::SHA256, end_entity);
        let hex: String = print.as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let id = format!("sha256:{hex}");
        let Some(senders) = senders(&clients.listed, end_entity) else {
            tracing::warn!("the client certificate {id} is of our CA and not listed: no relay");
            return None;
        };
        Some(Grant::Certificate(Certified { id, senders }))
    }
}

/// For which of our domains a certificate may send: `None` for nothing, `Some(None)` for all.
fn senders(listed: &[RelayClient], certificate: &[u8]) -> Option<Option<BTreeSet<Domain>>> {
    let read = Certificate::read(certificate).ok()?;
    // A name that cannot be read is nobody's.
    let names = read.dns_ids().unwrap_or_default();
    let fits = |client: &&RelayClient| match &client.who {
        ClientId::Any => true,
        ClientId::Key(pin) => pin.0 == read.key_digest(),
        ClientId::Name(name) => names.iter().any(|found| found.eq_ignore_ascii_case(name.as_str())),
    };
    let mut fitting = listed.iter().filter(fits).peekable();
    fitting.peek()?;
    let mut domains = BTreeSet::new();
    for client in fitting {
        if client.domains.is_empty() {
            return Some(None);
        }
        domains.extend(client.domains.iter().cloned());
    }
    Some(Some(domains))
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsFilesError> {
    let fault =
        |why: String| TlsFilesError::File { path: path.clone(), what: "a PEM certificate", why };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|why| fault(why.to_string()))?;
    if chain.is_empty() { Err(fault("there is none in it".into())) } else { Ok(chain) }
}

fn client_verifier(ca: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|why| Error::General(format!("the CA of client certificates: {why}")))
}

/// Asks for a certificate and checks that the client has its key, but lets everybody in: Exchange
/// and Postfix show certificates of any CA to whoever asks. What one is good for is said by
/// [`ServerTls::grant`].
#[derive(Debug)]
struct AskOnly(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AskOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: PkiTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What TLS came to.
pub(super) fn facts(session: &ServerConnection) -> Option<TlsFacts> {
    // The configuration offers these two and no other.
    let version = if session.protocol_version()? == ProtocolVersion::TLSv1_3 {
        TlsVersion::V1_3
    } else {
        TlsVersion::V1_2
    };
    Some(TlsFacts {
        version,
        suite: suite_name(session.negotiated_cipher_suite()?.suite()),
        group: session.negotiated_key_exchange_group().map(|group| group_name(group.name())),
    })
}
