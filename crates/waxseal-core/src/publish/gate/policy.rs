//! A change of an MTA-STS policy (RFC 8461 §8.1, §8.3): the file before the `id`, all MX hosts in the
//! policy before the MX records change, and `mode: none` for as long as anybody keeps the old policy.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use super::{Door, Gap, How, Item, Judged, Seen, ServerView, State, Views, list, title};
use crate::{
    domain::Domain,
    facts::StsFailure,
    publish::{
        PolicyMemory, Spell,
        memory::{self, UNSEEN},
        texts,
    },
    sts::{self, MAX_AGE, Mode, MxPattern, Policy, PolicyId},
    time::UnixTime,
};

/// What is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFacts {
    /// The domain.
    pub domain: Domain,
    /// What is wanted; `None`: no MTA-STS.
    pub wanted: Option<Policy>,
    /// The `max_age` that the administrator names; `None`: nobody said one.
    pub max_age: Option<Duration>,
    /// The policy that the policy host serves, or why there is none.
    pub served: Result<Policy, StsFailure>,
    /// Each policy that some address of it serves: a sender takes any of them.
    pub each: Vec<Policy>,
    /// Addresses of it that nobody could ask from here, each with the reason. One that could have been asked
    /// and was not is none of these: it is one of which nobody knows what it serves.
    pub unasked: Vec<(IpAddr, String)>,
    /// TXT at `_mta-sts`, at each authoritative server.
    pub announced: Vec<ServerView<Vec<Vec<u8>>>>,
    /// The MX hosts, at each authoritative server; none for a null MX.
    pub mx: Vec<ServerView<Vec<Domain>>>,
}

/// Changes of the announcement are believed after so many of its TTLs (RFC 8461 §8.1 asks for one).
const TTLS: u32 = 2;
/// Times here are whole seconds: what was seen "at 10" may have come about at 10.9.
const ROUNDING: Duration = Duration::from_secs(1);
/// A domain with more MX hosts, or one that changes them more often, is not followed.
const MOST_MX: usize = 256;

impl PolicyFacts {
    /// Addresses of the policy host that nobody could ask from here, in words.
    pub fn not_asked(&self) -> Vec<String> {
        let domain = &self.domain;
        let said = |(address, why): &_| format!("mta-sts.{domain} ({address}): {why}");
        self.unasked.iter().map(said).collect()
    }

    /// `the policy is served`, as far as that was seen.
    const fn is_served(&self) -> &'static str {
        match self.unasked.is_empty() {
            true => "the policy is served",
            false => "the policy is served at each address that could be asked",
        }
    }

    /// Why it is not known whether a policy is served: the policy host was not reached. `None` where it is
    /// known, whatever it says.
    fn unreached(&self) -> Option<Gap> {
        match self.served.as_ref().err()? {
            StsFailure::Unreached(why) => Some(Gap::of_policy_host(&self.domain, why.clone())),
            StsFailure::Record(failure) => {
                Some(Gap::of_policy_host(&self.domain, failure.to_string()))
            }
            StsFailure::Fetch(_) | StsFailure::Certificate(_) | StsFailure::Invalid(_) => None,
        }
    }
}

/// The doors of a domain. What was seen is noted in `memory`.
pub fn policy(facts: &PolicyFacts, memory: &mut PolicyMemory, now: UnixTime) -> Vec<Item> {
    let announced = Announced::look(&facts.domain, &facts.announced);
    note(facts, &announced, memory, now);
    let exchangers = Exchangers::look(facts, memory, now);
    let mut items = match &facts.wanted {
        Some(wanted) => vec![
            id(facts, wanted, (&announced, &exchangers), now),
            mx(facts, wanted, (memory, &announced, &exchangers), now),
        ],
        None => vec![removal(facts, &announced, memory, now)],
    };
    // A policy that takes another one back is on its way to removal.
    if facts.wanted.as_ref().is_some_and(|wanted| wanted.mode == Mode::None) {
        items.retain(|item| item.door != Door::Mx);
        items.push(removal(facts, &announced, memory, now));
    }
    let mut aside = Views::look(&facts.domain, &facts.announced).aside;
    aside.extend(facts.not_asked());
    items.iter_mut().for_each(|item| item.not_asked.clone_from(&aside));
    items
}

