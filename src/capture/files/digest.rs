//! SHA-256, by which a stored file is known to be the one that was sealed.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::capture::Error;

/// A hash that grows with the file.
#[derive(Clone, Debug, Default)]
pub(in crate::capture) struct Digest(Sha256);

impl Digest {
    pub(in crate::capture) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(in crate::capture) fn hexadecimal(self) -> String {
        use std::fmt::Write as _;

        let bytes = self.0.finalize();
        bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String does not fail");
            text
        })
    }
}

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The hash of a file that is already there, in hexadecimal.
pub(in crate::capture) fn of_file(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::file("opening", path))?;
    let mut digest = Digest::default();
    io::copy(&mut file, &mut digest).map_err(Error::file("reading", path))?;
    Ok(digest.hexadecimal())
}
