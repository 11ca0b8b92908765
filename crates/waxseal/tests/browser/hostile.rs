//! A domain whose owner, and a mail host whose operator, write what a page, a spreadsheet or a
//! terminal would obey.

use std::process::Command;

use super::{chromium::Browser, look_everywhere};
use crate::assess::{file::File, world::World};

const HOSTILE: &str = r#"
about = "Attacker: the owner of the recipient's domain, and the operator of its mail hosts."
[zone."receiver.example"]
records = [
    "@ TXT v=spf1 =cmd|'/C calc'!A0 <script>owned=1</script> \u001b[2J \u202e -all",
    "_dmarc TXT v=DMARC1; p=<script>owned=1</script>\u001b[31m\u061c; rua=\"><img src=x onerror=owned=1>",
    "_smtp._tls TXT v=TLSRPTv1; rua=\"><script>owned=1</script>\u202e\u001b]0;owned\u0007",
]
[[host]]
name = "mx1.receiver.example"
mx = 10
fault = ["starttls", "454 4.7.0 =HYPERLINK(\"http://evil\")</td><script>owned=1</script>\u001b[2J\u202e"]
[[host]]
name = "mx2.receiver.example"
mx = 20
fault = ["greeting", "554 5.7.1 @SUM(1+1)*cmd|' /C calc'!A0 <img src=x onerror=owned=1>\u001b[2J\u009b31m"]
[policy]
text = "version: STSv1\r\nmode: <script>owned=1</script>\u001b[31menforce\r\nmx: *.<img src=x>\r\n"
record = "v=STSv1; id=<script>owned=1</script>\u001b[2J;"
[expect]
level = "none"
findings = []
"#;

/// Marks that a terminal obeys, and those that turn the direction of writing.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\r')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_recipients_domain_writes_steers_no_page_no_spreadsheet_and_no_terminal() {
    let file: File = toml::from_str(HOSTILE).unwrap();
    let world = World::start(&file).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (html, csv) = (at("r.html"), at("r.csv"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("--config").arg(&world.configuration).args(["check", "receiver.example"]);
    command.args(["<b>x\u{202e}.example", "=1+1", "--profile", "internet-nl"]);
    command.arg("--html").arg(&html).arg("--csv").arg(&csv);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("<script>owned=1</script>\\u{1b}["), "it is quoted: {said}");
    assert!(!said.contains(steers), "{said:?}");
    assert!(!String::from_utf8(output.stderr).unwrap().contains(steers));

    let table = std::fs::read_to_string(&csv).unwrap();
    assert!(table.contains("receiver.example") && !table.contains(steers), "{table:?}");
    holds_no_formula(&table);

    let page = std::fs::read_to_string(&html).unwrap();
    for mark in ["<script", "<img", "<b>", "onerror=\""] {
        assert!(!page.contains(mark), "{mark} is in the page");
    }
    assert!(page.contains("script") && !page.contains(steers), "it is shown, and harmless");
    let url = format!("file://{}", html.display());
    let wrong = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&url);
        assert_eq!(browser.ask("typeof owned"), "undefined");
        assert_eq!(browser.ask("document.querySelectorAll('script, img, b').length"), 0);
        look_everywhere(&mut browser, &url, "check-hostile")
    });
    let wrong = wrong.await.unwrap();
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The greeting of the only host of a domain becomes the headline.
const BANNER: &str = r#"
about = "Attacker: the operator of a mail host, who writes for the spreadsheet of whoever checks."
[zone."receiver.example"]
[[host]]
name = "mx.receiver.example"
mx = 10
fault = ["greeting", "554 5.7.1 no;=cmd|'/C calc'!A0;=HYPERLINK(A1)|+1; \"-1; ＝1"]
[expect]
level = "none"
findings = []
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_of_a_mail_host_is_no_formula_where_spreadsheets_split_at_semicolons() {
    let world = World::start(&toml::from_str(BANNER).unwrap()).await;
    let csv = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("--config").arg(&world.configuration).args(["check", "receiver.example"]);
    command.arg("--csv").arg(csv.path());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let table = std::fs::read_to_string(csv.path()).unwrap();
    assert!(table.contains("no;'=cmd|'/C calc'!A0;'=HYPERLINK(A1)"), "its words are told: {table}");
    holds_no_formula(&table);
}

/// Attacker: whoever writes lists of domains, and the operator of a mail host.
#[tokio::test(flavor = "multi_thread")]
async fn json_on_a_terminal_steers_it_in_no_form() {
    let world = World::start(&toml::from_str(HOSTILE).unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let shape = folder.path().join("shape.json");
    for form in [&["check"][..], &["check", "--compare"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.arg("--config").arg(&world.configuration).arg("--json").args(form);
        if form == ["check"] {
            command.arg("--internet-nl").arg(&shape);
        }
        command.args(["receiver.example", "x\u{9b}31m\u{202e}.example"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("receiver.example"), "{form:?}: {said}");
        assert!(!said.contains(steers), "{form:?}: {said:?}");
        assert!(said.contains("x\\\\u{9b}31m"), "it is told: {said}");
    }
    let shape = std::fs::read_to_string(shape).unwrap();
    assert!(shape.contains("x\\\\u{9b}31m") && !shape.contains(steers), "{shape}");
}

/// Excel with German, Dutch or French settings splits a `.csv` at `;`, others do at tabs.
#[track_caller]
fn holds_no_formula(table: &str) {
    for cell in [',', ';', '\t'].iter().flat_map(|mark| cells(table, *mark)) {
        let formula = cell.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
        assert!(!formula, "a formula: {cell}");
    }
}

/// The cells of a table as a spreadsheet reads them that splits at this mark.
fn cells(table: &str, mark: char) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in table.chars() {
        match c {
            '"' => quoted = !quoted,
            c if (c == mark || c == '\n') && !quoted => cells.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            other => cell.push(other),
        }
    }
    cells
}