/// The MX hosts that senders may know.
struct Exchangers {
    /// The domain, where a server of its zone has no MX record.
    alone: Option<Domain>,
    /// Those in DNS now, and those that a cache may hold: until when.
    hosts: Vec<(Domain, Option<UnixTime>)>,
    /// Why there may be more: servers with something else than MX records.
    wrong: Vec<String>,
    /// Why there may be more: what could not be found out.
    gaps: Vec<Gap>,
    /// When MX records were looked at for the first time.
    first: UnixTime,
}

impl Exchangers {
    /// From every server, and from what was there before: its TTL is noted in `memory`.
    fn look(facts: &PolicyFacts, memory: &mut PolicyMemory, now: UnixTime) -> Self {
        let views = facts.mx.as_slice();
        let mut live = BTreeSet::new();
        let Views { mut gaps, wrong, .. } = Views::look(&facts.domain, views);
        let first = memory.mx_first.unwrap_or(now);
        // What went before, only a policy of before can tell; where that was not reached, the next look is
        // the first.
        if memory.mx_first.is_none() && facts.unreached().is_none() {
            for host in of_old_policy(facts) {
                memory.mx.insert(host, now + UNSEEN);
            }
            memory.mx_first = Some(now);
        }
        let absent = views.iter().any(|view| matches!(view.seen, Seen::Absent { .. }));
        let alone = absent.then(|| facts.domain.clone());
        for view in views {
            let (hosts, ttl) = match &view.seen {
                Seen::Records { value, ttl, .. } => (value.as_slice(), *ttl),
                // The domain is its own mail host then (RFC 5321 §5.1).
                Seen::Absent { ttl } => (std::slice::from_ref(&facts.domain), *ttl),
                Seen::Wrong(_) | Seen::Lost(_) => continue,
            };
            for host in hosts {
                let until = now + ttl + ROUNDING;
                let known = memory.mx.entry(host.clone()).or_insert(until);
                *known = (*known).max(until);
                live.insert(host);
            }
        }
        memory.mx.retain(|host, until| *until > now || live.contains(host));
        if memory.mx.len() > MOST_MX {
            gaps.push(Gap {
                of: facts.domain.to_string(),
                how: How::NotAsked,
                why: format!("there are more than {MOST_MX} MX hosts"),
                to_do: "have fewer MX records".to_owned(),
            });
        }
        let hosts = memory.mx.iter().take(MOST_MX);
        let until = |host: &Domain, until: UnixTime| (!live.contains(host)).then_some(until);
        let hosts = hosts.map(|(host, at)| (host.clone(), until(host, *at))).collect();
        let mut place = 0;
        memory.mx.retain(|_, _| {
            place += 1;
            place <= MOST_MX
        });
        Self { alone, hosts, wrong, gaps, first }
    }

    /// All but the domain itself, which is a mail host only for want of others.
    fn but(&self, domain: &Domain) -> Self {
        let others = self.hosts.iter().filter(|(host, _)| host != domain).cloned();
        let (hosts, wrong, gaps) = (others.collect(), self.wrong.clone(), self.gaps.clone());
        Self { alone: None, hosts, wrong, gaps, first: self.first }
    }

