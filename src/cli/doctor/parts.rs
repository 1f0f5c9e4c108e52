//! The parts of a configuration, each tried from here, where no worker runs.

use std::time::Duration;

use futures_util::future::join_all;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use reqwest::Url;
use tokio::net::TcpStream;

use super::running::{nothing_recorded, unusable};
use super::{Finding, told};
use crate::config::Config;
use crate::upload::Storages;
use crate::{capture, notify, source};

/// How long a broker may take to take a connection.
const BROKER_PATIENCE: Duration = Duration::from_secs(5);

/// How long one storage may take to answer.
const STORAGE_PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn tried(config: &Config) -> Vec<Finding> {
    let mut findings = vec![privilege()];
    findings.extend(interfaces(config));
    findings.extend(join_all(brokers(config)).await);
    findings.extend(storages(config).await);
    findings
}

/// Whether this user may capture.
pub(super) fn privilege() -> Finding {
    match capture::check_privilege() {
        Ok(()) => Finding::ok("privilege", "", "this user may capture"),
        Err(error) => {
            let fix = "run it as root or by systemd, whose unit grants CAP_NET_RAW; for this program \
                       alone: sudo setcap cap_net_raw+ep \"$(command -v hindsight)\"";
            Finding::failed("privilege", "", told(&error), fix)
        }
    }
}

fn interfaces(config: &Config) -> Vec<Finding> {
    let recorders = &config.capture.recorders;
    if recorders.is_empty() {
        return vec![nothing_recorded()];
    }
    let known: Vec<_> = match getifaddrs() {
        Ok(known) => known.collect(),
        Err(error) => {
            let fix = "see whether 'ip link' works for this user";
            return vec![Finding::failed("interface", "", told(&error), fix)];
        }
    };
    let interface = |name: &str| {
        let Some(found) = known.iter().find(|known| known.interface_name == name) else {
            let mut names: Vec<_> =
                known.iter().map(|known| known.interface_name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            let fix = format!("name one of these in recorder.interfaces: {}", names.join(", "));
            return Finding::failed("interface", name, "there is no such interface", fix);
        };
        if !found.flags.contains(InterfaceFlags::IFF_UP) {
            let fix = format!("ip link set {name} up");
            return Finding::failed("interface", name, "it is down", fix);
        }
        Finding::ok("interface", name, "it is up")
    };
    recorders.iter().map(|recorder| interface(&recorder.interface)).collect()
}

/// Every broker that a source or a notifier talks to.
fn brokers(config: &Config) -> Vec<impl Future<Output = Finding>> {
    let mut urls: Vec<(String, String)> = Vec::new();
    for (name, settings) in &config.sources {
        if let source::Settings::Mqtt(mqtt) = settings {
            urls.push((name.clone(), mqtt.url.clone()));
        }
    }
    for (name, settings) in &config.notifiers {
        if let notify::Settings::Mqtt(mqtt) = settings {
            urls.push((name.clone(), mqtt.url.clone()));
        }
    }
    urls.into_iter().map(|(name, url)| async move { broker(&name, &url).await }).collect()
}

async fn broker(name: &str, url: &str) -> Finding {
    let Some((host, port)) = place(url) else {
        return Finding::failed(
            "broker",
            name,
            "its address cannot be read",
            "write mqtt://HOST:1883",
        );
    };
    let connect = TcpStream::connect((host.as_str(), port));
    let fix = format!("see that the broker runs, and that nothing blocks {host} port {port}");
    match tokio::time::timeout(BROKER_PATIENCE, connect).await {
        Ok(Ok(_stream)) => {
            Finding::ok("broker", name, format!("{host} port {port} takes connections"))
        }
        Ok(Err(error)) => Finding::failed("broker", name, told(&error), fix),
        Err(_elapsed) => {
            let what = format!("no connection within {} s", BROKER_PATIENCE.as_secs());
            Finding::failed("broker", name, what, fix)
        }
    }
}

/// Host and port of `mqtt://host[:1883]` and `mqtts://host[:8883]`.
fn place(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let usual = if url.scheme() == "mqtts" { 8883 } else { 1883 };
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), url.port().unwrap_or(usual)))
}

async fn storages(config: &Config) -> Vec<Finding> {
    let storages = match Storages::build(&config.storages) {
        Ok(storages) => storages,
        Err(error) => return vec![unusable("", &told(&error))],
    };
    let checks = config.storages.keys().map(|name| {
        let storages = &storages;
        async move {
            match tokio::time::timeout(STORAGE_PATIENCE, storages.check(name)).await {
                Ok(Ok(())) => Finding::ok("storage", name, "it can be used"),
                Ok(Err(error)) => unusable(name, &told(&error)),
                Err(_elapsed) => {
                    unusable(name, &format!("no answer within {} s", STORAGE_PATIENCE.as_secs()))
                }
            }
        }
    });
    join_all(checks).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_broker_is_that_of_its_address() {
        assert_eq!(place("mqtt://broker"), Some(("broker".to_owned(), 1883)));
        assert_eq!(place("mqtts://[::1]"), Some(("::1".to_owned(), 8883)));
        assert_eq!(place("mqtt://10.0.0.1:1884"), Some(("10.0.0.1".to_owned(), 1884)));
        assert_eq!(place("no address"), None);
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_a_failure_with_its_fix() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let url = format!("mqtt://127.0.0.1:{port}");
        assert_eq!(broker("plant", &url).await.verdict, super::super::Verdict::Ok);
        drop(taken);
        let finding = broker("plant", &url).await;
        assert_eq!(finding.verdict, super::super::Verdict::Failed);
        assert!(finding.fix.contains(&port.to_string()), "{finding:?}");
    }
}
