//! The binary: parse, run, map to the exit code.

use std::process::ExitCode;

use hindsight::cli;

fn main() -> ExitCode {
    match cli::parse().run() {
        Ok(()) => cli::Exit::Ok.into(),
        Err(error) => {
            error.report();
            error.exit().into()
        }
    }
}
