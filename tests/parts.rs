//! The parts that other tests stand on do what they say.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::azurite::Azurite;
use support::broker::Broker;
use support::namespaces::{INTERFACE, Pair};
use support::place::Place;
use support::process::{Process, run};
use support::s3::S3;
use support::traffic::{self, Traffic};
use support::{tshark, wait};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_message_that_the_broker_acknowledged_survives_its_kill() {
    let mut broker = Broker::start(&Place::Host);
    let subscriber = broker.subscribe("kept/#");
    broker.publish("kept/first", "one\ntwo");
    let first = subscriber.wait_for("the first message", PATIENCE, |_| true);
    assert_eq!((first.topic.as_str(), first.payload.as_slice()), ("kept/first", &b"one\ntwo"[..]));
    drop(subscriber);
    let offline = broker.subscribe("kept/#");
    broker.kill();
    broker.restart();
    broker.publish_many("kept/more", (0..100).map(|number| number.to_string()));
    let last = offline.wait_for("the last message", PATIENCE, |message| message.payload == b"99");
    assert_eq!(last.topic, "kept/more");
}

#[test]
fn azurite_has_its_container_and_no_blob() {
    let azurite = Azurite::start(&Place::Host);
    assert_eq!(azurite.server.objects(), Vec::<String>::new());
    assert_eq!(azurite.server.object("nothing.pcapng"), None);
}

#[test]
fn the_s3_server_has_its_bucket_and_no_object() {
    let s3 = S3::start(&Place::Host);
    assert_eq!(s3.server.objects(), Vec::<String>::new());
    assert_eq!(s3.server.object("nothing.pcapng"), None);
}

#[test]
fn numbered_packets_pass_between_the_namespaces_and_tcpdump_sees_them_in_order() {
    let Some(pair) = Pair::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, log) = (folder.path().join("oracle.pcap"), folder.path().join("tcpdump.log"));
    let mut command = pair.near.command("tcpdump");
    command.args(["-i", INTERFACE, "-n", "-U", "-Z", "root", "udp", "-w"]).arg(&file);
    let mut tcpdump = Process::start("tcpdump", &mut command, &log);
    wait::until("tcpdump to listen", PATIENCE, || {
        tcpdump.log().contains("listening on").then_some(())
    });
    let traffic = Traffic::start(&pair, 1_000);
    traffic.wait_for_more(500);
    let sent = traffic.stop();
    wait::until("tcpdump to have written them", PATIENCE, || {
        (whole_records(&file) as u64 >= sent).then_some(())
    });
    assert!(tcpdump.terminate(PATIENCE).success());
    assert_eq!(tshark::numbers(&file), (0..sent).collect::<Vec<_>>());
    assert_eq!(tshark::figures(&file).packets, sent);
    assert_eq!(tshark::complaints(&file), Vec::<String>::new());
}

/// Whole records of a classic file: 24 bytes, then for each packet 16 before Ethernet, IP and UDP.
fn whole_records(file: &Path) -> usize {
    const RECORD: usize = 16 + 14 + 20 + 8 + traffic::PAYLOAD;
    let size = fs::read(file).map_or(0, |bytes| bytes.len());
    size.saturating_sub(24) / RECORD
}

#[test]
fn a_file_that_is_cut_draws_a_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.pcap");
    let dump = folder.path().join("packet.txt");
    fs::write(&dump, "000000 00 11 22 33 44 55 66 77\n").unwrap();
    run(Command::new("text2pcap").args(["-q", "-u", "1,2"]).args([&dump, &whole]));
    let bytes = fs::read(&whole).unwrap();
    let cut = folder.path().join("cut.pcap");
    fs::write(&cut, &bytes[..bytes.len() - 3]).unwrap();
    assert_eq!(tshark::complaints(&whole), Vec::<String>::new());
    assert_ne!(tshark::complaints(&cut), Vec::<String>::new());
}
