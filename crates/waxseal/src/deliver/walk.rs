//! From host to host and address to address, as the plan says.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::Instant;
use waxseal_core::{
    channel::{ChannelProof, Demand, Floor, Refusal, Seen, TlsSeen, permit},
    decide::{HostRoute, RequireTls, Route},
    envelope::{Recipient, Return},
    outcome::{Cause, Outcome},
    smtp::client::{Hello, HeloFallback, Mail, Purpose, StartTls},
    time::UnixTime,
};

use super::{
    Aside, Connection, Delivery, Intent, Job, Shared, Try,
    connection::{Bounds, Call, Clock, Failed, Key, Link, TOO_LONG},
    hindrance::{From, Hindrance},
    limit::Limit,
    pace::Wait,
};
use crate::{
    store::{Dsn, Remote},
    tls::Parameters,
};

/// Recipients of one transaction: what every server has to take (RFC 5321 §4.5.3.1.8).
const RECIPIENTS: usize = 100;
/// The port where TLS comes before the greeting (RFC 8314 §3.3).
const SUBMISSIONS: u16 = 465;

/// A delivery on its way.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    shared: &'a Arc<Shared>,
    job: Job<'a>,
    purpose: Purpose,
    clock: Clock,
    limit: &'a Limit,
    /// When the message goes back to the queue if its turn has not come.
    turn: Instant,
    tries: Vec<Try>,
    states: Vec<State>,
}

/// Where one recipient stands.
#[derive(Clone, Debug)]
enum State {
    /// The next host may take it.
    Open(Hindrance),
    Done(From),
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Address,
    Host,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        job: Job<'a>,
        (purpose, limit): (Purpose, &'a Limit),
    ) -> Self {
        let since = Instant::now();
        let open = State::Open(Hindrance::default());
        Self {
            shared,
            job,
            purpose,
            limit,
            clock: Clock { start: job.now, since },
            turn: since + shared.settings.turn,
            tries: Vec::new(),
            states: vec![open; job.recipients.len()],
        }
    }

    pub(super) async fn run(mut self, intent: &impl Intent) -> Delivery {
        let domain = self.job.recipients.first().map(|first| &first.mailbox.domain);
        let aside = || -> Aside { intent.step_aside() };
        let turn = match domain {
            Some(domain) => self.shared.gates.domain(domain, Wait::new(self.turn, &aside)).await,
            None => None,
        };
        if turn.is_none() {
            self.note(&busy("the domain"), None);
            return self.finish(None);
        }
        for (index, route) in self.job.plan.routes.iter().enumerate() {
            // Wait, hold, give up, and whatever comes later: the end of the hosts.
            let Route::Host(host) = route else { return self.finish(Some(index)) };
            self.host(index, host, intent).await;
            self.leave_host();
            if self.limit.is_over() {
                return self.finish(None);
            }
            if self.states.iter().all(|state| matches!(state, State::Done(_))) {
                return self.finish(None);
            }
        }
        self.finish(None)
    }

    async fn host(&mut self, route: usize, host: &HostRoute, intent: &impl Intent) {
        let families = self.shared.dialler.families();
        let limit = self.shared.settings.addresses_per_host;
        // Collected, so that no closure lives across an await: the future has to be `Send`.
        let addresses: Vec<_> = host
            .addresses
            .iter()
            .filter(|address| families.allow(address.ip()))
            .take(limit)
            .copied()
            .collect();
        if addresses.is_empty() {
            let cause = Cause::Connection(format!("{} has no address to connect to", host.peer));
            self.note(&cause, None);
        }
        let aside = || -> Aside { intent.step_aside() };
        for address in addresses {
            if self.limit.is_over() {
                return self.note(&too_long(), None);
            }
            let wait = Wait::new(self.turn, &aside);
            let Some(_turn) = self.shared.gates.host(&host.peer, address, wait).await else {
                return self.note(&busy("the host"), None);
            };
            let stop = Stop { route, host, address };
            if self.address(stop, intent).await == Next::Host {
                return;
            }
        }
    }

