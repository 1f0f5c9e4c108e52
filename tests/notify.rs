//! Notifiers against a real broker and a real HTTP server: what is confirmed has arrived.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use hindsight::clock::{WallTime, boot_time};
use hindsight::model::{
    AboutCapture, Body, CaptureId, Delivery, Kind, Notice, NoticeId, State as CaptureState,
    StopReason, Totals, Window,
};
use hindsight::notify::{Error, MqttSettings, Notifiers, Settings, WebhookSettings};
use serde_json::Value;
use support::broker::Broker;
use support::place::Place;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

const AT: WallTime = WallTime::from_nanos(1_795_368_600_000_000_000);

fn notice(notifier: &str) -> Notice {
    Notice {
        id: NoticeId::from_text("01kav0000000000000000000aa"),
        notifier: notifier.to_owned(),
        kind: Kind::Completed,
        created_at: AT,
        delivery: Delivery::Waiting,
        body: Body::Capture(Box::new(AboutCapture {
            capture: CaptureId::from_text("01kav0000000000000000000bb"),
            name: "tcp-retransmits-20261122T173000Z".into(),
            rule: "tcp-retransmits".into(),
            incident: "0123456789abcdef".into(),
            event: "01kav0000000000000000000cc".into(),
            event_name: "TcpRetransmitsHigh \"quoted\"\n".into(),
            host: "edge-7".into(),
            state: CaptureState::Done,
            stop_reason: Some(StopReason::TimeExceeded),
            error: None,
            trigger_at: AT,
            asked: Window { from: AT, until: AT },
            held: None,
            totals: Totals::default(),
            interfaces: Vec::new(),
            coalesced_events: 3,
            storage: "local".into(),
            files: Vec::new(),
        })),
    }
}

fn is_the_cloud_event(event: &Value) {
    let notice = notice("any");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], notice.id.as_str());
    assert_eq!(event["source"], "/hindsight/edge-7");
    assert_eq!(event["type"], "io.hindsight.capture.completed");
    assert_eq!(event["time"], "2026-11-22T17:30:00.000000000Z");
    assert_eq!(event["subject"], "tcp-retransmits-20261122T173000Z");
    assert_eq!(event["datacontenttype"], "application/json");
    assert_eq!(event["data"], serde_json::to_value(&notice.body).unwrap());
    assert_eq!(event.as_object().unwrap().len(), 8);
}

fn one(name: &str, settings: Settings) -> Notifiers {
    // A second installation is an error that changes nothing.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Notifiers::build(&BTreeMap::from([(name.to_owned(), settings)])).unwrap()
}

fn bus(broker: &Broker) -> Notifiers {
    one(
        "bus",
        Settings::Mqtt(MqttSettings {
            url: broker.url(),
            topic: "hindsight/edge-7/notices".into(),
            client_id: "hindsight-edge-7-bus".into(),
            username: None,
            password_file: None,
            ca_file: None,
        }),
    )
}

