//! The files that the command line names: the one to write, and the one with entries. What is wrong
//! with them is found before anything is made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::arguments::Arguments;
use super::error::Error;
use super::request::{Request, Target, check_stream};
use super::screen::Screen;
use crate::capture::Destination;
use crate::filter::{Entry, entries_from_json};

/// The largest file of entries, in bytes: a filter of the most entries takes some tens of KiB.
const MAX_ENTRIES_BYTES: usize = 1 << 20;

/// Reads the entries that `--filter` and `--filter-file` give; all of them are alternatives.
pub(super) fn entries(arguments: &Arguments) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    if let Some(text) = &arguments.filter {
        let origin = || "--filter".to_owned();
        let given = entries_from_json(text);
        entries.extend(given.map_err(|source| Error::Entries { origin: origin(), source })?);
    }
    if let Some(path) = &arguments.filter_file {
        let given = entries_from_json(&read(path)?);
        let origin = || path.display().to_string();
        entries.extend(given.map_err(|source| Error::Entries { origin: origin(), source })?);
    }
    Ok(entries)
}

fn read(path: &Path) -> Result<String, Error> {
    let text = if path == Path::new("-") {
        at_most(io::stdin().lock())
    } else {
        File::open(path).and_then(at_most)
    };
    let text = text.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if text.len() > MAX_ENTRIES_BYTES {
        return Err(Error::TooManyEntries { path: path.to_owned(), limit: MAX_ENTRIES_BYTES });
    }
    Ok(text)
}

/// Reads to the end, or to one byte more than is allowed.
fn at_most(from: impl Read) -> io::Result<String> {
    let limit = u64::try_from(MAX_ENTRIES_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    from.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// The file to write, looked at and not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Stdout,
    /// A regular file, or none yet.
    File(PathBuf),
    /// Somebody has to read it.
    Fifo(PathBuf),
    Device(PathBuf),
}

/// Looks at what `-w` names.
///
/// # Errors
/// It cannot be written, or not in the form that was asked for.
pub(super) fn look(request: &Request) -> Result<Found, Error> {
    let path = match &request.target {
        Target::Stdout if io::stdout().is_terminal() => return Err(Error::Terminal),
        Target::Stdout => return Ok(Found::Stdout),
        Target::Path(path) => path,
    };
    let unwritable = |source| Error::Write { path: path.clone(), source };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(Error::Directory { path: path.clone() }),
        // A link is followed, as by tcpdump: what it leads to is replaced, not the link.
        Ok(found) if found.is_file() => {
            let path = fs::canonicalize(path).map_err(unwritable)?;
            writable_folder(&path).map_err(unwritable)?;
            Ok(Found::File(path))
        }
        Ok(found) => {
            let name = path.display().to_string();
            check_stream(request.form, request.limits.segments.is_some(), &name)?;
            let is_fifo = found.file_type().is_fifo();
            Ok(if is_fifo { Found::Fifo(path.clone()) } else { Found::Device(path.clone()) })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            writable_folder(path).map_err(unwritable)?;
            Ok(Found::File(path.clone()))
        }
        Err(error) => Err(unwritable(error)),
    }
}

/// An armed capture makes its file hours later: what can be known of that is known now.
fn writable_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from)
}

impl Found {
    /// Opens what takes packets as they come. A FIFO is waited for until somebody reads it.
    pub(super) fn open(self, screen: &mut Screen<io::Stderr>) -> Result<Destination, Error> {
        match self {
            Self::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(Error::Stdout)?;
                Ok(Destination::Stream(stdout.into()))
            }
            Self::File(path) => Ok(Destination::Path(path)),
            Self::Fifo(path) => {
                screen.note(&format!("waiting until somebody reads {}", path.display()));
                stream(path)
            }
            Self::Device(path) => stream(path),
        }
    }
}

fn stream(path: PathBuf) -> Result<Destination, Error> {
    let open = OpenOptions::new().write(true).open(&path);
    Ok(Destination::Stream(open.map_err(|source| Error::Write { path, source })?))
}

/// Whether the file with packets can be read.
///
/// # Errors
/// It cannot.
pub(super) fn look_at_source(path: &Path) -> Result<(), Error> {
    let open = File::open(path).and_then(|file| file.metadata());
    match open {
        Ok(found) if found.is_dir() => {
            let source = ErrorKind::IsADirectory.into();
            Err(Error::Read { path: path.to_owned(), source })
        }
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}
