//! The walk from a trust anchor down to the zone that holds a name (RFC 4035 §5).

use std::sync::Arc;

use super::{
    Flaw, Name, Question, RecordType, RrSet,
    anchors::Anchor,
    denial::{NoDs, Proven},
    rrset::{Ds, Key},
    run::{Held, Keys, MOST_SAME_TAG, Run, Status, Stop, Zone, ds_of, keys_of},
    verify::{Algorithm, DS_SHA1, ds_digest},
};

/// How many labels may be looked through for zone cuts above a name without signatures.
const MOST_CUTS: usize = 24;

/// How many DS records of a zone are compared with its keys.
const MOST_DIGESTS: usize = 16;

/// What lies at a name below a secure zone.
enum Cut {
    Signed(usize),
    Unsigned(String),
    None,
    /// Neither a cut nor anything below the name.
    Nothing,
    Broken(Flaw, String),
}

/// How far the walk goes.
#[derive(Clone, Copy)]
pub(super) enum Toward<'n> {
    /// To the zone that a signature names.
    Signer(&'n Name),
    /// Through every label of a name, in search of an unsigned delegation.
    Every(&'n Name),
}

impl Run<'_> {
    /// Walks down to a name and says which zone is around it.
    pub(super) fn walk(&mut self, toward: Toward<'_>) -> Result<Zone, Stop> {
        let (Toward::Signer(target) | Toward::Every(target)) = toward;
        let Some((top, anchors)) = self.anchors.closest(target) else {
            return Ok(Zone::Unanchored);
        };
        let (first, last) = (top.label_count() + 1, target.label_count());
        let ahead = |from: usize| {
            let names = (from..=last).map(|labels| target.ancestor(labels)).take(8);
            match toward {
                Toward::Signer(_) => {
                    names.flat_map(|name| [ds_of(&name), keys_of(&name)]).collect::<Vec<_>>()
                }
                Toward::Every(_) => names.map(|name| ds_of(&name)).collect(),
            }
        };
        let mut zone = match self.zones.get(top) {
            Some(known) => known.clone(),
            None => {
                let entered = self.enter_anchor(top, anchors);
                let entered = entered.map_err(|stop| self.ask_ahead(stop, ahead(first)))?;
                self.zones.insert(top.clone(), entered.clone());
                entered
            }
        };
        for labels in first..=last {
            let Zone::Secure(keys) = &zone else { return Ok(zone) };
            if labels - first >= MOST_CUTS {
                return Err(Stop::Limit(format!("{target} lies too deep below {}", keys.apex)));
            }
            let keys = Arc::clone(keys);
            let name = target.ancestor(labels);
            if let Some(known) = self.zones.get(&name) {
                zone = known.clone();
                continue;
            }
            let step = self.step(&keys, &name);
            let step = step.map_err(|stop| self.ask_ahead(stop, ahead(labels)))?;
            let Some(next) = step else { return Ok(zone) };
            self.zones.insert(name, next.clone());
            zone = next;
        }
        Ok(zone)
    }

    /// Adds to what is needed now what will be needed next, so that it is fetched at once.
    fn ask_ahead(&self, stop: Stop, ahead: Vec<Question>) -> Stop {
        let Stop::Need(mut questions) = stop else { return stop };
        for question in ahead {
            if self.bundle.asked(&question).is_none() && !questions.contains(&question) {
                questions.push(question);
            }
        }
        Stop::Need(questions)
    }

    /// The zone around `name`, given that around its parent; `None` where nothing is below.
    fn step(&mut self, keys: &Arc<Keys>, name: &Name) -> Result<Option<Zone>, Stop> {
        Ok(match self.cut(keys, name)? {
            Cut::Signed(ds) => Some(self.enter(name, ds)?),
            Cut::Unsigned(reason) => Some(Zone::Insecure(reason)),
            Cut::None => Some(Zone::Secure(Arc::clone(keys))),
            Cut::Nothing => None,
            Cut::Broken(flaw, reason) => Some(Zone::Bogus(flaw, reason)),
        })
    }

    /// Whether a zone begins at `name`, as the zone above says (RFC 4035 §5.2).
    fn cut(&mut self, zone: &Arc<Keys>, name: &Name) -> Result<Cut, Stop> {
        if let Some(place) = self.bundle.find(name, RecordType::DS) {
            return Ok(match self.held_as_is(place, &zone.apex, &zone.keys)? {
                Held::AsIs => {
                    self.cite(place);
                    Cut::Signed(place)
                }
                Held::Not(flaw, reason) => Cut::Broken(flaw, reason),
                Held::FromWildcard(_) => Cut::Broken(Flaw::Mismatch, format!("{name} DS")),
            });
        }
        self.must_be_asked(ds_of(name))?;
        if let Some(cut) = self.cut_by_alias(zone, name)? {
            return Ok(cut);
        }
        Ok(match self.deny_ds(zone, name)? {
            NoDs::Delegation => Cut::Unsigned(format!("{} delegates {name} unsigned", zone.apex)),
            NoDs::OptOut => Cut::Unsigned(format!(
                "{name} lies in an opt-out span of {}, where delegations are unsigned",
                zone.apex
            )),
            NoDs::TooCostly(reason) => Cut::Unsigned(reason),
            NoDs::NoCut => Cut::None,
            NoDs::Nothing => Cut::Nothing,
            NoDs::Unproven(reason) => Cut::Broken(
                Flaw::Denial,
                format!("{} does not prove whether {name} is signed: {reason}", zone.apex),
            ),
        })
    }

    /// An alias is not a delegation, and below a DNAME is nothing (RFC 6672 §2.4).
    fn cut_by_alias(&mut self, zone: &Arc<Keys>, name: &Name) -> Result<Option<Cut>, Stop> {
        let mut above = name.parent();
        while let Some(owner) = above {
            if !owner.is_within(&zone.apex) {
                break;
            }
            if let Some(place) = self.bundle.find(&owner, RecordType::DNAME)
                && self.held_as_is(place, &zone.apex, &zone.keys)? == Held::AsIs
            {
                self.cite(place);
                return Ok(Some(Cut::Nothing));
            }
            above = owner.parent();
        }
        let Some(place) = self.bundle.find(name, RecordType::CNAME) else { return Ok(None) };
        Ok(match self.held(place, &zone.apex, &zone.keys)? {
            Held::AsIs => {
                self.cite(place);
                Some(Cut::None)
            }
            Held::FromWildcard(encloser) => match self.deny_closer(zone, name, &encloser)? {
                Proven::Secure => {
                    self.cite(place);
                    Some(Cut::None)
                }
                Proven::Insecure(_) | Proven::Not(_) => None,
            },
            Held::Not(..) => None,
        })
    }

    /// The keys of a zone with a DS set that was validated (RFC 4035 §5.2).
    fn enter(&mut self, name: &Name, place: usize) -> Result<Zone, Stop> {
        let records = &self.set(place)?.rdata;
        let digests: Vec<Ds> = records.iter().filter_map(|rdata| Ds::parse(rdata)).collect();
        let usable = |ds: &&Ds| {
            Algorithm::of(ds.algorithm).is_some() && ds_digest(ds.digest_type, &[]).is_some()
        };
        let usable = digests.iter().filter(usable);
        // RFC 4509 §3: beside a better digest SHA-1 does not count.
        let better = usable.clone().any(|ds| ds.digest_type != DS_SHA1);
        let usable = usable.filter(|ds| !better || ds.digest_type != DS_SHA1);
        let usable: Vec<&Ds> = usable.take(MOST_DIGESTS).collect();
        if usable.is_empty() {
            let kinds: Vec<String> = digests
                .iter()
                .map(|ds| format!("algorithm {} digest {}", ds.algorithm, ds.digest_type))
                .collect();
            let kinds = kinds.join(", ");
            let reason = format!("{name} is signed only in ways that are not supported: {kinds}");
            return Ok(Zone::Insecure(reason));
        }
        let Some((keys, place)) = self.key_set(name)? else {
            let reason = format!("{name} has DS records and no DNSKEY");
            return Ok(Zone::Bogus(Flaw::Missing, reason));
        };
        let mut entries = Vec::new();
        for ds in usable {
            let fits = |key: &&Key| key.tag == ds.tag && key.algorithm == ds.algorithm;
            for key in keys.iter().filter(fits).take(MOST_SAME_TAG) {
                let octets = [name.as_octets(), key.rdata.as_slice()].concat();
                let digest = ds_digest(ds.digest_type, &octets);
                if key.signs_zones()
                    && digest.is_some_and(|digest| digest == ds.digest)
                    && !entries.contains(key)
                {
                    entries.push(key.clone());
                }
            }
        }
        self.enter_with(name, (keys, place), entries)
    }

    /// The keys of a zone with a trust anchor.
    fn enter_anchor(&mut self, name: &Name, anchors: &[Anchor]) -> Result<Zone, Stop> {
        let Some((keys, place)) = self.key_set(name)? else {
            let reason = format!("{name} has a trust anchor and no DNSKEY");
            return Ok(Zone::Bogus(Flaw::Missing, reason));
        };
        let trusted =
            |key: &&Key| key.signs_zones() && anchors.iter().any(|anchor| anchor.names(name, key));
        let entries: Vec<Key> = keys.iter().filter(trusted).cloned().collect();
        self.enter_with(name, (keys, place), entries)
    }

    /// `entries` are the keys that the parent or an anchor vouches for: one of them has to have
    /// signed the whole set.
    fn enter_with(
        &mut self,
        name: &Name,
        (keys, place): (Vec<Key>, usize),
        entries: Vec<Key>,
    ) -> Result<Zone, Stop> {
        if entries.is_empty() {
            let reason = format!("no DNSKEY of {name} matches what vouches for it above");
            return Ok(Zone::Bogus(Flaw::Mismatch, reason));
        }
        Ok(match self.held_as_is(place, name, &entries)? {
            Held::AsIs => {
                self.cite(place);
                let keys = keys.into_iter().filter(Key::signs_zones).collect();
                Zone::Secure(Arc::new(Keys { apex: name.clone(), keys }))
            }
            Held::Not(flaw, reason) => Zone::Bogus(flaw, reason),
            Held::FromWildcard(_) => Zone::Bogus(Flaw::Mismatch, format!("{name} DNSKEY")),
        })
    }

    fn key_set(&self, name: &Name) -> Result<Option<(Vec<Key>, usize)>, Stop> {
        let Some(place) = self.bundle.find(name, RecordType::DNSKEY) else {
            self.must_be_asked(keys_of(name))?;
            return Ok(None);
        };
        let set = self.set(place)?;
        Ok(Some((set.rdata.iter().filter_map(|rdata| Key::parse(rdata)).collect(), place)))
    }

    /// The state of a set of records, whoever signed it (RFC 4035 §4.3).
    pub(super) fn status(&mut self, place: usize) -> Result<Status, Stop> {
        let set = self.set(place)?;
        let Some(signer) = signer_of(set) else {
            let zone = match zone_of(set) {
                Some(inside) => self.walk(Toward::Every(&inside))?,
                None => Zone::Unanchored,
            };
            self.cite(place);
            return Ok(match zone {
                Zone::Secure(keys) => {
                    let reason =
                        format!("{} is signed, but {} has no RRSIG", keys.apex, set.title());
                    Status::Bogus(Flaw::Missing, reason)
                }
                other @ (Zone::Insecure(_) | Zone::Bogus(..) | Zone::Unanchored) => {
                    other.into_status(&set.owner)?
                }
            });
        };
        let zone = self.walk(Toward::Signer(&signer))?;
        let Zone::Secure(keys) = zone else {
            self.cite(place);
            return zone.into_status(&set.owner);
        };
        if keys.apex != signer {
            let reason = format!("RRSIG of {} is by {signer}, which is no zone", set.title());
            return Ok(Status::Bogus(Flaw::Mismatch, reason));
        }
        let held = self.held(place, &keys.apex, &keys.keys)?;
        self.cite(place);
        Ok(match held {
            Held::AsIs => Status::Secure,
            Held::Not(flaw, reason) => Status::Bogus(flaw, reason),
            Held::FromWildcard(encloser) => {
                match self.deny_closer(&keys, &set.owner, &encloser)? {
                    Proven::Secure => Status::Secure,
                    Proven::Insecure(reason) => Status::Insecure(reason),
                    Proven::Not(reason) => {
                        let title = set.title();
                        let reason = format!("{title} comes from a wildcard, but {reason}");
                        Status::Bogus(Flaw::Denial, reason)
                    }
                }
            }
        })
    }
}