    async fn address(&mut self, stop: Stop<'_>, intent: &impl Intent) -> Next {
        if let Some(next) = self.reuse(stop, intent).await {
            return next;
        }
        let started = self.clock.now();
        let opened = match self.limit.within(self.open(stop)).await {
            Some(opened) => opened,
            None => Err((Failed::new(too_long()), Judged::default())),
        };
        match opened {
            Ok(mut link) => {
                let judged = link.judge(self.shared, stop.host, self.clock.now());
                let mut proof = None;
                let mut cause = match &judged {
                    Ok(good) => {
                        let timeouts = &self.shared.settings.timeouts;
                        proof = Some(good.clone());
                        let permitted = self.limit.within(link.permitted(good, timeouts)).await;
                        permitted.unwrap_or_else(|| Err(too_long())).err()
                    }
                    Err(refusal) => Some(refused(refusal)),
                };
                let attempt = Attempt { stop, started, connection: Connection::New };
                match (proof, cause.take()) {
                    (Some(proof), None) => {
                        self.say(attempt, link, proof, intent).await;
                        Next::Host
                    }
                    (_, cause) => {
                        let seen = Some(Arc::clone(link.seen()));
                        let transcript = link.take_transcript();
                        tokio::spawn(link.quit());
                        self.failed(
                            attempt,
                            Judged { seen, judgement: Some(judged) },
                            cause,
                            transcript,
                        )
                    }
                }
            }
            Err((failed, judged)) => {
                let attempt = Attempt { stop, started, connection: Connection::New };
                self.failed(attempt, judged, Some(failed.cause), failed.transcript)
            }
        }
    }

    /// A connection that is there already, if one is good enough for this message and still
    /// alive. `None`: make a new one.
    async fn reuse(&mut self, stop: Stop<'_>, intent: &impl Intent) -> Option<Next> {
        let key = self.key(stop);
        let mut aside = Vec::new();
        let mut next = None;
        while let Some(mut link) = self.shared.pool.take(&key) {
            if !link.is_alive().await {
                continue;
            }
            let started = self.clock.now();
            let Ok(proof) = link.judge(self.shared, stop.host, started) else {
                // Made for a lower demand. A new one may do better; this one stays for others.
                aside.push(link);
                continue;
            };
            let attempt = Attempt { stop, started, connection: Connection::Reused };
            if self.say(attempt, link, proof, intent).await == Said::Something {
                next = Some(Next::Host);
                break;
            }
        }
        for link in aside {
            self.keep(link);
        }
        next
    }

    /// A new connection. Where the handshake fails and `permit` says that this message may go
    /// without TLS, another one without.
    async fn open(&self, stop: Stop<'_>) -> Result<Link, (Failed, Judged)> {
        let call =
            Call { shared: self.shared, host: stop.host, address: stop.address, clock: self.clock };
        let implicit = stop.address.port() == SUBMISSIONS;
        let mode = if implicit { StartTls::Implicit } else { StartTls::IfOffered };
        let failed = match call.open(self.hello(stop, mode), self.key(stop)).await {
            Ok(link) => return Ok(link),
            Err(failed) => failed,
        };
        let Some(tls) = failed.tls.clone() else { return Err((failed, Judged::default())) };
        let seen = Seen { peer: stop.host.peer.clone(), address: stop.address, tls: tls.clone() };
        let judgement = permit(stop.host, &seen, &self.shared.roots, self.clock.now());
        if implicit || judgement.is_err() {
            let judgement = Some(judgement).filter(|judged| judged.is_err());
            return Err((failed, Judged { seen: Some(Arc::new(seen)), judgement }));
        }
        match call.open(self.hello(stop, StartTls::Skip), self.key(stop)).await {
            Ok(mut link) => {
                link.remember(tls);
                Ok(link)
            }
            Err(second) => Err((second, Judged { seen: Some(Arc::new(seen)), judgement: None })),
        }
    }

