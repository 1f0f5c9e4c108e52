//! From the body of a create to what the worker is asked for.
//!
//! The body is that of Azure Network Watcher's packet captures, with its names, defaults and limits
//! (with or without `properties` around it), and our own fields beside them. Pure: what only the worker
//! knows (interfaces, storages, ceilings, whether libpcap takes an expression) is left to the worker.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;

use crate::control::problem::Problem;
use crate::control::tree::{Fields, Found, Tree};
use crate::filter::{Entry, Error, Filter, JsonError, entries_from_json};
use crate::model::{Compression, FileForm, FileFormat, Limits, Placing, SegmentLimits};
use crate::units::Span;
use crate::worker::{CreateRequest, Defaulted, NotCreated};

/// Bytes of a session where the body does not say.
const DEFAULT_BYTES: u64 = 1 << 30;

/// How long a session lasts where the body does not say, in seconds.
const DEFAULT_SECONDS: u64 = 18_000;

/// Files of a continuous capture, and the size of one in bytes, where the body does not say.
const DEFAULT_FILES: u64 = 10;
const DEFAULT_FILE_BYTES: u64 = 100 << 20;

/// The most of each that may be asked for; the worker's ceilings are lower. Sums of them are numbers.
const MAX_BYTES: u64 = 1 << 50;
const MAX_SECONDS: u64 = 366 * 86_400;
const MAX_FILES: u64 = 10_000;

/// The most interfaces and notifiers that one capture names.
const MAX_NAMES: usize = 64;

/// The longest object name and path, in bytes: what S3 and Azure, and Linux, allow.
const MAX_OBJECT_BYTES: usize = 1_000;
const MAX_PATH_BYTES: usize = 4_000;

/// What is asked for, and how the body says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) request: CreateRequest,
    /// Its limits come from `captureSettings`.
    pub(super) continuous: bool,
}

/// Reads the body of a create. An empty one asks for a capture of everything with all defaults.
///
/// # Errors
/// The first mistake in it, with its field, its value and the right form.
pub(super) fn read(name: String, body: &[u8]) -> Result<Asked, Problem> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let tree = Tree::read(body)
        .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?;
    let mut outer = Fields::of(Found { at: String::new(), tree })?;
    match outer.take(&["properties"])? {
        Some(properties) => {
            // What Azure's clients send beside it names the resource once more.
            for name in ["name", "id", "type", "etag", "location", "tags"] {
                outer.take(&[name])?;
            }
            outer.finish()?;
            asked(name, Fields::of(properties)?)
        }
        None => asked(name, outer),
    }
}

fn asked(name: String, mut fields: Fields) -> Result<Asked, Problem> {
    let interfaces = interfaces(&mut fields)?;
    machines(&mut fields)?;
    let look_back = span(&mut fields, &["look_back", "lookBack"])?.unwrap_or_default();
    let filter = filter(&mut fields)?;
    let Bounds { limits, defaulted, continuous } = limits(&mut fields)?;
    let location = Location::read(&mut fields)?;
    let file = file_form(&mut fields, &location)?;
    let notify = fields.take(&["notify"])?;
    let notify = notify.map(|found| found.texts(MAX_NAMES, NOTIFY)).transpose()?;
    fields.finish()?;
    let Location { storage, placing, .. } = location;
    let notify = notify.unwrap_or_default();
    let request = CreateRequest {
        name,
        interfaces,
        look_back,
        filter,
        limits,
        defaulted,
        file,
        storage,
        notify,
        placing,
    };
    Ok(Asked { request, continuous })
}

const NOTIFY: &str = "write names from notifiers in the configuration, as in [\"net-oncall\"]";
const INTERFACES: &str = "write names of interfaces, as in [\"eth0\", \"eth1\"]; leave it out to take \
                          those that are recorded";

