use super::*;

fn exit_of(words: &[&str]) -> Exit {
    run(words.iter().map(OsString::from))
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    assert_eq!(exit_of(&["waxseal"]), Exit::Usage);
    assert_eq!(exit_of(&["waxseal", "no-such-command"]), Exit::Usage);
    assert_eq!(exit_of(&["waxseal", "--no-such-flag"]), Exit::Usage);
    assert_eq!(exit_of(&["waxseal", "--color", "sometimes"]), Exit::Usage);
}

#[test]
fn help_and_version_are_no_errors() {
    assert_eq!(exit_of(&["waxseal", "--help"]), Exit::Ok);
    assert_eq!(exit_of(&["waxseal", "--version"]), Exit::Ok);
}

#[test]
fn the_codes_are_the_ones_that_scripts_rely_on() {
    let all = [
        Exit::Ok,
        Exit::Negative,
        Exit::Unknown,
        Exit::Usage,
        Exit::Bug,
        Exit::TryAgain,
        Exit::Config,
    ];
    assert_eq!(all.map(Exit::code), [0, 1, 2, 64, 70, 75, 78]);
}

#[test]
fn an_error_carries_its_code_through_context() {
    use anyhow::Context as _;
    let error = Err::<(), _>(Exit::Config.because("no such file")).context("starting");
    assert_eq!(error.as_ref().map_err(Exit::of), Err(Exit::Config));
    assert_eq!(Exit::of(&anyhow::anyhow!("anything")), Exit::Unknown);
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    Line::command().debug_assert();
}
