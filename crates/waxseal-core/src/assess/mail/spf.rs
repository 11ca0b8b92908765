//! SPF records (RFC 7208): what they say, what following them costs, and what cannot be followed.
//!
//! Nothing is looked up here: [`Walk`] says what it needs to know and is told.

use std::collections::VecDeque;

use crate::domain::Domain;

use super::{Spf, SpfAll};

/// Lookups that an evaluation may cost (RFC 7208 §4.6.4).
pub const MOST_LOOKUPS: u32 = 10;

/// Lookups without an answer that an evaluation may meet (RFC 7208 §4.6.4).
pub const MOST_VOID: u32 = 2;

/// Hosts whose addresses one `mx` may ask for (RFC 7208 §4.6.4).
const MOST_HOSTS: usize = 10;

/// Where following stops whatever it costs: a receiver gave up long before.
const MOST_FOLLOWED: u32 = 40;

/// Nobody holds more of IPv4 in one network than a /8, or of IPv6 than a /16: whoever writes a larger
/// one means everybody, or made a mistake that comes to the same.
const WIDEST: (u8, u8) = (8, 16);

/// The longest record that is read.
const MOST_OCTETS: usize = 4_096;

/// Faults that are told; there may be more.
const MOST_FAULTS: usize = 16;

/// What an evaluation needs to know next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Needs {
    /// The TXT records.
    Txt(Domain),
    /// Whether there are addresses.
    Addresses(Domain),
    /// Whether there is an IPv4 address, which is all that `exists` asks of a name: where there is, it
    /// matches every sender (RFC 7208 §5.7).
    Exists(Domain),
    /// Whether there are mail exchangers.
    Mx(Domain),
}

/// What came of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// TXT records, strings joined.
    Texts(Vec<Vec<u8>>),
    /// So many records.
    Records(usize),
    /// There is nothing: NXDOMAIN or no such record.
    Nothing,
    /// It could not be found out, in words.
    Failed(String),
}

/// Whether a TXT record is an SPF record (RFC 7208 §4.5): the version, then a space or the end.
pub fn is_spf(text: &[u8]) -> bool {
    let Some(head) = text.get(..6) else { return false };
    head.eq_ignore_ascii_case(b"v=spf1") && matches!(text.get(6), None | Some(b' '))
}

/// Follows a record through `include` and `redirect`.
#[derive(Clone, Debug)]
pub struct Walk {
    waiting: VecDeque<Step>,
    found: Spf,
    void: u32,
}

/// One lookup that is still to be made.
#[derive(Clone, Debug)]
struct Step {
    needs: Needs,
    /// What the record that is looked up would be.
    place: Place,
    /// The records that led here, the first one first: one of them again is a loop. The same record
    /// beside itself is none, and each lookup of it counts (RFC 7208 §4.6.4).
    path: Vec<Domain>,
}

impl Walk {
    /// Starts with the record of `domain`.
    pub fn new(domain: &Domain, record: &[u8]) -> Self {
        let found = Spf {
            all: SpfAll::Neutral,
            lookups: 0,
            void_lookups: 0,
            faults: Vec::new(),
            unknown: Vec::new(),
            ptr: Vec::new(),
            open: Vec::new(),
            unreached: Vec::new(),
        };
        let mut walk = Self { waiting: VecDeque::new(), found, void: 0 };
        walk.read(std::slice::from_ref(domain), record, Place::Top);
        walk
    }

    /// What has to be looked up next; `None` where all is known.
    pub fn needs(&self) -> Option<&Needs> {
        self.waiting.front().map(|step| &step.needs)
    }

    /// What came of it.
    pub fn tell(&mut self, told: Told) {
        let Some(Step { needs, place, path }) = self.waiting.pop_front() else { return };
        match (&needs, told) {
            (Needs::Txt(name), Told::Texts(texts)) => self.texts(name, &texts, place, &path),
            (Needs::Txt(name), Told::Records(_) | Told::Nothing) => {
                self.void += 1;
                self.fault(format!("{} has no SPF record", name));
            }
            (Needs::Addresses(_) | Needs::Exists(_) | Needs::Mx(_), Told::Nothing) => {
                self.void += 1
            }
            (Needs::Exists(name), Told::Records(_)) if place == Place::Included => {
                let domain = path.last().map_or("", Domain::as_str);
                self.open(format!("{domain}: exists:{name}, which is there for every sender"));
            }
            (Needs::Mx(name), Told::Records(hosts)) if hosts > MOST_HOSTS => self.fault(format!(
                "the `mx` of {name} comes to {hosts} hosts and receivers stop at {MOST_HOSTS} (RFC \
                 7208 §4.6.4)"
            )),
            (
                Needs::Addresses(_) | Needs::Exists(_) | Needs::Mx(_),
                Told::Records(_) | Told::Texts(_),
            ) => {}
            (
                Needs::Txt(name) | Needs::Addresses(name) | Needs::Exists(name) | Needs::Mx(name),
                Told::Failed(why),
            ) => {
                if matches!(needs, Needs::Txt(_)) && place == Place::Top {
                    self.found.all = SpfAll::Unknown;
                }
                add(&mut self.found.unknown, format!("{name} could not be looked up: {why}"));
            }
        }
    }

