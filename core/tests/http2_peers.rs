//! The h2 crate as client and as origin, with the exchange between them: what real stacks make of what comes out.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http/dice.rs"]
mod dice;
#[path = "http2/drive.rs"]
mod drive;
#[path = "http2/receiver.rs"]
mod receiver;
#[path = "http2/wire.rs"]
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use dice::Dice;
use drive::{HOST, SET, header_edit};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use penstock_core::flow::Direction;
use penstock_core::http2::{EditFault, Event, Exchange, Gather};
use penstock_core::policy::Mode;
use penstock_core::sni::Sni;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};

type Bytes = std::io::Cursor<Vec<u8>>;
/// A request's fields, or an answer's.
type Fields = Vec<(String, Vec<u8>)>;

/// What stands between the peers, and what it told.
struct Middle {
    exchange: Exchange,
    events: Vec<Event>,
    fault: Option<EditFault>,
}

type Shared = Rc<RefCell<Middle>>;
type Writers = Rc<[tokio::sync::Mutex<WriteHalf<DuplexStream>>; 2]>;

/// Relays one direction until its end, in reads of at most `size` bytes.
async fn pump(shared: Shared, direction: Direction, mut from: ReadHalf<DuplexStream>, writers: Writers, size: usize) {
    let (mut waiting, mut buffer) = (vec![], vec![0; size]);
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            break;
        }
        waiting.extend_from_slice(&buffer[..count]);
        loop {
            let (taken, out, own) = offer(&shared, direction, &waiting);
            let place = |direction| usize::from(direction == Direction::Ingress);
            let _ = writers[place(direction)].lock().await.write_all(&out).await;
            for (direction, own) in own {
                let _ = writers[place(direction)].lock().await.write_all(&own).await;
            }
            waiting.drain(..taken);
            if taken == 0 {
                break;
            }
        }
    }
    for writer in writers.iter() {
        let _ = writer.lock().await.shutdown().await;
    }
}

type Own = Vec<(Direction, Vec<u8>)>;

fn offer(shared: &Shared, direction: Direction, waiting: &[u8]) -> (usize, Vec<u8>, Own) {
    let Middle { exchange, events, fault } = &mut *shared.borrow_mut();
    let mut gather = Gather::new();
    let taken = match direction {
        Direction::Egress => exchange.handle_egress(waiting, &mut gather),
        Direction::Ingress => exchange.handle_ingress(waiting, &mut gather),
    };
    let out = gather.pieces().concat();
    drop(gather);
    if let Err(found) = taken {
        *fault = Some(found);
    }
    events.extend(std::iter::from_fn(|| exchange.poll_event()));
    let both = [Direction::Egress, Direction::Ingress];
    let own = both.into_iter().filter_map(|to| exchange.poll_transmit(to).map(|own| (to, own))).collect();
    (taken.unwrap_or(0), out, own)
}

/// A client before an origin, which answers every request with what it saw of it.
async fn with_peers<F: Future<Output = ()>>(
    table: u32,
    size: usize,
    test: impl FnOnce(SendRequest<Bytes>, Shared) -> F,
) {
    let exchange = Exchange::new(Arc::new(header_edit(Mode::Enforce)), HOST.parse::<Sni>().unwrap());
    let shared = Rc::new(RefCell::new(Middle { exchange, events: vec![], fault: None }));
    let (client, downstream) = duplex(4_096);
    let (upstream, origin) = duplex(4_096);
    let (from_client, to_client) = split(downstream);
    let (from_origin, to_origin) = split(upstream);
    let writers: Writers = Rc::new([to_origin.into(), to_client.into()]);
    let local = tokio::task::LocalSet::new();
    local.spawn_local(pump(Rc::clone(&shared), Direction::Egress, from_client, Rc::clone(&writers), size));
    local.spawn_local(pump(Rc::clone(&shared), Direction::Ingress, from_origin, writers, size));
    local.spawn_local(serve(origin));
    let test = async move {
        let mut builder = h2::client::Builder::new();
        let (send, connection) = builder.header_table_size(table).handshake(client).await.unwrap();
        tokio::task::spawn_local(connection);
        test(send, shared).await;
    };
    local.run_until(test).await;
}

async fn serve(origin: DuplexStream) {
    let mut connection = h2::server::Builder::new().max_header_list_size(1 << 20).handshake(origin).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::task::spawn_local(async move {
            let (head, mut body) = request.into_parts();
            let mut seen: Fields = vec![];
            for (name, value) in &head.headers {
                seen.push((name.to_string(), value.as_bytes().to_vec()));
            }
            let mut length = 0;
            while let Some(Ok(chunk)) = body.data().await {
                length += chunk.len();
                let _ = body.flow_control().release_capacity(chunk.len());
            }
            let is_bare = matches!(body.trailers().await, Ok(None));
            let response = http::Response::builder()
                .header("alt-svc", "h3=\":443\"")
                .header("x-length", length)
                .header("x-no-trailers", is_bare.to_string())
                .header("x-path", head.uri.path());
            let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
            let text: Vec<u8> =
                seen.iter().flat_map(|(name, value)| [name.as_bytes(), b"=", value, b"\n"].concat()).collect();
            send_all(&mut send, &text).await;
        });
    }
}

