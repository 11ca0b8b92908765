//! The policy as all addresses of the policy host serve it: a sender takes any of them.

use std::net::IpAddr;

use crate::{
    facts::StsFailure,
    sts::{Mode, Policy},
};

/// The one policy of all addresses. Where they differ, that with which a sender would do something else
/// than is `wanted` (RFC 8461 §8.1): a fault before another policy, and that before silence, of which
/// nobody knows what it serves. `wanted` is `None` where there shall be no MTA-STS.
///
/// # Errors
///
/// The fault, with its address where there are several; [`StsFailure::Fetch`] without addresses.
pub fn everywhere(
    wanted: Option<&Policy>,
    each: Vec<(IpAddr, Result<Policy, StsFailure>)>,
) -> Result<Policy, StsFailure> {
    let several = each.len() > 1;
    let mut worst = Err(StsFailure::Fetch("the policy host has no address".to_owned()));
    let mut rank = None;
    for (address, served) in each {
        let served = if several { served.map_err(|failure| at(address, failure)) } else { served };
        let place = match &served {
            Err(StsFailure::Fetch(_) | StsFailure::Certificate(_) | StsFailure::Invalid(_)) => 3,
            Ok(policy) if is_another(policy, wanted) => 2,
            Err(StsFailure::Unreached(_) | StsFailure::Record(_)) => 1,
            Ok(_) => 0,
        };
        if rank.is_none_or(|rank| place > rank) {
            (worst, rank) = (served, Some(place));
        }
    }
    worst
}

/// Whether it does something else than is wanted.
fn is_another(policy: &Policy, wanted: Option<&Policy>) -> bool {
    wanted.map_or(policy.mode != Mode::None, |wanted| policy != wanted)
}

fn at(address: IpAddr, failure: StsFailure) -> StsFailure {
    let said = |why: String| format!("at {address}: {why}");
    match failure {
        StsFailure::Record(failure) => StsFailure::Record(failure),
        StsFailure::Fetch(why) => StsFailure::Fetch(said(why)),
        StsFailure::Unreached(why) => StsFailure::Unreached(said(why)),
        StsFailure::Certificate(why) => StsFailure::Certificate(said(why)),
        StsFailure::Invalid(why) => StsFailure::Invalid(said(why)),
    }
}
