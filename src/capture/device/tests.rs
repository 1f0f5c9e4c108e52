use std::net::UdpSocket;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::*;
use crate::pcapng::{self, Interface, PacketBlock, Section};
use crate::ring::{Direction, Frame};

const SECOND: Duration = Duration::from_secs(1);

/// Memory of a device in bytes.
const MEMORY_BYTES: u64 = 4 << 20;

/// Runs `body` in a network namespace of its own, with a cable between `v0` and `v1`.
fn in_namespace(body: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let inside = || {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                println!("skipped: a network namespace needs CAP_SYS_ADMIN: {error}");
                return;
            }
            ip("link add v0 type veth peer name v1");
            ip("address add 10.1.1.1/24 dev v0");
            ip("link set v0 up");
            ip("link set v1 up");
            body();
        };
        let outcome = scope.spawn(inside).join();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
}

fn opening(name: &str) -> Opening {
    let budget = &Arc::new(Budget::new(1 << 30));
    let settings = PrivateSettings { memory_bytes: MEMORY_BYTES, promiscuous: true };
    Opening::of_device(name, settings, budget).unwrap()
}

fn file_opening(path: &Path) -> Opening {
    Opening::of_file(path, &Arc::new(Budget::new(1 << 30))).unwrap()
}

/// Begins with what comes now.
fn start(opening: Opening, expression: &str) -> (Device, Arc<Bell>) {
    let bell = Arc::<Bell>::default();
    (opening.start(expression, WallTime::default(), &bell).unwrap(), bell)
}

/// What selects what [`send`] sends; the cable itself has more to say.
const SENT: &str = "udp dst port 9";

/// Sends so many packets from `v0` to all.
fn send(packets: u32) {
    let from = UdpSocket::bind("10.1.1.1:0").unwrap();
    from.set_broadcast(true).unwrap();
    (0..packets)
        .for_each(|_| assert_eq!(from.send_to(&[7; 1_000], "10.1.1.255:9").unwrap(), 1_000));
}