#[tokio::test]
async fn a_subscriber_gets_exactly_the_cloud_event() {
    let broker = Broker::start_forgetful(&Place::Host);
    let subscriber = broker.subscribe("hindsight/+/notices");
    let notifiers = bus(&broker);
    assert_eq!(notifiers.kinds().collect::<Vec<_>>(), [("bus", "mqtt")]);
    timeout(LIMIT, notifiers.send(&notice("bus"))).await.unwrap().unwrap();
    let message = subscriber.wait_for("the notice", LIMIT, |_| true);
    assert_eq!(message.content_type, "application/cloudevents+json");
    is_the_cloud_event(&message.json());
    notifiers.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_is_away_is_a_passing_error_within_its_bound_and_works_when_it_is_back() {
    let mut broker = Broker::start_forgetful(&Place::Host);
    broker.stop();
    let notifiers = bus(&broker);
    let began = boot_time();
    let error = notifiers.send(&notice("bus")).await.unwrap_err();
    let took = boot_time().since(began);
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    broker.restart();
    let again = async {
        while let Err(error) = notifiers.send(&notice("bus")).await {
            assert!(error.is_transient(), "{error}");
        }
    };
    timeout(LIMIT, again).await.unwrap();

    broker.kill();
    let error = notifiers.send(&notice("bus")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    notifiers.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_forbids_the_topic_refuses_for_good() {
    let broker = Broker::start_read_only(&Place::Host);
    let notifiers = bus(&broker);
    let error = notifiers.send(&notice("bus")).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(error.to_string(), "the broker refuses the notice: NotAuthorized");
    notifiers.shutdown().await;
}

#[test]
fn settings_that_no_broker_can_serve_are_refused() {
    let build = |url: &str, topic: &str| {
        let settings = MqttSettings {
            url: url.into(),
            topic: topic.into(),
            client_id: "c".into(),
            username: None,
            password_file: None,
            ca_file: None,
        };
        let settings = BTreeMap::from([("bus".to_owned(), Settings::Mqtt(settings))]);
        Notifiers::build(&settings).unwrap_err().to_string()
    };
    let error = build("mqtt://b", "notices/#");
    assert_eq!(error, "notifier bus: 'notices/#' is no topic to publish to; it has no + and no #");
    assert!(build("b:1883", "notices").starts_with("notifier bus: 'b:1883' is not a broker's"));
}

/// A request as the server got it.
struct Request {
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

#[derive(Clone)]
struct Server {
    answer: (StatusCode, HeaderMap, String),
    requests: mpsc::Sender<Request>,
}

/// Serves one answer to everything. Gives the address and the requests.
async fn serve(answer: (StatusCode, HeaderMap, String)) -> (String, mpsc::Receiver<Request>) {
    async fn handle(
        State(server): State<Server>,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, HeaderMap, String) {
        server.requests.send(Request { uri, headers, body }).await.unwrap();
        server.answer
    }
    let (sender, requests) = mpsc::channel(8);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(handle).with_state(Server { answer, requests: sender });
    let server = async { axum::serve(listener, app).await.unwrap() };
    drop(hindsight::spawn::task("server", server));
    (format!("http://{address}"), requests)
}

fn answer(status: u16, text: &str) -> (StatusCode, HeaderMap, String) {
    (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), text.to_owned())
}

fn hook(url: &str, bearer_file: Option<PathBuf>) -> Notifiers {
    let settings = WebhookSettings { url: Some(url.to_owned()), url_file: None, bearer_file };
    one("team", Settings::Webhook(settings))
}

#[tokio::test]
async fn a_server_gets_exactly_the_cloud_event_with_its_key() {
    let (address, mut requests) = serve(answer(202, "thanks")).await;
    let folder = tempfile::tempdir().unwrap();
    let (url_file, bearer_file) = (folder.path().join("url"), folder.path().join("token"));
    std::fs::write(&url_file, format!("{address}/services/T0SECRET0\n")).unwrap();
    std::fs::write(&bearer_file, "B0SECRET0\n").unwrap();
    let notifiers = one(
        "team",
        Settings::Webhook(WebhookSettings {
            url: None,
            url_file: Some(url_file.clone()),
            bearer_file: Some(bearer_file),
        }),
    );
    assert_eq!(notifiers.kinds().collect::<Vec<_>>(), [("team", "webhook")]);
    notifiers.send(&notice("team")).await.unwrap();
    let Request { uri, headers, body } = requests.recv().await.unwrap();
    assert_eq!(uri.path(), "/services/T0SECRET0");
    assert_eq!(headers["content-type"], "application/cloudevents+json");
    assert_eq!(headers["idempotency-key"], notice("team").id.as_str());
    assert_eq!(headers["authorization"], "Bearer B0SECRET0");
    is_the_cloud_event(&serde_json::from_str(&body).unwrap());

    std::fs::write(&url_file, format!("{address}/services/rotated\n")).unwrap();
    notifiers.send(&notice("team")).await.unwrap();
    let again = requests.recv().await.unwrap();
    assert_eq!(again.uri.path(), "/services/rotated");
    assert_eq!(again.body, body, "every attempt is the same");
    assert!(!format!("{notifiers:?}").contains("SECRET"));
}

#[tokio::test]
async fn the_status_says_whether_it_is_worth_another_try() {
    for (status, transient) in [(400, false), (404, true), (408, true), (429, true), (503, true)] {
        let (address, _requests) = serve(answer(status, "no service /hooks/T0SECRET0\n")).await;
        let notifiers = hook(&format!("{address}/hooks/T0SECRET0"), None);
        let error = notifiers.send(&notice("team")).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error}");
        let expected = format!("the receiver answers {status}: no service /hooks/...");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, mut reached) = serve(answer(200, "")).await;
    let (status, mut headers, text) = answer(302, "");
    headers.insert("location", elsewhere.parse().unwrap());
    let (address, _requests) = serve((status, headers, text)).await;
    let error = hook(&address, None).send(&notice("team")).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 302, .. }), "{error}");
    assert!(reached.try_recv().is_err());
}

#[tokio::test]
async fn a_server_that_is_away_is_a_passing_error_without_the_address() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let notifiers = hook(&format!("http://{address}/T0SECRET0"), None);
    let error = notifiers.send(&notice("team")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let text = error.to_string();
    assert!(text.contains("refused") && !text.contains("T0SECRET0"), "{text}");
}

#[tokio::test]
async fn a_notifier_that_nobody_configured_is_a_lasting_error() {
    let notifiers = Notifiers::build(&BTreeMap::new()).unwrap();
    let error = notifiers.send(&notice("pager")).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(error.to_string().contains("'pager'"), "{error}");
}
