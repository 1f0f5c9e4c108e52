//! The MQTT source against a real mosquitto: what was not recorded comes again, and nothing wedges.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::collections::BTreeSet;
use std::time::Duration;

use hindsight::clock;
use hindsight::model::Health;
use hindsight::source::format::{Format, MAX_BODY_BYTES, json};
use hindsight::source::mqtt::{self, Protocol, Settings, Topic};
use hindsight::source::{Content, Delivery};
use hindsight::telemetry::metrics;
use support::broker::{Broker, tls_file};
use support::place::Place;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// The longest that anything here may take; healthy runs take milliseconds, reconnects a second or two.
const LIMIT: Duration = Duration::from_secs(60);

/// How long nothing more must come for us to believe that nothing comes.
const QUIET: Duration = Duration::from_millis(700);

struct Source {
    deliveries: mpsc::Receiver<Delivery>,
    health: watch::Receiver<Health>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// Whether the broker had the session, at each connection.
    sessions: Vec<bool>,
}

fn settings(broker: &Broker) -> Settings {
    Settings {
        url: broker.url(),
        client_id: "hindsight-edge-7-plant".into(),
        topics: vec![Topic { filter: "alerts/#".into(), format: Format::Alertmanager }],
        protocol: Protocol::V5,
        username: None,
        username_file: None,
        password_file: None,
        ca_file: None,
        client_cert_file: None,
        client_key_file: None,
        retained: false,
        max_event_age: None,
    }
}

impl Source {
    fn start(settings: Settings) -> Self {
        let (sender, deliveries) = mpsc::channel(8);
        let unknown = Health {
            name: "plant".into(),
            kind: "mqtt".into(),
            ok: false,
            state: "unknown".into(),
            since: clock::wall_time(),
            error: None,
            failures: 0,
        };
        let (told, health) = watch::channel(unknown);
        let stop = CancellationToken::new();
        let run = mqtt::run("plant".into(), settings, sender, told, stop.clone());
        let task = hindsight::spawn::task("plant", run);
        Self { deliveries, health, stop, task, sessions: Vec::new() }
    }

    /// One with the usual settings, which has its session at the broker.
    async fn connect(broker: &Broker) -> Self {
        let mut source = Self::start(settings(broker));
        source.connected().await;
        source
    }

    /// Waits until `status` would say so; records connections meanwhile, and expects no message.
    async fn until(&mut self, says: impl Fn(&Health) -> bool) -> Health {
        let mut health = self.health.clone();
        let reached = async {
            loop {
                tokio::select! {
                    biased;
                    told = health.wait_for(|health| says(health)) => return told.unwrap().clone(),
                    delivery = self.deliveries.recv() => {
                        let delivery = self.connections(delivery.unwrap());
                        assert!(delivery.is_none(), "nothing was published: {delivery:?}");
                    }
                }
            }
        };
        match timeout(LIMIT, reached).await {
            Ok(health) => health,
            Err(_) => panic!("never came to it: {:?}", self.health.borrow()),
        }
    }

    async fn connected(&mut self) -> Health {
        self.until(|health| health.ok && health.state == "connected").await
    }

    /// Records a connection as the worker does; gives back what else it is.
    fn connections(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Content::Session { source, key, present } = &delivery.content else {
            return Some(delivery);
        };
        assert_eq!(source, "plant");
        assert!(key.starts_with("mqtt") && key.ends_with(" hindsight-edge-7-plant"), "{key}");
        self.sessions.push(*present);
        delivery.done.send(Vec::new()).unwrap();
        None
    }

    async fn next(&mut self) -> Delivery {
        let message = async {
            loop {
                let delivery = self.deliveries.recv().await.unwrap();
                if let Some(message) = self.connections(delivery) {
                    return message;
                }
            }
        };
        timeout(LIMIT, message).await.expect("a message comes")
    }

    /// The next message, answered as recorded.
    async fn record(&mut self) -> Content {
        let delivery = self.next().await;
        delivery.done.send(Vec::new()).unwrap();
        delivery.content
    }

    async fn is_quiet(&mut self) -> bool {
        timeout(QUIET, self.next()).await.is_err()
    }

    /// Stops it as the worker does; it must not take long.
    async fn end(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(3), self.task).await.expect("a stop is prompt").unwrap();
    }
}