    /// What the record comes to, as far as it was followed.
    pub fn finish(mut self) -> Spf {
        self.found.void_lookups = self.void;
        if self.found.lookups > MOST_LOOKUPS {
            let text = format!(
                "it costs {} lookups and receivers stop at {MOST_LOOKUPS} (RFC 7208 §4.6.4)",
                self.found.lookups
            );
            self.found.faults.insert(0, text);
        }
        if self.void > MOST_VOID {
            let text = format!(
                "{} of its lookups find nothing and receivers stop at {MOST_VOID} (RFC 7208 §4.6.4)",
                self.void
            );
            self.found.faults.insert(0, text);
        }
        self.found
    }

    fn texts(&mut self, name: &Domain, texts: &[Vec<u8>], place: Place, path: &[Domain]) {
        let mut records = texts.iter().filter(|text| is_spf(text));
        match (records.next(), records.next()) {
            (Some(record), None) => {
                let path = [path, std::slice::from_ref(name)].concat();
                self.read(&path, record, place);
            }
            (None, _) => {
                self.fault(format!("{name} has no SPF record"));
            }
            (Some(_), Some(_)) => {
                self.fault(format!("{name} has more than one SPF record (RFC 7208 §3.2)"));
            }
        }
    }

    /// Reads the record of the last domain of `path`.
    fn read(&mut self, path: &[Domain], record: &[u8], place: Place) {
        let Some(domain) = path.last() else { return };
        let Some(text) = record.get(6..).and_then(|rest| std::str::from_utf8(rest).ok()) else {
            return self.fault(format!("the record of {domain} is not ASCII"));
        };
        if text.len() > MOST_OCTETS || !text.is_ascii() {
            return self.fault(format!("the record of {domain} is too long, or not ASCII"));
        }
        let mut redirect = None;
        let mut explained = false;
        let mut ends = false;
        for term in text.split(' ').filter(|term| !term.is_empty()) {
            // A syntax error counts wherever it is (RFC 7208 §4.6), but what follows `all` is not
            // evaluated (RFC 7208 §5.1).
            match Term::read(term) {
                Ok(Term::All(_) | Term::Lookup { .. } | Term::Address(_)) if ends => {
                    let quoted = super::super::Quoted::new(term);
                    add(&mut self.found.unreached, format!("{domain}: {quoted}"));
                }
                Ok(Term::All(all)) => {
                    ends = true;
                    match place {
                        Place::Top => self.found.all = all,
                        Place::Included if all == SpfAll::Pass => {
                            self.open(format!("{domain}, which is included, says +all"));
                        }
                        Place::Included | Place::Aside => {}
                    }
                }
                Ok(Term::Redirect(_)) if redirect.is_some() => self.twice(domain, "redirect"),
                Ok(Term::Redirect(target)) => redirect = Some(target),
                Ok(Term::Explanation) if explained => self.twice(domain, "exp"),
                Ok(Term::Explanation) => explained = true,
                Ok(Term::Address(reach)) => self.reach(domain, term, reach, place),
                Ok(Term::Lookup { kind, target, by, reach }) => {
                    self.reach(domain, term, reach, place);
                    let inner = match (place, by) {
                        // The last word of what is included is no word about the rest, and whether
                        // it passes counts only where that lets somebody in (RFC 7208 §5.2).
                        (Place::Top | Place::Included, SpfAll::Pass) => Place::Included,
                        (Place::Top | Place::Included | Place::Aside, _) => Place::Aside,
                    };
                    self.lookup(path, kind, target, inner);
                }
                Ok(Term::Modifier) => {}
                Err(why) => self.fault(format!("{domain}: {why}")),
            }
        }
        // RFC 7208 §6.1: redirect counts only without `all`.
        if let Some(target) = redirect.filter(|_| !ends) {
            self.found.lookups += 1;
            match target {
                Target::Name(name) => self.follow(path, name, place),
                Target::Own | Target::Macro => {
                    if place == Place::Top {
                        self.found.all = SpfAll::Unknown;
                    }
                }
            }
        }
    }

