//! On a terminal: colour, and a bar that says how far it is.

use std::process::{Command, Stdio};

use super::{BEST, PLAINTEXT, World};

/// Runs the command on a terminal of its own (`script` of util-linux), and says what it wrote.
async fn on_a_terminal(world: &World, words: &[&str], no_color: Option<&str>) -> String {
    on_a_terminal_like(("xterm", "C.UTF-8"), world, words, no_color).await
}

async fn on_a_terminal_like(
    (term, locale): (&str, &str),
    world: &World,
    words: &[&str],
    no_color: Option<&str>,
) -> String {
    let program = env!("CARGO_BIN_EXE_waxseal");
    let line = format!("{program} --config {} {}", world.file().display(), words.join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).env_remove("NO_COLOR");
    command.env("TERM", term).env("LC_ALL", locale).envs(no_color.map(|value| ("NO_COLOR", value)));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_colour_on_a_terminal_only() {
    let world = World::new(&[BEST]).await;
    let domain = world.domain(BEST);
    let check = ["check", &domain];
    let said = on_a_terminal(&world, &check, None).await;
    assert!(said.contains("\u{1b}[32m✓\u{1b}[0m \u{1b}[32mdane"), "{said:?}");
    for (words, no_color) in
        [(&check[..], Some("1")), (&[&check[..], &["--color", "never"]].concat(), None)]
    {
        let said = on_a_terminal(&world, words, no_color).await;
        assert!(!said.contains('\u{1b}') && said.contains("✓ dane"), "{said:?}");
    }
    // A dumb terminal shows the codes.
    let dumb = on_a_terminal_like(("dumb", "C.UTF-8"), &world, &check, None).await;
    assert!(!dumb.contains('\u{1b}') && dumb.contains("✓ dane"), "{dumb:?}");
    let plain = world.run(&check).await.with(0).out;
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let coloured = world.run(&[&check[..], &["--color", "always"]].concat()).await.with(0).out;
    // Colour only repeats what glyphs and words say.
    let parts = coloured.split('\u{1b}').enumerate();
    let text = parts.map(|(number, part)| match number {
        0 => part,
        _ => part.split_once('m').unwrap().1,
    });
    let without: String = text.collect();
    assert!(coloured.contains("\u{1b}[32m"));
    assert_eq!(without, plain);
}

/// A terminal of a rescue system, a serial line: its locale is `C`. What is written into files is what it always is.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_without_utf_8_shows_ascii() {
    let world = World::new(&[BEST]).await;
    let (domain, html) = (world.domain(BEST), world.output("r.html"));
    let words = ["check", &domain, "--html", &html];
    let said = on_a_terminal_like(("dumb", "C"), &world, &words, None).await;
    assert!(
        said.is_ascii() && said.contains("+ dane") && said.contains("> _smtp._tls."),
        "{said:?}"
    );
    assert!(world.read("r.html").contains('✓'));
    let words = ["check", &domain, "--json"];
    let json = on_a_terminal_like(("dumb", "C"), &world, &words, None).await;
    let said = json.lines().find(|line| line.starts_with('{')).unwrap();
    let told: serde_json::Value = serde_json::from_str(said).unwrap();
    assert!(told["findings"].to_string().contains('§'), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_is_drawn_on_a_terminal_and_gone_in_the_end() {
    let world = World::new(&[BEST, PLAINTEXT]).await;
    let domains = [BEST, PLAINTEXT].map(|cell| world.domain(cell));
    let words = ["check", &domains[0], &domains[1], "--dns-only"];
    let said = on_a_terminal(&world, &words, None).await;
    assert!(said.contains("] 0 of 2") && said.contains("] 1 of 2"), "{said:?}");
    let (_, last) = said.rsplit_once("of 2").unwrap();
    assert!(last.starts_with("\r\u{1b}[K"), "{last:?}");
    let quiet = on_a_terminal(&world, &[&words[..], &["-q"]].concat(), None).await;
    assert!(!quiet.contains("of 2"), "{quiet:?}");
    let said = world.run(&words).await;
    assert!(!said.err.contains("of 2") && !said.out.contains("of 2"), "{}", said.err);
}
