//! How a file that takes no more packets becomes one that can be relied on: synced, packed if that
//! was asked for, and published under its final name.
//!
//! Packing comes after the last packet: no packet ever waits for it. Invariant: under its final
//! name a file is synced and whole; whatever else happens, the name ends in `.part`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::capture::Error;
use crate::capture::files::digest::Digest;
use crate::capture::files::names::{FileNames, part_of};
use crate::capture::files::output::MODE;
use crate::capture::files::segment::Closed;
use crate::durable;
use crate::model::{Compression, SealedFile};

/// How hard zstd tries: its own default, which packs captures to about half of gzip's size.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;

/// A file on its way to be published.
#[derive(Debug)]
pub(in crate::capture) struct Sealing {
    pub(in crate::capture) closed: Closed,
    pub(in crate::capture) names: FileNames,
    pub(in crate::capture) index: u32,
    pub(in crate::capture) compression: Compression,
    /// Whether somebody wants to verify it.
    pub(in crate::capture) hashed: bool,
}

impl Sealing {
    /// Publishes the file. Takes as long as the disk needs, and packing.
    pub(in crate::capture) fn seal(self) -> Result<SealedFile, Error> {
        let FileNames { part, whole } = &self.names;
        let written = self.closed.written;
        written.file.sync_all().map_err(Error::file("syncing", part))?;
        let (size_bytes, sha256) = match self.compression {
            Compression::None => {
                durable::publish(part, whole).map_err(Error::file("publishing", part))?;
                (written.size_bytes, written.sha256)
            }
            Compression::Zstd => {
                let packed = pack(part, whole, self.hashed)?;
                durable::remove(part).map_err(Error::file("removing", part))?;
                packed
            }
        };
        Ok(SealedFile {
            index: self.index,
            path: whole.clone(),
            size_bytes,
            sha256: sha256.unwrap_or_default(),
            packets: self.closed.packets,
            first_packet: self.closed.first_packet,
            last_packet: self.closed.last_packet,
            partial: false,
        })
    }
}

/// Packs one file into another and publishes that. Returns its size and its hash.
fn pack(part: &Path, whole: &Path, hashed: bool) -> Result<(u64, Option<String>), Error> {
    let packed = part_of(whole);
    let failed = || Error::file("packing", &packed);
    let mut source = File::open(part).map_err(Error::file("opening", part))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE);
    let file = options.open(&packed).map_err(Error::file("creating", &packed))?;
    let size = source.metadata().map_err(Error::file("reading", part))?.len();
    let counted = Counted { file, size_bytes: 0, digest: hashed.then(Digest::default) };
    let mut encoder = zstd::Encoder::new(counted, LEVEL).map_err(failed())?;
    encoder.include_checksum(true).map_err(failed())?;
    encoder.set_pledged_src_size(Some(size)).map_err(failed())?;
    io::copy(&mut source, &mut encoder).map_err(failed())?;
    let Counted { file, size_bytes, digest } = encoder.finish().map_err(failed())?;
    file.sync_all().map_err(Error::file("syncing", &packed))?;
    durable::publish(&packed, whole).map_err(Error::file("publishing", &packed))?;
    Ok((size_bytes, digest.map(Digest::hexadecimal)))
}

/// A file that counts and hashes what it is given.
struct Counted {
    file: File,
    size_bytes: u64,
    digest: Option<Digest>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.size_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
