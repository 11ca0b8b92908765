//! What no guideline calls good, and what is good: NCSC-NL 2025-05 and BSI TR-02102-2 agree on
//! these suites of TLS 1.2 and these groups.

/// Why a suite is weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakness {
    /// Nothing is encrypted.
    Null,
    /// Nobody is authenticated.
    Anonymous,
    /// Keys of 40 or 56 bits.
    Export,
    /// RC4 (RFC 7465).
    Rc4,
    /// DES and 3DES: blocks of 64 bits.
    Des,
    /// Static RSA: no forward secrecy.
    StaticRsa,
    /// Finite-field Diffie-Hellman: groups of unknown strength.
    FiniteField,
    /// CBC with MAC before encryption.
    Cbc,
}

impl Weakness {
    /// Whether it takes away what TLS is for: that nobody reads along, or that there is a peer at
    /// all. Keys of 40 or 56 bits, RC4 and blocks of 64 bits can be broken today.
    pub const fn is_broken(self) -> bool {
        match self {
            Self::Null | Self::Anonymous | Self::Export | Self::Rc4 | Self::Des => true,
            Self::StaticRsa | Self::FiniteField | Self::Cbc => false,
        }
    }
}

/// A suite: number, name in IANA's registry, and why it is weak.
pub type Suite = (u16, &'static str, Weakness);

/// The worst first, for servers that follow the client's order.
pub const WEAK_SUITES: &[Suite] = &[
    (0x0001, "TLS_RSA_WITH_NULL_MD5", Weakness::Null),
    (0x0002, "TLS_RSA_WITH_NULL_SHA", Weakness::Null),
    (0x003b, "TLS_RSA_WITH_NULL_SHA256", Weakness::Null),
    (0xc006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA", Weakness::Null),
    (0xc010, "TLS_ECDHE_RSA_WITH_NULL_SHA", Weakness::Null),
    (0x0018, "TLS_DH_anon_WITH_RC4_128_MD5", Weakness::Anonymous),
    (0x001b, "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA", Weakness::Anonymous),
    (0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA", Weakness::Anonymous),
    (0x003a, "TLS_DH_anon_WITH_AES_256_CBC_SHA", Weakness::Anonymous),
    (0x006c, "TLS_DH_anon_WITH_AES_128_CBC_SHA256", Weakness::Anonymous),
    (0x00a6, "TLS_DH_anon_WITH_AES_128_GCM_SHA256", Weakness::Anonymous),
    (0x00a7, "TLS_DH_anon_WITH_AES_256_GCM_SHA384", Weakness::Anonymous),
    (0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", Weakness::Anonymous),
    (0xc019, "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", Weakness::Anonymous),
    (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", Weakness::Export),
    (0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", Weakness::Export),
    (0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA", Weakness::Export),
    (0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", Weakness::Export),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5", Weakness::Rc4),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA", Weakness::Rc4),
    (0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Weakness::Rc4),
    (0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", Weakness::Rc4),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA", Weakness::Des),
    (0x0015, "TLS_DHE_RSA_WITH_DES_CBC_SHA", Weakness::Des),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Weakness::Des),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", Weakness::Des),
    (0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", Weakness::Des),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Weakness::Des),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", Weakness::StaticRsa),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", Weakness::StaticRsa),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", Weakness::StaticRsa),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", Weakness::StaticRsa),
    (0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", Weakness::StaticRsa),
    (0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", Weakness::StaticRsa),
    (0x0096, "TLS_RSA_WITH_SEED_CBC_SHA", Weakness::StaticRsa),
    (0x0007, "TLS_RSA_WITH_IDEA_CBC_SHA", Weakness::StaticRsa),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", Weakness::StaticRsa),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", Weakness::StaticRsa),
    (0xc09c, "TLS_RSA_WITH_AES_128_CCM", Weakness::StaticRsa),
    (0xc09d, "TLS_RSA_WITH_AES_256_CCM", Weakness::StaticRsa),
    (0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA", Weakness::FiniteField),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", Weakness::FiniteField),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", Weakness::FiniteField),
    (0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", Weakness::FiniteField),
    (0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", Weakness::FiniteField),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", Weakness::FiniteField),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", Weakness::FiniteField),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", Weakness::FiniteField),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", Weakness::FiniteField),
    (0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Weakness::FiniteField),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Weakness::Cbc),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Weakness::Cbc),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Weakness::Cbc),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Weakness::Cbc),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Weakness::Cbc),
    (0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", Weakness::Cbc),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Weakness::Cbc),
    (0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", Weakness::Cbc),
    (0xc072, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256", Weakness::Cbc),
    (0xc076, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", Weakness::Cbc),
];

/// Suites that are good, for questions about something else: TLS 1.3, and TLS 1.2 with ECDHE and
/// an AEAD.
pub const GOOD_SUITES: &[u16] =
    &[0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc02b, 0xc02f];

/// Groups of TLS 1.2 with less than 112 bits of strength, or on curves that no guideline lists.
pub const WEAK_GROUPS_1_2: &[u16] = &[16, 17, 18, 19, 20, 21, 22, 1, 3, 6, 7, 9, 10, 13, 14];

/// Groups of TLS 1.3 that are too small: finite fields of 2048 bits (RFC 7919).
pub const WEAK_GROUPS_1_3: &[u16] = &[256];

/// The name of a weak suite in IANA's registry; the number of another one.
pub fn suite_name(number: u16) -> String {
    let known = WEAK_SUITES.iter().find(|(weak, ..)| *weak == number);
    known.map_or_else(|| format!("0x{number:04X}"), |(_, name, _)| (*name).to_owned())
}

/// Why a suite is weak, by its IANA name; `None` for one that is not in [`WEAK_SUITES`].
pub fn weakness(name: &str) -> Option<Weakness> {
    WEAK_SUITES.iter().find(|(_, known, _)| *known == name).map(|(_, _, weakness)| *weakness)
}

/// The name of a group in IANA's registry; the number of one that is not known here.
pub fn group_name(number: u16) -> String {
    let name = match number {
        1 => "sect163k1",
        3 => "sect163r2",
        6 => "sect233k1",
        7 => "sect233r1",
        9 => "sect283k1",
        10 => "sect283r1",
        13 => "sect571k1",
        14 => "sect571r1",
        16 => "secp160r1",
        17 => "secp160r2",
        18 => "secp192k1",
        19 => "secp192r1",
        20 => "secp224k1",
        21 => "secp224r1",
        22 => "secp256k1",
        256 => "ffdhe2048",
        _ => return format!("group {number}"),
    };
    name.to_owned()
}