    /// Whether mail for all of them passes a policy; if not, how a door stands that needs that.
    fn outside(&self, policy: &Policy) -> Option<Judged> {
        let outside = || self.hosts.iter().filter(|(host, _)| !policy.allows(host));
        let live: Vec<String> = outside()
            .filter(|(_, until)| until.is_none())
            .map(|(host, _)| host.to_string())
            .collect();
        if let Some(domain) = self.alone.as_ref().filter(|domain| !policy.allows(domain)) {
            let because = format!(
                "{domain} has no MX record at a server of its zone: mail goes to {domain} itself, which is \
                 not in the policy, and would be turned away"
            );
            return Some(Judged::closed(because, "publish its MX records first"));
        }
        if !live.is_empty() {
            let because = format!(
                "{} has MX records and is not in the policy: mail for it would be turned away",
                list(&live)
            );
            return Some(Judged::closed(because, "add it to `mx` in [domain.publish]"));
        }
        if !self.wrong.is_empty() {
            let because =
                format!("the MX records are not the same everywhere: {}", list(&self.wrong));
            return Some(Judged::closed(because, "let all servers of the zone have the same"));
        }
        if !self.gaps.is_empty() {
            let what = "the MX records could not be looked up everywhere";
            return Some(Judged::unknown(what, self.gaps.clone()));
        }
        let until = outside().filter_map(|(_, until)| *until).max()?;
        let gone: Vec<String> = outside().map(|(host, _)| host.to_string()).collect();
        let because = format!(
            "{} is not in the policy, and caches may hold MX records that name it until {until}: mail \
             for it would be turned away",
            list(&gone)
        );
        Some(Judged::until(until, because))
    }
}

/// What all servers announce.
enum Announced {
    /// The same id.
    Same(PolicyId),
    /// Nothing.
    Nothing,
    /// Not all the same, or nothing that can be used: in words.
    Mixed(String),
    /// Some could not be asked.
    Unknown(Vec<Gap>),
}

impl Announced {
    fn look(domain: &Domain, views: &[ServerView<Vec<Vec<u8>>>]) -> Self {
        let Views { gaps, wrong, .. } = Views::look(domain, views);
        if let Some(wrong) = wrong.first() {
            return Self::Mixed(wrong.clone());
        }
        let mut ids = Vec::new();
        for view in views {
            let id = match &view.seen {
                Seen::Records { value, .. } => match sts::announced(value) {
                    Ok(id) => Some(id),
                    Err(sts::NotAnnounced::None) => None,
                    Err(why) => return Self::Mixed(format!("{}: {why}", title(view))),
                },
                Seen::Absent { .. } => None,
                Seen::Wrong(_) | Seen::Lost(_) => continue,
            };
            ids.push((id, title(view)));
        }
        let Some((first, _)) = ids.first().cloned() else { return Self::Unknown(gaps) };
        if let Some((_, other)) = ids.iter().find(|(id, _)| *id != first) {
            return Self::Mixed(format!("{other} announces another id than the first server"));
        }
        match gaps.is_empty() {
            true => first.map_or(Self::Nothing, Self::Same),
            false => Self::Unknown(gaps),
        }
    }
}

/// The ids that every server announces that answers, and the longest TTL that any gives.
fn heard(views: &[ServerView<Vec<Vec<u8>>>]) -> (BTreeSet<String>, Option<Duration>) {
    let said = views.iter().filter_map(|view| match &view.seen {
        Seen::Records { value, ttl, .. } => Some((sts::announced(value).ok(), *ttl)),
        Seen::Absent { ttl } => Some((None, *ttl)),
        Seen::Wrong(_) | Seen::Lost(_) => None,
    });
    let longest = said.clone().map(|(_, ttl)| ttl).max();
    (memory::common(said.map(|(id, _)| id.iter().map(ToString::to_string).collect())), longest)
}

