//! The exit codes: part of the interface, never given another meaning.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// It was tried and failed.
    Failed,
    /// The arguments are wrong, or contradict each other.
    Usage,
    /// No worker answers.
    Unreachable,
    /// There is nothing with that name or id.
    NotFound,
    /// The configuration or the rules are wrong (`EX_CONFIG` of sysexits.h).
    Configuration,
}

/// The table, for `--help`. 2 is clap's own, too.
pub(super) const HELP: &str = "\
Exit codes:
   0  it worked
   1  it failed
   2  the arguments are wrong
   3  the worker cannot be reached
   4  there is nothing with that name or id
  78  the configuration or the rules are wrong";

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
