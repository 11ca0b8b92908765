//! A change of an MTA-STS policy (RFC 8461 §8.1, §8.3): the file before the `id`, all MX hosts in the
//! policy before the MX records change, and `mode: none` for as long as anybody keeps the old policy.

use std::{collections::BTreeSet, time::Duration};

use super::{Door, Guessed, Item, Seen, ServerView, State, Unreached, list, title};
use crate::{
    domain::Domain,
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
    pub served: Result<Policy, String>,
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

/// The doors of a domain. What was seen is noted in `memory`.
pub fn policy(facts: &PolicyFacts, memory: &mut PolicyMemory, now: UnixTime) -> Vec<Item> {
    let announced = Announced::look(&facts.announced);
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
    let aside = Unreached::look(&facts.announced).aside;
    items.iter_mut().for_each(|item| item.not_asked.clone_from(&aside));
    items
}

/// The MX hosts that senders may know.
struct Exchangers {
    /// Those in DNS now, and those that a cache may hold: until when.
    hosts: Vec<(Domain, Option<UnixTime>)>,
    /// Why there may be more.
    unknown: Option<String>,
    /// When MX records were looked at for the first time.
    first: UnixTime,
}

impl Exchangers {
    /// From every server, and from what was there before: its TTL is noted in `memory`.
    fn look(facts: &PolicyFacts, memory: &mut PolicyMemory, now: UnixTime) -> Self {
        let views = facts.mx.as_slice();
        let (mut live, mut failed) = (BTreeSet::new(), Unreached::look(views).lost);
        let first = *memory.mx_first.get_or_insert_with(|| {
            // What went before, only a policy of before can tell.
            for host in of_old_policy(facts) {
                memory.mx.insert(host, now + UNSEEN);
            }
            now
        });
        for view in views {
            let (hosts, ttl) = match &view.seen {
                Seen::Records { value, ttl, .. } => (value.as_slice(), *ttl),
                Seen::Absent { .. } => continue,
                Seen::Unusable(why) | Seen::Failed(why) => {
                    failed.push(format!("{}: {why}", title(view)));
                    continue;
                }
                Seen::NoRoute(_) => continue,
            };
            for host in hosts {
                let until = now + ttl + ROUNDING;
                let known = memory.mx.entry(host.clone()).or_insert(until);
                *known = (*known).max(until);
                live.insert(host);
            }
        }
        memory.mx.retain(|host, until| *until > now || live.contains(host));
        let unknown = if views.is_empty() {
            Some("no authoritative server of its zone could be found".to_owned())
        } else if !failed.is_empty() {
            Some(list(&failed))
        } else if memory.mx.len() > MOST_MX {
            Some(format!("there are more than {MOST_MX} MX hosts"))
        } else {
            None
        };
        let hosts = memory.mx.iter().take(MOST_MX);
        let until = |host: &Domain, until: UnixTime| (!live.contains(host)).then_some(until);
        let hosts = hosts.map(|(host, at)| (host.clone(), until(host, *at))).collect();
        let mut place = 0;
        memory.mx.retain(|_, _| {
            place += 1;
            place <= MOST_MX
        });
        Self { hosts, unknown, first }
    }

    /// Whether mail for all of them passes a policy; if not, how a door stands that needs that.
    fn outside(&self, policy: &Policy) -> Option<(State, String)> {
        let outside = || self.hosts.iter().filter(|(host, _)| !policy.allows(host));
        let live: Vec<String> = outside()
            .filter(|(_, until)| until.is_none())
            .map(|(host, _)| host.to_string())
            .collect();
        if !live.is_empty() {
            let because = format!(
                "{} has MX records and is not in the policy: mail for it would be turned away; add \
                 it to `mx` first",
                list(&live)
            );
            return Some((State::Waiting { until: None }, because));
        }
        if let Some(why) = &self.unknown {
            let because = format!("the MX records could not be looked up: {why}");
            return Some((State::Unknown, because));
        }
        let until = outside().filter_map(|(_, until)| *until).max()?;
        let gone: Vec<String> = outside().map(|(host, _)| host.to_string()).collect();
        let because = format!(
            "{} is not in the policy, and caches may hold MX records that name it until {until}: mail \
             for it would be turned away",
            list(&gone)
        );
        Some((State::Waiting { until: Some(until) }, because))
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
    Unknown(String),
}

impl Announced {
    fn look(views: &[ServerView<Vec<Vec<u8>>>]) -> Self {
        let (mut ids, mut failed) = (Vec::new(), Unreached::look(views).lost);
        for view in views {
            let id = match &view.seen {
                Seen::Records { value, .. } => match sts::announced(value) {
                    Ok(id) => Some(id),
                    Err(sts::NotAnnounced::None) => None,
                    Err(why) => return Self::Mixed(format!("{}: {why}", title(view))),
                },
                Seen::Absent { .. } => None,
                Seen::Unusable(why) | Seen::Failed(why) => {
                    failed.push(format!("{}: {why}", title(view)));
                    continue;
                }
                Seen::NoRoute(_) => continue,
            };
            ids.push((id, title(view)));
        }
        if let Some((first, _)) = ids.first().cloned() {
            if let Some((_, other)) = ids.iter().find(|(id, _)| *id != first) {
                return Self::Mixed(format!("{other} announces another id than the first server"));
            }
            if failed.is_empty() {
                return first.map_or(Self::Nothing, Self::Same);
            }
        }
        Self::Unknown(match failed.as_slice() {
            [] => "no authoritative server of its zone could be found".to_owned(),
            failed => list(failed),
        })
    }
}

/// The ids that every server announces that answers, and the longest TTL that any gives.
fn heard(views: &[ServerView<Vec<Vec<u8>>>]) -> (BTreeSet<String>, Option<Duration>) {
    let said = views.iter().filter_map(|view| match &view.seen {
        Seen::Records { value, ttl, .. } => Some((sts::announced(value).ok(), *ttl)),
        Seen::Absent { ttl } => Some((None, *ttl)),
        Seen::Unusable(_) | Seen::Failed(_) | Seen::NoRoute(_) => None,
    });
    let longest = said.clone().map(|(_, ttl)| ttl).max();
    (memory::common(said.map(|(id, _)| id.iter().map(ToString::to_string).collect())), longest)
}

fn note(facts: &PolicyFacts, announced: &Announced, memory: &mut PolicyMemory, now: UnixTime) {
    let served = facts.served.as_ref().ok();
    memory::since(&mut memory.served, served.map(texts::policy_id), now);
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
    // A policy counts for senders once it is served and announced.
    if let (Some(policy), Announced::Same(_)) = (served, announced) {
        memory::since(&mut memory.mode, Some(policy.mode), now);
        if policy.mode != Mode::None {
            memory.longest_max_age = memory.longest_max_age.max(policy.max_age.as_secs());
        }
    }
}

fn item(facts: &PolicyFacts, door: Door, state: State, (what, because): (&str, String)) -> Item {
    let (subject, what) = (facts.domain.clone(), what.to_owned());
    let (not_asked, guessed) = (Vec::new(), Guessed::No);
    Item { subject, door, what, state, because, not_asked, guessed }
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
    let waiting = State::Waiting { until: None };
    let (state, because) = match (&facts.served, announced) {
        (Ok(served), Announced::Same(id)) if served == wanted && *id == want => (
            State::Open,
            "the policy is served, and its id is announced by every server".to_owned(),
        ),
        (Ok(served), _) if served == wanted => {
            let because = match announced {
                Announced::Mixed(why) | Announced::Unknown(why) => {
                    format!("the policy is served, so its id may be published ({why})")
                }
                Announced::Same(_) | Announced::Nothing => {
                    "the policy is served, so its id may be published now".to_owned()
                }
            };
            (State::Open, because)
        }
        (served, Announced::Same(id)) if *id == want => {
            let now = match served {
                Ok(_) => "another policy is served".to_owned(),
                Err(why) => format!("the policy cannot be fetched: {why}"),
            };
            let because = format!(
                "the id was published before its policy, and {now}: senders may keep the wrong one; \
                 serve the policy at once"
            );
            (waiting, because)
        }
        (Ok(_), _) => (waiting, "another policy is still served: serve the new file first".into()),
        (Err(why), _) => (waiting, format!("the policy cannot be fetched, serve it first: {why}")),
    };
    let shut = (state == State::Open && wanted.mode != Mode::None)
        .then(|| exchangers.outside(wanted))
        .flatten();
    let (state, mut because) = shut.unwrap_or((state, because));
    if state == State::Open && wanted.mode != Mode::None && now < exchangers.first + UNSEEN {
        because.push_str(&format!(
            "; MX hosts that were taken out of DNS before the first look, at {}, are not known here: \
             caches may name them for as long as the TTL of those records was",
            exchangers.first
        ));
    }
    item(facts, Door::Id, state, (&what, because))
}

/// MX hosts of another policy that is still served: they had MX records when it was made, and may have
/// lost them a moment before anybody looked.
fn of_old_policy(facts: &PolicyFacts) -> Vec<Domain> {
    let old = facts.served.as_ref().ok().filter(|old| facts.wanted.as_ref() != Some(*old));
    let host = |pattern: &MxPattern| match pattern {
        MxPattern::Host(host) => Some(host.clone()),
        // Nobody knows which names it stood for.
        MxPattern::OneBelow(_) => None,
    };
    let binds = |old: &&Policy| old.mode != Mode::None;
    old.filter(binds).iter().flat_map(|old| &old.mx).filter_map(host).take(MOST_MX).collect()
}

/// All hosts of before and after have to be in the policy that senders know, before MX changes.
fn mx(
    facts: &PolicyFacts,
    wanted: &Policy,
    (memory, announced, exchangers): (&PolicyMemory, &Announced, &Exchangers),
    now: UnixTime,
) -> Item {
    let what = "change the MX records";
    if let Some((state, because)) = exchangers.outside(wanted) {
        return item(facts, Door::Mx, state, (what, because));
    }
    // Nothing is known to have changed there, so the time goes on; but nothing opens either.
    if let Announced::Unknown(why) = announced {
        let because = format!("not every server could be asked for the announcement: {why}");
        return item(facts, Door::Mx, State::Unknown, (what, because));
    }
    let id = texts::policy_id(wanted);
    let served = memory.served.as_ref().filter(|(known, _)| *known == id).map(|(_, at)| *at);
    let spell = memory.announced.as_ref().filter(|(known, _)| *known == id).map(|known| known.1);
    let (Some(served), Some(announced)) = (served, spell) else {
        let because =
            "the policy with all hosts of `mx` is not served and announced yet".to_owned();
        return item(facts, Door::Mx, State::Waiting { until: None }, (what, because));
    };
    let since = served.max(announced.since);
    let forgotten = memory.caches.forgotten(&id.to_string(), since, (TTLS, announced.ttl));
    let until = forgotten.at + ROUNDING;
    let (state, because) = if now < until {
        let because = format!(
            "the policy with all hosts of `mx` is announced since {}; senders know it at {until} ({})",
            announced.since, forgotten.why
        );
        (State::Waiting { until: Some(until) }, because)
    } else {
        let because = "senders know a policy with all hosts of `mx`: MX records may change among \
                       them"
            .to_owned();
        (State::Open, because)
    };
    Item { guessed: forgotten.guessed, ..item(facts, Door::Mx, state, (what, because)) }
}

/// A policy that is just taken away goes on in the caches of senders, until `max_age` (RFC 8461 §8.3).
fn removal(
    facts: &PolicyFacts,
    announced: &Announced,
    memory: &PolicyMemory,
    now: UnixTime,
) -> Item {
    let what = "take MTA-STS away";
    let gone = matches!(announced, Announced::Nothing);
    if let Announced::Mixed(why) | Announced::Unknown(why) = announced {
        let state = match announced {
            Announced::Unknown(_) => State::Unknown,
            Announced::Mixed(_) | Announced::Same(_) | Announced::Nothing => {
                State::Waiting { until: None }
            }
        };
        return item(facts, Door::Removal, state, (what, why.clone()));
    }
    if memory.longest_max_age == 0 && memory.mode.is_none() && gone {
        let because = "no policy is announced, and none was seen before".to_owned();
        return item(facts, Door::Removal, State::Open, (what, because));
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
        Some((Mode::Enforce | Mode::Testing, _)) | None if gone => {
            let because =
                "the record is gone before `mode: none` was kept: senders still follow the \
                           old policy; serve and announce `mta_sts = \"none\"`"
                    .to_owned();
            return item(facts, Door::Removal, State::Waiting { until: None }, (what, because));
        }
        Some((Mode::Enforce | Mode::Testing, _)) | None => {
            let because = "a policy is announced: publish `mta_sts = \"none\"` first".to_owned();
            return item(facts, Door::Removal, State::Waiting { until: None }, (what, because));
        }
    };
    let until = since + kept;
    if now < until {
        let because = format!(
            "`mode: none` is served since {since}; the old policy lives in caches until {until} ({} s, \
             {whose})",
            kept.as_secs()
        );
        let state = State::Waiting { until: Some(until) };
        return item(facts, Door::Removal, state, (what, because));
    }
    let because =
        format!("`mode: none` was served since {since}, as long as the old policy could live");
    item(facts, Door::Removal, State::Open, (what, because))
}
