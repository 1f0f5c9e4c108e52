//! `hindsight dump`: the binary at one end of a cable between two network namespaces, numbered
//! packets from the other end, and Wireshark's tools as readers of what comes out.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::namespaces::{INTERFACE, Pair};
use support::process::Process;
use support::traffic::{PORT, Sender, Traffic};
use support::{tshark, wait};
use tempfile::TempDir;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const BINARY: &str = env!("CARGO_BIN_EXE_hindsight");

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of a test's own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The names of what is in it, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }
}

/// A `dump` that runs at the near end of a pair.
struct Running {
    process: Process,
    _log: TempDir,
}

impl Running {
    /// Starts it and waits until it says that it hears.
    fn start(pair: &Pair, arguments: &[&str]) -> Self {
        let mut running = Self::launch(pair, arguments);
        running.wait_for("capturing ");
        running
    }

    fn launch(pair: &Pair, arguments: &[&str]) -> Self {
        let log = tempfile::tempdir().unwrap();
        let mut command = pair.near.command(BINARY);
        command.arg("dump").args(arguments);
        let process = Process::start("dump", &mut command, &log.path().join("log"));
        Self { process, _log: log }
    }

    fn wait_for(&mut self, text: &str) {
        wait::until(text, PATIENCE, || {
            let log = self.process.log();
            let found = log.contains(text);
            assert!(found || self.process.is_running(), "it ended by itself: {log}");
            found.then_some(())
        });
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end and returns what it said.
    fn end(mut self) -> String {
        wait::until("dump to end", PATIENCE, || (!self.process.is_running()).then_some(()));
        self.process.log()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn send(sender: &mut Sender, count: u64) {
    (0..count).for_each(|_| sender.send());
}

/// `dump` with these arguments where no capture can begin.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(BINARY).arg("dump").args(arguments).output().unwrap();
    (output.status.code(), text(&output.stderr))
}

fn numbers(first: u64, count: u64) -> Vec<u64> {
    (first..first + count).collect()
}

// ---- What is captured ----

#[test]
fn it_ends_after_as_many_packets_as_were_asked_for() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let file = folder.text("x.pcapng");
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &file, "-c", "20"]);
    send(&mut sender, 50);
    let said = dump.end();
    assert!(said.contains("20 packets, "), "{said}");
    assert!(said.contains(&format!("in {file}; 0 dropped by the kernel, 0 overrun; ")), "{said}");
    assert!(said.trim_end().ends_with(": PacketsExceeded"), "{said}");
    assert_eq!(tshark::numbers(&folder.path("x.pcapng")), numbers(0, 20));
    assert_eq!(folder.names(), ["x.pcapng"]);
}

#[test]
fn an_interrupt_keeps_every_packet_that_was_sent_before_it() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    for (round, signal) in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().enumerate()
    {
        let name = format!("{round}.pcapng");
        let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &folder.text(&name)]);
        let first = sender.next;
        send(&mut sender, 500);
        dump.signal(signal);
        let said = dump.end();
        assert!(said.contains("500 packets, ") && said.contains(": Manual"), "{said}");
        assert_eq!(tshark::numbers(&folder.path(&name)), numbers(first, 500));
        assert!(tshark::complaints(&folder.path(&name)).is_empty());
    }
}

#[test]
fn words_and_entries_select_packets_that_fit_both() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let (mut one, mut other) = (Sender::new(&pair), Sender::to_port(&pair, PORT + 1));
    let remote = Pair::FAR_ADDRESS;
    let entries = format!(
        r#"[{{"protocol": "TCP"}}, {{"protocol": "udp", "remoteIPAddress": "{remote}", "localPort": {PORT}}}]"#
    );
    fs::write(folder.path("entries.json"), &entries).unwrap();
    let from_file = folder.text("entries.json");
    let port = PORT.to_string();
    let cases: [&[&str]; 4] = [
        &["udp", "dst", "port", &port],
        &["--filter", &entries],
        &["--filter-file", &from_file],
        &["--filter", &entries, "ip", "and", "greater 60"],
    ];
    for (round, case) in cases.into_iter().enumerate() {
        let name = format!("{round}.pcapng");
        let file = folder.text(&name);
        let dump = Running::start(&pair, &[&["-i", INTERFACE, "-w", &file], case].concat());
        let first = one.next;
        for _ in 0..10 {
            one.send();
            other.send();
        }
        dump.signal(Signal::SIGINT);
        let said = dump.end();
        assert!(said.contains("10 packets, "), "{case:?}: {said}");
        assert_eq!(tshark::numbers(&folder.path(&name)), numbers(first, 10), "{case:?}");
    }
    // Entries and words have to hold, both of them.
    let file = folder.text("none.pcapng");
    let words = ["--filter", entries.as_str(), "greater", "1000"];
    let dump = Running::start(&pair, &[&["-i", INTERFACE, "-w", &file], &words[..]].concat());
    send(&mut one, 10);
    dump.signal(Signal::SIGINT);
    assert!(dump.end().contains("0 packets, "));
}