    /// Sends the message to everyone who does not have it yet.
    async fn say(
        &mut self,
        attempt: Attempt<'_>,
        mut link: Link,
        proof: ChannelProof,
        intent: &impl Intent,
    ) -> Said {
        let bounds = Bounds { timeouts: &self.shared.settings.timeouts, limit: self.limit };
        let open = self.open_recipients();
        let mut said = Said::Nothing;
        let mut accepted = Vec::new();
        for group in open.chunks(RECIPIENTS) {
            let recipients: Vec<Recipient>;
            let recipients = if group.len() == self.job.recipients.len() {
                self.job.recipients
            } else {
                recipients =
                    group.iter().filter_map(|at| self.job.recipients.get(*at)).cloned().collect();
                &recipients
            };
            let mail = self.mail(attempt.stop.host, recipients);
            let outcomes = match link.send(&proof, mail, intent, bounds).await {
                Ok(outcomes) => outcomes,
                Err(cause @ Cause::Capability(_)) => {
                    vec![Outcome::Rejected { cause }; group.len()]
                }
                Err(cause) => vec![Outcome::Deferred { cause }; group.len()],
            };
            let stale = attempt.connection == Connection::Reused && outcomes.iter().all(is_stale);
            if !stale {
                said = Said::Something;
            }
            let remote = Remote { peer: attempt.stop.host.peer.clone(), dsn: link.dsn() };
            for (at, outcome) in group.iter().zip(outcomes) {
                if matches!(outcome, Outcome::Accepted { .. }) {
                    accepted.push(*at);
                }
                self.settle(*at, (outcome, Some(remote.clone())));
            }
            if stale {
                break;
            }
        }
        let judged = Judged { seen: Some(Arc::clone(link.seen())), judgement: Some(Ok(proof)) };
        let transcript = link.take_transcript();
        self.record(attempt, judged, None, (transcript, accepted));
        self.keep(link);
        said
    }

    /// For the next message, if it may have one.
    fn keep(&self, mut link: Link) {
        // Without TLS though it was offered: the next message tries TLS again.
        let clear =
            matches!(link.seen().tls, TlsSeen::HandshakeFailed { .. } | TlsSeen::Refused(_));
        let rest = if !clear && link.may_go_on(self.shared) {
            self.shared.pool.put(link, self.shared)
        } else {
            Some(link)
        };
        if let Some(link) = rest {
            tokio::spawn(link.quit());
        }
    }

    fn hello(&self, stop: Stop<'_>, start_tls: StartTls) -> Hello {
        let fallback = match stop.host.demand {
            Demand::Opportunistic => HeloFallback::Allowed,
            Demand::Encrypt | Demand::Authenticate(_) => HeloFallback::Refused,
        };
        Hello { name: self.shared.settings.hello.clone(), start_tls, fallback }
    }

    fn key(&self, stop: Stop<'_>) -> Key {
        let smarthosts = &self.shared.settings.smarthosts;
        let smarthost = smarthosts.iter().find(|s| Some(s.route) == self.job.way);
        Key {
            address: stop.address,
            sni: stop.host.sni.clone(),
            source: self.shared.dialler.source(stop.address),
            credentials: smarthost.map(|smarthost| smarthost.credentials.clone()),
            parameters: match stop.host.floor {
                Floor::Qualified => Parameters::Listed,
                Floor::None | Floor::Encrypted | Floor::Authenticated | Floor::Sealed => {
                    Parameters::All
                }
            },
        }
    }

