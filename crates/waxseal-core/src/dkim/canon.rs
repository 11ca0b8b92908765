//! Canonical forms (RFC 6376 §3.4).

/// How much a signature tolerates on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing (§3.4.1, §3.4.3).
    Simple,
    /// Changes of white space (§3.4.2, §3.4.4).
    Relaxed,
}

/// Splits a message into its header fields, each with its folded lines and line ends, and its body.
pub(super) fn split(message: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut fields: Vec<&[u8]> = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line == b"\r\n" {
            fields.extend(message.get(start..at).filter(|field| !field.is_empty()));
            return (fields, message.get(at + 2..).unwrap_or_default());
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") && at > start {
            fields.extend(message.get(start..at));
            start = at;
        }
        at += line.len();
    }
    fields.extend(message.get(start..at).filter(|field| !field.is_empty()));
    (fields, &[])
}

/// Name in lower case, and value, of a field.
pub(super) fn name_and_value(field: &[u8]) -> Option<(String, &[u8])> {
    let colon = field.iter().position(|octet| *octet == b':')?;
    let name = std::str::from_utf8(field.get(..colon)?).ok()?.trim_end();
    Some((name.to_ascii_lowercase(), field.get(colon + 1..)?))
}

/// One header field, CRLF at its end.
pub(super) fn header(field: &[u8], form: Form) -> Vec<u8> {
    match (form, name_and_value(field)) {
        (Form::Simple, _) | (_, None) => field.to_vec(),
        (Form::Relaxed, Some((name, value))) => {
            let mut text = name.into_bytes();
            text.push(b':');
            text.extend(squeezed(value).trim_ascii());
            text.extend(b"\r\n");
            text
        }
    }
}

/// Line ends taken out, runs of white space made one blank.
fn squeezed(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    for octet in value {
        match octet {
            b'\r' | b'\n' => {}
            b' ' | b'\t' if text.last() == Some(&b' ') => {}
            b' ' | b'\t' => text.push(b' '),
            other => text.push(*other),
        }
    }
    text
}

/// The body, without empty lines at its end.
pub(super) fn body(body: &[u8], form: Form) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len() + 2);
    let mut end = 0;
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        match form {
            Form::Simple => text.extend_from_slice(line),
            Form::Relaxed => {
                let squeezed = squeezed(line);
                text.extend_from_slice(squeezed.strip_suffix(b" ").unwrap_or(&squeezed));
            }
        }
        let empty = text.ends_with(b"\r\n") || text.is_empty();
        text.extend(b"\r\n");
        if !empty {
            end = text.len();
        }
    }
    text.truncate(end);
    if text.is_empty() && form == Form::Simple {
        text.extend(b"\r\n");
    }
    text
}
