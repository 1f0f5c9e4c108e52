//! Notifiers against a real broker and a real HTTP server: what is confirmed has arrived.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use hindsight::clock::{WallTime, boot_time, wall_time};
use hindsight::model::{
    AboutCapture, Body, CaptureId, Counted, Delivery, File, InterfaceTotals, Kind, Notice,
    NoticeId, State as CaptureState, StopReason, Summary, Totals, Window,
};
use hindsight::notify::{
    EmailSettings, Error, HeaderText, Hmac, MqttSettings, Notifiers, Settings, Template,
    WebhookSettings, default_events,
};
use serde_json::Value;
use support::broker::{Broker, tls_file};
use support::mail_server::MailServer;
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
            left_out: vec!["filters[0]: no label client".into()],
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
    let mut data = event["data"].clone();
    let message = data.as_object_mut().unwrap().remove("message").unwrap();
    assert_eq!(data, serde_json::to_value(&notice.body).unwrap());
    assert_eq!(
        message,
        "0 packets matched: none passed in the window. It ended at its time limit. \
         3 more events of the same incident came meanwhile."
    );
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
        Settings::Mqtt(MqttSettings::to(
            broker.url(),
            "hindsight/edge-7/notices",
            "hindsight-edge-7-bus",
        )),
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

#[tokio::test]
async fn a_broker_that_wants_a_certificate_is_shown_one() {
    let broker = Broker::start_for_certificates(&Place::Host);
    let with = |pair: &str| MqttSettings {
        ca_file: Some(tls_file("ca.pem")),
        client_cert_file: Some(tls_file(&format!("{pair}.pem"))),
        client_key_file: Some(tls_file(&format!("{pair}.key"))),
        ..MqttSettings::to(broker.url(), "hindsight/notices", "hindsight-edge-7-bus")
    };
    let notifiers = one("bus", Settings::Mqtt(with("client")));
    timeout(LIMIT, notifiers.send(&notice("bus"))).await.unwrap().unwrap();
    notifiers.shutdown().await;
    let notifiers = one("bus", Settings::Mqtt(with("nobody")));
    let error = notifiers.send(&notice("bus")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    notifiers.shutdown().await;
}

#[test]
fn settings_that_no_broker_can_serve_are_refused() {
    let build = |url: &str, topic: &str| {
        let settings = MqttSettings::to(url, topic, "c");
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
    one("team", Settings::Webhook(WebhookSettings { bearer_file, ..WebhookSettings::to(url) }))
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
            ..WebhookSettings::to("")
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

/// A capture with all that a notice can have; texts of its event are `text`.
fn told(kind: Kind, text: &str) -> Notice {
    let mut notice = Notice { kind, ..notice("team") };
    let Body::Capture(about) = &mut notice.body else { panic!() };
    about.event_name = text.to_owned();
    about.error = Some(text.to_owned());
    about.held = Some(Window { from: AT, until: AT });
    about.asked.from = AT - Duration::from_secs(4);
    about.totals = Totals { packets: 12, bytes: 3456, dropped_by_kernel: 5, overrun: 2 };
    about.interfaces = vec![InterfaceTotals {
        interface: "eth0".into(),
        received: 99,
        written: 12,
        filter: "tcp port 443".into(),
        ..InterfaceTotals::default()
    }];
    let file = |name: &str, link: Option<&str>| File {
        object: format!("2026/11/22/{name}.pcapng"),
        location: format!("https://net.blob.example/{name}.pcapng"),
        size_bytes: 3456,
        sha256: "ab".repeat(32),
        packets: 12,
        partial: false,
        link: link.map(str::to_owned),
    };
    about.files =
        vec![file("one", Some("https://net.blob.example/one?sig=a%2Bb&se=1")), file("two", None)];
    notice
}

fn summed(kind: Kind) -> Notice {
    let summary = Summary {
        subject: "tcp-retransmits".into(),
        host: "edge-7".into(),
        from: AT - Duration::from_secs(900),
        until: AT,
        text: "17 events matched and made no capture.".into(),
        counts: vec![
            Counted { reason: "cooldown".into(), events: 12 },
            Counted { reason: "captures_per_hour".into(), events: 5 },
        ],
    };
    Notice { kind, body: Body::Summary(summary), ..notice("team") }
}

/// What events say that want to be more than a text.
fn hostile_texts() -> Vec<String> {
    [
        "a\r\nBcc: x@evil.example\r\n\r\nbody",
        "\"}, {\"text\": \"x\\",
        "{{ 7 * 7 }}{% for x in y %}{# }}",
        "\u{1b}[2J\u{1b}]0;x\u{7}\u{0}\u{202e}gnp.exe",
        "<!channel> <@U123> <https://evil.example|log in>",
        "[log in](https://evil.example) <script>alert(1)</script> '\"",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([format!("{}\r\n\"", "x".repeat(1 << 20))])
    .collect()
}

fn team(url: &str, template: Template) -> Notifiers {
    one("team", Settings::Webhook(WebhookSettings { template, ..WebhookSettings::to(url) }))
}

/// Every text in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(entries) => entries.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[tokio::test]
async fn slack_gets_blocks_in_which_nothing_of_an_event_is_markup() {
    let (address, mut requests) = serve(answer(200, "ok")).await;
    let notifiers = team(&address, Template::Slack);
    for text in hostile_texts() {
        notifiers.send(&told(Kind::Partial, &text)).await.unwrap();
        let request = requests.recv().await.unwrap();
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["idempotency-key"], notice("team").id.as_str());
        let message: Value = serde_json::from_str(&request.body).unwrap();
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50 && request.body.len() < 20_000, "{}", request.body.len());
        for block in blocks {
            let sections = [&block["text"]]
                .into_iter()
                .chain(block["fields"].as_array().into_iter().flatten());
            for section in sections.filter(|section| !section.is_null()) {
                let text = section["text"].as_str().unwrap();
                assert!(text.chars().count() <= 2000 && !text.is_empty(), "{text}");
                if section["type"] == "mrkdwn" {
                    assert!(!text.contains("evil"), "{text}");
                }
            }
        }
        assert!(blocks[0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
        assert!(!message["text"].as_str().unwrap().contains('<'), "{message}");
        assert!(!texts(&message).iter().any(|text| text.contains(['\r', '\u{1b}', '\u{202e}'])));
    }
}

#[tokio::test]
async fn slack_is_told_the_figures_and_the_links() {
    let (address, mut requests) = serve(answer(200, "ok")).await;
    team(&address, Template::Slack).send(&told(Kind::Completed, "LinkDown")).await.unwrap();
    let message: Value = serde_json::from_str(&requests.recv().await.unwrap().body).unwrap();
    let name = "tcp-retransmits-20261122T173000Z";
    assert_eq!(message["text"], format!("edge-7: {name}: 12 packets captured"));
    let all = texts(&message).join("\n");
    for part in [
        "12 packets captured, 3.3 KiB.",
        "7 packets lost before the filter",
        "It begins 4s later than asked for.",
        "Event\nLinkDown",
        "Incident\n0123456789abcdef",
        "Interfaces\neth0",
        "Filter\ntcp port 443",
        "Lost\n5 packets by the kernel, 2 packets overrun",
        "Stop reason\nTimeExceeded",
        "Window asked for\n2026-11-22 17:29:56 UTC to 2026-11-22 17:30:00 UTC",
        "<https://net.blob.example/one?sig=a%2Bb&se=1|2026/11/22/one.pcapng>",
        "<https://net.blob.example/two.pcapng|2026/11/22/two.pcapng>",
        &format!("SHA-256 {}", "ab".repeat(32)),
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
}

#[tokio::test]
async fn teams_gets_an_adaptive_card_in_which_nothing_of_an_event_is_markup() {
    let (address, mut requests) = serve(answer(202, "")).await;
    let notifiers = team(&address, Template::Teams);
    for text in hostile_texts() {
        notifiers.send(&told(Kind::Completed, &text)).await.unwrap();
        let body = requests.recv().await.unwrap().body;
        let message: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(message["type"], "message");
        let attachment = &message["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!(
            (card["type"].as_str(), card["version"].as_str()),
            (Some("AdaptiveCard"), Some("1.4"))
        );
        let items = card["body"].as_array().unwrap().iter();
        let items = items.flat_map(|item| {
            item["items"].as_array().cloned().unwrap_or_else(|| vec![item.clone()])
        });
        for item in items {
            assert_eq!(item["type"], "RichTextBlock", "markup is only not read in TextRuns");
            assert!(item["inlines"].as_array().unwrap().iter().all(|run| run["type"] == "TextRun"));
        }
        let urls: Vec<_> = card["actions"].as_array().unwrap().iter().map(|a| &a["url"]).collect();
        assert_eq!(
            urls,
            ["https://net.blob.example/one?sig=a%2Bb&se=1", "https://net.blob.example/two.pcapng"]
        );
        assert!(body.len() < 28_000, "{}", body.len());
        assert!(!texts(&message).iter().any(|text| text.contains(['\n', '\u{1b}', '\u{202e}'])));
    }
}

#[tokio::test]
async fn every_kind_of_notice_makes_every_kind_of_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.json.j2");
    std::fs::write(
        &file,
        "{\"what\": {{ title }}, \"rule\": {{ capture.rule if capture else none }}, \
         \"events\": {{ summary.counts if summary else [] }}}",
    )
    .unwrap();
    let notices = [
        told(Kind::Started, "x"),
        told(Kind::Failed, "x"),
        summed(Kind::Suppressed),
        summed(Kind::UpstreamLoss),
    ];
    let titles = [
        "edge-7: tcp-retransmits-20261122T173000Z: capture started",
        "edge-7: tcp-retransmits-20261122T173000Z: capture failed, 12 packets captured",
        "edge-7: tcp-retransmits: 17 events made no capture",
        "edge-7: tcp-retransmits: events may have been lost",
    ];
    let (address, mut requests) = serve(answer(200, "")).await;
    for (notice, title) in notices.iter().zip(titles) {
        for template in
            [Template::Slack, Template::Teams, Template::File(file.clone()), Template::CloudEvent]
        {
            team(&address, template.clone()).send(notice).await.unwrap();
            let made: Value = serde_json::from_str(&requests.recv().await.unwrap().body).unwrap();
            if template == Template::CloudEvent {
                let about = [
                    "capture.started",
                    "capture.failed",
                    "rule.suppressed",
                    "source.upstream_loss",
                ];
                let of = titles.iter().position(|other| *other == title).unwrap();
                assert_eq!(made["type"], format!("io.hindsight.{}", about[of]));
                assert!(!made["data"]["message"].as_str().unwrap().is_empty());
            } else {
                assert!(texts(&made).contains(&title), "{made}");
            }
        }
    }
}

#[tokio::test]
async fn an_event_of_a_mebibyte_and_a_capture_of_many_files_stay_bounded() {
    let (address, mut requests) = serve(answer(200, "")).await;
    let mut notice = told(Kind::Failed, &"\u{1b}\"ä".repeat(1 << 18));
    let Body::Capture(about) = &mut notice.body else { panic!() };
    about.files = vec![about.files[0].clone(); 5000];
    for template in [Template::CloudEvent, Template::Slack, Template::Teams] {
        team(&address, template).send(&notice).await.unwrap();
        let body = requests.recv().await.unwrap().body;
        assert!(body.len() < 1 << 20, "{}", body.len());
        let made: Value = serde_json::from_str(&body).unwrap();
        if made["specversion"] == "1.0" {
            let data = &made["data"];
            assert_eq!(
                (data["files"].as_array().unwrap().len(), &data["more_files"]),
                (1000, &Value::from(4000))
            );
        } else {
            assert!(texts(&made).iter().any(|text| text.starts_with("and 499")), "{made}");
        }
    }
}

#[tokio::test]
async fn requests_carry_the_fields_and_the_signature_that_were_asked_for() {
    let (address, mut requests) = serve(answer(200, "")).await;
    let folder = tempfile::tempdir().unwrap();
    let (token, key) = (folder.path().join("token"), folder.path().join("key"));
    std::fs::write(&token, "GenieKey first\n").unwrap();
    std::fs::write(&key, "K0SECRET0\n").unwrap();
    let notifiers = one(
        "team",
        Settings::Webhook(WebhookSettings {
            headers: BTreeMap::from([
                ("X-Team".to_owned(), HeaderText::Text("net on call".to_owned())),
                ("Authorization".to_owned(), HeaderText::File(token.clone())),
            ]),
            hmac: Some(Hmac {
                secret_file: key,
                header: "X-Signature".to_owned(),
                timestamp_header: Some("X-Timestamp".to_owned()),
            }),
            ..WebhookSettings::to(&address)
        }),
    );
    notifiers.send(&notice("team")).await.unwrap();
    let Request { headers, body, .. } = requests.recv().await.unwrap();
    assert_eq!(headers["x-team"], "net on call");
    assert_eq!(headers["authorization"], "GenieKey first");
    let timestamp = headers["x-timestamp"].to_str().unwrap();
    let age = wall_time().as_millis() / 1000 - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{timestamp}");
    // The other side's program: openssl.
    let signed = folder.path().join("signed");
    std::fs::write(&signed, format!("{timestamp}:{body}")).unwrap();
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-hmac", "K0SECRET0", "-r"]).arg(&signed);
    let expected = support::process::run(&mut openssl);
    let expected = expected.split(' ').next().unwrap();
    assert_eq!(headers["x-signature"], format!("sha256={expected}"));

    std::fs::write(&token, "GenieKey second\n").unwrap();
    notifiers.send(&notice("team")).await.unwrap();
    assert_eq!(requests.recv().await.unwrap().headers["authorization"], "GenieKey second");
}

fn mail_settings(url: String, to: &[&str]) -> EmailSettings {
    EmailSettings {
        url,
        from: "Hindsight <hindsight@edge-7.example>".to_owned(),
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        username: None,
        password_file: None,
        ca_file: None,
        text_template_file: None,
        html_template_file: None,
        events: default_events(),
    }
}

fn header(mail: &Value, name: &str) -> Vec<String> {
    let headers = mail["headers"].as_array().unwrap().iter();
    let of_name = headers.filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    of_name.map(|header| header[1].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_mail_says_it_in_both_forms_and_every_attempt_is_the_same_mail() {
    let server = MailServer::start("plain");
    let settings = mail_settings(server.url("smtp"), &["Net <net@example.org>", "ops@example.org"]);
    let notifiers = one("team", Settings::Email(settings));
    assert_eq!(notifiers.kinds().collect::<Vec<_>>(), [("team", "email")]);
    let notice = told(Kind::Completed, "LinkDown");
    for _ in 0..2 {
        notifiers.send(&notice).await.unwrap();
    }
    let (first, second) = (server.mail(1), server.mail(2));
    assert_eq!(first.raw, second.raw);
    assert_eq!(first.envelope["from"], "hindsight@edge-7.example");
    assert_eq!(first.envelope["to"], serde_json::json!(["net@example.org", "ops@example.org"]));
    let mail = first.read();
    assert_eq!(mail["defects"], serde_json::json!([]));
    assert_eq!(header(&mail, "message-id"), ["<01kav0000000000000000000aa@edge-7.example>"]);
    assert_eq!(
        header(&mail, "subject"),
        ["edge-7: tcp-retransmits-20261122T173000Z: 12 packets captured"]
    );
    assert_eq!(header(&mail, "date"), ["Sun, 22 Nov 2026 17:30:00 +0000"]);
    assert_eq!(header(&mail, "auto-submitted"), ["auto-generated"]);
    let text = mail["text"].as_str().unwrap();
    for part in [
        "Event: LinkDown\n",
        "Filter: tcp port 443\n",
        "  https://net.blob.example/one?sig=a%2Bb&se=1\n",
        "  SHA-256 abab",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let html = mail["html"].as_str().unwrap();
    assert!(
        html.contains("<a href=\"https://net.blob.example/one?sig=a%2Bb&amp;se=1\">"),
        "{html}"
    );
}

#[tokio::test]
async fn no_text_of_an_event_becomes_a_header_or_markup_of_a_mail() {
    let server = MailServer::start("plain");
    let settings = mail_settings(server.url("smtp"), &["net@example.org"]);
    let notifiers = one("team", Settings::Email(settings));
    for (number, text) in (1..).zip(hostile_texts()) {
        let mut notice = told(Kind::Failed, &text);
        let Body::Capture(about) = &mut notice.body else { panic!() };
        // The subject has the name, which is ours; here it is not.
        about.name.clone_from(&text);
        notifiers.send(&notice).await.unwrap();
        let raw = server.mail(number);
        assert!(raw.raw.len() < 100_000, "{}", raw.raw.len());
        assert!(raw.raw.lines().all(|line| line.len() <= 998), "RFC 5322, section 2.1.1");
        let mail = raw.read();
        assert_eq!(mail["defects"], serde_json::json!([]));
        assert!(header(&mail, "bcc").is_empty());
        assert_eq!(header(&mail, "subject").len(), 1);
        let html = mail["html"].as_str().unwrap();
        assert!(!html.contains("<script") && !html.contains("<!channel"), "{html}");
        let said = format!("{}{html}", mail["text"].as_str().unwrap());
        assert!(!said.contains(['\u{1b}', '\u{202e}', '\0']), "{said:?}");
        assert!(!mail["text"].as_str().unwrap().lines().any(|line| line.starts_with("Bcc:")));
    }
}

#[tokio::test]
async fn a_password_goes_only_through_tls_that_was_verified() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "P0SECRET0\n").unwrap();
    for (mode, scheme) in [("starttls", "smtp+starttls"), ("tls", "smtps")] {
        let server = MailServer::start(mode);
        let settings = EmailSettings {
            username: Some("hindsight".to_owned()),
            password_file: Some(password.clone()),
            ca_file: Some(tls_file("ca.pem")),
            ..mail_settings(server.url(scheme), &["net@example.org"])
        };
        let notifiers = one("mail", Settings::Email(settings.clone()));
        notifiers.send(&notice("mail")).await.unwrap();
        assert_eq!(server.mail(1).envelope["tls"], true);

        let stranger =
            EmailSettings { ca_file: Some(tls_file("stranger.pem")), ..settings.clone() };
        let error = one("mail", Settings::Email(stranger)).send(&notice("mail")).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("certificate"), "{error}");

        std::fs::write(&password, "W0SECRET0\n").unwrap();
        let error = notifiers.send(&notice("mail")).await.unwrap_err();
        assert!(error.is_transient(), "a password can be put right: {error}");
        assert!(
            error.to_string().contains("535") && !error.to_string().contains("SECRET"),
            "{error}"
        );
        std::fs::write(&password, "P0SECRET0\n").unwrap();
        notifiers.send(&notice("mail")).await.unwrap();
        assert_eq!(server.count(), 2);
    }
    // A server that offers no encryption is told nothing.
    let server = MailServer::start("plain");
    let settings = EmailSettings {
        ca_file: Some(tls_file("ca.pem")),
        ..mail_settings(server.url("smtp+starttls"), &["net@example.org"])
    };
    let error = one("mail", Settings::Email(settings)).send(&notice("mail")).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("STARTTLS"), "{error}");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn an_address_that_is_gone_does_not_keep_a_mail_from_the_others() {
    let server = MailServer::start("plain");
    let mailer = |to: &[&str]| one("mail", Settings::Email(mail_settings(server.url("smtp"), to)));
    mailer(&["gone@example.org", "net@example.org"]).send(&notice("mail")).await.unwrap();
    assert_eq!(server.mail(1).envelope["to"], serde_json::json!(["net@example.org"]));
    let error = mailer(&["gone@example.org"]).send(&notice("mail")).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(error.to_string(), "the mail server refuses the notice: 550 5.1.1 no such mailbox");
    let error = mailer(&["later@example.org"]).send(&notice("mail")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let error = mailer(&["net@example.org", "later@example.org"]).send(&notice("mail")).await;
    assert!(error.unwrap_err().is_transient());
    assert_eq!(server.count(), 1);
}

#[test]
fn an_unencrypted_password_and_a_template_with_a_mistake_are_refused() {
    let build = |settings: Settings| {
        let settings = BTreeMap::from([("mail".to_owned(), settings)]);
        Notifiers::build(&settings).unwrap_err().to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "{\"text\": {{ titel }}}").unwrap();
    let open = EmailSettings {
        username: Some("hindsight".to_owned()),
        password_file: Some(file.clone()),
        ..mail_settings("smtp://127.0.0.1".to_owned(), &["net@example.org"])
    };
    assert_eq!(
        build(Settings::Email(open)),
        "notifier mail: a password needs smtps:// or smtp+starttls://"
    );
    let wrong = WebhookSettings {
        template: Template::File(file),
        events: BTreeSet::from([Kind::Completed]),
        ..WebhookSettings::to("http://127.0.0.1")
    };
    let error = build(Settings::Webhook(wrong));
    assert!(error.starts_with("notifier mail: line 1, column 13: undefined value"), "{error}");
}
