//! What the files of a configuration look like from outside: whether one has changed since it was
//! read is seen without reading it again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::rules;

/// The stamp of every file; a file that is not there has none, and one that appears is a change.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

/// A file that was replaced has another inode, one that was written to other times.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Where the files of a configuration are, or may appear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub(super) file: PathBuf,
    pub(super) rule_paths: Vec<PathBuf>,
}

impl Watched {
    /// What they look like now. Blocks: asks the file system.
    pub fn stamps(&self) -> Stamps {
        let mut stamps = BTreeMap::from([(self.file.clone(), stamp(&self.file))]);
        for path in &self.rule_paths {
            for file in rules::files_of(path).unwrap_or_default() {
                let stamp = stamp(&file);
                stamps.insert(file, stamp);
            }
        }
        Stamps(stamps)
    }
}

/// Without the numbers: two loads of one text are the same configuration.
impl fmt::Debug for Stamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stamps")
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some(Stamp {
        device: file.dev(),
        inode: file.ino(),
        size: file.size(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_replacing_adding_and_removing_are_seen_and_reading_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, rules) = (folder.path().join("config.yaml"), folder.path().join("rules"));
        fs::write(&file, "version: 1\n").unwrap();
        let watched = Watched { file: file.clone(), rule_paths: vec![rules.clone()] };
        let mut last = watched.stamps();
        let mut changed = |doing: &str, expected: bool| {
            let now = watched.stamps();
            assert_eq!(now != last, expected, "{doing}");
            last = now;
        };
        fs::read(&file).unwrap();
        changed("reading", false);
        fs::write(&file, "version: 2\n").unwrap();
        changed("writing as many bytes", true);
        fs::create_dir(&rules).unwrap();
        changed("an empty folder", false);
        fs::write(rules.join("a.yaml"), "x").unwrap();
        changed("adding a rule", true);
        fs::write(rules.join("notes.txt"), "x").unwrap();
        changed("adding what is no rule", false);
        fs::copy(rules.join("a.yaml"), folder.path().join("b")).unwrap();
        fs::rename(folder.path().join("b"), rules.join("a.yaml")).unwrap();
        changed("replacing a rule by the same text", true);
        fs::remove_file(rules.join("a.yaml")).unwrap();
        changed("removing a rule", true);
    }
}