#[test]
fn packets_are_cut_where_that_was_asked_for_and_counted() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let file = folder.text("x.pcapng");
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &file, "-c", "5", "-s", "60"]);
    send(&mut sender, 5);
    let said = dump.end();
    assert!(said.contains(", 5 truncated; "), "{said}");
    let lengths = tshark::fields(&folder.path("x.pcapng"), "ip", &["frame.cap_len", "frame.len"]);
    assert_eq!(lengths, vec![["60", "142"].map(str::to_owned).to_vec(); 5]);
}

#[test]
fn the_interface_of_the_default_route_is_taken_and_named() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let dump = Running::start(&pair, &["-w", &folder.text("x.pcapng"), "-c", "1"]);
    send(&mut sender, 1);
    let said = dump.end();
    assert!(said.contains(&format!("{INTERFACE} is the interface of the default route")), "{said}");
}

#[test]
fn several_interfaces_go_into_one_file() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let file = folder.text("x.pcapng");
    let dump = Running::start(&pair, &["-i", "lo", "-i", INTERFACE, "-w", &file, "-c", "2", "udp"]);
    send(&mut sender, 1);
    pair.near.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.send_to(&[0; 8], socket.local_addr().unwrap()).unwrap();
    });
    assert!(dump.end().contains("2 packets, "));
    let fields = ["frame.interface_name", "ip.src"];
    let mut seen = tshark::fields(&folder.path("x.pcapng"), "udp", &fields);
    seen.sort_unstable();
    let (far, lo) = (Pair::FAR_ADDRESS.to_string(), "127.0.0.1".to_owned());
    assert_eq!(seen, [[INTERFACE.to_owned(), far], ["lo".to_owned(), lo]]);
}

#[test]
fn the_interface_is_promiscuous_unless_that_is_not_wanted() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let promiscuous = || {
        let shown = pair.near.command("ip").args(["-d", "link", "show", INTERFACE]).output();
        text(&shown.unwrap().stdout).contains(" promiscuity 1 ")
    };
    for arm in [&[][..], &["--arm"]] {
        for (option, expected) in [(&[][..], true), (&["-p"], false)] {
            let file = folder.text("x.pcapng");
            let arguments = [&["-i", INTERFACE, "-w", &file], arm, option].concat();
            let mut dump = Running::launch(&pair, &arguments);
            dump.wait_for(if arm.is_empty() { "capturing " } else { "armed: " });
            assert_eq!(promiscuous(), expected, "{arguments:?}");
            dump.signal(Signal::SIGINT);
            dump.end();
            assert!(!promiscuous());
        }
    }
}

#[test]
fn a_second_interrupt_does_not_wait_for_a_reader_that_reads_nothing() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    sender.size = 1_400;
    let fifo = folder.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Opened for reading and writing: this never waits for the other end, and never reads.
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let mut dump = Running::start(&pair, &["-i", INTERFACE, "-w", fifo.to_str().unwrap()]);
    // More than fits into the FIFO (64 KiB) and the buffer before it.
    send(&mut sender, 5_000);
    wait::until("the end after interrupts", PATIENCE, || {
        dump.signal(Signal::SIGINT);
        (!dump.process.is_running()).then_some(())
    });
    let said = dump.end();
    assert!(said.contains("stopped by a second signal before the end of "), "{said}");
}

#[test]
fn its_time_and_its_bytes_end_it() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let file = folder.text("x.pcapng");
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &file, "--duration", "300ms"]);
    assert!(dump.end().contains(": TimeExceeded"));
    let mut sender = Sender::new(&pair);
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &file, "--bytes", "16KiB"]);
    send(&mut sender, 300);
    assert!(dump.end().contains(": BytesExceeded"));
    // The file of the first capture was replaced.
    let figures = tshark::figures(&folder.path("x.pcapng"));
    assert!(figures.packets > 50 && figures.bytes <= 16 << 10, "{figures:?}");
    assert_eq!(folder.names(), ["x.pcapng"]);
}