/// Sends content as the window allows.
async fn send_all(send: &mut SendStream<Bytes>, mut content: &[u8]) {
    while !content.is_empty() {
        send.reserve_capacity(content.len());
        let Some(Ok(room)) = std::future::poll_fn(|context| send.poll_capacity(context)).await else { return };
        let (piece, rest) = content.split_at(room.min(content.len()));
        content = rest;
        if send.send_data(Bytes::new(piece.to_vec()), false).is_err() {
            return;
        }
    }
    let _ = send.send_data(Bytes::new(vec![]), true);
}

async fn read_all(body: &mut RecvStream) -> String {
    let mut all = vec![];
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        all.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len()).unwrap();
    }
    String::from_utf8(all).unwrap()
}

fn request(host: &str, method: &str, path: &str, fields: &[(&str, &str)]) -> http::Request<()> {
    let mut builder = http::Request::builder().method(method).uri(format!("https://{host}{path}"));
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

/// What the origin must have seen of `fields`, in any order.
fn expected(fields: &[(&str, &str)]) -> Vec<String> {
    let set = SET.iter().map(|(name, value)| format!("{}={value}", name.to_lowercase()));
    let mut lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).chain(set).collect();
    lines.sort();
    lines
}

#[test]
fn requests_of_a_real_client_reach_a_real_origin_with_the_headers() {
    for (table, size) in [(4_096, 4_096), (0, 100), (65_536, 1)] {
        block_on(with_peers(table, size, |mut send, shared| async move {
            let mut dice = Dice::new(7);
            for round in 0..60 {
                let evil = ["restrict-access-to-tenants", "restrict_access_context", "anthropic-allowed-org-ids3"];
                let mut fields = vec![("x-round", ["a", "b", "c"][round % 3]), ("user-agent", "peer/1.0")];
                let kept = expected(&fields);
                if dice.one_in(2) {
                    fields.push((evil[dice.below(3)], "evil"));
                }
                send = send.ready().await.unwrap();
                let (answer, mut body) = send.send_request(request(HOST, "POST", "/p", &fields), false).unwrap();
                let length = dice.below(if size == 1 { 2_000 } else { 200_000 });
                send_all(&mut body, &vec![b'x'; length]).await;
                let answer = answer.await.unwrap();
                assert_eq!(answer.headers()["x-length"], length.to_string());
                assert!(!answer.headers().contains_key("alt-svc"));
                let text = read_all(&mut answer.into_body()).await;
                let mut lines: Vec<&str> = text.lines().collect();
                lines.sort_unstable();
                assert_eq!(lines, kept, "round {round}");
            }
            assert_eq!(shared.borrow().fault, None);
        }));
    }
}

#[test]
fn a_real_client_takes_refusals_and_goes_on() {
    block_on(with_peers(4_096, 333, |mut send, shared| async move {
        for _ in 0..20 {
            send = send.ready().await.unwrap();
            let evil = request("other.example", "POST", "/", &[("x-y", "z")]);
            let (answer, mut body) = send.send_request(evil, false).unwrap();
            send_all(&mut body, &[b'x'; 30_000]).await;
            assert_eq!(answer.await.unwrap().status(), 421);
            send = send.ready().await.unwrap();
            let (answer, _) = send.send_request(request(HOST, "GET", "/", &[("x-y", "z")]), true).unwrap();
            let text = read_all(&mut answer.await.unwrap().into_body()).await;
            assert_eq!(text.lines().count(), 3, "{text}");
        }
        let refused = |event: &&Event| **event == Event::Refused(EditFault::HostWrong);
        assert_eq!(shared.borrow().events.iter().filter(refused).count(), 20);
    }));
}

#[test]
fn trailers_of_a_real_client_stay_here_and_resets_cancel() {
    block_on(with_peers(4_096, 1_000, |mut send, shared| async move {
        send = send.ready().await.unwrap();
        let (answer, mut body) = send.send_request(request(HOST, "POST", "/", &[]), false).unwrap();
        body.send_data(Bytes::new(b"content".to_vec()), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("restrict-access-context", "evil".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(
            (&answer.headers()["x-no-trailers"], &answer.headers()["x-length"]),
            (&"true".parse().unwrap(), &"7".parse().unwrap())
        );
        send = send.ready().await.unwrap();
        let (_, mut body) = send.send_request(request(HOST, "POST", "/", &[]), false).unwrap();
        body.send_reset(h2::Reason::CANCEL);
        send = send.ready().await.unwrap();
        let (answer, _) = send.send_request(request(HOST, "GET", "/", &[]), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
        assert_eq!(shared.borrow().fault, None);
    }));
}
