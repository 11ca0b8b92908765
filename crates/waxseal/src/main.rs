//! The `waxseal` command: parse, load, dispatch.

use std::process::ExitCode;

fn main() -> ExitCode {
    waxseal::cli::main().into()
}