fn note(facts: &PolicyFacts, announced: &Announced, memory: &mut PolicyMemory, now: UnixTime) {
    let served = facts.served.as_ref().ok();
    // Nothing is known to have changed where the policy host was not reached.
    if facts.unreached().is_none() {
        memory::since(&mut memory.served, served.map(texts::policy_id), now);
    }
    let (ids, longest) = heard(&facts.announced);
    if longest.is_some() {
        memory.caches.begin(&ids, now);
    }
    match announced {
        Announced::Same(id) => {
            let known = memory.announced.as_ref().filter(|(known, _)| known == id);
            // The TTL when it began: at the next look that of the old announcement is forgotten.
            let ttl = memory.caches.longer(longest.unwrap_or_default());
            let spell = known.map_or(Spell { since: now, ttl }, |(_, spell)| *spell);
            memory.announced = Some((id.clone(), spell));
        }
        // A server that says something else begins the time anew.
        Announced::Nothing | Announced::Mixed(_) => memory.announced = None,
        // Nothing is known to have changed.
        Announced::Unknown(_) => {}
    }
    if let Some(longest) = longest {
        memory.caches.end(longest, now);
    }
    // A policy counts for senders once it is served and announced, be it at one address.
    if let Announced::Same(_) = announced {
        let binding = || facts.each.iter().filter(|policy| policy.mode != Mode::None);
        if let Some(policy) = binding().next().or(served) {
            memory::since(&mut memory.mode, Some(policy.mode), now);
        }
        let longest = binding().map(|policy| policy.max_age.as_secs()).max();
        memory.longest_max_age = memory.longest_max_age.max(longest.unwrap_or_default());
    }
}

/// The file before the `id`: a sender that sees the new id and fetches the old file keeps the old one
/// under the new id (RFC 8461 §8.1). And all MX hosts in the file: it is the id that makes senders fetch it,
/// and turn away mail for hosts that are not in it.
fn id(
    facts: &PolicyFacts,
    wanted: &Policy,
    (announced, exchangers): (&Announced, &Exchangers),
    now: UnixTime,
) -> Item {
    let want = texts::policy_id(wanted);
    let what = format!("announce the id {want} of the policy");
    let there = facts.is_served();
    let mut judged = match &facts.served {
        Ok(served) if served == wanted => Judged::open(match announced {
            Announced::Same(id) if *id == want => {
                format!("{there}, and its id is announced by every server")
            }
            Announced::Mixed(why) => format!("{there}, so its id may be published ({why})"),
            Announced::Unknown(gaps) => {
                let gaps: Vec<String> = gaps.iter().map(ToString::to_string).collect();
                format!("{there}, so its id may be published ({})", list(&gaps))
            }
            Announced::Same(_) | Announced::Nothing => {
                format!("{there}, so its id may be published now")
            }
        }),
        served => {
            let out = match announced {
                Announced::Same(id) if *id == want => Out::Yes,
                Announced::Same(_)
                | Announced::Nothing
                | Announced::Mixed(_)
                | Announced::Unknown(_) => Out::No,
            };
            unserved(facts, served, out)
        }
    };
    if wanted.mode != Mode::None {
        let outside = exchangers.outside(wanted);
        let closed = |outside: &Judged| matches!(outside.state, State::Closed { .. });
        match (judged.state, outside) {
            (State::Open, Some(outside)) => judged = outside,
            // What was seen closes, whatever is not known beside it.
            (State::Unknown, Some(outside)) if closed(&outside) => judged = outside,
            // Served as it is, it would turn mail away: that is said before "serve it".
            (State::Closed { until: None }, Some(outside))
                if outside.state == (State::Closed { until: None }) =>
            {
                let because = format!("{}; {}", outside.because, judged.because);
                judged = Judged { because, ..outside };
            }
            (State::Open | State::Unknown | State::Closed { .. }, _) => {}
        }
        if judged.state == State::Open && now < exchangers.first + UNSEEN {
            judged.because.push_str(&format!(
                "; MX hosts that were taken out of DNS before the first look, at {}, are not known here: \
                 caches may name them for as long as the TTL of those records was",
                exchangers.first
            ));
        }
    }
    Item::new(&facts.domain, Door::Id, what, judged)
}

/// Whether the id of this policy is in DNS already.
#[derive(Clone, Copy)]
enum Out {
    Yes,
    No,
}