/// Waits until it is so, but not for ever.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let give_up_at = clock::boot_time() + 10 * SECOND;
    while !is_so() {
        assert!(clock::boot_time() < give_up_at, "it never came to be so");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Packets taken and lost, up to this instant.
fn drain(device: &mut Device, bell: &Bell, at: WallTime) -> (u64, Loss) {
    let (mut taken, mut lost) = (0, Loss::default());
    let mut add = |loss: Loss| {
        lost.dropped_by_kernel += loss.dropped_by_kernel;
        lost.overrun += loss.overrun;
    };
    wait_until(|| {
        while let Some(Step { chunk, loss, .. }) = device.step() {
            taken += u64::try_from(chunk.frames().count()).unwrap();
            add(loss);
        }
        bell.wait(Duration::from_millis(5));
        device.is_past(at)
    });
    add(device.last_loss());
    (taken, lost)
}

/// A file of numbered packets, one nanosecond apart.
fn file(packets: u32) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbered.pcapng");
    let mut bytes = Vec::new();
    pcapng::section_header(&mut bytes, &Section::default());
    let link = Interface { link_type: 101, snap_len: 262_144, ..Interface::default() };
    pcapng::interface_description(&mut bytes, &link);
    for number in 0..packets {
        let block = PacketBlock {
            interface: 0,
            at: WallTime::from_nanos(number.into()),
            data: &[&number.to_be_bytes()[..], &[0; 500]].concat(),
            wire_len: 600,
            flags: None,
            drop_count: None,
            comment: None,
        };
        pcapng::enhanced_packet(&mut bytes, &block);
    }
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn a_file_comes_whole_in_order_and_to_the_nanosecond_however_small_the_queue() {
    let (_folder, path) = file(5_000);
    for memory_bytes in [0, FILE_MEMORY_BYTES] {
        let opening = Opening { memory_bytes, ..file_opening(&path) };
        assert_eq!(opening.link_type(), LinkType::RawIp);
        let (mut device, bell) = start(opening, "");
        assert_eq!(device.held_from(), WallTime::from_nanos(0));
        let mut numbers = Vec::new();
        while !device.is_exhausted() {
            let Some(Step { chunk, loss, .. }) = device.step() else {
                bell.wait(SECOND);
                continue;
            };
            assert_eq!(loss, Loss::default());
            assert!(chunk.cost() <= LARGEST_CHUNK_BYTES);
            numbers.extend(chunk.frames().map(|frame| {
                let number = u32::from_be_bytes(*frame.data.first_chunk().unwrap());
                assert_eq!((frame.data.len(), frame.wire_len), (504, 600));
                assert_eq!(frame.at, WallTime::from_nanos(number.into()));
                number
            }));
        }
        assert!(numbers.into_iter().eq(0..5_000));
        assert!(device.is_past(WallTime::from_nanos(i64::MAX)) && device.lost().is_none());
        device.stop();
    }
}

#[test]
fn a_file_that_is_cut_gives_its_whole_packets_and_says_so() {
    let (_folder, path) = file(100);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    let (mut device, bell) = start(file_opening(&path), "");
    let (taken, loss) = drain(&mut device, &bell, WallTime::default());
    assert_eq!((taken, loss), (99, Loss::default()));
    assert!(device.is_exhausted());
    let why = device.lost().unwrap();
    assert!(why.contains("reading packets: truncated"), "{why}");
}

#[test]
fn all_that_passed_before_an_instant_is_taken_once_the_instant_is_past() {
    in_namespace(|| {
        let (mut device, bell) = start(opening("v0"), SENT);
        assert_eq!(device.link_type(), LinkType::Ethernet);
        for packets in [1, 100, 3_000] {
            send(packets);
            let now = clock::wall_time();
            assert!(!device.is_past(now));
            let (taken, lost) = drain(&mut device, &bell, now);
            assert_eq!(taken + lost.dropped_by_kernel + lost.overrun, u64::from(packets));
            let waited = clock::wall_time().since(now);
            assert!(waited < Duration::from_millis(200), "{waited:?}");
        }
        device.stop();
    });
}

#[test]
fn the_kernel_leaves_out_what_the_filter_does_not_select() {
    in_namespace(|| {
        let (mut device, bell) = start(opening("v0"), "tcp");
        send(10);
        assert_eq!(drain(&mut device, &bell, clock::wall_time()), (0, Loss::default()));
    });
}

#[test]
fn a_capture_that_does_not_take_loses_and_every_packet_is_counted() {
    in_namespace(|| {
        let opening = Opening { memory_bytes: 300_000, ..opening("v0") };
        let (mut device, bell) = start(opening, SENT);
        send(2_000);
        let now = clock::wall_time();
        // Until the pump has seen all, nothing is taken.
        wait_until(|| device.queue.idle_at() >= Some(now + SETTLED));
        let (taken, lost) = drain(&mut device, &bell, now);
        assert!(taken > 0 && lost.overrun > 0, "{taken}, {lost:?}");
        assert_eq!(taken + lost.overrun + lost.dropped_by_kernel, 2_000);
    });
}

#[test]
fn a_device_that_goes_away_is_told() {
    in_namespace(|| {
        ip("tuntap add tun7 mode tun");
        ip("link set tun7 up");
        let (device, _bell) = start(opening("tun7"), "");
        assert_eq!(device.link_type(), LinkType::RawIp);
        ip("link del tun7");
        wait_until(|| device.lost().is_some());
        let why = device.lost().unwrap();
        assert!(why.contains("gone") || why.contains("disappeared"), "{why}");
    });
}

#[test]
fn a_device_that_is_down_or_missing_is_refused_in_libpcap_s_words() {
    in_namespace(|| {
        let settings = PrivateSettings { memory_bytes: MEMORY_BYTES, promiscuous: false };
        let budget = Arc::new(Budget::new(MEMORY_BYTES));
        let refused = |name| Opening::of_device(name, settings, &budget).unwrap_err().to_string();
        let missing = refused("nowhere0");
        assert!(missing.contains("'nowhere0'") && missing.contains("No such device"), "{missing}");
    });
}

#[test]
fn of_all_interfaces_at_once_the_way_of_each_packet_is_known() {
    in_namespace(|| {
        let (mut device, _bell) = start(opening("any"), "");
        assert!(chunk::is_cooked(device.link_type()));
        send(10);
        let now = clock::wall_time();
        let mut directions = Vec::new();
        wait_until(|| {
            while let Some(Step { chunk, .. }) = device.step() {
                // Beside them there is the talk of a cable that was just plugged in.
                let own = |frame: &Frame<'_>| frame.data.ends_with(&[7; 10]);
                directions.extend(chunk.frames().filter(own).map(|frame| frame.direction()));
            }
            device.is_past(now)
        });
        let count = |way| directions.iter().filter(|direction| **direction == way).count();
        assert_eq!((count(Direction::Outgoing), count(Direction::Broadcast)), (10, 10));
    });
}

#[test]
fn a_stop_is_prompt_whatever_the_pump_is_at() {
    let (_folder, path) = file(5_000);
    let waiting = || {
        let opening = Opening { memory_bytes: 0, ..file_opening(&path) };
        start(opening, "").0
    };
    let stop = |device: Device| {
        let begun = clock::boot_time();
        device.stop();
        let took = clock::boot_time().since(begun);
        assert!(took < Duration::from_millis(200), "{took:?}");
    };
    stop(waiting());
    in_namespace(|| stop(start(opening("v0"), "").0));
}

#[test]
fn a_pipe_that_nobody_fills_holds_nobody_up_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (_folder, path) = file(1);
    // One packet, then silence.
    let packet = std::fs::read(path).unwrap();
    let mut end = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    std::io::Write::write_all(&mut end, &packet).unwrap();
    let (device, _bell) = start(file_opening(&pipe), "");
    let begun = clock::boot_time();
    device.stop();
    assert!(clock::boot_time().since(begun) < Duration::from_millis(300));
}
