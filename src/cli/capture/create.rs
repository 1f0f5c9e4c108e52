//! `hindsight capture create`: from the arguments to the body of the request.

use std::io::{self, Read as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::{follow, key};
use crate::cli::Error;
use crate::cli::client::{Client, Reach};
use crate::cli::output::print;
use crate::control::CaptureView;
use crate::filter::entries_from_json;
use crate::units::{Bytes, Span};

/// The most bytes of a file with entries: more than what the worker takes.
const MAX_FILTER_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// What to call it: letters, digits, '.', '_' and '-'. A name that is taken is refused.
    #[arg(value_name = "NAME", value_parser = key)]
    name: String,
    /// The interface to capture on; several with ',' between them or several times. Default: those
    /// that are recorded.
    #[arg(short = 'i', long = "interface", value_name = "IFACE", value_delimiter = ',')]
    interfaces: Vec<String>,
    /// Entries that select packets, as JSON: an object or a list of objects with protocol,
    /// localIPAddress, remoteIPAddress, localPort and remotePort.
    #[arg(short, long, value_name = "JSON", conflicts_with = "filter_file")]
    filter: Option<String>,
    /// A file with such entries; `-` is standard input.
    #[arg(short = 'r', long, value_name = "FILE")]
    filter_file: Option<PathBuf>,
    /// Which packets, in tcpdump's language (pcap-filter(7)), as one word.
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "expression")]
    bpf: Option<String>,
    /// Keep so many bytes of each packet. Default: 0, the whole packet.
    #[arg(long, value_name = "BYTES")]
    bytes_per_packet: Option<u32>,
    /// End before its files are larger than this together. Default: 1GiB.
    #[arg(long, value_name = "SIZE")]
    bytes_per_session: Option<Bytes>,
    /// End after this time; a number counts seconds. Default: 5h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    time_limit: Option<Duration>,
    /// End after so many packets. Default: never.
    #[arg(short, long, value_name = "COUNT")]
    packets: Option<NonZeroU64>,
    /// Begin this long ago, as far as the recorder reaches back. Default: now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    look_back: Option<Duration>,
    /// The storage, by its name in the configuration. Default: that of rules.
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
    /// The object's name in the storage. Default: by date, incident and host.
    #[arg(long, value_name = "PATH")]
    storage_path: Option<String>,
    /// A file on the worker's host that gets a copy; without --storage nothing is uploaded.
    #[arg(long, value_name = "PATH")]
    file_path: Option<PathBuf>,
    /// A ring of files: so many are kept, the newest. Default: 10, if it is a ring.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(2..))]
    file_count: Option<u32>,
    /// A ring of files: the size of one. Default: 100MiB, if it is a ring.
    #[arg(long, value_name = "SIZE")]
    file_size: Option<Bytes>,
    /// A ring of files: end after this time. Default: --time-limit.
    #[arg(long, value_name = "TIME", value_parser = time)]
    session_time: Option<Duration>,
    /// pcapng or pcap. Default: by the ending of --storage-path or --file-path, else pcapng.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatName>,
    /// How files are packed once they are whole.
    #[arg(long, value_enum, value_name = "KIND")]
    compression: Option<CompressionName>,
    /// Whom to tell when it has ended: names of notifiers in the configuration.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    notify: Vec<String>,
    /// Follow it until its files are stored.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    reach: Reach,
    /// Which packets, in tcpdump's language.
    #[arg(value_name = "EXPRESSION")]
    expression: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  hindsight capture create web -i eth0 --look-back 30s --time-limit 60 --wait tcp port 443
  hindsight capture create peer -f '[{\"protocol\": \"TCP\", \"remoteIPAddress\": \"192.0.2.0/24\"}]'
  hindsight capture create ring --file-count 10 --file-size 50MiB --session-time 4h";

/// A format, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// With comments, the counts of what was lost, and several interfaces.
    Pcapng,
    /// The classic one, for older programs.
    Pcap,
}

/// A compression, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CompressionName {
    None,
    Zstd,
}

