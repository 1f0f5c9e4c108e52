//! `hindsight capture download`: the files of a capture, verified.
//!
//! Bytes go into a hidden file whose name holds the SHA-256 that is expected, so that what broke off
//! goes on later, and nothing else is ever appended to. **Invariant: a file has its name only once its
//! SHA-256 is the sealed one, and no file that stood there is replaced.**

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::StatusCode;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::key;
use crate::cli::client::{self, Client, Reach};
use crate::cli::exit::Exit;
use crate::cli::output::{Rows, print, say};
use crate::control::CaptureView;
use crate::model::Segment;
use crate::units::Bytes;

/// How often a file that breaks off is asked for again, as long as each time brings some of it.
const MOST_TRIES: u32 = 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The capture's name or id, as `capture list` shows it.
    #[arg(value_name = "NAME|ID", value_parser = key)]
    capture: String,
    /// Only the file with this number, from 0. Default: all files.
    #[arg(long, value_name = "N")]
    index: Option<u32>,
    /// The folder to write to.
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The file to write, for a capture of one file or with --index.
    #[arg(long, short, value_name = "FILE", conflicts_with = "directory")]
    file: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("capture {name} has no file yet; see 'hindsight capture watch {name}'")]
    NoFile { name: String },
    #[error("capture {name} has no file {index}; it has {count}")]
    NoSuchFile { name: String, index: u32, count: usize },
    #[error("capture {name} has {count} files; name a --directory, or one of them with --index")]
    Several { name: String, count: usize },
    #[error("{path} is there already, and holds something else; move it, or name another file")]
    InTheWay { path: PathBuf },
    #[error("the worker calls a file '{name}', which is no name for one here; name it with --file")]
    Name { name: String },
    #[error(
        "{path} does not have the SHA-256 {expected} that was sealed, but {found}; it was removed"
    )]
    Different { path: PathBuf, expected: String, found: String },
    #[error("{path} breaks off at {have} of {size} bytes; the same command goes on from there")]
    BrokenOff { path: PathBuf, have: u64, size: u64 },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Client(#[from] client::Error),
}

impl Error {
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoFile { .. } | Self::NoSuchFile { .. } => Exit::NotFound,
            Self::Several { .. } => Exit::Usage,
            Self::Client(error) => error.exit(),
            Self::InTheWay { .. }
            | Self::Name { .. }
            | Self::Different { .. }
            | Self::BrokenOff { .. }
            | Self::Write { .. }
            | Self::Read { .. } => Exit::Failed,
        }
    }
}

/// What was fetched.
#[derive(Debug, Serialize)]
struct Fetched {
    files: Vec<FetchedFile>,
}

#[derive(Debug, Serialize)]
struct FetchedFile {
    path: PathBuf,
    size_bytes: u64,
    sha256: String,
    /// It was here already.
    was_there: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), crate::cli::Error> {
    let Arguments { capture, index, directory, file, reach } = arguments;
    let client = Client::new(&reach)?;
    let view: CaptureView = client.get(&["captures", &capture], &[]).await?;
    let segments = wanted(&view, index)?;
    if file.is_some() && segments.len() > 1 {
        let (name, count) = (view.capture.name.clone(), segments.len());
        return Err(Error::Several { name, count }.into());
    }
    let mut fetched = Fetched { files: Vec::new() };
    for segment in segments {
        let path = match &file {
            Some(path) => path.clone(),
            None => directory.join(name_of(segment)?),
        };
        let target = Target { client: &client, capture: &view, segment, path };
        fetched.files.push(target.fetch().await?);
    }
    print(reach.output, &fetched, table)
}

fn wanted(view: &CaptureView, index: Option<u32>) -> Result<Vec<&Segment>, Error> {
    let segments: Vec<_> = view.capture.segments.iter().collect();
    let (name, count) = (&view.capture.name, segments.len());
    if count == 0 {
        return Err(Error::NoFile { name: name.clone() });
    }
    let Some(index) = index else { return Ok(segments) };
    let found = segments.into_iter().find(|segment| segment.file.index == index);
    found.map(|segment| vec![segment]).ok_or_else(|| Error::NoSuchFile {
        name: name.clone(),
        index,
        count,
    })
}

/// The last part of the object's name, which has to be a plain one.
fn name_of(segment: &Segment) -> Result<&str, Error> {
    let name = segment.object.rsplit('/').next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
        return Err(Error::Name { name: name.chars().take(100).collect() });
    }
    Ok(name)
}

