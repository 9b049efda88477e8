//! What must hold for any bytes of both sides of an inspected HTTP/2 connection, however they are cut: no panic, bounded work,
//! and every request's block that goes upstream decodes with each set header exactly once and no other restriction header.

#[allow(clippy::duplicate_mod, reason = "each check stands alone")]
#[path = "../../tests/http1/strict.rs"]
mod strict;

use std::sync::{Arc, LazyLock};

use penstock_core::catalogue::ConnectorId;
use penstock_core::flow::Direction;
use penstock_core::http2::hpack::Decoder;
use penstock_core::http2::{Event, Exchange, Gather};
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use penstock_core::sni::Sni;

const SET: &[(&str, &str)] = &[("Restrict-Access-To-Tenants", "contoso.com"), ("Restrict-Access-Context", "bbbb-cccc")];

static EDIT: LazyLock<Arc<HeaderEdit>> = LazyLock::new(|| {
    let header = |&(name, value): &(&str, &str)| SetHeader { name: name.into(), value: value.into() };
    let headers = SET.iter().map(header).collect();
    Arc::new(HeaderEdit::new(Mode::Enforce, &[ConnectorId::MicrosoftEntra], headers).with_websocket(true))
});

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

/// One run with the pieces as they are, one in single bytes. Pieces: a byte whose top bit is the direction and whose rest is the
/// length, then as many bytes; a connection has begun, unless the first byte is 0xff.
pub(crate) fn check(data: &[u8]) {
    let (is_fresh, data) = match data {
        [0xff, rest @ ..] => (true, rest),
        _ => (false, data),
    };
    let whole = run(data, is_fresh, usize::MAX);
    let split = run(data, is_fresh, 1);
    assert_eq!(whole.requests, split.requests);
    assert_eq!(whole.taken, split.taken);
    // Frames of the editor's own stand between two calls, so where they stand depends on the cut; what they are does not.
    assert_eq!(sorted_frames(&whole.upstream), sorted_frames(&split.upstream));
}

#[derive(Default)]
struct Run {
    upstream: Vec<u8>,
    requests: usize,
    taken: [usize; 2],
}

fn run(data: &[u8], is_fresh: bool, size: usize) -> Run {
    let mut exchange = Exchange::new(Arc::clone(&EDIT), "login.example".parse::<Sni>().unwrap());
    let mut run = Run::default();
    let mut waiting = [vec![], vec![]];
    if !is_fresh {
        offer(&mut exchange, &mut run, &mut waiting, Direction::Egress, &[PREFACE, SETTINGS].concat());
        offer(&mut exchange, &mut run, &mut waiting, Direction::Ingress, &[SETTINGS, ACK].concat());
        offer(&mut exchange, &mut run, &mut waiting, Direction::Egress, ACK);
    }
    let mut rest = data;
    'pieces: while let Some((&head, tail)) = rest.split_first() {
        let direction = if head & 0x80 == 0 { Direction::Egress } else { Direction::Ingress };
        let (piece, tail) = tail.split_at(tail.len().min(usize::from(head & 0x7f)));
        rest = tail;
        for piece in piece.chunks(size.min(128)) {
            if !offer(&mut exchange, &mut run, &mut waiting, direction, piece) {
                break 'pieces;
            }
        }
    }
    exchange.handle_abort();
    check_upstream(&run);
    run
}

/// Offers `piece` behind what waits; false once the connection was given up.
fn offer(
    exchange: &mut Exchange,
    run: &mut Run,
    waiting: &mut [Vec<u8>; 2],
    direction: Direction,
    piece: &[u8],
) -> bool {
    let place = usize::from(direction == Direction::Ingress);
    waiting[place].extend_from_slice(piece);
    loop {
        let mut gather = Gather::new();
        let taken = match direction {
            Direction::Egress => exchange.handle_egress(&waiting[0], &mut gather),
            Direction::Ingress => exchange.handle_ingress(&waiting[1], &mut gather),
        };
        assert!(taken.is_ok() || gather.is_empty());
        if direction == Direction::Egress {
            run.upstream.extend(gather.pieces().concat());
        }
        drop(gather);
        while let Some(event) = exchange.poll_event() {
            run.requests += usize::from(matches!(event, Event::Request(_)));
        }
        let _ = exchange.poll_transmit(Direction::Ingress);
        run.upstream.extend(exchange.poll_transmit(Direction::Egress).unwrap_or_default());
        if taken.is_err() {
            return false;
        }
        match taken.unwrap() {
            0 => break,
            count => {
                waiting[place].drain(..count);
                run.taken[place] += count;
            }
        }
    }
    assert!(waiting[place].len() < 128 * 1024);
    true
}

/// The whole frames that went upstream, but for room given back, which is summed up over a call.
fn sorted_frames(upstream: &[u8]) -> Vec<&[u8]> {
    let mut rest = upstream.strip_prefix(PREFACE).unwrap_or(upstream);
    let mut frames = vec![];
    while let [a, b, c, ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((frame, next)) = rest.split_at_checked(9 + length) else { break };
        rest = next;
        // GOAWAY is said only between two frames, so a cut within one may leave it unsaid.
        if !matches!(frame[3], 7 | 8) {
            frames.push(frame);
        }
    }
    frames.sort_unstable();
    frames
}

/// Reads the frames that went upstream as an origin with a table of any size does.
fn check_upstream(run: &Run) {
    let mut rest = run.upstream.strip_prefix(PREFACE).unwrap_or(&run.upstream);
    let mut decoder = Decoder::new();
    let (mut block, mut heads) = (vec![], 0);
    while let [a, b, c, kind, flags, _, _, _, _, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        assert!(length <= 16_384);
        let Some((payload, next)) = tail.split_at_checked(length) else { break };
        rest = next;
        match kind {
            1 => block = payload[if flags & 0x20 == 0 { 0 } else { 5 }..].to_vec(),
            9 => block.extend_from_slice(payload),
            _ => continue,
        }
        if flags & 4 != 0 {
            heads += 1;
            if !check_block(&mut decoder, &block) {
                return;
            }
        }
    }
    assert_eq!(heads, run.requests);
}

/// False where a bound of the origin's own, of which this reader knows nothing, came into force.
fn check_block(decoder: &mut Decoder, block: &[u8]) -> bool {
    let mut fields: Vec<(String, Vec<u8>)> = vec![];
    let decoded = decoder.decode(block, &mut |field| {
        fields.push((String::from_utf8(field.name.to_vec()).unwrap(), field.value.to_vec()));
    });
    if decoded.is_err() {
        assert_eq!(decoded.err().map(|fault| fault.label()), Some("hpack_size_update_too_large"));
        return false;
    }
    let at = fields.iter().position(|(name, _)| !name.starts_with(':')).unwrap();
    for (field, (name, value)) in fields[at..].iter().zip(SET) {
        assert_eq!((&field.0, &field.1[..]), (&name.to_lowercase(), value.as_bytes()));
    }
    assert!(fields.len() >= at + SET.len());
    assert!(!fields[at + SET.len()..].iter().any(|(name, _)| strict::is_restriction(name)));
    true
}