/// What is wanted is not served, or nobody knows whether it is.
fn unserved(facts: &PolicyFacts, served: &Result<Policy, StsFailure>, out: Out) -> Judged {
    let domain = &facts.domain;
    let failed = |why: &str| match out {
        Out::No => format!("the policy cannot be fetched: {why}"),
        Out::Yes => format!(
            "the id is announced and its policy cannot be fetched: {why}: senders keep what they have, or \
             have none"
        ),
    };
    match served {
        Ok(_) => match out {
            Out::No => Judged::closed(
                "another policy is still served".to_owned(),
                "serve the new file first (with [web.policy]: reload waxseal)",
            ),
            Out::Yes => Judged::closed(
                "the id was published before its policy, and another policy is served: senders may keep \
                 the wrong one"
                    .to_owned(),
                "serve the policy AT ONCE (with [web.policy]: reload waxseal)",
            ),
        },
        Err(StsFailure::Fetch(why)) => Judged::closed(
            failed(why),
            format!("serve it first: `waxseal publish mta-sts {domain}` prints the file and its place"),
        ),
        Err(StsFailure::Certificate(why)) => Judged::closed(
            failed(why),
            format!("get a certificate of a public CA for mta-sts.{domain} that is valid now"),
        ),
        Err(StsFailure::Invalid(why)) => Judged::closed(
            failed(why),
            format!("serve it as `waxseal publish mta-sts {domain}` prints it, as text/plain"),
        ),
        Err(StsFailure::Unreached(_) | StsFailure::Record(_)) => {
            let what = "whether the policy is served could not be found out";
            Judged::unknown(what, facts.unreached().into_iter().collect())
        }
    }
}

/// MX hosts of another policy that is still served: they had MX records when it was made, and may have
/// lost them a moment before anybody looked.
fn of_old_policy(facts: &PolicyFacts) -> Vec<Domain> {
    let old = facts.each.iter().filter(|old| facts.wanted.as_ref() != Some(*old));
    let host = |pattern: &MxPattern| match pattern {
        MxPattern::Host(host) => Some(host.clone()),
        // Nobody knows which names it stood for.
        MxPattern::OneBelow(_) => None,
    };
    let binds = |old: &&Policy| old.mode != Mode::None;
    old.filter(binds).flat_map(|old| &old.mx).filter_map(host).take(MOST_MX).collect()
}

/// All hosts of before and after have to be in the policy that senders know, before MX changes.
fn mx(
    facts: &PolicyFacts,
    wanted: &Policy,
    (memory, announced, exchangers): (&PolicyMemory, &Announced, &Exchangers),
    now: UnixTime,
) -> Item {
    let item =
        |judged| Item::new(&facts.domain, Door::Mx, "change the MX records".to_owned(), judged);
    // The first MX records are no change that the lack of them forbids.
    let alone = exchangers.alone.as_ref().filter(|domain| !wanted.allows(domain));
    let outside = match alone {
        Some(domain) => exchangers.but(domain).outside(wanted),
        None => exchangers.outside(wanted),
    };
    if let Some(judged) = outside {
        return item(judged);
    }
    // Nothing is known to have changed there, so the time goes on; but nothing opens either.
    if let Announced::Unknown(gaps) = announced {
        let what = "not every server could be asked for the announcement";
        return item(Judged::unknown(what, gaps.clone()));
    }
    if let Some(gap) = facts.unreached() {
        let what = "whether the policy is served could not be found out";
        return item(Judged::unknown(what, vec![gap]));
    }
    let id = texts::policy_id(wanted);
    let served = memory.served.as_ref().filter(|(known, _)| *known == id).map(|(_, at)| *at);
    let spell = memory.announced.as_ref().filter(|(known, _)| *known == id).map(|known| known.1);
    let (Some(served), Some(since)) = (served, spell) else {
        return item(unannounced(alone, announced, memory));
    };
    let (announced, ttl) = (since.since, since.ttl);
    let since = served.max(announced);
    let forgotten = memory.caches.forgotten(&id.to_string(), since, (TTLS, ttl));
    let until = forgotten.at + ROUNDING;
    let judged = if now < until {
        Judged::until(
            until,
            format!(
                "the policy with all hosts of `mx` is announced since {}; senders know it at {until} ({})",
                announced, forgotten.why
            ),
        )
    } else {
        Judged::open(
            "senders know a policy with all hosts of `mx`: MX records may change among them"
                .to_owned(),
        )
    };
    item(Judged { guessed: forgotten.guessed, ..judged })
}

