//! `[[listen]]`: where mail comes in, and who may do what there.

use std::net::IpAddr;

use waxseal_core::{domain::Domain, facts::Peer};

use super::{
    Listen, ListenKind, ListenTls, RelayProof, SenderDomain, build::Build, raw::RawListen,
};

impl Build<'_> {
    pub(super) fn listeners(&mut self, written: Vec<RawListen>) -> Vec<Listen> {
        let mut listeners: Vec<Listen> = Vec::new();
        for (nth, raw) in written.into_iter().enumerate() {
            let at = format!("listen[{nth}]");
            let Some(address) = raw.address else {
                self.fault(at, "a [[listen]] needs an `address`");
                continue;
            };
            let twice = |other: &Listen| other.address == address && address.port() != 0;
            if listeners.iter().any(twice) {
                self.fault(format!("{at}.address"), format!("{address} is listed twice"));
            }
            // RFC 6409 §3.1, RFC 8314 §7.3.
            let by_port = match address.port() {
                465 | 587 => ListenKind::Submission,
                _ => ListenKind::Relay,
            };
            let listen = Listen {
                address,
                tls: raw.tls.unwrap_or(ListenTls::Starttls),
                kind: raw.kind.unwrap_or(by_port),
                relay_from: raw
                    .relay_from
                    .unwrap_or_default()
                    .into_iter()
                    .map(|net| net.0)
                    .collect(),
                proof: raw.proof.unwrap_or(RelayProof::None),
                auth: self.path(raw.auth),
                client_ca: self.path(raw.client_ca),
                clients: raw.clients.unwrap_or_default(),
                identity: self.identity(raw.certificate, raw.key, &format!("{at}.")),
            };
            self.check_listener(&listen, &at);
            listeners.push(listen);
        }
        listeners
    }

    fn check_listener(&mut self, listen: &Listen, at: &str) {
        if listen.relay_from.iter().any(|net| net.prefix_len() == 0) {
            let what = "the whole Internet would be trusted by its address";
            self.fault(format!("{at}.relay_from"), what);
        }
        if listen.tls == ListenTls::None {
            if !listen.address.ip().is_loopback() {
                self.fault(format!("{at}.tls"), "\"none\" is for loopback addresses only");
            }
            if listen.auth.is_some() || listen.client_ca.is_some() {
                self.fault(format!("{at}.tls"), "passwords and client certificates need TLS");
            }
        }
        if listen.kind == ListenKind::Inbound {
            self.check_inbound(listen, at);
        }
        if listen.proof == RelayProof::ClientCert && listen.client_ca.is_none() {
            self.fault(format!("{at}.proof"), "\"client-cert\" needs `client_ca`");
        }
        if listen.proof == RelayProof::Auth && listen.auth.is_none() {
            self.fault(format!("{at}.proof"), "\"auth\" needs `auth`, the password file");
        }
    }

    /// Who may relay by certificate is said, never assumed: a CA may have other customers.
    pub(super) fn check_clients(&mut self, listeners: &[Listen], domains: &[SenderDomain]) {
        for (nth, listen) in listeners.iter().enumerate() {
            let at = format!("listen[{nth}].clients");
            match (&listen.client_ca, listen.clients.is_empty()) {
                (Some(_), true) => self.fault(
                    format!("listen[{nth}].client_ca"),
                    "say in `clients` whose certificates of this CA may relay; [\"*\"] means all",
                ),
                (None, false) => self.fault(at.clone(), "certificates need their CA: `client_ca`"),
                (Some(_), false) | (None, true) => {}
            }
            for domain in listen.clients.iter().flat_map(|client| &client.domains) {
                if !domains.iter().any(|ours| ours.name == *domain) {
                    self.fault(at.clone(), format!("{domain} is no [[domain]] of ours"));
                }
            }
        }
    }

    /// What anybody may use relays for nobody, whatever else is written there: a listener that did
    /// both would be an open relay away from one mistake.
    fn check_inbound(&mut self, listen: &Listen, at: &str) {
        let what = "a listener of kind \"inbound\" relays for nobody; make another [[listen]] for \
                    those who may relay";
        let relays = [
            ("relay_from", !listen.relay_from.is_empty()),
            ("proof", listen.proof != RelayProof::None),
            ("auth", listen.auth.is_some()),
            ("client_ca", listen.client_ca.is_some()),
            ("clients", !listen.clients.is_empty()),
        ];
        for (key, _) in relays.iter().filter(|(_, written)| *written) {
            self.fault(format!("{at}.{key}"), what);
        }
        let what = match listen.tls {
            ListenTls::Starttls | ListenTls::None => return,
            ListenTls::Implicit => {
                "other mail servers begin in the clear and ask for STARTTLS: \"starttls\""
            }
            ListenTls::Required => {
                "whoever cannot do TLS writes to our people too (RFC 3207 §4): \"starttls\""
            }
        };
        self.fault(format!("{at}.tls"), what);
    }

    /// Mail that we hand to ourselves would run in a circle.
    pub(super) fn check_loops(
        &mut self,
        listeners: &[Listen],
        domains: &[SenderDomain],
        hostname: Option<&Domain>,
    ) {
        for (nth, domain) in domains.iter().enumerate() {
            let leads_to = |listen: &&Listen| {
                listen.address.port() == domain.inside.port
                    && match &domain.inside.peer {
                        Peer::Name(name) => Some(name) == hostname && is_public(listen),
                        Peer::Literal(ip) => is_at(listen, *ip),
                    }
            };
            if let Some(listen) = listeners.iter().find(leads_to) {
                let what = format!("leads to our own listener {}, in a circle", listen.address);
                self.fault(format!("domain[{nth}].inside"), what);
            }
        }
    }
}

const fn is_public(listen: &Listen) -> bool {
    !listen.address.ip().is_loopback()
}

/// Whether a connection to this address comes to a listener, as far as can be seen from here.
fn is_at(listen: &Listen, ip: IpAddr) -> bool {
    let bound = listen.address.ip();
    bound == ip || (bound.is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
}
