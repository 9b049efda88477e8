//! Clients that go on talking while the appliance says goodbye.

use std::hint;
use std::thread;
use std::time::{Duration, Instant};

use penstock_tests::appliance::Setup;
use penstock_tests::upstream::{Then, Upstream};

const ENTRA: &str = "login.microsoftonline.com";
/// At once.
const CLIENTS: usize = 4;
/// Connections of each. What is wrong shows where a record arrives in the very moment of the goodbye, so each waits a
/// little longer before it goes on.
const ROUNDS: u32 = 100;
const STEP: Duration = Duration::from_micros(15);
/// In a record a byte.
const NEXT: &[u8] = b"GET /nex";
const BETWEEN_RECORDS: Duration = Duration::from_micros(50);

fn spin(span: Duration) {
    let started = Instant::now();
    while started.elapsed() < span {
        hint::spin_loop();
    }
}

#[test]
fn records_behind_the_last_answer_are_dropped() {
    let upstream = Upstream::plan().answering(|_request, out| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine";
        out.write_all(answer).map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let appliance = Setup::default().upstream(&upstream).start();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let mut client = appliance.client(ENTRA);
                    client.send(format!("GET /last HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
                    spin(STEP * round);
                    // Until the connection is gone, or all are sent.
                    let _gone = NEXT.iter().try_for_each(|byte| {
                        spin(BETWEEN_RECORDS);
                        client.try_send([*byte])
                    });
                    assert_eq!(client.next_answer(false).map(|answer| answer.status), Some(200));
                }
            });
        }
    });
    assert_eq!(appliance.admin().metrics().sum("penstock_faults_total", &[]), 0.0, "{}", appliance.log());
}
