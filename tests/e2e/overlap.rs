//! The client's handshake beside the origin's, by what is remembered of the origin; and what becomes of the client when
//! the origin does something else this time.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use h2::Reason;
use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::certificate::Shown;
use penstock_tests::client::{self, Client};
use penstock_tests::http2::Ask;
use penstock_tests::tunnel::STAFF;
use penstock_tests::upstream::{Plan, Then, Upstream};
use penstock_tests::{place, wait};
use rustls::{AlertDescription, Error};

const ENTRA: &str = "login.microsoftonline.com";
const BOTH: &[&str] = &["h2", "http/1.1"];
const HTTP_1_1: &[&str] = &["http/1.1"];
const ENGINES: [&str; 2] = ["rustls", "boring"];
/// The preface with empty SETTINGS: no request yet.
const HTTP_2_BEGUN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Empty SETTINGS, and GOAWAY that says that no stream was looked at and nothing was wrong.
const TURNED_AWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// An appliance with one shard, so with one memory, and `engine` on both legs of three hosts.
fn before(upstream: &Upstream, engine: &str) -> Appliance {
    let hosts = format!("hosts = [\"{ENTRA}\", \"login.live.com\", \"claude.ai\"]");
    let engines = format!("\n[[engine]]\n{hosts}\nupstream = \"{engine}\"\ndownstream = \"{engine}\"\n");
    let policy = place::read(place::example_policy()) + &engines;
    Setup::default().policy(&policy).upstream(upstream).shards(1).start()
}

/// An origin that says nothing on its second connection, and on later ones, until it is told to.
fn withholding(plan: Plan) -> (Upstream, Sender<()>) {
    let (go_on, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let plan = plan.holding(move |number| {
        if number > 0 {
            let _ = wait.lock().unwrap().recv();
        }
    });
    (plan.start(), go_on)
}

/// A client of `host` that offers `protocols`.
fn offering(appliance: &Appliance, host: &str, protocols: &[&str]) -> io::Result<Client> {
    let mut config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    appliance.client_with(STAFF, host, Arc::new(config))
}

/// The protocol that a client agreed on.
fn spoken(client: &Client) -> String {
    String::from_utf8(client.alpn().unwrap_or_default()).unwrap()
}

fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Waits until so many handshakes with clients were completed, of which so many had each outcome.
fn await_outcomes(appliance: &Appliance, handshakes: u32, outcomes: &[(&str, u32)]) {
    let (admin, all) = (appliance.admin(), outcomes.iter().map(|(_, count)| count).sum::<u32>());
    wait::until(&format!("{handshakes} handshakes and {outcomes:?}"), || {
        let metrics = admin.metrics();
        let count = |labels: &[&str]| metrics.sum("penstock_handshake_overlaps_total", labels);
        let named = |(outcome, wanted): &(&str, u32)| count(&[&format!("outcome=\"{outcome}\"")]) == f64::from(*wanted);
        let done = metrics.sum("penstock_handshakes_total", &["leg=\"downstream\""]) == f64::from(handshakes);
        (done && outcomes.iter().all(named) && count(&[]) == f64::from(all)).then_some(())
    });
}

fn await_no_flows(appliance: &Appliance) {
    let admin = appliance.admin();
    wait::until("all flows to end", || (admin.metrics().sum("penstock_flows_active", &[]) == 0.0).then_some(()));
}

/// The origin has not said a word when the client's handshake is over.
#[test]
fn the_second_handshake_does_not_wait_for_the_origin() {
    for engine in ENGINES {
        let (upstream, go_on) = withholding(Upstream::plan());
        let appliance = before(&upstream, engine);
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/first").status, 200);
        let mut client = appliance.client(ENTRA);
        assert_eq!(spoken(&client), "http/1.1", "{engine}");
        client.send(get(ENTRA));
        wait::until("the origin to be asked", || (upstream.seen().len() == 2).then_some(()));
        assert!(upstream.seen()[1].bytes.is_empty());
        go_on.send(()).unwrap();
        assert_eq!(client.answer().status, 200, "{engine}");
        assert_eq!(upstream.requests().len(), 2);
        await_outcomes(&appliance, 2, &[("confirmed", 1)]);
    }
}

#[test]
fn the_second_handshake_does_not_wait_for_the_origin_over_http_2() {
    for engine in ENGINES {
        let (upstream, go_on) = withholding(Upstream::plan());
        let appliance = before(&upstream, engine);
        assert_eq!(appliance.http2_client(ENTRA).ask(Ask::get(ENTRA, "/first")).unwrap().status, 200);
        let client = appliance.http2_client(ENTRA);
        thread::scope(|scope| {
            let asks = (0..20).map(|number| Ask::post(ENTRA, &format!("/{number}"), vec![7; 2_000])).collect();
            let asking = scope.spawn(|| client.ask_all(asks));
            wait::until("the origin to be asked", || (upstream.seen().len() == 2).then_some(()));
            go_on.send(()).unwrap();
            assert!(asking.join().unwrap().into_iter().all(|answer| answer.unwrap().status == 200), "{engine}");
        });
        assert_eq!(upstream.requests().len(), 21);
        await_outcomes(&appliance, 2, &[("confirmed", 1)]);
    }
}

/// The head goes out in one flight with the client's Finished, and far more behind it than any buffer holds.
#[test]
fn what_the_client_sends_early_waits_and_arrives_once() {
    let body: Vec<u8> = (0..24_000_017_u32).map(|index| (index % 251) as u8).collect();
    for engine in ENGINES {
        let (upstream, go_on) = withholding(Upstream::plan());
        let appliance = before(&upstream, engine);
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/first").status, 200);
        let (mut connection, hello) = client::first_flight(ENTRA, client::config(&[&appliance.root()]));
        let head = format!("POST /early HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.writer().write_all(head.as_bytes()).unwrap();
        let mut stream = appliance.tunnel(ENTRA);
        stream.write_all(&hello).unwrap();
        let mut client = client::finish_handshake(connection, stream).unwrap();
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                client.send(&body);
                client.answer()
            });
            wait::until("the origin to be asked", || (upstream.seen().len() == 2).then_some(()));
            go_on.send(()).unwrap();
            assert_eq!(sending.join().unwrap().status, 200, "{engine}");
        });
        let requests = upstream.requests();
        assert_eq!(requests.len(), 2);
        assert!(requests[1].body == body);
        await_outcomes(&appliance, 2, &[("confirmed", 1)]);
    }
}

