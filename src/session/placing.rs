//! Under which names the files of a capture leave the spool. Pure.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::model::{Capture, SealedFile};

/// The object's name in the storage: as a person has placed it, or by date, incident and host, so
/// that all hosts that saw one alert put their files side by side.
pub(super) fn object_of(capture: &Capture, file: &SealedFile) -> String {
    let (index, extension) = (file.index, file.extension());
    if let Some(placed) = &capture.plan.placing.object {
        let ending = format!(".{extension}");
        let stem = placed.strip_suffix(&ending).unwrap_or(placed);
        return match index {
            0 => format!("{stem}{ending}"),
            _ => format!("{stem}-{index}{ending}"),
        };
    }
    let (year, month, day) = capture.plan.trigger_at.date();
    let (incident, host) = (&capture.plan.incident, &capture.plan.host);
    let name = capture.given_name();
    format!("{year}/{month}/{day}/{incident}/{host}/{name}-{index}.{extension}")
}

/// Where a copy goes on this host, if a person wants one: the first file under the very name that
/// was given, later ones with their number before the ending.
pub fn local_file_of(capture: &Capture, file: &SealedFile) -> Option<PathBuf> {
    let path = capture.plan.placing.local_file.as_ref()?;
    if file.index == 0 {
        return Some(path.clone());
    }
    let ending = format!(".{}", file.extension());
    let name = path.file_name()?;
    let (stem, ending) = match name.to_str().and_then(|name| name.strip_suffix(&ending)) {
        Some(stem) => (OsStr::new(stem), OsString::from(ending)),
        None => (path.file_stem()?, path.extension().map(dotted).unwrap_or_default()),
    };
    let mut numbered = stem.to_owned();
    numbered.push(format!("-{}", file.index));
    numbered.push(ending);
    Some(path.parent().unwrap_or_else(|| Path::new("")).join(numbered))
}

fn dotted(extension: &OsStr) -> OsString {
    let mut dotted = OsString::from(".");
    dotted.push(extension);
    dotted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::samples;

    fn names(
        object: Option<&str>,
        local_file: Option<&str>,
        file: &str,
        index: u32,
    ) -> (String, String) {
        let mut capture = samples::capture("web");
        capture.plan.placing.object = object.map(str::to_owned);
        capture.plan.placing.local_file = local_file.map(PathBuf::from);
        let file = samples::file(file, index);
        let local = local_file_of(&capture, &file).unwrap_or_default();
        (object_of(&capture, &file), local.display().to_string())
    }

    #[test]
    fn a_placed_object_gets_its_number_and_the_ending_of_the_file() {
        for (placed, file, index, object) in [
            ("a/b", "c-0.pcapng", 0, "a/b.pcapng"),
            ("a/b", "c-2.pcapng", 2, "a/b-2.pcapng"),
            ("a/b.pcapng", "c-0.pcapng", 0, "a/b.pcapng"),
            ("a/b.pcapng", "c-1.pcapng", 1, "a/b-1.pcapng"),
            ("a/b.pcapng", "c-1.pcapng.zst", 1, "a/b.pcapng-1.pcapng.zst"),
            ("a/b.cap", "c-0.pcap", 0, "a/b.cap.pcap"),
        ] {
            assert_eq!(names(Some(placed), None, file, index).0, object);
        }
        let (object, _) = names(None, None, "c-3.pcap.zst", 3);
        assert_eq!(object, "2027/01/15/00112233aabbccdd/edge-7/web-3.pcap.zst");
    }

    #[test]
    fn the_first_local_file_has_the_name_that_was_given_and_later_ones_their_number() {
        for (path, index, local) in [
            ("/x/web.pcapng.zst", 0, "/x/web.pcapng.zst"),
            ("/x/web.pcapng.zst", 3, "/x/web-3.pcapng.zst"),
            ("/x.d/web.cap", 1, "/x.d/web-1.cap"),
            ("/x.d/web", 1, "/x.d/web-1"),
        ] {
            assert_eq!(names(None, Some(path), "c-0.pcapng.zst", index).1, local);
        }
        assert_eq!(names(None, None, "c-0.pcapng", 0).1, "");
    }

    #[test]
    fn a_deleted_capture_goes_on_under_the_name_that_it_was_given() {
        let mut capture = samples::capture("web");
        let before = object_of(&capture, &samples::file("c-1.pcap", 1));
        capture.delete();
        assert!(capture.name.starts_with("web~"), "{}", capture.name);
        assert_eq!(object_of(&capture, &samples::file("c-1.pcap", 1)), before);
    }
}
