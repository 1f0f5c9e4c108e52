//! What the configuration says, as rows. Shows no secret, and of addresses only where they lead.

use reqwest::Url;
use serde::Serialize;

use crate::config::{Config, Listen};
use crate::units::Bytes;
use crate::{capture, notify, source, upload};

/// One configured part of the worker.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    pub(super) part: &'static str,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) what: String,
}

pub(super) fn parts(config: &Config) -> Vec<Part> {
    let file = match &config.file {
        Some(file) => part("configuration", "", "file", file.display().to_string()),
        None => part("configuration", "", "built in", String::new()),
    };
    let mut parts = vec![
        file,
        part("host", &config.host, "", String::new()),
        part("state", "", "directory", config.state_directory.display().to_string()),
        part("control", "", "socket", config.control.socket.display().to_string()),
    ];
    let listen = config.control.listen.iter();
    parts.extend(listen.map(|listen| part("control", "", "listen", listens(listen))));
    parts.extend(rings(&config.capture));
    parts.extend(config.sources.iter().map(|(name, settings)| source(name, settings)));
    parts.extend(config.storages.iter().map(|(name, settings)| storage(name, settings)));
    parts.extend(config.notifiers.iter().map(|(name, settings)| notifier(name, settings)));
    parts
}

/// The address, how it is protected, and whether the control API is served there.
fn listens(listen: &Listen) -> String {
    let mut what = listen.address.to_string();
    if let Some(tls) = &listen.tls {
        what.push_str(", TLS");
        if tls.client_ca_file.is_some() {
            what.push_str(" with client certificates");
        }
    }
    if listen.tokens_file.is_some() {
        what.push_str(", control API");
    }
    what
}

fn part(part: &'static str, name: &str, kind: &'static str, what: String) -> Part {
    Part { part, name: name.to_owned(), kind, what }
}

/// The recorders, and the memory that they and the captures may take.
fn rings(settings: &capture::Settings) -> Vec<Part> {
    let mut parts = Vec::with_capacity(settings.recorders.len() + 2);
    for recorder in &settings.recorders {
        let what = ring(recorder.memory_bytes, recorder.bytes_per_packet, recorder.promiscuous);
        parts.push(part("recorder", &recorder.interface, "ring", what));
    }
    if settings.recorders.is_empty() {
        let what = "nothing is recorded: captures hold nothing from before their event";
        parts.push(part("recorder", "", "none", what.to_owned()));
    }
    let private = &settings.private;
    let what = ring(private.memory_bytes, 0, private.promiscuous);
    let what = format!("{what}, while a capture runs on an interface that is not recorded");
    parts.push(part("recorder", "", "on demand", what));
    let what = format!("{} for all rings and buffers", Bytes(settings.memory_bytes).rounded());
    parts.push(part("memory", "", "ceiling", what));
    parts
}

fn ring(memory_bytes: u64, bytes_per_packet: u32, promiscuous: bool) -> String {
    let mut what = format!("{} of memory", Bytes(memory_bytes).rounded());
    if bytes_per_packet > 0 {
        what.push_str(&format!(", {bytes_per_packet} bytes of each packet"));
    }
    if promiscuous {
        what.push_str(", promiscuous");
    }
    what
}

fn source(name: &str, settings: &source::Settings) -> Part {
    match settings {
        source::Settings::Mqtt(mqtt) => {
            let topics: Vec<_> = mqtt
                .topics
                .iter()
                .map(|topic| format!("{} ({})", topic.filter, topic.format.name()))
                .collect();
            part("source", name, "mqtt", format!("{}: {}", place(&mqtt.url), topics.join(", ")))
        }
        source::Settings::Webhook(webhook) => {
            part("source", name, "webhook", format!("{} ({})", webhook.path, webhook.format.name()))
        }
    }
}

fn storage(name: &str, settings: &upload::Settings) -> Part {
    match settings {
        upload::Settings::Directory { path } => {
            part("storage", name, "directory", path.display().to_string())
        }
        upload::Settings::Azure(azure) => {
            part("storage", name, "azure", format!("{}/{}", azure.account, azure.container))
        }
        upload::Settings::S3(s3) => {
            part("storage", name, "s3", format!("{} in {}", s3.bucket, s3.region))
        }
        upload::Settings::Http(http) => part("storage", name, "http", http.url.clone()),
    }
}

fn notifier(name: &str, settings: &notify::Settings) -> Part {
    match settings {
        notify::Settings::Mqtt(mqtt) => {
            part("notifier", name, "mqtt", format!("{}: {}", place(&mqtt.url), mqtt.topic))
        }
        notify::Settings::Webhook(webhook) => {
            let place = match &webhook.url {
                Some(url) => place(url),
                None => "an address from a file".to_owned(),
            };
            part("notifier", name, "webhook", place)
        }
        notify::Settings::Email(email) => {
            let to = format!("{} to {}", place(&email.url), email.to.join(", "));
            part("notifier", name, "email", to)
        }
    }
}

/// Scheme, host and port of an address: user names, passwords, paths and queries may be secret.
fn place(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return "an address".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_place_is_shown() {
        assert_eq!(place("mqtt://me:secret@broker:1883"), "mqtt://broker:1883");
        assert_eq!(place("https://hooks.example/services/T0/SECRET?k=1"), "https://hooks.example");
        assert_eq!(place("not an address with a secret"), "an address");
    }
}