/// `interfaces`, or a `target` that names some. A resource id as target names a virtual machine; here it
/// can only mean this host.
fn interfaces(fields: &mut Fields) -> Result<Vec<String>, Problem> {
    let target = fields.take(&["target"])?;
    let given = fields.take(&["interfaces"])?;
    let is_host = |found: &Found| matches!(&found.tree, Tree::Plain(text) if text.as_str().is_some_and(|text| text.starts_with('/')));
    let found = match (given, target.filter(|target| !is_host(target))) {
        (Some(_), Some(target)) => {
            return Err(target.refused("interfaces says where to capture already; leave one out"));
        }
        (Some(found), None) | (None, Some(found)) => found,
        (None, None) => return Ok(Vec::new()),
    };
    let mut names: Vec<String> = Vec::new();
    for name in found.texts(MAX_NAMES, INTERFACES)? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What Azure says of its machines has one meaning here: this host.
fn machines(fields: &mut Fields) -> Result<(), Problem> {
    if let Some(found) = fields.take(&["targetType"])? {
        let kind = found.text("write AzureVM, or leave it out")?;
        if !["azurevm", "azurevmss"].contains(&kind.to_ascii_lowercase().as_str()) {
            return Err(found.refused("write AzureVM, or leave it out"));
        }
    }
    let Some(scope) = fields.take(&["scope"])? else { return Ok(()) };
    let mut scope = Fields::of(scope)?;
    for name in ["include", "exclude"] {
        if let Some(found) = scope.take(&[name])?
            && found.tree != Tree::List(Vec::new())
        {
            return Err(found.refused("leave it out: a worker captures on its own host only"));
        }
    }
    scope.finish()
}

fn filter(fields: &mut Fields) -> Result<Filter, Problem> {
    let entries = match fields.take(&["filters"])? {
        Some(found) => entries_from_json(&found.tree.to_string())
            .map_err(|error| bad_entry(&found.at, &error))?,
        None => Vec::new(),
    };
    // An entry without a field constrains nothing, and lets the others constrain nothing either.
    let entries = if entries.contains(&Entry::default()) { Vec::new() } else { entries };
    let expression = match fields.take(&["bpf"])? {
        Some(found) => Some(found.text("write tcpdump's language, as in \"tcp port 443\"")?),
        None => None,
    };
    Ok(Filter { entries, expression: expression.filter(|text| !text.trim().is_empty()) })
}

/// The mistake in an entry, with its place: `filters[1].remoteIPAddress`.
fn bad_entry(at: &str, error: &JsonError) -> Problem {
    let place = |number: usize, field: &str| format!("{at}[{}].{field}", number.saturating_sub(1));
    let (field, value) = match error {
        JsonError::Form { .. } => (at.to_owned(), None),
        JsonError::UnknownField { number, field } | JsonError::Twice { number, field, .. } => {
            (place(*number, field), None)
        }
        JsonError::NotText { number, field, value, .. } => (place(*number, field), Some(value)),
        JsonError::Entry { number, source } => match told(source) {
            Some((field, value)) => (place(*number, field), Some(value)),
            None => (format!("{at}[{}]", number.saturating_sub(1)), None),
        },
    };
    let detail = error.to_string();
    // Every message ends with the right form, behind the value and a semicolon.
    let behind = value
        .and_then(|value| detail.split_once(value.as_str()))
        .map_or(detail.as_str(), |(_, rest)| rest);
    let expected = behind.split_once("; ").map(|(_, form)| form.into());
    let value = value.map(|value| value.as_str().into());
    Problem { field: Some(field.into()), value, expected, ..Problem::bad_request(detail) }
}

/// The field and the value of a mistake that is one of one value.
const fn told(error: &Error) -> Option<(&String, &String)> {
    if let Error::NotAnAddress { field, value }
    | Error::NotARange { field, value }
    | Error::Swapped { field, value, .. }
    | Error::MixedFamilies { field, value }
    | Error::NotANetwork { field, value, .. }
    | Error::NotAPort { field, value }
    | Error::NotAMac { field, value }
    | Error::NotAProtocol { field, value }
    | Error::EmptyPart { field, value, .. } = error
    {
        Some((field, value))
    } else {
        None
    }
}

/// What ends a capture.
struct Bounds {
    limits: Limits,
    defaulted: Defaulted,
    /// Whether `continuousCapture` was given.
    continuous: bool,
}

fn limits(fields: &mut Fields) -> Result<Bounds, Problem> {
    let mut number = |names: &[&'static str], range| {
        fields.take(names)?.map(|found| found.number(range)).transpose()
    };
    let per_packet = number(&["bytesToCapturePerPacket"], 0..=u64::from(u32::MAX))?.unwrap_or(0);
    let bytes = number(&["totalBytesPerSession"], 1..=MAX_BYTES)?;
    let seconds = number(&["timeLimitInSeconds"], 1..=MAX_SECONDS)?;
    let packets = number(&["packets"], 1..=u64::MAX)?;
    let continuous = fields.take(&["continuousCapture"])?;
    let continuous = continuous.map(|found| found.boolean()).transpose()?;
    let settings = fields.take(&["captureSettings"])?;
    let mut limits = Limits {
        duration: Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS)),
        bytes: bytes.unwrap_or(DEFAULT_BYTES),
        packets,
        bytes_per_packet: u32::try_from(per_packet).unwrap_or(u32::MAX),
        segments: None,
    };
    let mut defaulted = Defaulted { duration: seconds.is_none(), bytes: bytes.is_none() };
    let Some(is_ring) = continuous else {
        let lone =
            "is for continuousCapture: true, a ring of files, or false, files up to their count";
        return match settings {
            Some(settings) => Err(settings.refused(lone)),
            None => Ok(Bounds { limits, defaulted, continuous: false }),
        };
    };
    let mut settings = match settings {
        Some(settings) => Fields::of(settings)?,
        None => Fields::of(Found { at: String::new(), tree: Tree::Object(Vec::new()) })?,
    };
    let mut number =
        |name, range| settings.take(&[name])?.map(|found| found.number(range)).transpose();
    let least = if is_ring { 2 } else { 1 };
    let files = number("fileCount", least..=MAX_FILES)?.unwrap_or(DEFAULT_FILES);
    let file_bytes = number("fileSizeInBytes", 1..=MAX_BYTES / MAX_FILES)?;
    let file_bytes = file_bytes.unwrap_or(DEFAULT_FILE_BYTES);
    let session = number("sessionTimeLimitInSeconds", 1..=MAX_SECONDS)?.or(seconds);
    settings.finish()?;
    let all = files * file_bytes;
    // The bytes are those of the files, which somebody may have counted on.
    defaulted = Defaulted { duration: session.is_none(), bytes: false };
    limits.duration = Duration::from_secs(session.unwrap_or(DEFAULT_SECONDS));
    limits.bytes = match bytes {
        Some(bytes) if !is_ring => bytes.min(all),
        Some(bytes) => bytes,
        None => all,
    };
    let keep = is_ring.then(|| u32::try_from(files).unwrap_or(u32::MAX));
    limits.segments = Some(SegmentLimits { bytes: file_bytes.min(limits.bytes), keep });
    Ok(Bounds { limits, defaulted, continuous: true })
}

