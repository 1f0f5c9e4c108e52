//! `hindsight rules`: the rules, and what they make of events.

mod test;

use clap::Subcommand;

use super::Error;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run fixture files: events in, expected decisions out, with a clock that the test sets.
    Test(test::Arguments),
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Test(arguments) => test::run(&arguments),
    }
}
