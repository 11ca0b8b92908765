//! Reasons that are always the same words.

use std::borrow::Cow;

use crate::{channel::Floor, decide::Because, facts::NoTlsa};

const fn of(fact: &'static str, rule: &'static str, rfc: &'static str) -> Because {
    Because { fact: Cow::Borrowed(fact), rule: Cow::Borrowed(rule), rfc: Cow::Borrowed(rfc) }
}

pub(super) static DANE: Because = of(
    "it has usable TLSA records, and DNSSEC secures the way to its name",
    "the certificate must match one of them",
    "RFC 7672 §2.2",
);
pub(super) static DANE_UNSIGNED_MX: Because = of(
    "it has usable TLSA records, but its name comes from unsigned MX records",
    "the certificate must match one of them, and proves no more than that name",
    "RFC 7672 §2.2.1",
);
pub(super) static DANE_AND_STS: Because = of(
    "it has usable TLSA records, its name comes from unsigned MX records, and the enforced \
     MTA-STS policy lists it",
    "the certificate must match a record, and a public CA must vouch for the name",
    "RFC 7672 §2.2.1, RFC 8461 §4.2",
);
pub(super) static STS_FILTERS: Because = of(
    "the enforced MTA-STS policy lists it",
    "it may take the mail; MTA-STS never overrides DANE",
    "RFC 8461 §2",
);
pub(super) static STS: Because = of(
    "the enforced MTA-STS policy lists it",
    "a public CA must vouch for its name",
    "RFC 8461 §4.2",
);
pub(super) static UNUSABLE: Because = of(
    "it has TLSA records, none of which can be used",
    "TLS is mandatory, and nobody can vouch for the peer",
    "RFC 7672 §2.2",
);
pub(super) static REMEMBERED: Because = of(
    "the destination achieved more within the last 30 days and took nothing back",
    "no less than that",
    "downgrade memory",
);
pub(super) static REQUIRED: Because = of(
    "the message asks for REQUIRETLS",
    "authenticated TLS under a name that somebody vouches for, and the keyword",
    "RFC 8689 §4.2.1",
);
static ADDRESS: Because =
    of("its addresses come from an unsigned zone", "DANE does not apply", "RFC 7672 §2.2.2");
static DENIED: Because =
    of("its signed zone has no TLSA records", "DANE does not apply", "RFC 7672 §2.2");
static INSECURE: Because =
    of("its TLSA answer is unsigned", "DANE does not apply", "RFC 7672 §2.2");
static LITERAL: Because =
    of("it is an address, not a name", "DANE does not apply", "RFC 7672 §2.2");
static ENCRYPTED: Because = of("the floor is encrypted", "TLS is mandatory", "floor");
static AUTHENTICATED: Because = of(
    "the floor is authenticated",
    "somebody must vouch for a name that no attacker could choose",
    "floor",
);
static QUALIFIED: Because =
    of("the floor is qualified", "DANE or a pin, with strong parameters", "floor");
static SEALED: Because = of("the floor is sealed", "no channel is enough", "floor");
static NONE: Because = of("the floor is none", "TLS is tried", "floor");

pub(super) fn absent(why: NoTlsa) -> &'static Because {
    match why {
        NoTlsa::InsecureAddress => &ADDRESS,
        NoTlsa::Denied => &DENIED,
        NoTlsa::InsecureAnswer => &INSECURE,
        NoTlsa::Literal | NoTlsa::NoAddress => &LITERAL,
    }
}

pub(super) fn floor(floor: Floor) -> &'static Because {
    match floor {
        Floor::None => &NONE,
        Floor::Encrypted => &ENCRYPTED,
        Floor::Authenticated => &AUTHENTICATED,
        Floor::Qualified => &QUALIFIED,
        Floor::Sealed => &SEALED,
    }
}
