use std::fs;
use std::path::PathBuf;
use std::pin::pin;

use futures_util::FutureExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};

use super::*;

const ALERT: &[u8] = br#"{"version":"4","alerts":[{"labels":{"a":"1"}},{"labels":{"a":"2"}}]}"#;

/// Shared with whoever signs.
const SECRET: &str = "Jefe";

fn receiver(auth: Auth) -> (Receiver, mpsc::Receiver<Delivery>) {
    let (deliveries, received) = mpsc::channel(1);
    let settings = Settings {
        path: "/hooks/alertmanager".into(),
        format: Format::Alertmanager,
        auth,
        max_event_age: None,
    };
    (Receiver::new("hook".into(), settings, deliveries).unwrap(), received)
}

/// A folder with a file that holds a secret.
fn file(secret: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, format!("{secret}\n")).unwrap();
    (folder, path)
}

/// A request with these headers, its body in pieces of 64 KiB.
async fn post(
    receiver: &Receiver,
    headers: &[(&str, &str)],
    certificate: bool,
    body: &[u8],
) -> Answer {
    let find = |name: &str| {
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    };
    let shown = Shown {
        authorization: find("authorization"),
        header: &find,
        client_certificate: certificate,
    };
    let mut reception = match receiver.admit(&shown) {
        Ok(reception) => reception,
        Err(answer) => return answer,
    };
    for piece in body.chunks(64 * 1024) {
        if !reception.push(piece) {
            break;
        }
    }
    reception.finish().await
}

async fn plain(receiver: &Receiver, body: &[u8]) -> Answer {
    post(receiver, &[], false, body).await
}

/// Sends a body and lets `worker` treat the delivery.
async fn exchange(body: &[u8], worker: impl AsyncFnOnce(Delivery)) -> Answer {
    let (receiver, mut received) = receiver(Auth::default());
    let (answer, ()) = tokio::join!(plain(&receiver, body), async {
        worker(received.recv().await.unwrap()).await;
    });
    answer
}

async fn record(delivery: Delivery) {
    delivery.done.send(Vec::new()).unwrap();
}

/// The answer to a request that a worker stands ready to record.
async fn status(
    receiver: &Receiver,
    received: &mut mpsc::Receiver<Delivery>,
    headers: &[(&str, &str)],
    certificate: bool,
) -> u16 {
    let mut request = pin!(post(receiver, headers, certificate, ALERT));
    tokio::select! {
        answer = &mut request => answer.status,
        delivery = received.recv() => {
            record(delivery.unwrap()).await;
            request.await.status
        }
    }
}

#[tokio::test]
async fn success_is_said_only_after_the_events_were_recorded() {
    let (receiver, mut received) = receiver(Auth::default());
    let mut request = pin!(plain(&receiver, ALERT));
    assert_eq!(request.as_mut().now_or_never(), None);
    let delivery = received.try_recv().unwrap();
    assert!(matches!(&delivery.content, Content::Events(events) if events.len() == 2));
    delivery.done.send(Vec::new()).unwrap();
    let answer = request.await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"accepted":2}"#));
}

#[tokio::test]
async fn poison_is_recorded_before_it_is_refused() {
    let answer = exchange(b"nonsense", async |delivery| {
        assert!(matches!(delivery.content, Content::Rejected(_)));
        record(delivery).await;
    });
    let answer = answer.await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("the message is not JSON"), "{}", answer.body);

    let unrecorded = exchange(b"nonsense", async |delivery| drop(delivery)).await;
    assert_eq!(unrecorded.status, 503);
}

#[tokio::test]
async fn what_could_not_be_recorded_is_asked_for_again() {
    let answer = exchange(ALERT, async |delivery| drop(delivery)).await;
    assert_eq!((answer.status, answer.retry_after_s), (503, Some(RETRY_AFTER_S)));
}

#[tokio::test]
async fn waiting_for_the_record_is_bounded() {
    let (receiver, mut received) = receiver(Auth::default());
    let hurried = Receiver { patience: Duration::from_millis(1), ..receiver };
    let answer = plain(&hurried, ALERT).await;
    assert_eq!((answer.status, answer.retry_after_s), (503, Some(RETRY_AFTER_S)));
    assert!(received.try_recv().is_ok());
}

#[tokio::test]
async fn a_full_queue_is_said_at_once() {
    let (receiver, _received) = receiver(Auth::default());
    let mut first = pin!(plain(&receiver, ALERT));
    assert_eq!(first.as_mut().now_or_never(), None);
    let refused = plain(&receiver, ALERT).await;
    assert_eq!((refused.status, refused.retry_after_s), (503, Some(RETRY_AFTER_S)));
    assert!(refused.body.contains("overloaded"), "{}", refused.body);
}

