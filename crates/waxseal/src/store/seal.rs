//! Encryption at rest (DESIGN §7): each message has a key of its own, wrapped by the store key.
//!
//! Every sealed value is bound to its place (which message, which field, which chunk), so that a
//! thief who can also write cannot move one to another place.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac, rand,
};
use zeroize::Zeroizing;

use super::StoreError;
use crate::secrets::{KeyId, StoreKeys, WRAPPED_LEN};

/// Tag and nonce, behind the ciphertext.
pub(crate) const OVERHEAD: usize = 16 + NONCE_LEN;
const VERSION: u8 = 1;
const PREFIX: usize = 1 + 8 + WRAPPED_LEN;

/// What a sealed value is, and of what: authenticated with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Head(u64),
    Body(u64),
    /// A piece of a body in the spool: message, number, and whether it is the last.
    Chunk(u64, u64, Last),
    Group(u64),
    Event(u64),
    Personal(u64),
    State([u8; 16]),
    Meta,
    /// What an operator asks, by its number, and what came of it.
    Command(u64),
    Answer(u64),
}

/// Whether a chunk ends its file: a file that was cut off at a chunk's end is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

impl Place {
    fn aad(self) -> Aad<[u8; 18]> {
        let (kind, first, second) = match self {
            Self::Head(id) => (1, id, 0),
            Self::Body(id) => (2, id, 0),
            Self::Chunk(id, number, Last::No) => (3, id, number),
            Self::Chunk(id, number, Last::Yes) => (4, id, number),
            Self::Group(id) => (5, id, 0),
            Self::Event(sequence) => (6, sequence, 0),
            Self::Personal(sequence) => (7, sequence, 0),
            Self::State(tag) => {
                let tag = u128::from_be_bytes(tag);
                #[expect(clippy::cast_possible_truncation, reason = "the two halves of the tag")]
                let halves = ((tag >> 64) as u64, tag as u64);
                (8, halves.0, halves.1)
            }
            Self::Meta => (9, 0, 0),
            Self::Command(id) => (10, id, 0),
            Self::Answer(id) => (11, id, 0),
        };
        let mut aad = [0; 18];
        let bytes = [VERSION, kind].into_iter();
        let bytes = bytes.chain(first.to_be_bytes()).chain(second.to_be_bytes());
        aad.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Aad::from(aad)
    }
}

/// The key of one message.
pub(crate) struct MessageKey {
    pub(crate) id: KeyId,
    pub(crate) wrapped: [u8; WRAPPED_LEN],
    cipher: RandomizedNonceKey,
}

impl MessageKey {
    /// A new one.
    pub(crate) fn random(keys: &StoreKeys) -> Result<Self, StoreError> {
        let broken = || StoreError::Cipher;
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|_| broken())?;
        let (id, wrapped) = keys.wrap(&key).ok_or_else(broken)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*key).map_err(|_| broken())?;
        Ok(Self { id, wrapped, cipher })
    }

    /// One that the store keeps.
    pub(crate) fn unwrap(keys: &StoreKeys, id: &[u8], wrapped: &[u8]) -> Result<Self, StoreError> {
        let id = KeyId(id.try_into().map_err(|_| StoreError::Damaged("the name of a key"))?);
        let wrapped: [u8; WRAPPED_LEN] =
            wrapped.try_into().map_err(|_| StoreError::Damaged("a wrapped key"))?;
        let key = keys.unwrap(id, &wrapped).map_err(|missing| StoreError::KeyMissing(missing.0))?;
        let key = key.ok_or(StoreError::Damaged("a wrapped key"))?;
        let cipher =
            RandomizedNonceKey::new(&AES_256_GCM, &*key).map_err(|_| StoreError::Cipher)?;
        Ok(Self { id, wrapped, cipher })
    }

    /// Encrypts in place: ciphertext, tag, nonce. The nonce is random; a message's key seals far
    /// fewer than 2^32 values (NIST SP 800-38D §8.3).
    pub(crate) fn seal(&self, place: Place, mut plain: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        plain.reserve_exact(OVERHEAD);
        let nonce = self.cipher.seal_in_place_append_tag(place.aad(), &mut plain);
        let nonce = nonce.map_err(|_| StoreError::Cipher)?;
        plain.extend_from_slice(nonce.as_ref());
        Ok(plain)
    }

    /// Decrypts what [`Self::seal`] made for the same place.
    pub(crate) fn open(&self, place: Place, mut sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::Damaged("a sealed value");
        let at = sealed.len().checked_sub(NONCE_LEN).ok_or_else(damaged)?;
        let nonce =
            Nonce::try_assume_unique_for_key(&sealed.split_off(at)).map_err(|_| damaged())?;
        let opened = self.cipher.open_in_place(nonce, place.aad(), &mut sealed);
        let length = opened.map_err(|_| damaged())?.len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

/// Seals a value that belongs to no message, under a key of its own: to forget the wrapped key is to
/// forget the value.
pub(crate) fn seal(keys: &StoreKeys, place: Place, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let key = MessageKey::random(keys)?;
    let sealed = key.seal(place, plain.to_vec())?;
    let mut record = Vec::with_capacity(PREFIX + sealed.len());
    record.push(VERSION);
    record.extend_from_slice(&key.id.0);
    record.extend_from_slice(&key.wrapped);
    record.extend_from_slice(&sealed);
    Ok(record)
}

/// Opens what [`seal`] made for the same place.
pub(crate) fn open(keys: &StoreKeys, place: Place, record: &[u8]) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::Damaged("a sealed record");
    let (prefix, sealed) = record.split_at_checked(PREFIX).ok_or_else(damaged)?;
    let (version, prefix) = prefix.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        return Err(damaged());
    }
    let (id, wrapped) = prefix.split_at_checked(8).ok_or_else(damaged)?;
    MessageKey::unwrap(keys, id, wrapped)?.open(place, sealed.to_vec())
}

/// Turns names into tags that tell a thief of the disk nothing: an HMAC under a key that is itself
/// sealed. It stays the same when the store key is rotated.
pub(crate) struct Tags(hmac::Key);

impl Tags {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// 16 octets for `name` in `space`.
    pub(crate) fn tag(&self, space: u8, name: &[u8]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[space]);
        context.update(name);
        let mut tag = [0; 16];
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }
}