/// One file, on its way here.
struct Target<'a> {
    client: &'a Client,
    capture: &'a CaptureView,
    segment: &'a Segment,
    path: PathBuf,
}

impl Target<'_> {
    async fn fetch(&self) -> Result<FetchedFile, Error> {
        let sealed = &self.segment.file;
        let done = |was_there| FetchedFile {
            path: self.path.clone(),
            size_bytes: sealed.size_bytes,
            sha256: sealed.sha256.clone(),
            was_there,
        };
        if self.is_there()? {
            return Ok(done(true));
        }
        let part = self.part();
        // What is left of an earlier try may be damaged; then all of it is taken anew, once.
        let had_some = fs::metadata(&part).is_ok_and(|metadata| metadata.len() > 0);
        self.fill(&part).await?;
        if digest(&part)? != sealed.sha256 && had_some {
            remove(&part)?;
            self.fill(&part).await?;
        }
        let found = digest(&part)?;
        if found != sealed.sha256 {
            remove(&part)?;
            let (path, expected) = (self.path.clone(), sealed.sha256.clone());
            return Err(Error::Different { path, expected, found });
        }
        self.publish(&part)?;
        Ok(done(false))
    }

    /// Whether the file is here, whole.
    fn is_there(&self) -> Result<bool, Error> {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::Read { path: self.path.clone(), source }),
            Ok(found) => {
                let is_it = found.is_file()
                    && found.len() == self.segment.file.size_bytes
                    && digest(&self.path)? == self.segment.file.sha256;
                let path = self.path.clone();
                if is_it { Ok(true) } else { Err(Error::InTheWay { path }) }
            }
        }
    }

    /// Where its bytes are until all have come.
    fn part(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let short: String = self.segment.file.sha256.chars().take(16).collect();
        self.path.with_file_name(format!(".{name}.{short}.part"))
    }

    /// Appends what is missing.
    async fn fill(&self, part: &Path) -> Result<(), Error> {
        let failed = |source| Error::Write { path: part.to_owned(), source };
        let size = self.segment.file.size_bytes;
        let mut file = open(part).map_err(failed)?;
        let mut have = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if have > size {
            file.set_len(0).map_err(failed)?;
            have = file.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
        for _try in 0..MOST_TRIES {
            if have == size {
                break;
            }
            let before = have;
            if let Err(error) = self.append(&mut file, &mut have, part).await {
                // Nothing came: trying at once again would bring nothing either.
                if have <= before {
                    return Err(error);
                }
                say(&format!("{}: {error}; going on from byte {have}", self.path.display()));
            } else if have < size && have <= before {
                break;
            }
        }
        file.sync_all().map_err(failed)?;
        if have == size {
            return Ok(());
        }
        Err(Error::BrokenOff { path: self.path.clone(), have, size })
    }

    async fn append(&self, file: &mut File, have: &mut u64, part: &Path) -> Result<(), Error> {
        let failed = |source| Error::Write { path: part.to_owned(), source };
        let sealed = &self.segment.file;
        let index = sealed.index.to_string();
        let path = ["captures", self.capture.capture.id.as_str(), "files", &index];
        let mut response = self.client.file(&path, *have, &sealed.sha256).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT && *have > 0 {
            file.set_len(0).map_err(failed)?;
            *have = file.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
        while let Some(piece) = response.chunk().await.map_err(|error| self.client.broken(error))? {
            file.write_all(&piece).map_err(failed)?;
            *have += u64::try_from(piece.len()).unwrap_or(0);
        }
        Ok(())
    }

    /// Gives the file its name, if the name is still free.
    fn publish(&self, part: &Path) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.path.clone(), source };
        match fs::hard_link(part, &self.path) {
            Ok(()) => remove(part),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::InTheWay { path: self.path.clone() })
            }
            // A file system without links: its name is looked at, then taken.
            Err(_no_links) => match fs::symlink_metadata(&self.path) {
                Ok(_) => Err(Error::InTheWay { path: self.path.clone() }),
                Err(_) => fs::rename(part, &self.path).map_err(failed),
            },
        }
    }
}

/// Opens a file of ours to go on writing; never through a link that somebody else laid.
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn digest(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            length => hash.update(&piece[..length]),
        }
    }
}

fn table(fetched: &Fetched) -> String {
    let mut rows = Rows::with_header(&["FILE", "SIZE", "SHA256", ""]);
    for file in &fetched.files {
        rows.row([
            &file.path.display().to_string(),
            &Bytes(file.size_bytes).rounded(),
            &file.sha256,
            if file.was_there { "verified; was here already" } else { "verified" },
        ]);
    }
    rows.finish()
}