/// The origin shows a new certificate on every connection of these tests.
#[test]
fn another_certificate_that_is_good_is_no_other_answer() {
    for engine in ENGINES {
        let upstream = Upstream::plan().start();
        let appliance = before(&upstream, engine);
        for number in 0..3 {
            // Without the sessions of before, so that the certificate is shown.
            upstream.change(Upstream::plan());
            assert_eq!(appliance.client(ENTRA).get(ENTRA, &format!("/{number}")).status, 200, "{engine}");
        }
        assert_eq!(upstream.requests().len(), 3);
        await_outcomes(&appliance, 3, &[("confirmed", 2)]);
    }
}

/// The client speaks HTTP/2 by then. It is turned away before an answer, and what it comes back with waits for the origin.
#[test]
fn h095_an_origin_that_leaves_http_2_costs_a_retry_and_never_a_wrong_protocol() {
    for engine in ENGINES {
        let upstream = Upstream::plan().start();
        let appliance = before(&upstream, engine);
        assert_eq!(appliance.http2_client(ENTRA).ask(Ask::get(ENTRA, "/first")).unwrap().status, 200);
        upstream.change(Upstream::plan().speaking(HTTP_1_1));
        let mut turned = offering(&appliance, ENTRA, BOTH).unwrap();
        assert_eq!(spoken(&turned), "h2", "{engine}");
        turned.send(HTTP_2_BEGUN);
        // GET / in HPACK's static table.
        turned.send(b"\0\0\x1e\x01\x05\0\0\0\x01\x82\x84\x87\x41\x19login.microsoftonline.com");
        assert_eq!(turned.rest(), TURNED_AWAY, "{engine}");
        for number in 0..2 {
            let mut client = offering(&appliance, ENTRA, BOTH).unwrap();
            assert_eq!(spoken(&client), "http/1.1", "{engine}");
            assert_eq!(client.get(ENTRA, &format!("/{number}")).status, 200);
        }
        assert_eq!(upstream.requests().len(), 3);
        let seen = upstream.seen();
        assert!(seen[1].bytes.is_empty() && seen[1].requests.is_empty(), "{:?}", seen[1]);
        let events = appliance.admin().await_events("status=fault", 1);
        assert!(events.iter().all(|event| event["fault"] == "upstream/handshake/alpn_changed"), "{events:?}");
        // An origin that was wrong once is not guessed at again.
        await_outcomes(&appliance, 4, &[("wrong_guess", 1)]);
    }
}

