//! The resolver against a DNS server that runs in this process, on a loopback port.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use penstock_core::flow::FaultKind;
use penstock_core::limits;
use penstock_core::sni::Sni;

use super::{ConnectorAddresses, Lookups, Resolver};

/// How the server treats every question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answering = 0,
    Failing = 1,
    Mute = 2,
}

/// A DNS server: what it answers depends on the first label of the name.
struct Server {
    address: SocketAddr,
    state: Arc<ServerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct ServerState {
    mood: AtomicU8,
    questions: AtomicUsize,
    is_stopping: AtomicBool,
}

impl Server {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(ServerState::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !shared.is_stopping.load(Ordering::Relaxed) {
                let Ok((count, peer)) = socket.recv_from(&mut buffer) else { continue };
                shared.questions.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&buffer[..count], shared.mood.load(Ordering::Relaxed)) {
                    socket.send_to(&answer, peer).unwrap();
                }
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    fn set(&self, mood: Mood) {
        self.state.mood.store(mood as u8, Ordering::Relaxed);
    }

    fn questions(&self) -> usize {
        self.state.questions.load(Ordering::Relaxed)
    }

    fn resolver(&self) -> Resolver {
        Resolver::new(Lookups::start(&tokio::runtime::Handle::current(), &[self.address]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.is_stopping.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Reads a question (RFC 1035 section 4.1) and writes its answer; `None` for silence.
fn answer(question: &[u8], mood: u8) -> Option<Vec<u8>> {
    if mood == Mood::Mute as u8 {
        return None;
    }
    let first_label = std::str::from_utf8(&question[13..13 + usize::from(question[12])]).unwrap().to_lowercase();
    let name_bytes = question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question_end = 12 + name_bytes + 4;
    let is_four = question[12 + name_bytes + 1] == 1;
    let (code, records): (u8, Vec<IpAddr>) = match (mood, first_label.as_str(), is_four) {
        (1, ..) | (_, "fail", _) => (2, vec![]),
        (_, "missing", _) => (3, vec![]),
        (_, "mute6", false) => return None,
        (_, "many", true) => (0, (0..60).map(|last| IpAddr::from([192, 0, 2, last])).collect()),
        (_, "both", false) => (0, vec!["2001:db8::1".parse().unwrap()]),
        (_, "public", true) => (0, vec!["8.8.8.8".parse().unwrap()]),
        (_, "empty", _) | (_, _, false) => (0, vec![]),
        (_, "metadata", true) => (0, vec!["169.254.0.1".parse().unwrap()]),
        (_, _, true) => (0, vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]),
    };
    let mut answer = question[..question_end].to_vec();
    answer[2] = 0x81;
    answer[3] = 0x80 | code;
    answer[6..12].copy_from_slice(&[0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
    for record in records {
        let (kind, data) = match record {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        // Name by pointer to the question, class IN, TTL 60.
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        answer.extend(data);
    }
    Some(answer)
}

fn sni(name: &str) -> Sni {
    Sni::parse(name.as_bytes()).unwrap()
}

fn addresses(words: &[&str]) -> Vec<IpAddr> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

#[tokio::test]
async fn both_families_alternate() {
    let server = Server::start();
    let resolver = server.resolver();
    let found = resolver.resolve(&sni("both.example")).await.unwrap();
    assert_eq!(*found, addresses(&["192.0.2.1", "2001:db8::1", "192.0.2.2"])[..]);
}

#[tokio::test]
async fn a_family_that_is_never_answered_does_not_hold_up_the_other() {
    let server = Server::start();
    let found = server.resolver().resolve(&sni("mute6.example")).await.unwrap();
    assert_eq!(*found, addresses(&["192.0.2.1", "192.0.2.2"])[..]);
}

#[tokio::test]
async fn many_addresses_are_cut_to_the_bound() {
    let server = Server::start();
    let found = server.resolver().resolve(&sni("many.example")).await.unwrap();
    assert_eq!(found.len(), limits::RESOLVE_ADDRESSES_MAX);
}

#[tokio::test]
async fn flows_that_want_one_name_share_one_question() {
    let server = Server::start();
    let resolver = std::rc::Rc::new(server.resolver());
    let tasks = tokio::task::LocalSet::new();
    for _ in 0..50 {
        let resolver = std::rc::Rc::clone(&resolver);
        tasks.spawn_local(async move { resolver.resolve(&sni("both.example")).await.unwrap() });
    }
    tasks.await;
    assert_eq!(server.questions(), 2, "one per family");
    resolver.resolve(&sni("both.example")).await.unwrap();
    assert_eq!(server.questions(), 2, "the answer was kept");
}

#[tokio::test]
async fn an_answer_whose_flow_has_gone_away_is_kept() {
    let server = Server::start();
    let resolver = server.resolver();
    {
        let name = sni("both.example");
        let mut abandoned = pin!(resolver.resolve(&name));
        std::future::poll_fn(|context| {
            assert!(abandoned.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    resolver.resolve(&sni("both.example")).await.unwrap();
    assert_eq!(server.questions(), 2);
}

#[tokio::test]
async fn a_missing_name_is_remembered() {
    let server = Server::start();
    let resolver = server.resolver();
    for name in ["missing.example", "empty.example"] {
        let before = server.questions();
        assert_eq!(resolver.resolve(&sni(name)).await, Err(FaultKind::NameNotFound));
        let asked = server.questions();
        assert!(asked > before);
        assert_eq!(resolver.resolve(&sni(name)).await, Err(FaultKind::NameNotFound));
        assert_eq!(server.questions(), asked, "{name} was asked again");
    }
}

#[tokio::test]
async fn a_failure_is_no_missing_name_and_is_not_repeated_at_once() {
    let server = Server::start();
    let resolver = server.resolver();
    assert_eq!(resolver.resolve(&sni("fail.example")).await, Err(FaultKind::Unreachable));
    let asked = server.questions();
    assert_eq!(resolver.resolve(&sni("fail.example")).await, Err(FaultKind::Unreachable));
    assert_eq!(server.questions(), asked);
    let later = Instant::now() + Duration::from_secs(limits::RESOLVE_RETRY_SECONDS);
    assert_eq!(resolver.resolve_at(&sni("fail.example"), later).await, Err(FaultKind::Unreachable));
    assert!(server.questions() > asked);
}

#[tokio::test]
async fn stale_addresses_serve_while_dns_fails_and_not_after() {
    let server = Server::start();
    let resolver = server.resolver();
    let (name, start) = (sni("both.example"), Instant::now());
    let fresh = resolver.resolve_at(&name, start).await.unwrap();
    for mood in [Mood::Failing, Mood::Mute] {
        server.set(mood);
        let expired = start + Duration::from_secs(if mood == Mood::Failing { 61 } else { 120 });
        assert_eq!(resolver.resolve_at(&name, expired).await, Ok(Arc::clone(&fresh)));
    }
    server.set(Mood::Failing);
    let end = start + Duration::from_secs(60 + limits::RESOLVE_STALE_SECONDS_MAX);
    assert!(resolver.resolve_at(&name, end).await.is_err());
    server.set(Mood::Answering);
    let again = end + Duration::from_secs(limits::RESOLVE_RETRY_SECONDS);
    assert_eq!(resolver.resolve_at(&name, again).await, Ok(fresh));
}

#[tokio::test]
async fn only_the_first_flow_waits_before_a_stale_answer() {
    let server = Server::start();
    let resolver = server.resolver();
    let (name, start) = (sni("both.example"), Instant::now());
    let fresh = resolver.resolve_at(&name, start).await.unwrap();
    server.set(Mood::Mute);
    let expired = start + Duration::from_secs(61);
    assert_eq!(resolver.resolve_at(&name, expired).await, Ok(Arc::clone(&fresh)));
    let mut second = pin!(resolver.resolve_at(&name, expired));
    let at_once = std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await;
    assert_eq!(at_once, Poll::Ready(Ok(fresh)));
}

#[tokio::test]
async fn without_a_server_it_says_so() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let resolver = Resolver::new(Lookups::start(&tokio::runtime::Handle::current(), &[closed]));
    let kind = resolver.resolve(&sni("both.example")).await.unwrap_err();
    assert!(matches!(kind, FaultKind::Unreachable | FaultKind::Deadline), "{kind}");
}

#[tokio::test]
async fn addresses_of_followed_names_are_known_ahead() {
    let server = Server::start();
    let runtime = tokio::runtime::Handle::current();
    let known = ConnectorAddresses::start(&runtime, Lookups::start(&runtime, &[server.address]));
    let names = ["missing.example", "metadata.example", "public.example"];
    known.follow(names.into_iter().map(sni));
    let public = IpAddr::from([8, 8, 8, 8]);
    while known.hosts_at(public, Instant::now()).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(known.hosts_at(public, Instant::now()), [sni("public.example")]);
    assert!(known.hosts_at(IpAddr::from([169, 254, 0, 1]), Instant::now()).is_empty(), "never dialled, never learned");
    // The same names again are no new question.
    let asked = server.questions();
    known.follow(names.into_iter().map(sni));
    tokio::task::yield_now().await;
    assert_eq!(server.questions(), asked);
}
