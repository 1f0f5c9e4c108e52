//! From the arguments to what shall be done. Pure: no file is opened and no interface is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::arguments::{Arguments, CompressionName, FormatName, LastLine};
use super::error::Error;
use crate::filter::{Entry, Filter};
use crate::model::{Compression, FileForm, FileFormat, Limits, SegmentLimits};

/// How long a capture lasts that nobody limits: longer than hosts run, and far from where adding it
/// to the clock would end.
const NO_DURATION: Duration = Duration::from_hours(10 * 365 * 24);

/// The most bytes of a capture that nobody limits; half, so that sums of it are numbers.
const NO_BYTES: u64 = u64::MAX / 2;

/// How far back an armed capture reaches, unless it is told.
const LOOK_BACK: Duration = Duration::from_secs(30);

/// The smallest ring that the kernel's blocks make sense in, in bytes.
const LEAST_MEMORY: u64 = 1 << 20;

/// The name of standard input among files.
const STDIN: &str = "/dev/stdin";

/// What shall be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) source: Source,
    pub(super) target: Target,
    pub(super) form: FileForm,
    pub(super) filter: Filter,
    pub(super) limits: Limits,
    /// Armed, and how far back the file then reaches.
    pub(super) look_back: Option<Duration>,
    /// Of each interface's ring, in bytes.
    pub(super) memory_bytes: u64,
    pub(super) promiscuous: bool,
    pub(super) quiet: bool,
    pub(super) output: LastLine,
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// That of the default route.
    DefaultInterface,
    /// Each once.
    Interfaces(Vec<String>),
    File(PathBuf),
}

/// Where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    Path(PathBuf),
}

impl Target {
    /// As people call it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Stdout => "standard output".to_owned(),
            Self::Path(path) => path.display().to_string(),
        }
    }
}

impl Request {
    /// `entries` are those of `--filter` and `--filter-file`.
    ///
    /// # Errors
    /// The arguments contradict each other, or one is missing.
    pub(super) fn new(arguments: &Arguments, entries: Vec<Entry>) -> Result<Self, Error> {
        let source = source(arguments)?;
        let target = target(arguments)?;
        let form = form(arguments, &target);
        check_form(form, &source, &target, arguments)?;
        if arguments.memory.0 < LEAST_MEMORY {
            return Err(Error::TooLittleMemory { given: arguments.memory });
        }
        let words = arguments.expression.join(" ");
        let filter = Filter { entries, expression: (!words.trim().is_empty()).then_some(words) };
        let look_back = arguments.look_back.map_or(LOOK_BACK, |span| span.0);
        Ok(Self {
            source,
            target,
            form,
            filter,
            limits: limits(arguments)?,
            look_back: arguments.arm.then_some(look_back),
            memory_bytes: arguments.memory.0,
            promiscuous: !arguments.no_promiscuous,
            quiet: arguments.quiet,
            output: arguments.output,
        })
    }
}

fn source(arguments: &Arguments) -> Result<Source, Error> {
    if let Some(file) = &arguments.read {
        let is_stdin = file == Path::new("-");
        return Ok(Source::File(if is_stdin { STDIN.into() } else { file.clone() }));
    }
    let mut interfaces: Vec<String> = Vec::new();
    for name in &arguments.interfaces {
        if name.is_empty() {
            return Err(Error::NoName);
        }
        if !interfaces.contains(name) {
            interfaces.push(name.clone());
        }
    }
    match interfaces.is_empty() {
        true => Ok(Source::DefaultInterface),
        false => Ok(Source::Interfaces(interfaces)),
    }
}

fn target(arguments: &Arguments) -> Result<Target, Error> {
    match arguments.write.as_deref() {
        None => Err(Error::NoTarget { pipe: pipe(arguments) }),
        Some(path) if path == Path::new("-") => Ok(Target::Stdout),
        Some(path) => Ok(Target::Path(path.to_owned())),
    }
}