/// Requests of whatever method may be sent again, by the client's library and without its user.
#[test]
fn a_client_is_turned_away_by_goaway_that_names_none_of_its_streams() {
    for engine in ENGINES {
        let upstream = Upstream::plan().start();
        let appliance = before(&upstream, engine);
        assert_eq!(appliance.http2_client(ENTRA).ask(Ask::get(ENTRA, "/first")).unwrap().status, 200);
        upstream.change(Upstream::plan().speaking(HTTP_1_1));
        let mut client = appliance.http2_client(ENTRA);
        let error = client.ask(Ask::post(ENTRA, "/", vec![7; 20_000])).unwrap_err();
        assert!(error.is_go_away() && error.is_remote(), "{engine}: {error:?}");
        assert_eq!(error.reason(), Some(Reason::NO_ERROR), "{engine}");
        assert_eq!(client.ended(), None);
        assert_eq!(upstream.requests().len(), 1);
        await_outcomes(&appliance, 2, &[("wrong_guess", 1)]);
    }
}

#[test]
fn h095_an_origin_that_takes_http_2_up_costs_a_retry_and_never_a_wrong_protocol() {
    for engine in ENGINES {
        let upstream = Upstream::plan().speaking(HTTP_1_1).start();
        let appliance = before(&upstream, engine);
        let mut first = offering(&appliance, ENTRA, BOTH).unwrap();
        assert_eq!((spoken(&first).as_str(), first.get(ENTRA, "/").status), ("http/1.1", 200));
        upstream.change(Upstream::plan());
        let mut turned = offering(&appliance, ENTRA, BOTH).unwrap();
        assert_eq!(spoken(&turned), "http/1.1", "{engine}");
        let _ = turned.try_send(get(ENTRA));
        assert_eq!(turned.rest(), b"", "{engine}: an end without an answer");
        assert_eq!(appliance.http2_client(ENTRA).ask(Ask::get(ENTRA, "/again")).unwrap().status, 200);
        assert_eq!(upstream.requests().len(), 2);
        await_outcomes(&appliance, 3, &[("wrong_guess", 1)]);
    }
}

/// What another client offered says nothing about what this one will be given.
#[test]
fn another_offer_waits_for_the_origin() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream, "rustls");
    let offers: [(&[&str], &str); 5] =
        [(BOTH, "h2"), (HTTP_1_1, "http/1.1"), (&["h2"], "h2"), (&[], ""), (&["http/1.1", "h2"], "h2")];
    for (offer, expected) in offers {
        assert_eq!(spoken(&offering(&appliance, ENTRA, offer).unwrap()), expected, "{offer:?}");
    }
    await_outcomes(&appliance, 5, &[]);
    for (offer, expected) in offers {
        assert_eq!(spoken(&offering(&appliance, ENTRA, offer).unwrap()), expected, "{offer:?}");
    }
    await_outcomes(&appliance, 10, &[("confirmed", 5)]);
}

/// The client was let in on a certificate that was good; the one of now is not, and gets nothing.
#[test]
fn a_certificate_that_is_no_longer_good_gets_no_byte_of_a_request() {
    for engine in ENGINES {
        let upstream = Upstream::plan().start();
        let appliance = before(&upstream, engine);
        let bad = [
            (ENTRA, Shown::WrongName, "certificate_name"),
            ("login.live.com", Shown::SelfSigned, "certificate_unknown"),
            ("claude.ai", Shown::Expired, "certificate_time"),
        ];
        for (number, (host, shown, kind)) in bad.into_iter().enumerate() {
            upstream.change(Upstream::plan());
            assert_eq!(appliance.client(host).get(host, "/").status, 200);
            assert_eq!(appliance.http2_client(host).ask(Ask::get(host, "/")).unwrap().status, 200);
            upstream.change(Upstream::plan().showing(shown));
            let answer = appliance.client(host).get(host, "/secret");
            assert_eq!(answer.status, 502, "{engine} {shown:?}");
            assert!(answer.text().contains(kind), "{engine} {shown:?}: {}", answer.text());
            let mut turned = offering(&appliance, host, BOTH).unwrap();
            turned.send(HTTP_2_BEGUN);
            assert_eq!(turned.rest(), TURNED_AWAY, "{engine} {shown:?}");
            // Who comes back hears it from the handshake, as the first would have.
            for offer in [HTTP_1_1, BOTH] {
                let error = offering(&appliance, host, offer).err().unwrap();
                let alert = Error::AlertReceived(AlertDescription::HandshakeFailure);
                assert_eq!(error.get_ref().unwrap().downcast_ref::<Error>(), Some(&alert), "{engine} {shown:?}");
            }
            let events = appliance.admin().await_events("status=fault", 4 * (number + 1));
            let told: Vec<_> =
                events.iter().filter(|event| event["sni"] == host).map(|event| &event["fault"]).collect();
            assert_eq!(told, vec![&format!("upstream/verify/{kind}"); 4], "{engine} {shown:?}");
        }
        assert_eq!(upstream.requests().len(), 6);
        assert!(upstream.requests().iter().all(|request| request.target() == "/"));
        assert!(upstream.seen().iter().all(|seen| seen.bytes.is_empty() || !seen.requests.is_empty()));
        await_outcomes(&appliance, 12, &[("upstream_failed", 6)]);
        // Once it is good again, the origin is asked first, and believed.
        upstream.change(Upstream::plan());
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
        await_outcomes(&appliance, 13, &[("upstream_failed", 6)]);
    }
}

