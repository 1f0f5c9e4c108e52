use std::io::Write as _;
use std::path::Path;

use axum::routing::get;
use axum::{Extension, Router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::control::peer::Peer;
use crate::control::serve::{BOUNDS, Encrypted, serve};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// The files of a listener, as copies in a folder that can be changed.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.install("broker");
        fs::copy(fixture("client-ca.pem"), folder.0.path().join("ca.pem")).unwrap();
        folder
    }

    /// Puts a pair in place of the one that is there, as tools that renew do: by a rename.
    fn install(&self, pair: &str) {
        for (ending, name) in [("pem", "cert.pem"), ("key", "key.pem")] {
            let content = fs::read(fixture(&format!("{pair}.{ending}"))).unwrap();
            self.write(name, &content);
        }
    }

    fn write(&self, name: &str, content: &[u8]) {
        let mut file = tempfile::NamedTempFile::new_in(self.0.path()).unwrap();
        file.write_all(content).unwrap();
        file.persist(self.0.path().join(name)).unwrap();
    }

    fn files(&self) -> TlsFiles {
        let path = |name: &str| self.0.path().join(name);
        TlsFiles {
            cert_file: path("cert.pem"),
            key_file: path("key.pem"),
            client_ca_file: Some(path("ca.pem")),
        }
    }

    fn tls(&self) -> Arc<Tls> {
        Arc::new(Tls::new(self.files()).unwrap())
    }
}

/// A client that trusts both authorities of the fixtures, and shows this certificate.
fn client(shown: Option<&str>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for authority in ["ca.pem", "client-ca.pem"] {
        roots.add(certificates(&fixture(authority)).unwrap().remove(0)).unwrap();
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match shown {
        Some(pair) => {
            let chain = certificates(&fixture(&format!("{pair}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(fixture(&format!("{pair}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// One connection: what the server says of the client, and the certificate that the client saw.
async fn connect(
    tls: &Arc<Tls>,
    client: TlsConnector,
) -> (io::Result<Option<String>>, Option<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let server = async {
        let (mut stream, subject) = Arc::clone(tls).accept(accepted).await?;
        stream.write_all(b"x").await?;
        Ok(subject)
    };
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let asked = async {
        let mut stream: client::TlsStream<_> = client.connect(name, stream).await.ok()?;
        let seen = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
        // With TLS 1.3 a client hears of a refusal with its first read.
        stream.read_u8().await.ok()?;
        Some(seen)
    };
    tokio::join!(server, asked)
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate_or_not_at_all() {
    let folder = Folder::new();
    let tls = folder.tls();
    let (subject, _) = connect(&tls, client(Some("client"))).await;
    assert_eq!(subject.unwrap().as_deref(), Some("CN=alertmanager,O=Plant"));
    let (subject, seen) = connect(&tls, client(None)).await;
    assert_eq!(subject.unwrap(), None);
    assert!(seen.is_some());
    let (refused, seen) = connect(&tls, client(Some("nobody"))).await;
    assert!(refused.is_err() && seen.is_none(), "{refused:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_wrong_one_is_not() {
    let folder = Folder::new();
    let tls = folder.tls();
    let seen = async || {
        // As if the time that what was found is believed for were over.
        tls.state.lock().unwrap().looked_at = BootTime::from_duration(Duration::ZERO);
        connect(&tls, client(None)).await.1.unwrap()
    };
    let pair = |name: &str| certificates(&fixture(name)).unwrap().remove(0).to_vec();
    assert_eq!(seen().await, pair("broker.pem"));
    let old_key = fs::read(fixture("broker.key")).unwrap();
    folder.install("renewed");
    assert_eq!(seen().await, pair("renewed.pem"));
    folder.write("key.pem", &old_key);
    assert_eq!(seen().await, pair("renewed.pem"), "a key of another certificate");
    folder.write("cert.pem", b"");
    assert_eq!(seen().await, pair("renewed.pem"), "half a file");
    fs::remove_file(folder.files().cert_file).unwrap();
    assert_eq!(seen().await, pair("renewed.pem"), "no file");
    folder.install("broker");
    assert_eq!(seen().await, pair("broker.pem"));
}

#[tokio::test]
async fn every_request_says_whose_certificate_its_connection_showed() {
    let name = |peer: Option<Extension<Peer>>| async move {
        match peer {
            Some(Extension(Peer::Remote { certificate, .. })) => certificate.unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    };
    let (folder, stop) = (Folder::new(), CancellationToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/", get(name));
    let served = serve(listener, Encrypted(folder.tls()), routes, BOUNDS, stop.clone());
    let served = spawn::task("server under test", served);
    for (shown, subject) in [(Some("client"), "CN=alertmanager,O=Plant"), (None, "")] {
        let stream = TcpStream::connect(address).await.unwrap();
        let server = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = client(shown).connect(server, stream).await.unwrap();
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = vec![0; 4096];
            let read = stream.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
            assert!(answer.ends_with(&format!("\r\n\r\n{subject}")), "{answer}");
        }
    }
    // Whoever speaks no TLS gets no answer, and holds nothing up.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    stop.cancel();
    served.await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = Folder::new();
    let error = || Tls::new(folder.files()).unwrap_err().to_string();
    folder.write("cert.pem", &fs::read(fixture("renewed.pem")).unwrap());
    assert!(error().starts_with("cannot use the certificate "), "{}", error());
    folder.write("ca.pem", b"no PEM");
    folder.install("broker");
    assert!(error().ends_with("ca.pem: it holds no certificate"), "{}", error());
    fs::remove_file(folder.files().key_file).unwrap();
    assert!(error().contains("key.pem: No such file"), "{}", error());
}
