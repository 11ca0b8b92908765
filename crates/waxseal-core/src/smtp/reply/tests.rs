use proptest::prelude::*;

use super::{MAX_AHEAD, MAX_LINE, MAX_LINES, ReplyError, ReplyReader};
use crate::reply::{EnhancedCode, Reply};

fn read(bytes: &[u8], chunk: usize) -> (Vec<Reply>, Option<ReplyError>) {
    let mut reader = ReplyReader::default();
    let mut replies = Vec::new();
    for piece in bytes.chunks(chunk) {
        reader.push(piece);
        loop {
            match reader.next_reply() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

fn one(bytes: &[u8]) -> Reply {
    let (mut replies, error) = read(bytes, 3);
    assert_eq!(error, None);
    assert_eq!(replies.len(), 1);
    replies.remove(0)
}

fn error(bytes: &[u8]) -> ReplyError {
    read(bytes, 7).1.expect("refused")
}

#[test]
fn a_reply_of_one_line() {
    assert_eq!(one(b"250 ok\r\n"), Reply::new(250, None, "ok"));
    assert_eq!(one(b"250\r\n"), Reply::new(250, None, ""));
    assert_eq!(one(b"354 \r\n"), Reply::new(354, None, ""));
}

#[test]
fn enhanced_codes_leave_the_text() {
    let reply = one(b"550-5.1.1 no such user\r\n550 5.1.1 here\r\n");
    assert_eq!(reply.enhanced, Some(EnhancedCode(5, 1, 1)));
    assert_eq!(reply.text, ["no such user", "here"]);
    assert_eq!(reply.to_string(), "550 5.1.1 no such user here");
}

#[test]
fn an_enhanced_code_of_another_class_is_text() {
    let reply = one(b"550 2.1.1 odd\r\n");
    assert_eq!((reply.enhanced, reply.text), (None, vec!["2.1.1 odd".to_owned()]));
    assert_eq!(one(b"220 10.0.0.1 ready\r\n").enhanced, None);
    assert_eq!(one(b"250 2.0.0.0 ready\r\n").enhanced, None);
    assert_eq!(one(b"250 2.x.0 ready\r\n").enhanced, None);
    assert_eq!(one(b"250 2.0000.0 ready\r\n").enhanced, None);
}

#[test]
fn several_replies_in_one_segment_stay_apart() {
    let (replies, error) = read(b"250 2.1.0 ok\r\n550 5.1.1 no\r\n354 go\r\n", 4_096);
    assert_eq!(error, None);
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [250, 550, 354]);
}

/// A hostile server wants to write to the administrator's terminal.
#[test]
fn control_characters_do_not_get_out() {
    let reply = one(b"250 a\x1b[2Jb\0c\td\x7f\xc2\x9b\xff\xe2\x80\xae\r\n");
    let text = &reply.text[0];
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(!text.contains('\u{202e}'));
    assert!(text.starts_with("a\u{fffd}[2Jb\u{fffd}c"));
}

#[test]
fn utf8_text_is_kept() {
    assert_eq!(one("550 5.1.1 Empfänger unbekannt\r\n".as_bytes()).text, ["Empfänger unbekannt"]);
}

#[test]
fn what_is_not_a_reply_is_refused() {
    for bytes in [
        &b"\r\n"[..],
        b"25\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b"199 ok\r\n",
        b"600 ok\r\n",
        b"abc ok\r\n",
        b"+OK ready\r\n",
        b"\0\0\0\0\r\n",
        b" 250 ok\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ] {
        assert_eq!(error(bytes), ReplyError::NoCode, "{bytes:?}");
    }
}

#[test]
fn codes_of_one_reply_must_agree() {
    assert_eq!(error(b"250-a\r\n550 b\r\n"), ReplyError::CodeChanged);
}

#[test]
fn a_bare_line_feed_does_not_end_a_line() {
    assert_eq!(error(b"250 ok\n"), ReplyError::BareLineFeed);
}

/// A hostile server that never ends its line cannot fill our memory.
#[test]
fn an_endless_line_is_refused() {
    let mut line = b"220 ".to_vec();
    line.resize(MAX_LINE, b'x');
    assert_eq!(error(&line), ReplyError::LineTooLong);
    let mut longest = b"220 ".to_vec();
    longest.resize(MAX_LINE - 2, b'x');
    longest.extend_from_slice(b"\r\n");
    assert_eq!(one(&longest).text[0].len(), MAX_LINE - 6);
}

/// A hostile server that never ends its reply cannot hold us.
#[test]
fn an_endless_reply_is_refused() {
    assert_eq!(error(&b"250-x\r\n".repeat(MAX_LINES + 1)), ReplyError::ReplyTooLong);
    let mut reply = b"250-x\r\n".repeat(MAX_LINES - 1);
    reply.extend_from_slice(b"250 x\r\n");
    assert_eq!(one(&reply).text.len(), MAX_LINES);
    let mut long = b"250-".to_vec();
    long.resize(2_000, b'x');
    long.extend_from_slice(b"\r\n");
    assert_eq!(error(&long.repeat(40)), ReplyError::ReplyTooLong);
}

/// A hostile server that talks without being asked cannot fill our memory.
#[test]
fn reading_ahead_is_bounded() {
    let mut reader = ReplyReader::default();
    for _ in 0..=MAX_AHEAD / 8 {
        reader.push(b"250 ok\r\n");
    }
    assert_eq!(reader.next_reply(), Err(ReplyError::TooMuchAhead));
}

#[test]
fn an_error_stays() {
    let mut reader = ReplyReader::default();
    reader.push(b"what\r\n");
    assert!(reader.next_reply().is_err());
    reader.push(b"250 ok\r\n");
    assert_eq!(reader.next_reply(), Err(ReplyError::NoCode));
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same(
        lines in prop::collection::vec("(250|550|354|4)[- ]?[ -~]{0,20}(\r\n|\n|\r|)", 0..12),
        chunk in 1_usize..40,
    ) {
        let bytes = lines.concat().into_bytes();
        prop_assert_eq!(read(&bytes, chunk), read(&bytes, 4_096));
    }

    #[test]
    fn any_octets_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (replies, _) = read(&bytes, 5);
        for reply in replies {
            prop_assert!((200..600).contains(&reply.code));
            prop_assert!(!reply.to_string().chars().any(char::is_control));
        }
    }
}
