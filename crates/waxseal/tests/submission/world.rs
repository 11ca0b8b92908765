//! A listener on a free port, its CA, and a store that remembers.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{sync::watch, task::JoinHandle};
use waxseal::{
    listen::{
        Accept, AcceptError, Asked, Begin, ClientCa, Control, Desk, DkimUnknown, DkimVerifier,
        Kind, Lane, Listener, Passwords, Proof, Recipients, Remembered, ServerTls, Settings,
        Submission, Times, Verification, hash,
    },
    resolve::Clock,
};
use waxseal_core::{
    domain::Domain,
    pki::Certificate,
    queue_id::QueueId,
    smtp::server::{Answer, AuthOffer, Limits, Question, Settings as SmtpSettings, StartTls},
};

use super::people::Wire;

/// A CA of our own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn issue(&self, name: &str, purpose: rcgen::ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        self.issue(name, rcgen::ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// The same, and how its key is written in a configuration.
    pub(crate) fn client_with_pin(&self, name: &str) -> (Identity, String) {
        let identity = self.client(name);
        let pin = Certificate::read(&identity.0[0]).unwrap().key_digest();
        (identity, format!("sha256:{}", pin.map(|octet| format!("{octet:02x}")).concat()))
    }

    pub(crate) fn server(&self, name: &str) -> ServerTls {
        self.server_for(name, ClientCa::default())
    }

    fn server_for(&self, name: &str, clients: ClientCa<'_>) -> ServerTls {
        let (chain, key) = self.issue(name, rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        ServerTls::new(chain, key, clients).unwrap()
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }
}

/// A store that remembers what it took, and fails when told to.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    taken: Vec<Submission>,
    failures: VecDeque<AcceptError>,
    signers: Option<Result<Vec<Domain>, DkimUnknown>>,
    answers: VecDeque<Answer>,
}

impl Inbox {
    pub(crate) fn last(&self) -> Submission {
        self.0.lock().unwrap().taken.last().expect("a message was taken").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().taken.len()
    }

    pub(crate) fn fail_with(&self, error: AcceptError) {
        self.0.lock().unwrap().failures.push_back(error);
    }

    pub(crate) fn signed_by(&self, signers: &[&str]) {
        let signers = signers.iter().map(|name| Domain::parse(name).unwrap()).collect();
        self.0.lock().unwrap().signers = Some(Ok(signers));
    }

    /// What inside says of the next recipient.
    pub(crate) fn answers(&self, answer: Answer) {
        self.0.lock().unwrap().answers.push_back(answer);
    }

    pub(crate) fn keys_cannot_be_had(&self) {
        self.0.lock().unwrap().signers = Some(Err(DkimUnknown));
    }
}

impl Accept for Inbox {
    async fn accept(&self, submission: Submission) -> Result<QueueId, AcceptError> {
        let mut state = self.0.lock().unwrap();
        if let Some(error) = state.failures.pop_front() {
            return Err(error);
        }
        state.taken.push(submission);
        Ok(QueueId::new(u64::try_from(state.taken.len()).unwrap()).unwrap())
    }
}

impl Recipients for Inbox {
    fn remembered(&self, _question: &Question) -> Remembered {
        Remembered::Nothing
    }

    fn ask(&self, _question: Question, _lane: Lane) -> Asked<'_> {
        let mut state = self.0.lock().unwrap();
        let answer = state.answers.pop_front().unwrap_or(Answer::Taken);
        Box::pin(std::future::ready(answer))
    }
}

impl DkimVerifier for Inbox {
    fn verify<'a>(&'a self, _message: &'a [u8]) -> Verification<'a> {
        let ours = || Ok(vec![Domain::parse("example.com").unwrap()]);
        let signers = self.0.lock().unwrap().signers.clone().unwrap_or_else(ours);
        Box::pin(async { signers })
    }
}

/// The SMTP part of settings, to change.
pub(crate) fn smtp(settings: &mut Settings) -> &mut SmtpSettings {
    Arc::make_mut(&mut settings.smtp)
}

/// `anna` with `hunter2` may sign in.
pub(crate) fn with_passwords(settings: &mut Settings) {
    static HASH: OnceLock<String> = OnceLock::new();
    let hash = HASH.get_or_init(|| hash(b"hunter2", [7; 16]).unwrap());
    smtp(settings).auth = AuthOffer::Yes;
    settings.passwords = Some(Arc::new(Passwords::parse(&format!("anna:{hash}\n")).unwrap()));
}

/// A listener, as it runs.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) inbox: Inbox,
    pub(crate) address: SocketAddr,
    settings: Settings,
    control: Control,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
}

impl World {
    /// Plain SMTP for the loopback network, but for what `change` says.
    pub(crate) async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start(ClientCa::default(), change).await
    }

    /// As [`Self::new`]; certificates of `ca` that are `listed` may relay.
    pub(crate) async fn with_clients(
        ca: &Authority,
        listed: &[&str],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let listed: Vec<_> = listed.iter().map(|text| text.parse().unwrap()).collect();
        let certificates = std::slice::from_ref(&ca.certificate);
        Self::start(ClientCa { certificates, listed: &listed }, change).await
    }

    async fn start(clients: ClientCa<'_>, change: impl FnOnce(&mut Settings)) -> Self {
        let authority = Authority::new("the CA of the gateway");
        let smtp = SmtpSettings {
            hostname: Domain::parse("gw.example.com").unwrap(),
            senders: ["example.com", "example.org"].map(|name| Domain::parse(name).unwrap()).into(),
            postmaster: None,
            starttls: StartTls::NotOffered,
            auth: AuthOffer::No,
            limits: Limits { message: 10_000, ..Limits::default() },
        };
        let mut settings = Settings {
            smtp: Arc::new(smtp),
            tls: Some(authority.server_for("gw.example.com", clients)),
            begin: Begin::Greeting,
            kind: Kind::Relay,
            relay_from: vec!["127.0.0.0/8".parse().unwrap()],
            proof: Proof::Address,
            passwords: None,
            times: Times::default(),
            sessions: 100,
            sessions_per_client: 100,
            intake: 1 << 30,
            intake_per_client: 1 << 30,
        };
        change(&mut settings);
        let inbox = Inbox::default();
        let (dkim, recipients) = (Box::new(inbox.clone()), Box::new(inbox.clone()));
        let desk = Desk::new(inbox.clone(), dkim, recipients, Clock::system());
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind(local, settings.clone(), desk).await.unwrap();
        let (address, control) = (listener.address(), listener.control());
        let (stop, stopped) = watch::channel(false);
        let serving = Some(tokio::spawn(listener.serve(stopped)));
        Self { authority, inbox, address, settings, control, stop, serving }
    }

    pub(crate) async fn connect(&self) -> Wire {
        self.connect_from(Ipv4Addr::LOCALHOST.into()).await
    }

    pub(crate) async fn connect_from(&self, from: IpAddr) -> Wire {
        Wire::connect(from, self.address).await
    }

    pub(crate) fn replace(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.clone();
        change(&mut settings);
        self.control.replace(settings);
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn ended(&mut self) {
        self.serving.take().unwrap().await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}