impl Zone {
    /// The state of what is in a zone that is not secure.
    pub(super) fn into_status(self, name: &Name) -> Result<Status, Stop> {
        match self {
            Self::Secure(_) => Ok(Status::Secure),
            Self::Insecure(reason) => Ok(Status::Insecure(reason)),
            Self::Bogus(flaw, reason) => Ok(Status::Bogus(flaw, reason)),
            Self::Unanchored => Err(Stop::Unknown(
                crate::dns::FailureKind::Indeterminate,
                format!("no trust anchor is above {name}"),
            )),
        }
    }
}

/// The zone that claims to have signed a set: the deepest signer that can hold the owner. DS is
/// signed by the parent (RFC 4034 §5).
fn signer_of(set: &RrSet) -> Option<Name> {
    let can_hold = |signer: &&Name| {
        if set.record_type == RecordType::DS && !set.owner.is_root() {
            set.owner.is_below(signer)
        } else {
            set.owner.is_within(signer)
        }
    };
    let signers = set.signatures.iter().map(|one| &one.signer).filter(can_hold);
    signers.max_by_key(|signer| signer.label_count()).cloned()
}

/// The deepest name that can be the apex of the zone of a set.
fn zone_of(set: &RrSet) -> Option<Name> {
    if set.record_type == RecordType::DS { set.owner.parent() } else { Some(set.owner.clone()) }
}
