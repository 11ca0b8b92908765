//! Against pages elsewhere that make a signed-in browser act: a token that only our own page
//! knows, signed and bound to the session (signed double submit).

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::SessionId;

/// Makes and checks tokens. The key lives as long as the process: a restart expires all forms.
#[derive(Debug)]
pub struct Csrf {
    key: hmac::Key,
}

/// A token as it stands in a form.
pub type Token = String;

impl Csrf {
    /// With a fresh key; `None` where the system has no randomness.
    pub fn new() -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(Self { key })
    }

    /// A token for a form of this session; `None` where the system has no randomness.
    pub fn issue(&self, session: &SessionId) -> Option<Token> {
        let mut nonce = [0; 16];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let tag = self.tag(session, &nonce);
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], tag.as_ref()].concat()))
    }

    /// Whether a token was issued for this session.
    pub fn is_good(&self, session: &SessionId, token: &str) -> bool {
        let Ok(octets) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((nonce, tag)) = octets.split_at_checked(16) else { return false };
        verify_slices_are_equal(self.tag(session, nonce).as_ref(), tag).is_ok()
    }

    fn tag(&self, session: &SessionId, nonce: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, &[session.digest(), nonce].concat())
    }
}