#[test]
fn packets_of_a_file_are_selected_and_written() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let (mut one, mut other) = (Sender::new(&pair), Sender::to_port(&pair, PORT + 1));
    let (all, some) = (folder.text("all.pcapng"), folder.text("some.pcap"));
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &all]);
    for _ in 0..30 {
        one.send();
        other.send();
    }
    dump.signal(Signal::SIGINT);
    dump.end();
    let port = PORT.to_string();
    let output = Command::new(BINARY)
        .args(["dump", "-r", &all, "-w", &some, "--output", "json", "udp", "port", &port])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["packets"], 30, "{summary:#}");
    assert_eq!(summary["stop_reason"], "EndOfFile", "{summary:#}");
    assert_eq!(summary["files"][0]["path"], some.as_str(), "{summary:#}");
    assert_eq!(tshark::numbers(&folder.path("some.pcap")), numbers(0, 30));
}

// ---- Where it goes ----

#[test]
fn standard_output_goes_into_another_program() {
    let Some(pair) = Pair::quiet() else { return };
    let mut sender = Sender::new(&pair);
    let mut command = pair.near.command(BINARY);
    command.args(["dump", "-i", INTERFACE, "-w", "-", "-c", "10", "--output", "json"]);
    let mut dump =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r", "-", "-T", "fields", "-e", "udp.payload"]);
    tshark.stdin(dump.stdout.take().unwrap()).stdout(Stdio::piped()).stderr(Stdio::null());
    let reader = tshark.spawn().unwrap();
    // The file's beginning comes before the first packet: from then on every packet is heard.
    let mut said = dump.stderr.take().unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        said.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    assert_eq!(text(&line), format!("capturing {INTERFACE} into standard output\n"));
    send(&mut sender, 10);
    let read = reader.wait_with_output().unwrap();
    let seen: Vec<_> = text(&read.stdout).lines().map(tshark::number).collect();
    assert_eq!(seen, numbers(0, 10));
    assert!(dump.wait().unwrap().success());
    // Packets have standard output, so the last line has standard error.
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let summary: serde_json::Value = serde_json::from_str(rest.trim()).unwrap();
    assert_eq!(summary["packets"], 10, "{summary:#}");
}

#[test]
fn a_fifo_is_waited_for_and_filled() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let (fifo, copy) = (folder.path("fifo"), folder.path("copy.pcapng"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut dump =
        Running::launch(&pair, &["-i", INTERFACE, "-w", fifo.to_str().unwrap(), "-c", "10"]);
    dump.wait_for("waiting until somebody reads ");
    let reader = thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(&fifo).unwrap());
        dump.wait_for("capturing ");
        send(&mut sender, 10);
        reader.join().unwrap()
    });
    assert!(dump.end().contains("10 packets, "));
    fs::write(&copy, reader).unwrap();
    assert_eq!(tshark::numbers(&copy), numbers(0, 10));
    assert_eq!(folder.names(), ["copy.pcapng", "fifo"]);
}

#[test]
fn a_ring_of_files_keeps_the_newest_packets() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    sender.size = 1_000;
    let file = folder.text("x.pcapng");
    let ring = ["--segment-bytes", "64KiB", "--keep-segments", "3"];
    let dump = Running::start(&pair, &[&["-i", INTERFACE, "-w", &file], &ring[..]].concat());
    send(&mut sender, 500);
    dump.signal(Signal::SIGINT);
    let said = dump.end();
    let names = folder.names();
    assert_eq!(names.len(), 3, "{names:?}: {said}");
    let mut seen: Vec<u64> = Vec::new();
    for name in &names {
        let figures = tshark::figures(&folder.path(name));
        assert!(figures.bytes <= 64 << 10, "{name}: {figures:?}");
        seen.extend(tshark::numbers(&folder.path(name)));
    }
    seen.sort_unstable();
    assert!(seen.len() > 100, "{} packets in {names:?}", seen.len());
    assert_eq!(seen, numbers(seen[0], 500 - seen[0]));
    for name in &names {
        assert!(said.contains(name), "{name} is missing in: {said}");
    }
}

#[test]
fn the_ending_says_how_the_file_is_written() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    for (name, kind) in [
        ("x.pcapng", "pcapng"),
        ("x.pcap", "nanosecond pcap"),
        ("x.cap", "nanosecond pcap"),
        ("x.pcapng.zst", "pcapng (zstd compressed)"),
        ("x.pcap.zst", "nanosecond pcap (zstd compressed)"),
    ] {
        let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &folder.text(name), "-c", "10"]);
        let first = sender.next;
        send(&mut sender, 10);
        let said = dump.end();
        assert!(said.contains("10 packets, "), "{name}: {said}");
        let file = folder.path(name);
        let output = Command::new("capinfos").arg("-t").arg(&file).output().unwrap();
        let found = text(&output.stdout);
        assert!(found.trim_end().ends_with(&format!(" {kind}")), "{name}: {found}");
        assert_eq!(tshark::numbers(&file), numbers(first, 10), "{name}");
    }
}

