//! A loopback proxy for HTTP that does harm to chosen requests.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hindsight::spawn;

/// What becomes of the requests with the given method.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The server does what was asked, but its answer never comes.
    LosesAnswers(&'static str, u32),
    /// The server is not asked: there is nothing under the name.
    SaysAbsent(&'static str),
    /// The first half of the answer comes.
    CutsAnswers(&'static str),
}

/// Ends with the test process; each connection carries one request.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// How many requests were harmed.
    pub(crate) harmed: Arc<AtomicU32>,
}

impl Proxy {
    pub(crate) fn start(server: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let harmed = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&harmed);
        spawn::thread("proxy", move || {
            for client in listener.incoming() {
                // A client that goes away in the middle is part of the game.
                drop(serve(client.unwrap(), server, fault, &count));
            }
        })
        .unwrap();
        Self { port, harmed }
    }
}

fn serve(
    mut client: TcpStream,
    server: u16,
    fault: Fault,
    harmed: &AtomicU32,
) -> std::io::Result<()> {
    let request = read_request(&mut client)?;
    let method = request.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is = |name: &str| method == name.as_bytes();
    match fault {
        Fault::SaysAbsent(name) if is(name) => {
            harmed.fetch_add(1, Ordering::Relaxed);
            client.write_all(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            )
        }
        Fault::LosesAnswers(name, times) if is(name) => {
            let answer = ask(server, &request)?;
            if harmed.fetch_add(1, Ordering::Relaxed) < times {
                return Ok(());
            }
            client.write_all(&answer)
        }
        Fault::CutsAnswers(name) if is(name) => {
            harmed.fetch_add(1, Ordering::Relaxed);
            let answer = ask(server, &request)?;
            client.write_all(&answer[..answer.len() / 2])
        }
        Fault::SaysAbsent(_) | Fault::LosesAnswers(..) | Fault::CutsAnswers(_) => {
            client.write_all(&ask(server, &request)?)
        }
    }
}

/// One request with its body, told to be the last of its connection.
fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let mut request = text.replacen("\r\n", "\r\nconnection: close\r\n", 1).into_bytes();
    request.append(&mut body);
    Ok(request)
}

fn ask(server: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    upstream.write_all(request)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    Ok(answer)
}