fn span(fields: &mut Fields, names: &[&'static str]) -> Result<Option<Duration>, Problem> {
    let Some(found) = fields.take(names)? else { return Ok(None) };
    let right = "write a time with its unit, as in \"30s\"";
    if let Ok(seconds) = found.number(0..=MAX_SECONDS) {
        return Ok(Some(Duration::from_secs(seconds)));
    }
    let parsed: Result<Span, _> = found.text(right)?.parse();
    parsed.map(|span| Some(span.0)).map_err(|_unhelpful| found.refused(right))
}

/// Where the files go.
struct Location {
    storage: Option<String>,
    placing: Placing,
    /// What the name that was asked for ends in.
    ending: FileForm,
}

impl Location {
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let mut location =
            Self { storage: None, placing: Placing::default(), ending: FileForm::default() };
        let Some(found) = fields.take(&["storageLocation"])? else { return Ok(location) };
        let mut fields = Fields::of(found)?;
        if let Some(found) = fields.take(&["storageId"])? {
            location.storage = Some(storage_name(&found)?);
        }
        if let Some(found) = fields.take(&["filePath", "localPath"])? {
            let path = local_file(&found)?;
            (_, location.ending) = form_of(&path);
            location.placing.local_file = Some(PathBuf::from(path));
        }
        if let Some(found) = fields.take(&["storagePath"])? {
            let (object, ending) = object(&found, location.storage.is_some())?;
            if location.placing.local_file.is_some() && location.storage.is_none() {
                let expected = "name the storage in storageId as well, or leave this out to have the \
                                local file alone";
                return Err(found.refused(expected));
            }
            location.ending = ending;
            location.placing.object = Some(object);
        }
        fields.finish()?;
        Ok(location)
    }
}