#[test]
fn a_device_that_is_full_ends_it_and_says_so() {
    let Some(pair) = Pair::quiet() else { return };
    let mut sender = Sender::new(&pair);
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", "/dev/null", "-c", "1"]);
    send(&mut sender, 1);
    assert!(dump.end().contains("1 packet, "));
    let mut command = pair.near.command(BINARY);
    let output = command.args(["dump", "-i", INTERFACE, "-w", "/dev/full"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn an_interface_that_vanishes_ends_it_with_the_file_closed() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let file = folder.text("x.pcapng");
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &file]);
    send(&mut sender, 20);
    pair.near.ip(&format!("link del {INTERFACE}"));
    let said = dump.end();
    assert!(said.contains("20 packets, ") && said.contains(": InterfaceLost"), "{said}");
    assert_eq!(tshark::numbers(&folder.path("x.pcapng")), numbers(0, 20));
}

#[test]
fn what_was_on_the_disk_when_it_was_killed_can_be_read() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, traffic) = (Folder::new(), Traffic::start(&pair, 1_000));
    let file = folder.text("x.pcapng");
    let mut dump = Running::start(&pair, &["-i", INTERFACE, "-w", &file]);
    traffic.wait_for_more(3_000);
    dump.process.kill();
    assert_eq!(folder.names(), ["x.pcapng.part"]);
    // Not by the function that refuses complaints: the file may end within a packet.
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-e", "udp.payload", "-r"]);
    let output = tshark.arg(folder.path("x.pcapng.part")).output().unwrap();
    let seen: Vec<_> = text(&output.stdout).lines().map(tshark::number).collect();
    assert!(seen.len() > 1_000, "{} packets: {}", seen.len(), text(&output.stderr));
    assert_eq!(seen, numbers(seen[0], u64::try_from(seen.len()).unwrap()));
}

// ---- Armed ----

#[test]
fn an_armed_capture_has_the_packets_from_before_its_trigger() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let file = folder.text("x.pcapng");
    let arm = ["--arm", "--look-back", "30s"];
    let mut dump = Running::launch(&pair, &[&["-i", INTERFACE, "-w", &file], &arm[..]].concat());
    dump.wait_for("armed: ");
    send(&mut sender, 200);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    dump.signal(Signal::SIGUSR1);
    dump.wait_for("capturing ");
    send(&mut sender, 100);
    // Not the end of it: how far it is.
    dump.signal(Signal::SIGUSR1);
    dump.signal(Signal::SIGINT);
    let said = dump.end();
    assert!(said.contains("300 packets, "), "{said}");
    assert_eq!(tshark::numbers(&folder.path("x.pcapng")), numbers(0, 300));
}

#[test]
fn the_time_of_an_armed_capture_counts_from_its_trigger() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let traffic = Traffic::start(&pair, 1_000);
    let file = folder.text("x.pcapng");
    let arm = ["--arm", "--look-back", "500ms", "--duration", "500ms"];
    let mut dump = Running::launch(&pair, &[&["-i", INTERFACE, "-w", &file], &arm[..]].concat());
    dump.wait_for("armed: ");
    traffic.wait_for_more(1_500);
    dump.signal(Signal::SIGUSR1);
    let said = dump.end();
    assert!(said.contains(": TimeExceeded"), "{said}");
    let seen = tshark::numbers(&folder.path("x.pcapng"));
    assert_eq!(seen, numbers(seen[0], u64::try_from(seen.len()).unwrap()));
    assert!(seen[0] > 500, "it begins with packet {}", seen[0]);
    assert!((700..1_300).contains(&seen.len()), "{} packets of a second", seen.len());
}

