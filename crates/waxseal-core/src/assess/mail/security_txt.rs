//! security.txt (RFC 9116): whom to tell about a fault, and until when that holds.

use jiff::Timestamp;

use crate::time::UnixTime;

/// The longest file that is read.
pub const MOST_OCTETS: usize = 64 * 1024;

/// When the file expires (RFC 9116 §2.5.5); signed files are read through their frame.
///
/// # Errors
/// What is wrong with it, in words.
pub fn expires(file: &[u8]) -> Result<UnixTime, String> {
    if file.len() > MOST_OCTETS {
        return Err(format!("it is longer than {MOST_OCTETS} octets"));
    }
    let text = std::str::from_utf8(file).map_err(|_| "it is not UTF-8".to_owned())?;
    let field = |name: &'static str| {
        text.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if field("contact").next().is_none() {
        return Err("it names no Contact (RFC 9116 §2.5.3)".into());
    }
    let mut dates = field("expires");
    let date = dates.next().ok_or("it has no Expires (RFC 9116 §2.5.5)")?;
    if dates.next().is_some() {
        return Err("it has more than one Expires (RFC 9116 §2.5.5)".into());
    }
    let at: Timestamp =
        date.parse().map_err(|_| "its Expires is no date of RFC 3339".to_owned())?;
    Ok(UnixTime(u64::try_from(at.as_second()).unwrap_or(0)))
}