/// The name of a storage; of a resource id its last part.
fn storage_name(found: &Found) -> Result<String, Problem> {
    let right =
        "write the name of a storage in the configuration, or a resource id that ends with it";
    let text = found.text(right)?;
    let name = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if name.is_empty() { Err(found.refused(right)) } else { Ok(name.to_owned()) }
}

fn local_file(found: &Found) -> Result<String, Problem> {
    let right = "write an absolute path on the worker's host, as in /var/captures/c1.pcapng";
    let path = found.text(right)?;
    let parts = path.strip_prefix('/').ok_or_else(|| found.refused(right))?;
    let is_wrong = |part: &str| part.is_empty() || part == "." || part == "..";
    let is_odd = path.len() > MAX_PATH_BYTES || path.chars().any(char::is_control);
    if is_odd || parts.split('/').any(is_wrong) {
        return Err(found.refused(right));
    }
    Ok(path)
}

/// The name of the object without its ending, and the form that the ending means.
fn object(found: &Found, has_storage: bool) -> Result<(String, FileForm), Problem> {
    let right = "write parts of letters, digits, '.', '_' and '-' with '/' between them, as in \
                 tickets/4711/c1.pcapng, or a URL of such an object below its container";
    let text = found.text(right)?;
    let path = match text.split_once("://") {
        None => text.as_str(),
        Some((_scheme, _)) if !has_storage => {
            return Err(found.refused("name the storage in storageId; a URL does not choose it"));
        }
        Some((_scheme, place)) => {
            let rest = place.split_once('/').and_then(|(_host, path)| path.split_once('/'));
            rest.map(|(_container, object)| object).ok_or_else(|| found.refused(right))?
        }
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.len() <= 200
            && part.bytes().all(is_plain)
    };
    let (stem, form) = form_of(path);
    if path.len() > MAX_OBJECT_BYTES
        || !path.split('/').all(is_part)
        || !stem.split('/').all(is_part)
    {
        return Err(found.refused(right));
    }
    Ok((stem.to_owned(), form))
}

/// A name without its ending, and how a file with such an ending is written.
fn form_of(name: &str) -> (&str, FileForm) {
    let cut = |name: &str, ending: &str| {
        let at = name.len().checked_sub(ending.len())?;
        name.get(at..).filter(|end| end.eq_ignore_ascii_case(ending)).map(|_| at)
    };
    let (name, compression) = match cut(name, ".zst") {
        Some(at) => (&name[..at], Compression::Zstd),
        None => (name, Compression::None),
    };
    for (ending, format) in
        [(".pcapng", FileFormat::Pcapng), (".pcap", FileFormat::Pcap), (".cap", FileFormat::Pcap)]
    {
        if let Some(at) = cut(name, ending) {
            return (&name[..at], FileForm { format, compression });
        }
    }
    (name, FileForm { format: FileFormat::Pcapng, compression })
}

