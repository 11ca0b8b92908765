//! What is offered, as octets.

use crate::domain::Domain;

/// Versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 6101
    Ssl3,
    /// RFC 2246
    V1_0,
    /// RFC 4346
    V1_1,
    /// RFC 5246
    V1_2,
    /// RFC 8446
    V1_3,
}

impl Version {
    /// As it stands in messages.
    pub const fn number(self) -> u16 {
        match self {
            Self::Ssl3 => 0x0300,
            Self::V1_0 => 0x0301,
            Self::V1_1 => 0x0302,
            Self::V1_2 => 0x0303,
            Self::V1_3 => 0x0304,
        }
    }

    /// What a number means.
    pub const fn of(number: u16) -> Option<Self> {
        match number {
            0x0300 => Some(Self::Ssl3),
            0x0301 => Some(Self::V1_0),
            0x0302 => Some(Self::V1_1),
            0x0303 => Some(Self::V1_2),
            0x0304 => Some(Self::V1_3),
            _ => None,
        }
    }
}

/// One ClientHello.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The highest version; with TLS 1.3 it is the only one.
    pub version: Version,
    /// Numbers of suites, best first.
    pub suites: &'a [u16],
    /// Numbers of groups, best first.
    pub groups: &'a [u16],
    /// The server name.
    pub name: &'a Domain,
    /// Fresh random octets. They protect nothing: there will be no session.
    pub random: [u8; 32],
}

/// Signature schemes of all kinds, so that no certificate stands in the way (RFC 8446 §4.2.3).
const SCHEMES: [u16; 14] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
    0x0202, 0x0402,
];

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const EXTENDED_MASTER_SECRET: u16 = 23;
pub(super) const SUPPORTED_VERSIONS: u16 = 43;
pub(super) const KEY_SHARE: u16 = 51;
const RENEGOTIATION_INFO: u16 = 0xff01;

impl Offer<'_> {
    /// The ClientHello in its record.
    ///
    /// In TLS 1.3 it brings no key share, so that the server has to name a group in a
    /// HelloRetryRequest (RFC 8446 §4.1.4) and nothing has to be computed.
    pub fn octets(&self) -> Vec<u8> {
        let legacy = self.version.min(Version::V1_2).number();
        let mut body = legacy.to_be_bytes().to_vec();
        body.extend(self.random);
        body.push(0);
        body.extend(vector16(&pairs(self.suites)));
        body.extend([1, 0]);
        // Servers that speak nothing newer may stumble over extensions.
        if self.version > Version::Ssl3 {
            body.extend(vector16(&self.extensions()));
        }
        let mut message = vec![1, 0];
        message.extend(vector16(&body));
        let record = self.version.min(Version::V1_0).number();
        let mut octets = vec![22];
        octets.extend(record.to_be_bytes());
        octets.extend(vector16(&message));
        octets
    }

    fn extensions(&self) -> Vec<u8> {
        let mut list = Vec::new();
        let mut add = |kind: u16, data: &[u8]| {
            list.extend(kind.to_be_bytes());
            list.extend(vector16(data));
        };
        let name = [&[0], vector16(self.name.as_str().as_bytes()).as_slice()].concat();
        add(SERVER_NAME, &vector16(&name));
        add(SUPPORTED_GROUPS, &vector16(&pairs(self.groups)));
        if self.version < Version::V1_3 {
            add(POINT_FORMATS, &[1, 0]);
            add(EXTENDED_MASTER_SECRET, &[]);
            add(RENEGOTIATION_INFO, &[0]);
        }
        if self.version >= Version::V1_2 {
            add(SIGNATURE_ALGORITHMS, &vector16(&pairs(&SCHEMES)));
        }
        if self.version == Version::V1_3 {
            add(
                SUPPORTED_VERSIONS,
                &[&[2], Version::V1_3.number().to_be_bytes().as_slice()].concat(),
            );
            add(KEY_SHARE, &[0, 0]);
        }
        list
    }
}

fn pairs(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// With the length in two octets in front. What is offered is far shorter than 64 KiB.
fn vector16(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), data].concat()
}
