//! Whole connections from a seed: requests and answers of every kind, cut anywhere, in any order that a network allows; and the
//! same requests with a few bytes changed.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "http1/drive.rs"]
mod drive;
#[path = "http1/generate.rs"]
mod generate;
#[path = "http1/strict.rs"]
mod strict;

use drive::{Drive, SET};
use generate::{Dice, Made};
use strict::Tail;

const SEEDS: u64 = 2_000;

/// Runs the test on every seed, or on the one that the environment names.
fn for_seeds(run: fn(&mut Dice)) {
    let only = std::env::var("SIMULATION_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in only.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| run(&mut Dice::new(seed)));
        assert!(outcome.is_ok(), "SIMULATION_SEED={seed}");
    }
}

/// Requests up to the first that must be the last.
fn requests(dice: &mut Dice) -> Vec<Made> {
    let mut made: Vec<Made> = (0..1 + dice.below(6)).map(|_| generate::request(dice)).collect();
    let last = made.iter().position(|made| made.is_last).unwrap_or(made.len());
    made.truncate(last + 1);
    made
}

/// Takes a piece of any size off the front.
fn piece(dice: &mut Dice, rest: &mut Vec<u8>) -> Vec<u8> {
    let bound = if dice.one_in(3) { 4 } else { 400 };
    rest.drain(..rest.len().min(1 + dice.below(bound))).collect()
}

#[test]
fn whole_connections() {
    for_seeds(|dice| {
        let made = requests(dice);
        let mut egress = made.iter().flat_map(|made| made.input.clone()).collect::<Vec<u8>>();
        let expected_upstream = made.iter().flat_map(|made| made.expected.clone()).collect::<Vec<u8>>();
        let (mut ingress, mut expected_downstream) = (vec![], vec![]);
        let (mut answered, mut over) = (0, false);
        let mut drive = Drive::new();
        while !egress.is_empty() || !ingress.is_empty() || answered < made.len() {
            if !egress.is_empty() && dice.one_in(2) {
                let piece = piece(dice, &mut egress);
                drive.egress(piece);
            } else if !ingress.is_empty() {
                let piece = piece(dice, &mut ingress);
                drive.ingress(piece);
            }
            assert_eq!(drive.fault, None);
            let (seen, tail) = strict::requests(&drive.upstream);
            let whole_count = seen.len() - usize::from(tail == Tail::Body);
            if answered < whole_count && dice.one_in(2) && !over {
                let (bytes, expected, ends) = generate::answer(dice, &made[answered]);
                (over, answered) = (ends, answered + 1);
                ingress.extend(bytes);
                expected_downstream.extend(expected);
            }
            if over && ingress.is_empty() {
                break;
            }
        }
        assert_eq!(String::from_utf8_lossy(&drive.downstream), String::from_utf8_lossy(&expected_downstream));
        assert!(expected_upstream.starts_with(&drive.upstream));
        assert_eq!(drive.exchange.must_close(), over);
        if !over {
            assert_eq!(String::from_utf8_lossy(&drive.upstream), String::from_utf8_lossy(&expected_upstream));
        }
        check_events(&drive, &made, answered);
    });
}

/// Each request that went upstream is told once, in order, with what was removed, and each answer once.
fn check_events(drive: &Drive, made: &[Made], answered: usize) {
    assert!((answered..=made.len()).contains(&drive.requests.len()));
    for (index, (request, made)) in drive.requests.iter().zip(made).enumerate() {
        assert_eq!((request.number, &request.stripped), (index as u64, &made.stripped));
    }
    let told = drive.responses.iter().filter(|response| response.status.is_some());
    assert!(told.map(|response| response.number).eq(0..answered as u64));
    for request in strict::requests(&drive.upstream).0 {
        strict::check_invariant(&request, SET);
    }
}

/// What an attacker would write between or over bytes.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b":",
    b",",
    b";",
    b"0",
    b"-",
    b"_",
    b"\r\n ",
    b"\r\n\r\n",
    b"\xff",
    b"%00",
    b"#",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: evil.example\r\n",
    b"Connection: Host\r\n",
    b"x: y\r\n",
    b"Restrict-Access-To-Tenants: evil\r\n",
    b"restrict_access.to-tenants",
    b"HTTP/1.0",
    b"0\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"chunked",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
];

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(5) {
            0 => bytes[at] = dice.below(256) as u8,
            1 => {
                bytes.remove(at);
            }
            2 => {
                let end = (at + dice.below(40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let target = dice.below(bytes.len());
                bytes.splice(target..target, copy);
            }
            3 => {
                let end = (at + 1 + dice.below(8)).min(bytes.len());
                bytes.splice(at..end, dice.pick(PIECES).iter().copied());
            }
            _ => {
                // In front of a line, where it matters most.
                let line = bytes[at..].iter().position(|&byte| byte == b'\n').map_or(at, |offset| at + offset + 1);
                bytes.splice(line..line, dice.pick(PIECES).iter().copied());
            }
        }
    }
}

#[test]
fn changed_requests_keep_the_invariant_or_are_refused_however_they_are_cut() {
    for_seeds(|dice| {
        let mut input = requests(dice).iter().flat_map(|made| made.input.clone()).collect::<Vec<u8>>();
        mutate(dice, &mut input);
        let mut whole = Drive::new();
        whole.egress(&input);
        let mut split = Drive::new();
        let mut rest = input.clone();
        while !rest.is_empty() {
            let piece = piece(dice, &mut rest);
            split.egress(piece);
        }
        assert_eq!(whole.fault, split.fault);
        assert!(split.upstream.starts_with(&whole.upstream));
        assert!(whole.fault.is_some() || split.upstream == whole.upstream);
        for drive in [&whole, &split] {
            let (seen, tail) = strict::requests(&drive.upstream);
            assert_eq!(seen.len(), drive.requests.len());
            assert_ne!(tail, Tail::Head);
            for (request, told) in seen.iter().zip(&drive.requests) {
                strict::check_invariant(request, SET);
                assert_eq!(request.method, told.method);
            }
        }
    });
}

#[test]
fn changed_answers_never_panic_and_never_depend_on_the_cut() {
    for_seeds(|dice| {
        let made = Made { is_head: dice.one_in(5), ..Made::default() };
        let method = if made.is_head { "HEAD" } else { "GET" };
        let mut input = vec![];
        for _ in 0..3 {
            input.extend(generate::answer(dice, &made).0);
        }
        mutate(dice, &mut input);
        let start = || {
            let mut drive = Drive::new();
            drive.egress(drive::get("").replace("GET", method).repeat(3));
            drive
        };
        let mut whole = start();
        whole.ingress(&input);
        let mut split = start();
        let mut rest = input.clone();
        while !rest.is_empty() {
            let piece = piece(dice, &mut rest);
            split.ingress(piece);
        }
        assert_eq!(
            (whole.fault, &whole.downstream, &whole.responses),
            (split.fault, &split.downstream, &split.responses)
        );
        assert_eq!(whole.exchange.must_close(), split.exchange.must_close());
    });
}