/// `format` and `compression`; by the ending where they are left out.
fn file_form(fields: &mut Fields, location: &Location) -> Result<FileForm, Problem> {
    let mut form = location.ending;
    if let Some(found) = fields.take(&["format"])? {
        form.format = match found.text("write pcapng or pcap")?.as_str() {
            "pcapng" => FileFormat::Pcapng,
            "pcap" => FileFormat::Pcap,
            _ => return Err(found.refused("write pcapng or pcap")),
        };
    }
    if let Some(found) = fields.take(&["compression"])? {
        form.compression = match found.text("write none or zstd")?.as_str() {
            "none" => Compression::None,
            "zstd" => Compression::Zstd,
            _ => return Err(found.refused("write none or zstd")),
        };
    }
    Ok(form)
}

/// Why the worker did not begin it, in the words of the body.
pub(super) fn refused(not_created: NotCreated, name: &str, continuous: bool) -> Problem {
    match not_created {
        NotCreated::NameTaken => Problem::new(
            StatusCode::CONFLICT,
            format!(
                "a capture with the name '{name}' is there already; take another name, or delete it"
            ),
        ),
        NotCreated::Invalid { field, value, message } => {
            if field == "filter" {
                return bad_filter(value, message);
            }
            let field = name_in_body(&field, continuous);
            let detail = format!("{field}: {value}: {message}");
            Problem {
                field: Some(field.into()),
                value: Some(value.into()),
                expected: Some(message.into()),
                ..Problem::bad_request(detail)
            }
        }
        NotCreated::Refused(why) => Problem::new(StatusCode::TOO_MANY_REQUESTS, why),
    }
}

/// A filter that cannot be compiled: the message says of itself whether it is the expression that is
/// wrong or the entries, and ends with the right form.
fn bad_filter(value: String, message: String) -> Problem {
    let field = if message.starts_with("bpf:") { "bpf" } else { "filters" };
    let expected = message.rsplit_once("; ").map(|(_, form)| form.into());
    let (field, value) = (Some(field.into()), Some(value.into()));
    Problem { field, value, expected, ..Problem::bad_request(message) }
}