#[test]
fn an_origin_that_falls_silent_is_a_504() {
    let (upstream, _never) = withholding(Upstream::plan());
    let appliance = before(&upstream, "rustls");
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 504);
    let events = appliance.admin().await_events("status=fault", 1);
    assert_eq!(events[0]["fault"], "upstream/handshake/deadline");
    await_no_flows(&appliance);
}

/// The origin is given up at once when nobody is left to ask for, before or after the client's handshake.
#[test]
fn a_client_that_leaves_meanwhile_leaves_nothing_behind() {
    for engine in ENGINES {
        let (upstream, go_on) = withholding(Upstream::plan());
        let appliance = before(&upstream, engine);
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
        await_no_flows(&appliance);
        // The origin stays silent: only the client's end can end this flow.
        let mut stream = appliance.tunnel(ENTRA);
        let (_, hello) = client::first_flight(ENTRA, client::config(&[&appliance.root()]));
        stream.write_all(&hello).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let events = appliance.admin().await_events("status=fault", 1);
        assert_eq!(events[0]["fault"], "downstream/handshake/closed", "{engine}");
        drop(stream);
        await_outcomes(&appliance, 1, &[("downstream_failed", 1)]);
        let mut client = appliance.client(ENTRA);
        client.send("GET / HTTP/1.1\r\nHost: ");
        drop(client);
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        await_no_flows(&appliance);
        await_outcomes(&appliance, 2, &[("downstream_failed", 1), ("confirmed", 1)]);
        assert_eq!(upstream.requests().len(), 1);
    }
}

/// A client that does not trust the leaf says so while the origin is silent: as good a refusal as any.
#[test]
fn a_client_that_refuses_the_leaf_is_told_of_as_before() {
    let (upstream, _never) = withholding(Upstream::plan());
    let appliance = before(&upstream, "rustls");
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    let stranger = client::config(&[&upstream.ca()]);
    assert!(appliance.client_with(STAFF, ENTRA, stranger).is_err());
    let events = appliance.admin().await_events("status=fault", 1);
    assert_eq!(events[0]["fault"], "downstream/handshake/untrusted");
    await_outcomes(&appliance, 1, &[("downstream_failed", 1)]);
}

/// A drain that begins meanwhile leaves the request alone or has it answered, and holds nothing up.
#[test]
fn a_drain_ends_the_flow_in_order() {
    let (upstream, go_on) = withholding(Upstream::plan().answering(|_, out| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
        out.write_all(answer).map_or(Then::Reset, |()| Then::Close)
    }));
    let mut appliance = before(&upstream, "rustls");
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    let mut client = appliance.client(ENTRA);
    client.send(get(ENTRA));
    wait::until("the origin to be asked", || (upstream.seen().len() == 2).then_some(()));
    appliance.process().terminate();
    wait::until("the drain to begin", || appliance.log().contains("draining").then_some(()));
    go_on.send(()).unwrap();
    let answered = client.next_answer(false).map(|answer| answer.status);
    assert_eq!(upstream.requests().len(), if answered.is_some() { 2 } else { 1 });
    assert!(matches!(answered, None | Some(200)), "{answered:?}");
    appliance.process().ended(wait::LIMIT).expect("an end once the flow is over");
}
