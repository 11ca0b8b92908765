//! What a signature is computed over (RFC 4034 §3.1.8.1).

use super::{Name, RrSet, rrset::Signature};

/// The octets that `signature` over `set` signs; `None` where it cannot be over this set
/// (more labels than the owner has, RFC 4035 §5.3.1).
pub(super) fn signed_octets(set: &RrSet, signature: &Signature) -> Option<Vec<u8>> {
    let owner = signed_owner(&set.owner, signature.labels)?;
    let mut octets = signature.head.clone();
    for rdata in &set.rdata {
        octets.extend_from_slice(owner.as_octets());
        octets.extend_from_slice(&set.record_type.to_int().to_be_bytes());
        octets.extend_from_slice(&[0, 1]);
        octets.extend_from_slice(&signature.original_ttl.to_be_bytes());
        octets.extend_from_slice(&u16::try_from(rdata.len()).ok()?.to_be_bytes());
        octets.extend_from_slice(rdata);
    }
    Some(octets)
}

/// The owner as it was signed: the wildcard, where the RRSIG has fewer labels (RFC 4035 §5.3.2).
fn signed_owner(owner: &Name, labels: u8) -> Option<Name> {
    let labels = usize::from(labels);
    let own = signed_labels(owner);
    if labels > own {
        return None;
    }
    if labels == own { Some(owner.clone()) } else { owner.ancestor(labels).wildcard() }
}

/// The number of labels that counts in an RRSIG: neither the root's nor a leading `*`
/// (RFC 4034 §3.1.3).
pub(super) fn signed_labels(owner: &Name) -> usize {
    owner.label_count() - usize::from(owner.is_wildcard())
}