#[tokio::test]
async fn a_body_above_the_limit_is_recorded_whole_by_its_digest_and_refused_as_too_large() {
    let body = vec![b'x'; 3 * MAX_BODY_BYTES];
    let digest = Sha256::digest(&body);
    let answer = exchange(&body, async |delivery| {
        let Content::Rejected(rejected) = &delivery.content else {
            panic!("{:?}", delivery.content)
        };
        let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(rejected.sha256, hexadecimal);
        assert_eq!(rejected.size_bytes, 3 * 1024 * 1024);
        assert!(rejected.head.starts_with("xxx"));
        record(delivery).await;
    });
    assert_eq!(answer.await.status, 413);
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let (receiver, mut received) = receiver(Auth::default());
    let shown = Shown { authorization: None, header: &|_| None, client_certificate: false };
    let mut reception = receiver.admit(&shown).unwrap();
    let piece = vec![0; 1024 * 1024];
    let pieces = (1..).find(|_| !reception.push(&piece)).unwrap();
    assert_eq!(pieces, 64);
    assert!(reception.body.kept.len() <= MAX_BODY_BYTES);
    let (answer, ()) = tokio::join!(reception.finish(), async {
        record(received.recv().await.unwrap()).await;
    });
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn only_the_right_token_is_let_in() {
    let (_folder, path) = file("s3cret");
    let (receiver, mut received) = receiver(Auth { bearer_file: Some(path), ..Auth::default() });
    let mut status = async |header: &str| {
        status(&receiver, &mut received, &[("Authorization", header)], false).await
    };
    for wrong in ["", "s3cret", "Bearer", "Bearer s3cre", "Bearer s3crets", "Basic s3cret"] {
        assert_eq!(status(wrong).await, 401, "{wrong:?}");
    }
    assert_eq!(status("bearer s3cret").await, 200);
    let answer = plain(&receiver, ALERT).await;
    assert_eq!((answer.status, answer.challenge), (401, Some("Bearer")));
    assert!(!format!("{receiver:?}").contains("s3cret"));
}

#[tokio::test]
async fn only_the_right_account_is_let_in() {
    let (_folder, password_file) = file("open sesame");
    let basic = Some(Basic { username: "Aladdin".to_owned(), password_file });
    let (receiver, mut received) = receiver(Auth { basic, ..Auth::default() });
    let mut status = async |header: &str| {
        status(&receiver, &mut received, &[("authorization", header)], false).await
    };
    // RFC 7617, section 2.
    assert_eq!(status("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").await, 200);
    for wrong in ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ""] {
        assert_eq!(status(wrong).await, 401, "{wrong:?}");
    }
    let answer = plain(&receiver, ALERT).await;
    assert!(answer.challenge.unwrap().starts_with("Basic realm="));
}

/// The signature of `body` at this time, seconds from now.
fn signed(body: &[u8], seconds: i64, secret: &str) -> (String, String) {
    let time = (clock::wall_time().as_nanos() / 1_000_000_000 + seconds).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}:").as_bytes());
    mac.update(body);
    let digits = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    (time, digits)
}

#[tokio::test]
async fn only_a_signature_of_this_body_and_of_now_is_let_in() {
    let (_folder, secret_file) = file(SECRET);
    let signature = Signature {
        secret_file,
        header: "X-Sig".to_owned(),
        timestamp_header: "X-Time".to_owned(),
        tolerance: Duration::from_secs(60),
    };
    let (receiver, mut received) = receiver(Auth { signature: Some(signature), ..Auth::default() });
    let mut status = async |(time, signature): (String, String)| {
        let headers = [("x-time", time.as_str()), ("x-sig", signature.as_str())];
        status(&receiver, &mut received, &headers, false).await
    };
    assert_eq!(status(signed(ALERT, 0, SECRET)).await, 200);
    assert_eq!(status(signed(ALERT, 0, SECRET)).await, 200, "what was asked for again comes again");
    let (time, digits) = signed(ALERT, 0, SECRET);
    assert_eq!(status((time.clone(), format!("sha256={}", digits.to_uppercase()))).await, 200);
    assert_eq!(status(signed(ALERT, -50, SECRET)).await, 200);
    assert_eq!(status(signed(ALERT, -70, SECRET)).await, 401, "old");
    assert_eq!(status(signed(ALERT, 70, SECRET)).await, 401, "from the future");
    assert_eq!(status(signed(ALERT, 0, "other")).await, 401);
    assert_eq!(status(signed(b"{}", 0, SECRET)).await, 401, "of another body");
    let (later, _) = signed(ALERT, 1, SECRET);
    assert_eq!(status((later, digits.clone())).await, 401, "of another time");
    assert_eq!(status((String::new(), digits.clone())).await, 401, "of no time");
    assert_eq!(status((time.clone(), digits[..62].to_owned())).await, 401, "cut");
    assert_eq!(status((time, String::new())).await, 401);
    assert_eq!(plain(&receiver, ALERT).await.status, 401);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_not_let_in_where_one_is_required() {
    let (_folder, path) = file("s3cret");
    let auth = Auth { client_certificate: true, bearer_file: Some(path), ..Auth::default() };
    let (receiver, mut received) = receiver(auth);
    let token = [("Authorization", "Bearer s3cret")];
    assert_eq!(status(&receiver, &mut received, &token, false).await, 403);
    assert_eq!(status(&receiver, &mut received, &[], true).await, 401, "both are needed");
    assert_eq!(status(&receiver, &mut received, &token, true).await, 200);
}

#[test]
fn a_secret_that_is_missing_or_empty_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("am.token");
    let error = || {
        let (deliveries, _received) = mpsc::channel(1);
        let settings = Settings {
            path: "/h".into(),
            format: Format::Alertmanager,
            auth: Auth { bearer_file: Some(path.clone()), ..Auth::default() },
            max_event_age: None,
        };
        Receiver::new("hook".into(), settings, deliveries).unwrap_err().to_string()
    };
    assert!(error().contains("am.token: No such file"), "{}", error());
    fs::write(&path, " \n").unwrap();
    assert!(error().ends_with("am.token is empty; put a secret there"), "{}", error());
}
