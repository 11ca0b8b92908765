//! What scripts, spreadsheets and terminals are given.

use super::{csv, progress::bar, verdict, work};

/// The attacker is the owner of a domain whose records end up in a spreadsheet.
#[test]
fn no_cell_is_a_formula() {
    for hostile in ["=HYPERLINK(\"x\")", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"] {
        let cell = csv::quoted(hostile);
        assert!(cell.starts_with("\"'"), "{cell}");
    }
    assert_eq!(csv::quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    assert_eq!(csv::quoted("example.com"), "example.com");
}

#[test]
fn a_list_skips_comments_and_doubles_and_takes_the_first_cell() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &file,
        "# ours\nexample.com # main\n\nExample.com,ignored\nexample.net;x\n\u{fffd}bad\n",
    )
    .unwrap();
    let given = ["example.org".to_owned(), "example.com".to_owned()];
    let list = work::list(&given, Some(file.path())).unwrap();
    assert_eq!(list, ["example.org", "example.com", "example.net", "\u{fffd}bad"]);
}

#[test]
fn a_line_past_the_limit_is_cut_and_does_not_stop_the_others() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, format!("{}\nexample.net\n", "ä".repeat(100_000))).unwrap();
    let list = work::list(&[], Some(file.path())).unwrap();
    assert_eq!(list.len(), 2);
    assert!(list[0].len() <= 4_096);
}

#[test]
fn progress_ends_full() {
    assert_eq!(bar(5, 10), "[###############...............] 5 of 10");
    assert!(bar(10, 10).starts_with(&format!("[{}]", "#".repeat(30))));
    assert!(bar(0, 0).ends_with("0 of 0"));
}

#[test]
fn nothing_to_tell_is_fine() {
    assert_eq!(verdict(&[]), super::Exit::Ok);
}
