//! `hindsight completions`, `hindsight man` and `hindsight schema`: what shells and `man` know of the
//! commands, and editors of the files.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::{Arguments, Error};
use crate::{config, rules};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that shall complete `hindsight`.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder to write a page for each command to, as in /usr/local/share/man/man1. Default: the
    /// first page goes to standard output, as in `hindsight man | man -l -`.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// The file that it is of.
    #[arg(value_enum, value_name = "FILE")]
    file: SchemaOf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// Files of rules.
    Rules,
    /// The configuration.
    Config,
}

pub(super) fn schema(arguments: &Schema) -> Result<(), Error> {
    let schema = match arguments.file {
        SchemaOf::Rules => rules::schema(),
        SchemaOf::Config => config::schema(),
    };
    let text = serde_json::to_string_pretty(&schema).map_err(Error::Json)?;
    write(format!("{text}\n").as_bytes())
}

pub(super) fn completions(arguments: &Completions) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "hindsight", &mut script);
    write(&script)
}

pub(super) fn man(arguments: &Man) -> Result<(), Error> {
    let command = Arguments::command();
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Error::Output)?;
        return write(&page);
    };
    let failed = |source| Error::Written { path: directory.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(command, directory).map_err(failed)
}

fn write(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