#[test]
fn without_a_trigger_nothing_is_written() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let mut dump = Running::launch(&pair, &["--arm", "-w", &folder.text("x.pcapng")]);
    dump.wait_for("armed: ");
    dump.signal(Signal::SIGINT);
    let said = dump.end();
    assert!(said.contains("0 packets, "), "{said}");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn on_a_terminal_enter_is_the_trigger_and_one_line_is_refreshed() {
    let Some(pair) = Pair::quiet() else { return };
    let (folder, mut sender) = (Folder::new(), Sender::new(&pair));
    let line =
        format!("{BINARY} dump -i {INTERFACE} --arm -c 60 -w {} udp", folder.text("x.pcapng"));
    let mut script = pair.near.command("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().unwrap();
    let (mut keyboard, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut wait_for = |words: &str| {
        while !text(&shown).contains(words) {
            let mut byte = [0];
            screen.read_exact(&mut byte).unwrap();
            shown.extend(byte);
        }
    };
    wait_for("Enter or kill -USR1 ");
    send(&mut sender, 50);
    wait_for("\r\x1b[Karmed: holds ");
    keyboard.write_all(b"\n").unwrap();
    wait_for("capturing ");
    send(&mut sender, 10);
    wait_for(": PacketsExceeded");
    assert!(script.wait().unwrap().success());
    assert_eq!(tshark::numbers(&folder.path("x.pcapng")), numbers(0, 60));
}

// ---- What is refused ----

#[test]
fn what_is_wrong_is_said_before_anything_is_made() {
    let folder = Folder::new();
    let file = folder.text("x.pcapng");
    let range = r#"[{"protocol": "TCP"}, {"remoteIPAddress": "1.1.1.1-255.255.255"}]"#;
    let cases: [(&[&str], i32, &str); 9] = [
        (
            &["-w", &file, "--filter", range],
            2,
            "error: --filter: entry 2: remoteIPAddress: '1.1.1.1-255.255.255' is not a range of \
             addresses; write two whole addresses, as in 192.0.2.1-192.0.2.9\n",
        ),
        (&["-i", "lo"], 2, "hindsight dump -i lo -w - ... | tcpdump -r -"),
        (&["-w", &file, "-i", "lo", "tcp", "prot", "80"], 2, "'prot'"),
        (&["-w", &file, "-i", "lo", "--filter", "{\"port\": 80}"], 2, "there is no field 'port'"),
        (&["-w", &file, "-i", "lo", "--bytes", "much"], 2, "'much' is not a size"),
        (&["-w", &file, "-r", "/nowhere/a.pcap"], 1, "cannot read /nowhere/a.pcap"),
        (&["-w", "/nowhere/x.pcapng", "-i", "lo"], 1, "cannot write /nowhere/x.pcapng"),
        (&["-w", "/", "-i", "lo"], 2, "/ is a directory"),
        (&["-w", &file, "--filter-file", "/nowhere/e.json"], 1, "cannot read /nowhere/e.json"),
    ];
    for (arguments, code, words) in cases {
        let (found, said) = refused(arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(found, Some(code), "{arguments:?}: {said}");
        assert!(folder.names().is_empty(), "{arguments:?}: {:?}", folder.names());
    }
}

#[test]
fn an_interface_that_is_not_there_is_an_error_that_names_those_that_are() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let file = folder.text("x.pcapng");
    for arm in [&[][..], &["--arm"]] {
        let mut command = pair.near.command(BINARY);
        let arguments = [&["dump", "-i", "nowhere0", "-w", &file], arm].concat();
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let words = format!("there is no interface 'nowhere0'; this host has {INTERFACE}, lo");
        assert_eq!(said.matches(&words).count(), 1, "{said}");
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    }
}

#[test]
fn without_the_privilege_the_command_that_grants_it_is_named() {
    let folder = Folder::new();
    let file = folder.text("x.pcapng");
    for arm in [&[][..], &["--arm"]] {
        let output = unprivileged(&[&["dump", "-i", "lo", "-w", &file], arm].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("needs CAP_NET_RAW"), "{said}");
        let binary = fs::canonicalize(BINARY).unwrap();
        let command = format!("setcap cap_net_raw+ep {}", binary.display());
        assert!(said.contains(&command), "{said}");
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    }
}

/// The binary as a user who may not capture; root without that one capability is such a user, and
/// may still read the folder of the build.
fn unprivileged(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    if nix::unistd::geteuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--bounding-set=-net_raw", "--inh-caps=-net_raw", BINARY]);
    }
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_file_that_is_whole_has_its_name_and_one_that_is_not_has_another() {
    let Some(pair) = Pair::quiet() else { return };
    let folder = Folder::new();
    let mut sender = Sender::new(&pair);
    let dump = Running::start(&pair, &["-i", INTERFACE, "-w", &folder.text("x.pcapng")]);
    send(&mut sender, 1);
    let part = |name: &String| Path::new(name).extension().is_some_and(|end| end == "part");
    assert!(folder.names().iter().all(part), "{:?}", folder.names());
    dump.signal(Signal::SIGINT);
    dump.end();
    assert_eq!(folder.names(), ["x.pcapng"]);
}