/// What the body calls a field of the request.
fn name_in_body(field: &str, continuous: bool) -> &str {
    match field {
        "limits.duration" if continuous => "captureSettings.sessionTimeLimitInSeconds",
        "limits.duration" => "timeLimitInSeconds",
        "limits.bytes" => "totalBytesPerSession",
        "limits.packets" => "packets",
        "limits.bytes_per_packet" => "bytesToCapturePerPacket",
        "limits.segments.bytes" => "captureSettings.fileSizeInBytes",
        "limits.segments.keep" => "captureSettings.fileCount",
        "limits.segments" => "captureSettings",
        "storage" => "storageLocation.storageId",
        "placing.object" => "storageLocation.storagePath",
        "placing.local_file" => "storageLocation.filePath",
        "file.format" | "file" => "format",
        "file.compression" => "compression",
        own => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> CreateRequest {
        read("c1".to_owned(), body.as_bytes())
            .unwrap_or_else(|problem| panic!("{problem:?}"))
            .request
    }

    fn refusal(body: &str) -> Problem {
        let Err(problem) = read("c1".to_owned(), body.as_bytes()) else {
            panic!("{body} is taken")
        };
        problem
    }

    /// The example of the founding document, but for the path of another operating system.
    const AZURE: &str = r#"{ "properties": {
        "target": "/subscriptions/0/resourceGroups/rg2/providers/Microsoft.Compute/virtualMachines/vm1",
        "bytesToCapturePerPacket": 10000, "totalBytesPerSession": "100000", "timeLimitinSeconds": 100,
        "storageLocation": {
            "storageId": "/subscriptions/0/resourceGroups/rg2/providers/Microsoft.Storage/storageAccounts/pcstore",
            "storagePath": "https://mytestaccountname.blob.core.windows.net/capture/pc1.cap",
            "filePath": "/var/captures/pc1.cap" },
        "filters": [ { "protocol": "TCP", "localIPAddress": "10.0.0.4", "localPort": "80" } ] } }"#;

    #[test]
    fn the_body_of_the_founding_document_is_taken_as_it_is() {
        let request = request(AZURE);
        assert_eq!(request.interfaces, Vec::<String>::new());
        assert_eq!(request.limits.bytes_per_packet, 10_000);
        assert_eq!(request.limits.bytes, 100_000);
        assert_eq!(request.limits.duration, Duration::from_secs(100));
        assert_eq!(request.storage.as_deref(), Some("pcstore"));
        assert_eq!(request.placing.object.as_deref(), Some("pc1"));
        assert_eq!(request.placing.local_file, Some(PathBuf::from("/var/captures/pc1.cap")));
        assert_eq!(request.file.format, FileFormat::Pcap);
        assert_eq!(request.filter.entries.len(), 1);
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_founding_document() {
        for body in ["", "{}", r#"{"properties": {"filters": [], "continuousCapture": null}}"#] {
            let request = request(body);
            assert_eq!(request.limits.bytes, 1_073_741_824);
            assert_eq!(request.limits.duration, Duration::from_secs(18_000));
            assert_eq!((request.limits.bytes_per_packet, request.limits.segments), (0, None));
            assert_eq!((request.storage, request.filter), (None, Filter::default()));
            assert_eq!(request.file, FileForm::default());
        }
    }

    #[test]
    fn our_own_fields_stand_beside_it() {
        let request = request(
            r#"{"interfaces": "eth0,eth1", "look_back": "1m30s", "bpf": "tcp port 443",
                "notify": ["bus"], "packets": 5, "storageLocation": {"storagePath": "a/b.pcapng.zst"}}"#,
        );
        assert_eq!(request.interfaces, ["eth0", "eth1"]);
        assert_eq!(request.look_back, Duration::from_secs(90));
        assert_eq!(request.filter.expression.as_deref(), Some("tcp port 443"));
        assert_eq!((request.notify, request.limits.packets), (vec!["bus".to_owned()], Some(5)));
        assert_eq!(request.placing.object.as_deref(), Some("a/b"));
        assert_eq!(request.file.compression, Compression::Zstd);
    }

    #[test]
    fn a_continuous_capture_is_a_ring_of_files_and_else_they_are_counted() {
        let ring = request(r#"{"continuousCapture": true}"#).limits;
        assert_eq!(ring.segments, Some(SegmentLimits { bytes: 100 << 20, keep: Some(10) }));
        assert_eq!(ring.bytes, 1000 << 20);
        let settings =
            r#"{"fileCount": "3", "fileSizeInBytes": 1000000, "sessionTimeLimitInSeconds": 60}"#;
        let files =
            request(&format!(r#"{{"continuousCapture": "false", "captureSettings": {settings}}}"#));
        assert_eq!(files.limits.segments, Some(SegmentLimits { bytes: 1_000_000, keep: None }));
        assert_eq!(files.limits.bytes, 3_000_000);
        assert_eq!(files.limits.duration, Duration::from_secs(60));
        assert_eq!(refusal(r#"{"captureSettings": {}}"#).field.as_deref(), Some("captureSettings"));
    }

    #[test]
    fn the_malformed_filter_of_the_documentation_is_refused_with_field_value_and_right_form() {
        let problem = refusal(
            r#"{"filters": [{"protocol": "TCP"}, {"remoteIPAddress": "1.1.1.1-255.255.255"}]}"#,
        );
        assert_eq!(problem.status, 400);
        assert_eq!(problem.field.as_deref(), Some("filters[1].remoteIPAddress"));
        assert_eq!(problem.value.as_deref(), Some("1.1.1.1-255.255.255"));
        let form = "write two whole addresses, as in 192.0.2.1-192.0.2.9";
        assert_eq!(problem.expected.as_deref(), Some(form));
        assert!(problem.detail.starts_with("entry 2: remoteIPAddress"), "{}", problem.detail);
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (body, field) in [
            (r#"{"timeLimitInSeconds": "soon"}"#, "timeLimitInSeconds"),
            (r#"{"TIMELIMITINSECONDS": 0}"#, "TIMELIMITINSECONDS"),
            (r#"{"bytesToCapturePerPacket": 4294967296}"#, "bytesToCapturePerPacket"),
            (r#"{"filters": [{"localPort": 1, "localPort": 2}]}"#, "filters[0].localPort"),
            (r#"{"filters": [{"localprt": 1}]}"#, "filters[0].localprt"),
            (r#"{"filters": 5}"#, "filters"),
            (r#"{"look_back": "soon"}"#, "look_back"),
            (r#"{"look_back": true}"#, "look_back"),
            (r#"{"interfaces": [""]}"#, "interfaces"),
            (r#"{"interfaces": "a", "target": "b"}"#, "target"),
            (r#"{"scope": {"include": ["1"]}}"#, "scope.include"),
            (r#"{"targetType": "Router"}"#, "targetType"),
            (r#"{"storageLocation": {"filePath": "D:\\c\\pc1.cap"}}"#, "storageLocation.filePath"),
            (r#"{"storageLocation": {"filePath": "/var/../etc/x"}}"#, "storageLocation.filePath"),
            (r#"{"storageLocation": {"storagePath": "../x"}}"#, "storageLocation.storagePath"),
            (
                r#"{"storageLocation": {"storagePath": "https://h/c/x"}}"#,
                "storageLocation.storagePath",
            ),
            (
                r#"{"storageLocation": {"storageId": "a", "storagePath": "https://h/c/x?sig=1"}}"#,
                "storageLocation.storagePath",
            ),
            (r#"{"storageLocation": {"path": "x"}}"#, "storageLocation.path"),
            (r#"{"format": "cap"}"#, "format"),
            (r#"{"duration": 5}"#, "duration"),
            ("[]", "the body"),
        ] {
            let problem = refusal(body);
            assert_eq!(problem.field.as_deref(), Some(field), "{body}: {problem:?}");
            assert!(problem.expected.is_some() || problem.detail.contains(';'), "{problem:?}");
        }
    }

    #[test]
    fn an_entry_that_constrains_nothing_lets_everything_pass() {
        let body = r#"{"filters": [{"protocol": "TCP"}, {"protocol": "Any"}]}"#;
        assert_eq!(request(body).filter, Filter::default());
    }

    #[test]
    fn a_name_that_is_taken_is_a_conflict_and_a_ceiling_is_worth_another_try() {
        assert_eq!(refused(NotCreated::NameTaken, "c1", false).status, 409);
        assert_eq!(refused(NotCreated::Refused("16 run".to_owned()), "c1", false).status, 429);
        let field = "limits.duration".to_owned();
        let invalid =
            NotCreated::Invalid { field, value: "6h".to_owned(), message: "x".to_owned() };
        let problem = refused(invalid, "c1", false);
        assert_eq!(problem.field.as_deref(), Some("timeLimitInSeconds"));
        let (value, message) = ("prot 1".to_owned(), "bpf: 'prot 1' is wrong; write x".to_owned());
        let invalid = NotCreated::Invalid { field: "filter".to_owned(), value, message };
        let problem = refused(invalid, "c1", false);
        assert_eq!(
            (problem.field.as_deref(), problem.expected.as_deref()),
            (Some("bpf"), Some("write x"))
        );
    }
}