/// A time with its unit, or whole seconds.
fn time(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    text.parse::<Span>().map(|span| span.0).map_err(|error| error.to_string())
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Error> {
    let filters = filters(&arguments)?;
    let body = body(&arguments, filters.as_deref());
    let Arguments { name, wait, reach, .. } = arguments;
    let client = Client::new(&reach)?;
    let created: CaptureView = client.put(&["captures", &name], body.into_bytes()).await?;
    if wait {
        return follow::until_end(&client, created.capture.id.as_str(), reach.output).await;
    }
    print(reach.output, &created, begun)
}

/// The entries as they were written, once it is sure that they are some.
fn filters(arguments: &Arguments) -> Result<Option<String>, Error> {
    let text = match (&arguments.filter, &arguments.filter_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => return Ok(None),
    };
    entries_from_json(&text).map_err(Error::Filter)?;
    Ok(Some(text))
}

fn read(path: &Path) -> Result<String, Error> {
    let limit = u64::try_from(MAX_FILTER_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.map_err(|source| Error::Input { path: path.to_owned(), source })?;
    if text.len() > MAX_FILTER_BYTES {
        return Err(Error::InputTooLarge { path: path.to_owned(), limit: MAX_FILTER_BYTES });
    }
    Ok(text)
}

fn body(arguments: &Arguments, filters: Option<&str>) -> String {
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        body.extend(value.map(|value| (name.to_owned(), value)));
    };
    let list = |names: &[String]| (!names.is_empty()).then(|| json!(names));
    set("interfaces", list(&arguments.interfaces));
    set("notify", list(&arguments.notify));
    let words = arguments.expression.join(" ");
    let words = arguments.bpf.clone().unwrap_or(words);
    set("bpf", (!words.trim().is_empty()).then(|| words.into()));
    set("bytesToCapturePerPacket", arguments.bytes_per_packet.map(Into::into));
    set("totalBytesPerSession", arguments.bytes_per_session.map(|size| size.0.into()));
    set("timeLimitInSeconds", arguments.time_limit.map(seconds));
    set("packets", arguments.packets.map(|count| count.get().into()));
    set("look_back", arguments.look_back.map(|time| Span(time).to_string().into()));
    let format = arguments.format.map(|format| match format {
        FormatName::Pcapng => "pcapng".into(),
        FormatName::Pcap => "pcap".into(),
    });
    set("format", format);
    let compression = arguments.compression.map(|compression| match compression {
        CompressionName::None => "none".into(),
        CompressionName::Zstd => "zstd".into(),
    });
    set("compression", compression);
    set("storageLocation", location(arguments));
    if let Some(settings) = ring(arguments) {
        set("continuousCapture", Some(true.into()));
        set("captureSettings", Some(settings));
    }
    let mut text = Value::Object(body).to_string();
    if let Some(filters) = filters {
        // As they were written, so that the worker sees what the user wrote.
        text.pop();
        let comma = if text.len() > 1 { "," } else { "" };
        text.push_str(&format!("{comma}\"filters\":{filters}}}"));
    }
    text
}

/// Seconds, rounded up: a limit of half a second is not none.
fn seconds(time: Duration) -> Value {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).into()
}

fn location(arguments: &Arguments) -> Option<Value> {
    let file_path = arguments.file_path.as_deref().map(|path| {
        // The worker behind the socket is on this host, in whatever folder.
        let here = arguments.reach.is_local().then(|| std::path::absolute(path).ok()).flatten();
        here.unwrap_or_else(|| path.to_owned()).display().to_string()
    });
    let given = [
        ("storageId", arguments.storage.clone()),
        ("storagePath", arguments.storage_path.clone()),
        ("filePath", file_path),
    ];
    let location: Map<String, Value> = given
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
        .collect();
    (!location.is_empty()).then(|| location.into())
}

fn ring(arguments: &Arguments) -> Option<Value> {
    let given = [
        ("fileCount", arguments.file_count.map(Value::from)),
        ("fileSizeInBytes", arguments.file_size.map(|size| size.0.into())),
        ("sessionTimeLimitInSeconds", arguments.session_time.map(seconds)),
    ];
    let settings: Map<String, Value> =
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!settings.is_empty()).then(|| settings.into())
}

fn begun(created: &CaptureView) -> String {
    let capture = &created.capture;
    let limits = &capture.plan.limits;
    format!(
        "{name} captures on {interfaces}, for {time} or {size}; 'hindsight capture watch {name}' follows it.",
        name = capture.name,
        interfaces = capture.plan.interfaces.join(", "),
        time = Span(limits.duration),
        size = Bytes(limits.bytes).rounded(),
    )
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

    fn body_of(line: &[&str]) -> Value {
        let words = ["create", "c1"].iter().chain(line);
        let arguments = Line::try_parse_from(words).unwrap_or_else(|e| panic!("{e}")).arguments;
        let filters = filters(&arguments).unwrap();
        serde_json::from_str(&body(&arguments, filters.as_deref())).unwrap()
    }

    #[test]
    fn what_is_not_given_is_left_to_the_worker() {
        assert_eq!(body_of(&[]), json!({}));
        let entries = r#"{"protocol": "TCP"}"#;
        assert_eq!(body_of(&["-f", entries]), json!({"filters": {"protocol": "TCP"}}));
    }

    #[test]
    fn every_option_has_its_field() {
        let body = body_of(&[
            "-i",
            "eth0,eth1",
            "--bytes-per-packet",
            "96",
            "--bytes-per-session",
            "1MiB",
            "--time-limit",
            "90",
            "--look-back",
            "1m",
            "--storage",
            "archive",
            "--storage-path",
            "a/b",
            "--file-path",
            "/tmp/x.pcap",
            "--file-count",
            "3",
            "--file-size",
            "64KiB",
            "--session-time",
            "1500ms",
            "--packets",
            "5",
            "--notify",
            "bus",
            "-f",
            "[]",
            "tcp",
            "port",
            "443",
        ]);
        let expected = json!({
            "interfaces": ["eth0", "eth1"], "bytesToCapturePerPacket": 96,
            "totalBytesPerSession": 1_048_576, "timeLimitInSeconds": 90, "look_back": "1m",
            "storageLocation": {
                "storageId": "archive", "storagePath": "a/b", "filePath": "/tmp/x.pcap"
            },
            "continuousCapture": true,
            "captureSettings": {
                "fileCount": 3, "fileSizeInBytes": 65_536, "sessionTimeLimitInSeconds": 2
            },
            "packets": 5, "notify": ["bus"], "filters": [], "bpf": "tcp port 443"
        });
        assert_eq!(body, expected);
    }
}
