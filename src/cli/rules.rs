//! `hindsight rules`: the rules, and what they make of events.

mod explain;
mod list;
mod test;

use clap::Subcommand;

use super::{Error, ask, client};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the rules with how each stands, and why it does not capture now.
    List(client::Reach),
    /// Show what each rule makes of an event, and the first condition that failed.
    Explain(Box<explain::Arguments>),
    /// Run fixture files: events in, expected decisions out, with a clock that the test sets.
    Test(test::Arguments),
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::List(reach) => ask(list::run(&reach)),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
    }
}