    /// A term that lets in more than anybody has.
    fn reach(&mut self, domain: &Domain, term: &str, reach: Reach, place: Place) {
        if reach == Reach::Everybody && place != Place::Aside {
            self.open(format!("{domain}: {}", super::super::Quoted::new(term)));
        }
    }

    fn open(&mut self, text: String) {
        add(&mut self.found.open, text);
    }

    fn lookup(&mut self, path: &[Domain], kind: Kind, target: Target, place: Place) {
        self.found.lookups += 1;
        let Some(domain) = path.last() else { return };
        if kind == Kind::Ptr && self.found.ptr.len() < MOST_FAULTS {
            self.found.ptr.push(domain.clone());
        }
        let name = match target {
            Target::Own => domain.clone(),
            Target::Name(name) => name,
            // It depends on the sender of each message.
            Target::Macro => return,
        };
        match kind {
            Kind::Include => self.follow(path, name, place),
            Kind::A => self.ask(Needs::Addresses(name), place, path),
            Kind::Mx => self.ask(Needs::Mx(name), place, path),
            Kind::Exists => self.ask(Needs::Exists(name), place, path),
            Kind::Ptr => {}
        }
    }

    fn follow(&mut self, path: &[Domain], name: Domain, place: Place) {
        if path.contains(&name) {
            return self.fault(format!("the record of {name} leads back to itself: a loop"));
        }
        self.ask(Needs::Txt(name), place, path);
    }

    fn ask(&mut self, needs: Needs, place: Place, path: &[Domain]) {
        if self.found.lookups <= MOST_FOLLOWED {
            self.waiting.push_back(Step { needs, place, path: path.to_vec() });
        }
    }

    fn twice(&mut self, domain: &Domain, name: &str) {
        self.fault(format!("{domain}: `{name}=` is there more than once (RFC 7208 §6)"));
    }

    fn fault(&mut self, text: String) {
        add(&mut self.found.faults, text);
    }
}

fn add(texts: &mut Vec<String>, text: String) {
    if texts.len() < MOST_FAULTS && !texts.contains(&text) {
        texts.push(text);
    }
}

/// Whether a record is the one that has the last word, or an included one (RFC 7208 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    /// What passes there passes.
    Included,
    /// Included by `-`, `~` or `?`: nobody is let in by it.
    Aside,
}

/// How many a term lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those that it names.
    Some,
    /// More than anybody has: [`WIDEST`].
    Everybody,
}

enum Term {
    All(SpfAll),
    Redirect(Target),
    /// `ip4`, `ip6`: no lookup.
    Address(Reach),
    Lookup {
        kind: Kind,
        target: Target,
        /// What it says of those that it matches.
        by: SpfAll,
        reach: Reach,
    },
    /// `exp`: it has no part in the result (RFC 7208 §6.2).
    Explanation,
    /// Unknown ones: ignored (RFC 7208 §6).
    Modifier,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    A,
    Exists,
    Include,
    Mx,
    Ptr,
}

enum Target {
    Own,
    Name(Domain),
    Macro,
}

