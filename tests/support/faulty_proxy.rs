//! A loopback proxy for HTTP that does harm to chosen requests, and writes down what passes.
//!
//! Requests are chosen by their method, or by method and a piece of their target: `PUT`,
//! `POST uploadId=`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hindsight::spawn;

use super::wait;

/// How long a test waits for a request.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of the chosen requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The server does what was asked, but its answer never comes; so many times.
    LosesAnswers(&'static str, u32),
    /// The server is not asked: there is nothing under the name.
    SaysAbsent(&'static str),
    /// The server is not asked: status line and body of the answer.
    Says(&'static str, &'static str, &'static str),
    /// The first half of the answer comes.
    CutsAnswers(&'static str),
    /// So many reach the server; all later ones are cut off without an answer.
    CutsAfter(&'static str, u32),
    /// So many reach the server; all later ones hang without an answer.
    HangsAfter(&'static str, u32),
    /// One bit of the body of the request with this number, from 0, is turned.
    Spoils(&'static str, u32),
}

/// A request that was answered, with its headers.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// Method and target.
    pub(crate) line: String,
    /// All headers in lower case.
    pub(crate) head: String,
    pub(crate) body_bytes: usize,
}

/// Ends with the test process; each connection carries one request.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// How many requests were harmed.
    pub(crate) harmed: Arc<AtomicU32>,
    state: Arc<State>,
}

struct State {
    server: u16,
    fault: Mutex<Fault>,
    /// How many were chosen by the fault.
    met: AtomicU32,
    harmed: Arc<AtomicU32>,
    passed: Mutex<Vec<Passed>>,
}

impl Proxy {
    pub(crate) fn start(server: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let harmed = Arc::new(AtomicU32::new(0));
        let state = Arc::new(State {
            server,
            fault: Mutex::new(fault),
            met: AtomicU32::new(0),
            harmed: Arc::clone(&harmed),
            passed: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        spawn::thread("proxy", move || {
            for client in listener.incoming() {
                let (client, state) = (client.unwrap(), Arc::clone(&shared));
                // A client that goes away in the middle is part of the game.
                spawn::thread("request", move || drop(state.serve(client))).unwrap();
            }
        })
        .unwrap();
        Self { port, harmed, state }
    }

    /// From now on this.
    pub(crate) fn set(&self, fault: Fault) {
        *self.state.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        self.state.met.store(0, Ordering::Relaxed);
        self.harmed.store(0, Ordering::Relaxed);
    }

    /// Waits until a request was harmed.
    pub(crate) fn wait_for_harm(&self) {
        wait::until("the proxy to do harm", PATIENCE, || {
            (self.harmed.load(Ordering::Relaxed) > 0).then_some(())
        });
    }

    /// What reached the server and was answered, of the chosen requests.
    pub(crate) fn passed(&self, chosen: &str) -> Vec<Passed> {
        let passed = self.state.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.iter().filter(|request| is(&request.line, chosen)).cloned().collect()
    }

    /// Forgets what has passed.
    pub(crate) fn forget(&self) {
        self.state.passed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Whether a request line is of a choice.
fn is(line: &str, chosen: &str) -> bool {
    let (method, piece) = chosen.split_once(' ').unwrap_or((chosen, ""));
    let (actual, target) = line.split_once(' ').unwrap_or((line, ""));
    actual == method && target.contains(piece)
}

impl State {
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (request, passed) = read_request(&mut client)?;
        let fault = *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = match fault {
            Fault::None => None,
            Fault::LosesAnswers(chosen, _)
            | Fault::SaysAbsent(chosen)
            | Fault::Says(chosen, ..)
            | Fault::CutsAnswers(chosen)
            | Fault::CutsAfter(chosen, _)
            | Fault::HangsAfter(chosen, _)
            | Fault::Spoils(chosen, _) => Some(chosen),
        };
        if chosen.is_none_or(|chosen| !is(&passed.line, chosen)) {
            return client.write_all(&self.ask(&request, passed)?);
        }
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        let harm = || self.harmed.fetch_add(1, Ordering::Relaxed);
        match fault {
            Fault::SaysAbsent(_) => {
                harm();
                client.write_all(answer("404 Not Found", "").as_bytes())
            }
            Fault::Says(_, status, body) => {
                harm();
                client.write_all(answer(status, body).as_bytes())
            }
            Fault::LosesAnswers(_, times) => {
                let answer = self.ask(&request, passed)?;
                if harm() < times {
                    return Ok(());
                }
                client.write_all(&answer)
            }
            Fault::CutsAnswers(_) => {
                harm();
                let answer = self.ask(&request, passed)?;
                client.write_all(&answer[..answer.len() / 2])
            }
            Fault::CutsAfter(_, most) if met >= most => {
                harm();
                Ok(())
            }
            Fault::HangsAfter(_, most) if met >= most => {
                harm();
                // Until the client goes away.
                client.read_exact(&mut [0]).map(drop)
            }
            Fault::Spoils(_, number) if met == number => {
                harm();
                let mut spoiled = request;
                *spoiled.last_mut().unwrap() ^= 1;
                client.write_all(&self.ask(&spoiled, passed)?)
            }
            Fault::None | Fault::CutsAfter(..) | Fault::HangsAfter(..) | Fault::Spoils(..) => {
                client.write_all(&self.ask(&request, passed)?)
            }
        }
    }

    fn ask(&self, request: &[u8], passed: Passed) -> std::io::Result<Vec<u8>> {
        let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server))?;
        upstream.write_all(request)?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer)?;
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
        Ok(answer)
    }
}

/// One request with its body, told to be the last of its connection.
fn read_request(client: &mut TcpStream) -> std::io::Result<(Vec<u8>, Passed)> {
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
    let (line, head) = text.split_once("\r\n").unwrap();
    let line = line.rsplit_once(' ').unwrap().0.to_owned();
    let passed = Passed { line, head: head.to_ascii_lowercase(), body_bytes: length };
    let mut request = text.replacen("\r\n", "\r\nconnection: close\r\n", 1).into_bytes();
    request.append(&mut body);
    Ok((request, passed))
}