fn alert(name: &str) -> String {
    format!(r#"{{"labels":{{"alertname":"{name}"}}}}"#)
}

fn name(content: &Content) -> &str {
    match content {
        Content::Events(events) => &events.first().unwrap().name,
        other @ (Content::Rejected(_) | Content::Session { .. }) => panic!("no events: {other:?}"),
    }
}

fn reason(content: &Content) -> &str {
    match content {
        Content::Rejected(rejected) => &rejected.reason,
        other @ (Content::Events(_) | Content::Session { .. }) => panic!("read: {other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_once_it_is_recorded_and_not_before() {
    let broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::connect(&broker).await;
    broker.publish("alerts/a", alert("First"));
    broker.publish("alerts/a", alert("Second"));
    assert_eq!(name(&source.record().await), "First");
    let unanswered = source.next().await;
    source.end().await;

    // The late answer is not for anybody any more.
    let _late = unanswered.done.send(Vec::new());
    let mut source = Source::start(settings(&broker));
    assert_eq!(name(&source.record().await), "Second");
    assert!(source.is_quiet().await, "the first one was acknowledged");
    source.end().await;

    let mut source = Source::connect(&broker).await;
    assert!(source.is_quiet().await, "both were acknowledged");
    source.end().await;
}

#[tokio::test]
async fn what_could_not_be_recorded_comes_again_in_the_same_process() {
    let broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::connect(&broker).await;
    broker.publish("alerts/a", alert("Lost"));
    broker.publish("alerts/a", alert("Behind"));
    drop(source.next().await);
    let mut first = source.record().await;
    if name(&first) == "Behind" {
        // It had been handed over before the connection ended; it comes again all the same, because
        // acknowledging it would have overtaken the one before.
        first = source.record().await;
    }
    assert_eq!(name(&first), "Lost");
    assert_eq!(name(&source.record().await), "Behind");
    assert!(source.is_quiet().await);
    source.end().await;
}

#[tokio::test]
async fn an_answer_after_the_connection_broke_acknowledges_nothing() {
    let mut broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::connect(&broker).await;
    broker.publish("alerts/a", alert("Held"));
    let held = source.next().await;
    broker.stop();
    source.until(|health| health.state == "connected").await;
    broker.restart();
    held.done.send(Vec::new()).unwrap();
    assert_eq!(name(&source.record().await), "Held");
    assert!(source.is_quiet().await);
    source.end().await;
}

#[tokio::test]
async fn messages_that_came_while_we_were_away_arrive() {
    let broker = Broker::start_forgetful(&Place::Host);
    let source = Source::connect(&broker).await;
    source.end().await;
    for number in 0..5 {
        broker.publish("alerts/a", alert(&format!("Away{number}")));
    }
    let mut source = Source::start(settings(&broker));
    for number in 0..5 {
        assert_eq!(name(&source.record().await), format!("Away{number}"));
    }
    source.end().await;
}

#[tokio::test]
async fn a_broker_that_comes_back_with_our_session_goes_on_where_it_was() {
    let mut broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::connect(&broker).await;
    broker.stop();
    let health = source.until(|health| !health.ok).await;
    assert_eq!(health.state, "retrying");
    assert!(health.failures > 0 && health.error.is_some(), "{health:?}");
    broker.restart();
    let health = source.connected().await;
    assert_eq!((health.state.as_str(), health.error, health.failures), ("connected", None, 0));
    broker.publish("alerts/a", alert("After"));
    assert_eq!(name(&source.record().await), "After");
    source.end().await;
}

#[tokio::test]
async fn whether_the_broker_still_had_our_session_is_told_at_each_connection() {
    let mut broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::connect(&broker).await;
    broker.kill();
    source.until(|health| !health.ok).await;
    broker.restart();
    source.connected().await;
    assert_eq!(source.sessions, [false, false]);
    broker.publish("alerts/a", alert("After"));
    assert_eq!(name(&source.record().await), "After");
    source.end().await;
    let source = Source::connect(&broker).await;
    assert_eq!(source.sessions, [true]);
    source.end().await;
}

#[tokio::test]
async fn oversized_and_malformed_messages_between_good_ones_hold_nothing_up() {
    let broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::connect(&broker).await;
    broker.publish("alerts/a", alert("One"));
    broker.publish("alerts/a", vec![b'x'; MAX_BODY_BYTES + 1]);
    broker.publish("alerts/a", alert("Two"));
    broker.publish("alerts/a", b"{\"labels\":");
    broker.publish("alerts/a", vec![b'x'; 17 << 20]);
    broker.publish("alerts/a", alert("Three"));
    assert_eq!(name(&source.record().await), "One");
    assert!(reason(&source.record().await).contains("1048577 bytes"));
    assert_eq!(name(&source.record().await), "Two");
    assert!(reason(&source.record().await).contains("not JSON"));
    assert_eq!(name(&source.record().await), "Three", "the broker drops what no client takes");
    assert!(source.is_quiet().await);
    source.end().await;
}

#[tokio::test]
async fn retained_messages_are_old_news() {
    let broker = Broker::start_forgetful(&Place::Host);
    broker.publish_retained("alerts/a", alert("Old"));
    let mut source = Source::connect(&broker).await;
    assert!(source.is_quiet().await);
    broker.publish_retained("alerts/a", alert("New"));
    assert_eq!(name(&source.record().await), "New", "retained for others, news for us");
    source.end().await;

    // MQTT 3.1.1 cannot ask the broker to keep them: here they come, and are counted.
    let older = Settings { protocol: Protocol::V311, ..settings(&broker) };
    let mut source = Source::start(older);
    source.connected().await;
    assert!(source.is_quiet().await);
    let counted = "hindsight_retained_messages_ignored_total{source=\"plant\"} 1";
    assert!(metrics::render().contains(counted), "{}", metrics::render());
    source.end().await;
}

#[tokio::test]
async fn retained_messages_are_events_where_they_are_asked_for() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = Broker::start_forgetful(&Place::Host);
        broker.publish_retained("alerts/a", alert("Old"));
        let asking = Settings { retained: true, protocol, ..settings(&broker) };
        let mut source = Source::start(asking.clone());
        assert_eq!(name(&source.record().await), "Old");
        source.end().await;
        let mut source = Source::start(asking);
        // MQTT 3.1.1 has no way to ask for those of new subscriptions only.
        if protocol == Protocol::V311 {
            assert_eq!(name(&source.record().await), "Old");
        }
        assert!(source.is_quiet().await, "{protocol:?}");
        source.end().await;
    }
}

#[tokio::test]
async fn nothing_is_asked_for_in_a_session_that_could_not_be_recorded() {
    let broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::start(settings(&broker));
    let first = timeout(LIMIT, source.deliveries.recv()).await.unwrap().unwrap();
    assert!(matches!(first.content, Content::Session { present: false, .. }));
    broker.publish("alerts/a", alert("Early"));
    drop(first);
    let health = source.until(|health| health.failures > 0).await;
    assert!(health.error.unwrap().contains("could not be recorded"));
    source.connected().await;
    assert!(source.is_quiet().await, "there was no subscription when it was published");
    source.end().await;
}

#[tokio::test]
async fn each_topic_has_its_own_format() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = Broker::start_forgetful(&Place::Host);
        let metrics = Topic {
            filter: "metrics/+/net".into(),
            format: Format::Json(json::Mapping {
                name: Some("metric".into()),
                ..json::Mapping::default()
            }),
        };
        let mut both = Settings { protocol, ..settings(&broker) };
        both.topics.push(metrics);
        let mut source = Source::start(both);
        source.connected().await;
        broker.publish("alerts/a", alert("FromAlert"));
        broker.publish("metrics/edge-7/net", br#"{"metric":"retransmits","value":3}"#);
        assert_eq!(name(&source.record().await), "FromAlert");
        assert_eq!(name(&source.record().await), "retransmits");
        source.end().await;
    }
}