    fn mail<'m>(&self, host: &HostRoute, recipients: &'m [Recipient]) -> Mail<'m>
    where
        'a: 'm,
    {
        Mail {
            purpose: self.purpose,
            reverse_path: self.job.reverse_path,
            recipients,
            ask: self.job.ask,
            require_tls: host.require_tls,
            // RFC 8689 §5: what the next hop returns carries no more than ours would.
            ret: match host.require_tls {
                RequireTls::Yes => Some(Return::Headers),
                RequireTls::No => self.job.ret,
            },
            envelope_id: self.job.envelope_id,
            content: self.job.content,
        }
    }

    fn open_recipients(&self) -> Vec<usize> {
        let states = self.states.iter().enumerate();
        states.filter(|(_, state)| matches!(state, State::Open(_))).map(|(at, _)| at).collect()
    }

    /// 2yz, 5yz and the unknown are final. What the peer cannot do, another host may; and what is
    /// temporary, too.
    fn settle(&mut self, at: usize, from: From) {
        let Some(state) = self.states.get_mut(at) else { return };
        let State::Open(hindrance) = state else { return };
        match &from.0 {
            Outcome::Rejected { cause: Cause::Capability(_) }
            | Outcome::Deferred { .. }
            | Outcome::Disconnected { .. } => hindrance.meet(from),
            Outcome::Accepted { .. } | Outcome::Rejected { .. } | Outcome::Unknown { .. } => {
                *state = State::Done(from);
            }
        }
    }

    fn leave_host(&mut self) {
        for state in &mut self.states {
            if let State::Open(hindrance) = state {
                hindrance.leave_host();
            }
        }
    }

    fn note(&mut self, cause: &Cause, remote: Option<&Remote>) {
        for at in self.open_recipients() {
            self.settle(at, (Outcome::Deferred { cause: cause.clone() }, remote.cloned()));
        }
    }

    fn failed(
        &mut self,
        attempt: Attempt<'_>,
        judged: Judged,
        cause: Option<Cause>,
        transcript: Vec<String>,
    ) -> Next {
        let cause = match (judged.judgement.as_ref(), cause) {
            // It died before there was anything to refuse; the judgement stays on record.
            (Some(Err(_)), Some(Cause::Connection(died))) => Some(Cause::Connection(died)),
            (Some(Err(refusal)), _) => Some(refused(refusal)),
            (Some(Ok(_)) | None, cause) => cause,
        };
        if let Some(cause) = &cause {
            let peer = attempt.stop.host.peer.clone();
            self.note(cause, Some(&Remote { peer, dsn: Dsn::Missing }));
        }
        self.record(attempt, judged, cause, (transcript, Vec::new()));
        Next::Address
    }

    fn record(
        &mut self,
        attempt: Attempt<'_>,
        judged: Judged,
        cause: Option<Cause>,
        (transcript, accepted): (Vec<String>, Vec<usize>),
    ) {
        let Attempt { stop: Stop { route, host, address }, started, connection } = attempt;
        let Judged { seen, judgement } = judged;
        let peer = host.peer.clone();
        let finished = self.clock.now();
        self.tries.push(Try {
            route,
            peer,
            address,
            seen,
            judgement,
            connection,
            cause,
            accepted,
            transcript,
            started,
            finished,
        });
    }

    /// A recipient whom no host took is deferred, with what weighs most of what stood in the way;
    /// rejected only where every host was reached and could not take such a message at all
    /// (RFC 8689 §4.2.1).
    fn finish(self, end: Option<usize>) -> Delivery {
        let plan = match end.and_then(|end| self.job.plan.routes.get(end)) {
            Some(Route::GiveUp { reason, .. }) => {
                Outcome::Rejected { cause: Cause::Plan(reason.clone()) }
            }
            Some(Route::Wait { reason, .. } | Route::Hold { reason, .. }) => {
                Outcome::Deferred { cause: Cause::Plan(reason.clone()) }
            }
            _ => Outcome::Deferred { cause: Cause::Plan("the plan names no host".into()) },
        };
        let from = |state| match state {
            State::Done(from) => from,
            State::Open(hindrance) => hindrance.most().unwrap_or_else(|| (plan.clone(), None)),
        };
        let (outcomes, remotes) = self.states.into_iter().map(from).unzip();
        Delivery { outcomes, remotes, tries: self.tries, end }
    }
}

/// One address of one host of the plan.
#[derive(Clone, Copy, Debug)]
struct Stop<'a> {
    route: usize,
    host: &'a HostRoute,
    address: SocketAddr,
}

#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    stop: Stop<'a>,
    started: UnixTime,
    connection: Connection,
}

#[derive(Debug, Default)]
struct Judged {
    seen: Option<Arc<Seen>>,
    judgement: Option<Result<ChannelProof, Refusal>>,
}

/// Whether a reused connection was still good for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Something,
    Nothing,
}

/// What a connection gives that the peer had left already.
fn is_stale(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Disconnected { .. } => true,
        Outcome::Deferred { cause: Cause::Reply { reply, .. } } => reply.code == 421,
        Outcome::Deferred { .. }
        | Outcome::Accepted { .. }
        | Outcome::Rejected { .. }
        | Outcome::Unknown { .. } => false,
    }
}

fn refused(refusal: &Refusal) -> Cause {
    Cause::Channel(refusal.detail.clone())
}

fn busy(place: &str) -> Cause {
    Cause::Busy(format!("{place} was busy with our other messages; this one waits its turn"))
}

fn too_long() -> Cause {
    Cause::Connection(TOO_LONG.to_owned())
}