impl Term {
    /// RFC 7208 §12
    fn read(term: &str) -> Result<Self, String> {
        let quoted = || super::super::Quoted::new(term);
        if let Some((name, value)) = modifier(term) {
            return match name.to_ascii_lowercase().as_str() {
                "redirect" => Ok(Self::Redirect(target(value, &quoted())?)),
                "exp" => Ok(Self::Explanation),
                _ => Ok(Self::Modifier),
            };
        }
        let (all, rest) = match term.split_at_checked(1) {
            Some(("+", rest)) => (SpfAll::Pass, rest),
            Some(("-", rest)) => (SpfAll::Fail, rest),
            Some(("~", rest)) => (SpfAll::SoftFail, rest),
            Some(("?", rest)) => (SpfAll::Neutral, rest),
            Some(_) | None => (SpfAll::Pass, term),
        };
        let end = rest.find([':', '/']).unwrap_or(rest.len());
        let (name, argument) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let kind = match name.to_ascii_lowercase().as_str() {
            "all" if argument.is_empty() => return Ok(Self::All(all)),
            "ip4" => return network(argument, &quoted(), Family::V4).map(|it| passing(all, it)),
            "ip6" => return network(argument, &quoted(), Family::V6).map(|it| passing(all, it)),
            "a" => Kind::A,
            "mx" => Kind::Mx,
            "ptr" => Kind::Ptr,
            "exists" => Kind::Exists,
            "include" => Kind::Include,
            _ => return Err(format!("`{}` is no term of SPF", quoted())),
        };
        let (argument, reach) = match kind {
            Kind::A | Kind::Mx => without_prefixes(argument, &quoted())?,
            Kind::Exists | Kind::Include | Kind::Ptr => (argument, Reach::Some),
        };
        let reach = if all == SpfAll::Pass { reach } else { Reach::Some };
        let Some(value) = argument.strip_prefix(':') else {
            return match kind {
                Kind::A | Kind::Mx | Kind::Ptr if argument.is_empty() => {
                    Ok(Self::Lookup { kind, target: Target::Own, by: all, reach })
                }
                Kind::A | Kind::Mx | Kind::Ptr | Kind::Exists | Kind::Include => {
                    Err(format!("`{}` names no domain", quoted()))
                }
            };
        };
        Ok(Self::Lookup { kind, target: target(value, &quoted())?, by: all, reach })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Only what passes lets anybody in.
fn passing(by: SpfAll, reach: Reach) -> Term {
    Term::Address(if by == SpfAll::Pass { reach } else { Reach::Some })
}

fn network(argument: &str, term: &super::super::Quoted, family: Family) -> Result<Reach, String> {
    let text = argument.strip_prefix(':').unwrap_or_default();
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let most = match family {
        Family::V4 => address.parse::<std::net::Ipv4Addr>().ok().map(|_| 32),
        Family::V6 => address.parse::<std::net::Ipv6Addr>().ok().map(|_| 128),
    };
    let fits = most.is_some_and(|most: u8| length.is_none_or(|length| is_prefix(length, most)));
    let widest = match family {
        Family::V4 => WIDEST.0,
        Family::V6 => WIDEST.1,
    };
    if fits { Ok(reach(length, widest)) } else { Err(format!("`{term}` is no network")) }
}

/// What is before the prefix lengths of `a` and `mx`, `/24//64` (RFC 7208 §5.3, §5.4).
fn without_prefixes<'a>(
    argument: &'a str,
    term: &super::super::Quoted,
) -> Result<(&'a str, Reach), String> {
    // A macro may have a slash of its own, as a delimiter (RFC 7208 §7.1).
    let macros = argument.rfind('}').map_or(0, |at| at + 1);
    let (_, after) = argument.split_at_checked(macros).unwrap_or(("", argument));
    let Some(slash) = after.find('/') else { return Ok((argument, Reach::Some)) };
    let (rest, lengths) = argument.split_at_checked(macros + slash).unwrap_or((argument, ""));
    let (v4, v6) = lengths.split_once("//").map_or((lengths, None), |(v4, v6)| (v4, Some(v6)));
    let fits = (v4.is_empty() || v4.strip_prefix('/').is_some_and(|v4| is_prefix(v4, 32)))
        && v6.is_none_or(|v6| is_prefix(v6, 128));
    if !fits {
        return Err(format!("`{term}` has no valid prefix length"));
    }
    let wide = [reach(v4.strip_prefix('/'), WIDEST.0), reach(v6, WIDEST.1)];
    Ok((rest, if wide.contains(&Reach::Everybody) { Reach::Everybody } else { Reach::Some }))
}

/// How many a prefix length lets in; none is one address.
fn reach(length: Option<&str>, widest: u8) -> Reach {
    match length.and_then(|length| length.parse::<u8>().ok()) {
        Some(length) if length < widest => Reach::Everybody,
        Some(_) | None => Reach::Some,
    }
}

/// `ip4-cidr-length` and `ip6-cidr-length` without the slash (RFC 7208 §12): digits alone, and no
/// zero before them.
fn is_prefix(length: &str, most: u8) -> bool {
    let plain =
        length.chars().all(|c| c.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    plain && length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// `name=value` (RFC 7208 §6): a name begins with a letter, and no `:` or `/` comes before the `=`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_name.then_some((name, value))
}

fn target(value: &str, term: &super::super::Quoted) -> Result<Target, String> {
    if value.contains('%') {
        return Ok(Target::Macro);
    }
    Domain::parse(value)
        .map(Target::Name)
        .map_err(|error| format!("`{term}` names no domain: {error}"))
}