#[tokio::test]
async fn a_message_of_a_subscription_from_before_is_recorded_as_such() {
    let broker = Broker::start_forgetful(&Place::Host);
    let source = Source::connect(&broker).await;
    source.end().await;
    let mut changed = settings(&broker);
    changed.topics[0].filter = "other/#".into();
    let mut source = Source::start(changed);
    source.connected().await;
    broker.publish("alerts/a", alert("Stray"));
    assert!(reason(&source.record().await).contains("matches no filter"));
    broker.publish("other/a", alert("Right"));
    assert_eq!(
        name(&source.record().await),
        "Right",
        "the new topic was subscribed in the old session"
    );
    source.end().await;
}

#[tokio::test]
async fn a_backlog_with_late_answers_neither_deadlocks_nor_loses() {
    const BACKLOG: usize = 2000;
    let broker = Broker::start_forgetful(&Place::Host);
    let source = Source::connect(&broker).await;
    source.end().await;
    broker.publish_many("alerts/a", (0..BACKLOG).map(|n| alert(&format!("Backlog{n}"))));

    let mut source = Source::start(settings(&broker));
    let (mut seen, mut held) = (BTreeSet::new(), Vec::new());
    while seen.len() < BACKLOG {
        // Answers nothing while anything more comes: what stops it is the bound, not the answers.
        match timeout(Duration::from_secs(1), source.next()).await {
            Ok(delivery) => {
                seen.insert(name(&delivery.content).to_owned());
                held.push(delivery.done);
            }
            Err(_) => {
                assert!(held.len() <= 1024, "{} are held at once", held.len());
                assert!(!held.is_empty(), "stuck after {}", seen.len());
                held.drain(..).for_each(|done| done.send(Vec::new()).unwrap());
            }
        }
    }
    held.drain(..).for_each(|done| done.send(Vec::new()).unwrap());
    assert!(source.is_quiet().await, "nothing came twice");
    source.end().await;

    let mut source = Source::connect(&broker).await;
    assert!(source.is_quiet().await, "everything was acknowledged");
    source.end().await;
}

