//! The names of a capture's files: in the spool, or as the user asked for them.

use std::path::{Path, PathBuf};

use crate::model::{CaptureId, Compression, FileForm, FileFormat};

/// The endings that our files have, without the first dot.
const EXTENSIONS: [&str; 5] = ["pcapng", "pcapng.zst", "pcap", "pcap.zst", PARTIAL_CLASSIC];

/// The classic format has no place to say that a file is not whole, so its name does.
const PARTIAL_CLASSIC: &str = "partial.pcap";

/// Names the files of one capture.
#[derive(Clone, Debug)]
pub(in crate::capture) enum Names {
    /// `<capture>-<index>.<extension>` in this folder.
    Spool { folder: PathBuf, capture: CaptureId },
    /// The first file has this path; the next have their number before the extension.
    Path(PathBuf),
}

/// The names of one file through its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture) struct FileNames {
    /// While packets are written.
    pub(in crate::capture) part: PathBuf,
    /// Once it is whole.
    pub(in crate::capture) whole: PathBuf,
}

impl Names {
    pub(in crate::capture) fn of(&self, index: u32, form: FileForm) -> FileNames {
        match self {
            Self::Spool { folder, capture } => {
                let unpacked = FileForm { compression: Compression::None, ..form };
                let name = |form: FileForm| format!("{capture}-{index}.{}", form.extension());
                FileNames {
                    part: part_of(&folder.join(name(unpacked))),
                    whole: folder.join(name(form)),
                }
            }
            Self::Path(first) => {
                let whole = numbered(first, index);
                let part = match form.compression {
                    Compression::None => part_of(&whole),
                    // Beside the part of the packed file, into which this one is packed.
                    Compression::Zstd => whole.with_added_extension("unpacked.part"),
                };
                FileNames { part, whole }
            }
        }
    }
}

/// The name under which a file stands while it is written.
pub(in crate::capture) fn part_of(whole: &Path) -> PathBuf {
    let mut part = whole.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// `a.pcapng.zst` becomes `a-1.pcapng.zst`; the first file keeps its name.
fn numbered(first: &Path, index: u32) -> PathBuf {
    if index == 0 {
        return first.to_owned();
    }
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    let known = |extension: &&&str| {
        name.strip_suffix(**extension).is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
    };
    let extension = EXTENSIONS.iter().filter(known).max_by_key(|extension| extension.len());
    let dot = extension.map(|extension| name.len() - extension.len() - 1);
    let dot = dot.or_else(|| name.rfind('.').filter(|dot| *dot > 0)).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    first.with_file_name(format!("{stem}-{index}{extension}"))
}

/// Where a part that could not be finished is published: under a name that hides nothing.
pub(in crate::capture) fn partial_of(part: &Path, format: FileFormat) -> PathBuf {
    let unpacked = part.with_extension("");
    let unpacked = match unpacked.extension().is_some_and(|extension| extension == "unpacked") {
        true => unpacked.with_extension("").with_extension(""),
        false => unpacked,
    };
    match format {
        FileFormat::Pcapng => unpacked,
        FileFormat::Pcap => unpacked.with_extension(PARTIAL_CLASSIC),
    }
}

/// The format that the name of a file tells.
pub(in crate::capture) fn format_of(path: &Path) -> FileFormat {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_classic = name.split('.').skip(1).any(|part| part == "pcap");
    if is_classic { FileFormat::Pcap } else { FileFormat::Pcapng }
}

/// Reads the name of a file in the spool: `<capture>-<index>.<extension>`, with `.part` behind it
/// while the file is written. None for a file that is not ours.
pub fn segment_of(file_name: &str) -> Option<(CaptureId, u32)> {
    let name = file_name.strip_suffix(".part").unwrap_or(file_name);
    let (stem, extension) = name.split_once('.')?;
    let (capture, index) = stem.rsplit_once('-')?;
    let known = EXTENSIONS.contains(&extension);
    known.then_some((CaptureId::from_text(capture), index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(format: FileFormat, compression: Compression) -> FileForm {
        FileForm { format, compression }
    }

    #[test]
    fn what_stands_in_the_spool_is_known_by_its_name() {
        let capture = CaptureId::from_text("c1");
        let names = Names::Spool { folder: "/spool".into(), capture: capture.clone() };
        for format in [FileFormat::Pcapng, FileFormat::Pcap] {
            for compression in [Compression::None, Compression::Zstd] {
                let FileNames { part, whole } = names.of(7, form(format, compression));
                let partial = partial_of(&part, format);
                for path in [&part, &whole, &partial] {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    assert_eq!(segment_of(name), Some((capture.clone(), 7)), "{name}");
                    assert_eq!(format_of(path), format, "{name}");
                }
                assert!(part != whole && part != partial);
            }
        }
        for other in ["journal.db", "c1-0.txt", "c1.pcapng", "c1-x.pcapng", "c1-0.pcapng.part.part"]
        {
            assert_eq!(segment_of(other), None, "{other}");
        }
    }

    #[test]
    fn later_files_of_a_path_have_their_number_before_the_extension() {
        let cases = [
            ("/a/web.pcapng", "/a/web-2.pcapng"),
            ("web.pcap.zst", "web-2.pcap.zst"),
            ("web.1.pcapng", "web.1-2.pcapng"),
            ("web.dump", "web-2.dump"),
            ("web", "web-2"),
        ];
        for (first, second) in cases {
            assert_eq!(numbered(Path::new(first), 0), Path::new(first));
            assert_eq!(numbered(Path::new(first), 2), Path::new(second));
        }
    }

    #[test]
    fn a_partial_classic_file_says_so_in_its_name() {
        let partial = |part, format| partial_of(Path::new(part), format);
        assert_eq!(partial("c1-0.pcap.part", FileFormat::Pcap), Path::new("c1-0.partial.pcap"));
        assert_eq!(partial("c1-0.pcapng.part", FileFormat::Pcapng), Path::new("c1-0.pcapng"));
        let packed = partial("x.pcapng.zst.unpacked.part", FileFormat::Pcapng);
        assert_eq!(packed, Path::new("x.pcapng"));
    }
}