/// How the MX records may change while the policy with all of them is not announced. The first ones of the
/// domain `alone` are no change that this policy has to name, where senders know no other.
fn unannounced(alone: Option<&Domain>, announced: &Announced, memory: &PolicyMemory) -> Judged {
    let because = "the policy with all hosts of `mx` is not served and announced yet".to_owned();
    let Some(domain) = alone else {
        let to_do = "serve it, then announce its id: `waxseal publish mta-sts` prints both";
        return Judged::closed(because, to_do);
    };
    let nothing = matches!(announced, Announced::Nothing);
    match nothing && memory.longest_max_age == 0 && memory.mode.is_none() {
        true => Judged::open(format!(
            "{domain} has no MX record at a server of its zone, no policy is announced, and none was seen \
             before: its first MX records turn no mail away"
        )),
        false => Judged::closed(
            format!("{domain} has no MX record at a server of its zone, and {because}"),
            "publish MX records only of hosts that the announced policy names; then serve the new policy, \
             and announce its id",
        ),
    }
}

/// A policy that is just taken away goes on in the caches of senders, until `max_age` (RFC 8461 §8.3).
fn removal(
    facts: &PolicyFacts,
    announced: &Announced,
    memory: &PolicyMemory,
    now: UnixTime,
) -> Item {
    let what = "take MTA-STS away".to_owned();
    let item = |judged| Item::new(&facts.domain, Door::Removal, what, judged);
    let gone = match announced {
        Announced::Mixed(why) => {
            return item(Judged::closed(why.clone(), "let all servers announce the same"));
        }
        Announced::Unknown(gaps) => {
            let what = "whether a policy is announced could not be found out everywhere";
            return item(Judged::unknown(what, gaps.clone()));
        }
        Announced::Nothing => true,
        Announced::Same(_) => false,
    };
    if memory.longest_max_age == 0 && memory.mode.is_none() && gone {
        let because = "no policy is announced, and none was seen before".to_owned();
        return item(Judged::open(because));
    }
    let (kept, whose) = match (memory.longest_max_age, facts.max_age) {
        (0, Some(said)) => {
            (said, "the max_age that is configured; none was seen of the old policy")
        }
        (0, None) => (
            MAX_AGE,
            "the longest max_age that may be: the old policy was never seen; if you know that it had a \
             shorter one, set `mta_sts_max_age` to that",
        ),
        (seen, _) => (Duration::from_secs(seen), "the longest max_age that was seen"),
    };
    let since = match memory.mode {
        Some((Mode::None, since)) => since,
        Some((Mode::Enforce | Mode::Testing, _)) | None => {
            let because = match gone {
                true => {
                    "the record is gone before `mode: none` was kept: senders still follow the old policy"
                }
                false => "a policy is announced that binds or may bind",
            };
            let to_do = match &facts.wanted {
                Some(_) => "serve the policy of `mta_sts = \"none\"` and announce its id first",
                None => "set `mta_sts = \"none\"` first, serve that policy and announce its id",
            };
            return item(Judged::closed(because.to_owned(), to_do));
        }
    };
    let until = since + kept;
    if now < until {
        let because = format!(
            "`mode: none` is served since {since}; the old policy lives in caches until {until} ({} s, \
             {whose})",
            kept.as_secs()
        );
        return item(Judged::until(until, because));
    }
    item(Judged::open(format!(
        "`mode: none` was served since {since}, as long as the old policy could live"
    )))
}