#[tokio::test]
async fn a_stop_is_prompt_while_the_broker_is_away_and_while_the_worker_is_stuck() {
    let mut broker = Broker::start_forgetful(&Place::Host);
    let mut source = Source::connect(&broker).await;
    for number in 0..20 {
        broker.publish("alerts/a", alert(&format!("Stuck{number}")));
    }
    let stuck = source.next().await;
    source.end().await;
    drop(stuck);

    broker.stop();
    let mut source = Source::start(settings(&broker));
    source.until(|health| health.failures > 0).await;
    source.end().await;
}

#[tokio::test]
async fn a_refused_account_is_named_and_a_new_password_is_taken_up() {
    let broker = Broker::start_with_account(&Place::Host, "edge", "right");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "wrong-one\n").unwrap();
    let account = Settings {
        username: Some("edge".into()),
        password_file: Some(secret.clone()),
        ..settings(&broker)
    };
    let mut source = Source::start(account);
    let health = source.until(|health| health.failures > 0).await;
    let error = health.error.unwrap();
    assert!(error.contains("refuses this account"), "{error}");
    assert!(!error.contains("wrong-one"), "{error}");
    std::fs::write(&secret, "right\n").unwrap();
    source.connected().await;
    source.end().await;
}

#[tokio::test]
async fn name_and_password_come_from_files_in_both_protocols() {
    let broker = Broker::start_with_account(&Place::Host, "edge", "right");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Some(path)
    };
    for protocol in [Protocol::V5, Protocol::V311] {
        let account = |password: &str| Settings {
            protocol,
            username_file: file("name", "edge\n"),
            password_file: file(password, &format!("{password}\n")),
            ..settings(&broker)
        };
        let mut source = Source::start(account("right"));
        source.connected().await;
        source.end().await;
        let mut source = Source::start(account("wrong"));
        let health = source.until(|health| health.failures > 0).await;
        assert!(health.error.unwrap().contains("refuses this account"), "{protocol:?}");
        source.end().await;
    }
}

#[tokio::test]
async fn a_broker_that_asks_for_a_certificate_is_shown_ours() {
    let broker = Broker::start_for_certificates(&Place::Host);
    for protocol in [Protocol::V5, Protocol::V311] {
        let showing = |pair: &str| Settings {
            protocol,
            ca_file: Some(tls_file("ca.pem")),
            client_cert_file: Some(tls_file(&format!("{pair}.pem"))),
            client_key_file: Some(tls_file(&format!("{pair}.key"))),
            ..settings(&broker)
        };
        let mut source = Source::start(showing("client"));
        source.connected().await;
        source.end().await;
        let mut source = Source::start(showing("nobody"));
        source.until(|health| health.failures > 0).await;
        source.end().await;
    }
}

#[tokio::test]
async fn an_encrypted_broker_is_trusted_by_its_ca_and_by_no_other() {
    let broker = Broker::start_encrypted(&Place::Host);
    let trusting = |ca: &str| Settings { ca_file: Some(tls_file(ca)), ..settings(&broker) };
    let mut source = Source::start(trusting("ca.pem"));
    source.connected().await;
    source.end().await;

    let mut source = Source::start(trusting("stranger.pem"));
    let health = source.until(|health| health.failures > 0).await;
    let error = health.error.unwrap();
    assert!(error.contains("certificate"), "{error}");
    source.end().await;
}