/// The same command with packets that people read on the screen.
fn pipe(arguments: &Arguments) -> String {
    let mut words = vec!["hindsight dump".to_owned()];
    if !arguments.interfaces.is_empty() {
        words.push(format!("-i {}", arguments.interfaces.join(",")));
    }
    if let Some(file) = &arguments.read {
        words.push(format!("-r {}", file.display()));
    }
    words.push("-w - ... | tcpdump -r -".to_owned());
    words.join(" ")
}

/// What the options say, else what the ending says.
fn form(arguments: &Arguments, target: &Target) -> FileForm {
    let name = match target {
        Target::Stdout => "",
        Target::Path(path) => path.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    let (name, compression) = match name.strip_suffix(".zst") {
        Some(name) => (name, Compression::Zstd),
        None => (name.as_str(), Compression::None),
    };
    // `.cap` is what Network Watcher calls the classic format.
    let classic = name.ends_with(".pcap") || name.ends_with(".cap");
    let format = if classic { FileFormat::Pcap } else { FileFormat::Pcapng };
    FileForm {
        format: arguments.format.map_or(format, |name| match name {
            FormatName::Pcapng => FileFormat::Pcapng,
            FormatName::Pcap => FileFormat::Pcap,
        }),
        compression: arguments.compression.map_or(compression, |name| match name {
            CompressionName::None => Compression::None,
            CompressionName::Zstd => Compression::Zstd,
        }),
    }
}

fn check_form(
    form: FileForm,
    source: &Source,
    target: &Target,
    arguments: &Arguments,
) -> Result<(), Error> {
    let several = matches!(source, Source::Interfaces(names) if names.len() > 1);
    if form.format == FileFormat::Pcap && several {
        return Err(Error::OneInterface);
    }
    if *target == Target::Stdout {
        check_stream(form, arguments.segment_bytes.is_some(), "standard output")?;
    }
    Ok(())
}

/// What goes out as it comes is neither packed nor divided.
///
/// # Errors
/// It should be.
pub(super) fn check_stream(form: FileForm, segments: bool, name: &str) -> Result<(), Error> {
    match () {
        () if form.compression == Compression::Zstd => {
            Err(Error::PackedStream { name: name.to_owned() })
        }
        () if segments => Err(Error::DividedStream { name: name.to_owned() }),
        () => Ok(()),
    }
}

fn limits(arguments: &Arguments) -> Result<Limits, Error> {
    let duration = arguments.duration.map_or(NO_DURATION, |span| span.0);
    if duration.is_zero() {
        return Err(Error::NoTime);
    }
    let segments = arguments
        .segment_bytes
        .map(|bytes| SegmentLimits { bytes: bytes.0, keep: arguments.keep_segments });
    Ok(Limits {
        duration: duration.min(NO_DURATION),
        bytes: arguments.bytes.map_or(NO_BYTES, |bytes| bytes.0.min(NO_BYTES)),
        packets: arguments.count.map(std::num::NonZeroU64::get),
        bytes_per_packet: arguments.snapshot_bytes,
        segments,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn request(line: &str) -> Result<Request, Error> {
        let line = Line::try_parse_from(["dump"].into_iter().chain(line.split_whitespace()));
        Request::new(&line.unwrap().arguments, Vec::new())
    }

    fn refused(line: &str) -> String {
        request(line).unwrap_err().to_string()
    }

    #[test]
    fn words_at_the_end_are_the_expression_and_interfaces_are_a_list_or_repeated() {
        let request = request("-i a,b -i c -i a -w x tcp port 80 and not host 10.0.0.1").unwrap();
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(request.source, Source::Interfaces(names));
        let words = request.filter.expression.as_deref();
        assert_eq!(words, Some("tcp port 80 and not host 10.0.0.1"));
    }

    #[test]
    fn a_hyphen_is_standard_input_where_packets_are_read() {
        let source = |line: &str| request(line).unwrap().source;
        assert_eq!(source("-w x -r -"), Source::File(STDIN.into()));
        assert_eq!(source("-w x -r a"), Source::File("a".into()));
    }

    #[test]
    fn nothing_limits_it_unless_it_is_told() {
        let limits = request("-w x").unwrap().limits;
        assert_eq!((limits.packets, limits.bytes_per_packet, limits.segments), (None, 0, None));
        let end = crate::clock::wall_time() + limits.duration;
        assert!(end.since(crate::clock::wall_time()) > Duration::from_hours(9 * 365 * 24));
        let line =
            "-w x -c 5 -s 96 --duration 1m --bytes 1MiB --segment-bytes 64KiB --keep-segments 3";
        let limits = request(line).unwrap().limits;
        assert_eq!((limits.packets, limits.bytes_per_packet), (Some(5), 96));
        assert_eq!((limits.duration, limits.bytes), (Duration::from_mins(1), 1 << 20));
        assert_eq!(limits.segments, Some(SegmentLimits { bytes: 64 << 10, keep: Some(3) }));
    }

    #[test]
    fn the_form_is_that_of_the_ending_unless_it_is_told() {
        let form = |line: &str| {
            let FileForm { format, compression } = request(line).unwrap().form;
            (format, compression)
        };
        let (pcapng, pcap) = (FileFormat::Pcapng, FileFormat::Pcap);
        assert_eq!(form("-w -"), (pcapng, Compression::None));
        assert_eq!(form("-w x"), (pcapng, Compression::None));
        assert_eq!(form("-w x.PCAP"), (pcap, Compression::None));
        assert_eq!(form("-w x.cap.zst"), (pcap, Compression::Zstd));
        assert_eq!(form("-w x.pcapng.zst"), (pcapng, Compression::Zstd));
        assert_eq!(form("-w x.pcap --format pcapng"), (pcapng, Compression::None));
        assert_eq!(form("-w x --compression zstd"), (pcapng, Compression::Zstd));
        assert_eq!(form("-w x.zst --compression none"), (pcapng, Compression::None));
    }

    #[test]
    fn it_is_armed_only_if_it_is_told_and_then_reaches_back_half_a_minute() {
        assert_eq!(request("-w x").unwrap().look_back, None);
        assert_eq!(request("-w x --arm").unwrap().look_back, Some(LOOK_BACK));
        let two = request("-w x --arm --look-back 2s").unwrap().look_back;
        assert_eq!(two, Some(Duration::from_secs(2)));
    }

    #[test]
    fn it_is_promiscuous_unless_it_is_told() {
        assert!(request("-w x").unwrap().promiscuous);
        assert!(!request("-p -w x").unwrap().promiscuous);
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_remedy() {
        for (line, remedy) in [
            ("", "hindsight dump -w - ... | tcpdump -r -"),
            ("-i eth0", "hindsight dump -i eth0 -w - ... | tcpdump -r -"),
            ("-r a", "hindsight dump -r a -w - ... | tcpdump -r -"),
            ("-i eth0, -w x", "name an interface"),
            ("-i a,b -w x.pcap", ".pcapng"),
            ("-w - --compression zstd", "zstd"),
            ("-w - --segment-bytes 1MiB", "-w FILE"),
            ("-w x --duration 0s", "--duration"),
            ("-w x --memory 4KiB", "1MiB"),
        ] {
            let message = refused(line);
            assert!(message.contains(remedy), "{line}: {message}");
        }
    }

    #[test]
    fn a_ring_of_one_file_is_refused() {
        let line = ["dump", "-w", "x", "--segment-bytes", "1MiB", "--keep-segments"];
        let parse = |count| Line::try_parse_from(line.into_iter().chain([count]));
        assert!(parse("1").is_err() && parse("2").is_ok());
    }

    #[test]
    fn options_that_exclude_each_other_are_refused_by_the_parser() {
        for line in ["-r a -i b", "-r a --arm", "-r a --duration 1s", "--look-back 1s", "-c 0"] {
            let line = ["dump", "-w", "x"].into_iter().chain(line.split_whitespace());
            assert!(Line::try_parse_from(line).is_err());
        }
        let keep = ["dump", "-w", "x", "--keep-segments", "3"];
        assert!(Line::try_parse_from(keep).is_err());
    }
}
