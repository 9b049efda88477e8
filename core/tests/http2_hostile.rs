//! Hostile cases on HTTP/2 that the exchange alone decides, one test each, by the case's number. What a request may hold.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http2/drive.rs"]
mod drive;
#[path = "http2/receiver.rs"]
mod receiver;
#[path = "http2/wire.rs"]
mod wire;

use drive::{Drive, GET, HOST, POST, edited, header_edit};
use penstock_core::http2::EditFault;
use penstock_core::limits::HTTP2_FIELDS_MAX;
use penstock_core::policy::Mode;
use receiver::Item;
use wire::{Shape, data, frame, pair, pairs};

/// A head that begins a stream, sent in every shape: how it is refused, and that nothing of it goes upstream.
fn refused(fields: &[(&str, &str)], ends: bool, fault: EditFault) {
    for shape in [Shape::Plain, Shape::Incremental] {
        let mut drive = Drive::new();
        drive.head(1, fields, shape, ends);
        assert_eq!(drive.refusals, [fault], "{fields:?}");
        assert!(!drive.went_upstream(1) && drive.requests.is_empty() && drive.fault.is_none(), "{fields:?}");
        if fault.status() == 400 {
            assert_eq!(drive.client.resets(), [(1, 1)], "{fields:?}");
        } else {
            let status = fault.status().to_string();
            assert_eq!(drive.client.heads()[0].1[0], pair(":status", &status), "{fields:?}");
        }
        // The connection goes on, and so do the tables.
        drive.head(3, &[GET, &[("x-a", "1")]].concat(), Shape::Indexed, true);
        assert_eq!(drive.origin.heads(), [(3, edited(GET, &[("x-a", "1")]), true)], "{fields:?}");
    }
}

fn refused_with(fields: &[(&str, &str)], fault: EditFault) {
    refused(&[GET, fields].concat(), true, fault);
}

/// `GET` with one pseudo-header field of another value.
fn lead(name: &str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    GET.iter().map(|&(known, old)| (known, if known == name { value } else { old })).collect()
}

#[test]
fn h031_another_authority_is_misdirected() {
    for authority in ["other.example", "login.example.evil", "login.example:444", "xlogin.example"] {
        refused(&lead(":authority", authority), true, EditFault::HostWrong);
        refused(&lead(":authority", authority), false, EditFault::HostWrong);
    }
    refused_with(&[("host", "other.example")], EditFault::HostWrong);
}

#[test]
fn h033_coalesced_streams_are_misdirected_and_the_others_served() {
    let mut drive = Drive::new();
    for stream in [1, 5, 9] {
        drive.head(stream, &[GET, &[("x", "y")]].concat(), Shape::Indexed, true);
        drive.head(stream + 2, &lead(":authority", "sibling.example"), Shape::Indexed, true);
    }
    assert_eq!(drive.origin.heads().iter().map(|head| head.0).collect::<Vec<_>>(), [1, 5, 9]);
    let refusals = drive.client.heads();
    assert_eq!(refusals.iter().map(|head| head.0).collect::<Vec<_>>(), [3, 7, 11]);
    assert!(refusals.iter().all(|head| head.1[0] == pair(":status", "421")));
}

#[test]
fn h036_authority_forms() {
    for authority in ["LOGIN.example", "login.example.", "login.example:443"] {
        let mut drive = Drive::new();
        drive.head(1, &[&lead(":authority", authority)[..], &[("host", HOST)]].concat(), Shape::Plain, true);
        assert!(drive.went_upstream(1), "{authority}");
    }
    for authority in
        ["", "login.example:", "login.example:0443", "user@login.example", "login.example/x", "[::1]", "127.0.0.1"]
    {
        refused(&lead(":authority", authority), true, EditFault::HostMalformed);
    }
    refused_with(&[("host", HOST), ("host", HOST)], EditFault::HostTwice);
    let without: Vec<_> = GET.iter().copied().filter(|(name, _)| *name != ":authority").collect();
    refused(&without, true, EditFault::HostMissing);
    let mut drive = Drive::new();
    drive.head(1, &[&without[..], &[("host", HOST)]].concat(), Shape::Plain, true);
    assert!(drive.went_upstream(1));
}

#[test]
fn h086_authority_and_host_that_differ() {
    refused_with(&[("host", "other.example")], EditFault::HostWrong);
    refused_with(&[("host", "user@login.example")], EditFault::HostMalformed);
    refused_with(&[("host", HOST), ("host", "other.example")], EditFault::HostTwice);
    refused_with(&[("host", "")], EditFault::HostMalformed);
    let userinfo = [lead(":authority", "login.example@other.example"), vec![("host", HOST)]].concat();
    refused(&userinfo, true, EditFault::HostMalformed);
    let fronted = [lead(":authority", "other.example"), vec![("host", HOST)]].concat();
    refused(&fronted, true, EditFault::HostWrong);
}

#[test]
fn h037_alt_svc_fields_and_frames_do_not_reach_the_client() {
    for shape in [Shape::Plain, Shape::Incremental, Shape::Indexed] {
        let mut drive = Drive::new();
        drive.get(1, &[]).get(3, &[]);
        for stream in [1, 3] {
            let fields = [(":status", "200"), ("alt-svc", "h3=\":443\""), ("server", "x")];
            let block = drive.ingress_writer.plain(&fields, shape);
            drive.ingress(frame(wire::HEADERS, 5, stream, block));
        }
        let expected = pairs(&[(":status", "200"), ("server", "x")]);
        assert_eq!(drive.client.heads(), [(1, expected.clone(), true), (3, expected, true)], "{shape:?}");
        drive.client.items.clear();
        drive.ingress(frame(0xa, 0, 0, b"\0\x05a.comh3=\":443\"")).ingress(frame(0xc, 0, 0, b"\0\x01a"));
        assert_eq!((drive.client.items.len(), drive.fault), (0, None));
    }
}

#[test]
fn h039_connect_and_extended_connect() {
    let connect = [(":method", "CONNECT"), (":authority", HOST)];
    refused(&connect, false, EditFault::MethodNotAllowed);
    let websocket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", HOST),
    ];
    refused(&websocket, false, EditFault::MethodNotAllowed);
    refused(&[GET, &[(":protocol", "websocket")]].concat(), true, EditFault::PseudoHeaderMalformed);
    // Not allowed by the edit: the origin's offer is not even passed on.
    let mut drive = Drive::with(header_edit(Mode::Enforce), &[], &[(8, 1)]);
    drive.head(1, &websocket, Shape::Plain, false);
    assert_eq!(drive.refusals, [EditFault::MethodNotAllowed]);
    // Allowed, and offered.
    let mut drive = Drive::with(header_edit(Mode::Enforce).with_websocket(true), &[], &[(8, 1)]);
    drive.head(1, &websocket, Shape::Plain, false);
    assert_eq!(drive.origin.heads(), [(1, edited(&websocket, &[]), false)]);
    drive.answer(1, &[(":status", "200")], false);
    drive.egress(data(1, b"\x81\x85frame", false)).ingress(data(1, b"\x81\0", false));
    assert_eq!(drive.origin.content(1).0, b"\x81\x85frame");
    assert_eq!(drive.client.content(1).0, b"\x81\0");
    // Allowed, but to nothing else.
    let other = websocket.map(|(name, value)| (name, if name == ":protocol" { "connect-udp" } else { value }));
    drive.head(3, &other, Shape::Plain, false);
    assert_eq!(drive.refusals, [EditFault::MethodNotAllowed]);
}

/// What looks like a request behind a WebSocket request is content of that stream, whatever the answer.
#[test]
fn h040_what_follows_a_websocket_request_stays_on_its_stream() {
    let websocket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", HOST),
    ];
    let smuggled = frame(wire::HEADERS, wire::END_HEADERS | 1, 3, b"\x82\x87\x84\x41\x0dlogin.example");
    // Not allowed: neither the request nor what follows goes upstream.
    let mut drive = Drive::with(header_edit(Mode::Enforce), &[], &[(8, 1)]);
    let before = drive.upstream.len();
    drive.head(1, &websocket, Shape::Plain, false).egress(data(1, &smuggled, false));
    assert_eq!((drive.upstream.len(), drive.refusals.as_slice()), (before, &[EditFault::MethodNotAllowed][..]));
    // Allowed: before the answer, behind a refusal, behind a 200.
    for status in ["200", "403"] {
        let mut drive = Drive::with(header_edit(Mode::Enforce).with_websocket(true), &[], &[(8, 1)]);
        drive.head(1, &websocket, Shape::Plain, false).egress(data(1, &smuggled, false));
        drive.answer(1, &[(":status", status)], status == "403").egress(data(1, &smuggled, false));
        drive.get(5, &[]);
        assert_eq!(drive.origin.content(1).0, smuggled.repeat(2));
        let streams: Vec<u32> = drive.origin.heads().iter().map(|head| head.0).collect();
        assert_eq!(streams, [1, 5]);
        assert_eq!((&drive.origin.heads()[1].1, drive.fault), (&edited(GET, &[]), None));
    }
}

#[test]
fn h045_copies_are_replaced_by_one_of_each() {
    let copies = vec![("restrict-access-to-tenants", "evil"); 100];
    for shape in [Shape::Plain, Shape::Incremental, Shape::Indexed, Shape::Never] {
        let mut drive = Drive::new();
        drive.head(1, &[GET, &copies, &[("x", "y")]].concat(), shape, true);
        assert_eq!(drive.origin.heads()[0].1, edited(GET, &[("x", "y")]), "{shape:?}");
        assert_eq!(drive.requests[0].stripped, ["restrict-access-to-tenants"]);
    }
}

#[test]
fn h055_several_families_are_all_there() {
    let mut drive = Drive::new();
    drive.get(1, &[("restrict-access-context", "evil"), ("sec-restrict-tenant-access-policy", "evil")]);
    let heads = drive.origin.heads();
    assert_eq!(heads[0].1, edited(GET, &[]));
    assert_eq!(heads[0].1.len(), GET.len() + drive::SET.len());
}

#[test]
fn h046_twins_and_look_alikes() {
    for twin in ["restrict_access_to_tenants", "restrict.access-to_tenants", "sec-restrict-tenant-access-policy"] {
        let mut drive = Drive::new();
        drive.get(1, &[(twin, "evil")]);
        assert_eq!(drive.origin.heads()[0].1, edited(GET, &[]), "{twin}");
    }
    for name in ["restrict-access-to-tenants ", "restrict-access-to-tenants\0", "restrict-access-to-ten\u{430}nts"] {
        refused_with(&[(name, "v")], EditFault::FieldNameMalformed);
    }
}

#[test]
fn h084_odd_names_and_values() {
    for name in [
        "Restrict-Access-To-Tenants",
        "x-A",
        "",
        "a b",
        "a:b",
        "restrict-access-to-tenants ",
        "x\0",
        "x\r",
        "x\ny",
        "caf\u{e9}",
    ] {
        refused_with(&[(name, "v")], EditFault::FieldNameMalformed);
    }
    for value in ["a\r", "a\nb", "a\0", " a", "a ", "\ta", "a\t", "\x7f", "a\r\nrestrict-access-context: evil"] {
        refused_with(&[("x", value)], EditFault::FieldValueMalformed);
    }
    refused_with(&[("content_length", "5")], EditFault::FieldTwin);
    refused_with(&[("transfer.encoding", "chunked")], EditFault::FieldTwin);
}

#[test]
fn h048_request_trailers_are_dropped_with_what_they_hide() {
    let mut drive = Drive::new();
    drive.head(1, POST, Shape::Plain, false);
    drive.head(1, &[("restrict-access-to-tenants", "evil"), ("x", "y")], Shape::Incremental, true);
    assert_eq!(drive.origin.heads().len(), 1);
    assert_eq!(drive.origin.content(1), (vec![], true));
    // An index that means the restriction header in the client's table.
    drive.head(3, &[GET, &[("restrict-access-to-tenants", "evil"), ("x", "y")]].concat(), Shape::Indexed, true);
    assert_eq!(drive.origin.heads()[1].1, edited(GET, &[("x", "y")]));
}

#[test]
fn h051_every_stream_carries_the_headers() {
    let mut drive = Drive::new();
    for number in 0..600 {
        let stream = 2 * number + 1;
        drive.head(stream, &[GET, &[("cookie", "a=b"), ("x", "y")]].concat(), Shape::Indexed, number % 3 != 0);
        if number % 3 == 0 {
            drive.egress(data(stream, b"", true));
        }
        let status = ["200", "403", "304", "204"][number as usize % 4];
        drive.answer(stream, &[(":status", status)], true);
    }
    let heads = drive.origin.heads();
    assert_eq!((heads.len(), drive.responses.len(), drive.fault), (600, 600, None));
    let expected = edited(GET, &[("cookie", "a=b"), ("x", "y")]);
    assert!(heads.iter().all(|head| head.1 == expected));
}

#[test]
fn h052_the_list_that_the_origin_takes_is_cut_by_what_is_added() {
    let mut drive = Drive::fresh(header_edit(Mode::Enforce));
    drive.egress([wire::PREFACE, &wire::settings(&[])].concat()).ingress(wire::settings(&[(6, 1_000)]));
    let added: u32 = drive::SET.iter().map(|(name, value)| (name.len() + value.len() + 32) as u32).sum();
    assert_eq!(drive.client.items, [Item::Settings(vec![(6, 1_000 - added), (3, 256)])]);
    // A client that does not care: the origin gets all or nothing.
    let long = "v".repeat(2_000);
    drive.client.bounds.push_back(None);
    drive.origin.bounds.push_back(None);
    drive.ingress(wire::ack()).egress(wire::ack());
    drive.get(1, &[("x", &long)]);
    assert_eq!(drive.origin.heads()[0].1, edited(GET, &[("x", &long)]));
}

#[test]
fn h053_tables_that_shrink_and_grow() {
    let fields = [("x-a", "1"), ("x-b", "2")];
    for is_anew in [false, true] {
        let mut drive = Drive::with(header_edit(Mode::Enforce), &[], &[(1, 0)]);
        drive.egress_writer.resize(0);
        let first = if is_anew { ("restrict-access-context", "evil") } else { ("x-c", "3") };
        drive.head(1, &[GET, &[first]].concat(), Shape::Incremental, true);
        let mut stream = 3;
        for bytes in [100, 65_536, 200, 0, 4_096, 64] {
            drive.origin.bounds.push_back(Some(bytes));
            drive.ingress(wire::settings(&[(1, bytes as u32)])).egress(wire::ack());
            drive.egress_writer.resize(bytes);
            for _ in 0..3 {
                drive.head(stream, &[GET, &fields].concat(), Shape::Indexed, true);
                stream += 2;
            }
        }
        // Down and up again between two blocks: the lowest has to be told.
        for bytes in [10, 4_096] {
            drive.origin.bounds.push_back(Some(bytes));
            drive.ingress(wire::settings(&[(1, bytes as u32)])).egress(wire::ack());
            drive.egress_writer.resize(bytes);
        }
        drive.head(stream, &[GET, &fields].concat(), Shape::Indexed, true);
        let heads = drive.origin.heads();
        assert_eq!((heads.len(), drive.fault), (20, None));
        assert!(heads[1..].iter().all(|head| head.1 == edited(GET, &fields)));
    }
}

#[test]
fn h053_a_shrink_that_the_client_ignores_ends_the_connection() {
    let mut drive = Drive::with(header_edit(Mode::Enforce), &[], &[(1, 0)]);
    drive.head(1, GET, Shape::Plain, true);
    assert_eq!((drive.fault, drive.client.goaway()), (Some(EditFault::FieldCompression), Some(9)));
    assert!(!drive.went_upstream(1));
}

#[test]
fn h053_an_answer_of_our_own_obeys_a_shrink_that_the_origin_has_not_obeyed_yet() {
    for is_anew in [false, true] {
        let mut drive = Drive::new();
        drive.get(1, &[]).get(3, &[]);
        let alt_svc = if is_anew { ("alt-svc", "h3") } else { ("x", "y") };
        let block = drive.ingress_writer.plain(&[(":status", "200"), alt_svc, ("server", "s")], Shape::Incremental);
        drive.ingress(frame(wire::HEADERS, 5, 1, block));
        drive.client.bounds.push_back(Some(64));
        drive.egress(wire::settings(&[(1, 64)])).ingress(wire::ack());
        drive.head(5, &lead(":authority", "other.example"), Shape::Plain, true);
        drive.ingress_writer.resize(64);
        drive.answer(3, &[(":status", "200"), ("server", "s")], true);
        let heads = drive.client.heads();
        assert_eq!((heads[1].0, &heads[1].1[0]), (5, &pair(":status", "421")));
        assert_eq!(heads[2], (3, pairs(&[(":status", "200"), ("server", "s")]), true));
    }
}

#[test]
fn h056_values_never_enter_events() {
    let mut drive = Drive::new();
    drive.get(1, &[("restrict-access-context", "secret"), ("authorization", "Bearer secret")]);
    drive.answer(1, &[(":status", "200"), ("restrict-access-to-tenants", "contoso.com")], true);
    let told = format!("{:?}{:?}", drive.requests, drive.responses);
    assert!(!told.contains("secret") && !told.contains("contoso.com"), "{told}");
}

#[test]
fn h079_h080_bombs_are_refused_and_the_tables_stay_right() {
    let crumbs = vec![("cookie", "a"); HTTP2_FIELDS_MAX];
    refused_with(&crumbs, EditFault::TooManyFields);
    let long = "v".repeat(4_000);
    let mut drive = Drive::new();
    drive.head(1, &[GET, &[("x", &*long)]].concat(), Shape::Incremental, true);
    let many = vec![("x", &*long); 100];
    drive.head(3, &[GET, &many].concat(), Shape::Indexed, true);
    assert_eq!(drive.refusals, [EditFault::TooManyFields]);
    assert!(!drive.went_upstream(3));
    drive.head(5, &[GET, &[("x", &*long)]].concat(), Shape::Indexed, true);
    assert_eq!(drive.origin.heads()[1].1, edited(GET, &[("x", &long)]));
}

#[test]
fn h085_pseudo_header_fields() {
    use EditFault::{MethodMalformed, MethodNotAllowed, MethodUnknown, PseudoHeaderMalformed, TargetMalformed};
    for name in [":method", ":scheme", ":path"] {
        let without: Vec<_> = GET.iter().copied().filter(|(known, _)| *known != name).collect();
        refused(&without, true, PseudoHeaderMalformed);
    }
    for &(name, value) in GET {
        refused(&[GET, &[(name, value)]].concat(), true, PseudoHeaderMalformed);
        let others: Vec<_> = GET.iter().copied().filter(|(known, _)| *known != name).collect();
        refused(&[&others[..], &[("x", "y"), (name, value)]].concat(), true, PseudoHeaderMalformed);
    }
    for extra in [(":status", "200"), (":x", "y"), (":restrict-access-context", "e")] {
        refused_with(&[extra], PseudoHeaderMalformed);
    }
    for scheme in ["http", "HTTPS", "", "https://login.example", "file"] {
        refused(&lead(":scheme", scheme), true, PseudoHeaderMalformed);
    }
    for path in ["", "x", "*", "/a b", "/a#b", "/a\u{e9}", "/a\\b", "/a%00", "/a%0d%0ab", "https://login.example/"] {
        let fault = if path == "/a\u{e9}" || !path.contains('\0') { TargetMalformed } else { PseudoHeaderMalformed };
        refused(&lead(":path", path), true, fault);
    }
    refused(&lead(":method", "get"), true, MethodMalformed);
    refused(&lead(":method", ""), true, MethodMalformed);
    refused(&lead(":method", "GE T"), true, MethodMalformed);
    refused(&lead(":method", "FOOBAR"), true, MethodUnknown);
    refused(&lead(":method", "TRACE"), true, MethodNotAllowed);
    // In trailers.
    let mut drive = Drive::new();
    drive.head(1, POST, Shape::Plain, false).head(1, &[(":method", "GET")], Shape::Incremental, true);
    assert_eq!((drive.client.resets(), drive.origin.resets()), (vec![(1, 1)], vec![(1, 8)]));
}

#[test]
fn h087_fields_of_one_connection() {
    for field in [
        ("connection", "restrict-access-to-tenants"),
        ("connection", "close"),
        ("keep-alive", "x"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        refused_with(&[field], EditFault::ConnectionField);
    }
    let mut drive = Drive::new();
    drive.get(1, &[("proxy-authorization", "x"), ("http2-settings", "x"), ("trailer", "x"), ("te", "trailers")]);
    assert_eq!(drive.origin.heads()[0].1, edited(GET, &[("te", "trailers")]));
    assert!(drive.requests[0].stripped.is_empty());
}

#[test]
fn h088_content_of_another_length() {
    use EditFault::{ContentLengthMalformed, ContentLengthTwice, ContentLengthWrong, ContentUnexpected};
    for value in ["+5", "05", "-5", "5_0", "", "9223372036854775808", "1e1"] {
        refused(&[POST, &[("content-length", value)]].concat(), false, ContentLengthMalformed);
    }
    refused(&[POST, &[("content-length", "5"), ("content-length", "5")]].concat(), false, ContentLengthTwice);
    refused(&[POST, &[("content-length", "5")]].concat(), true, ContentLengthWrong);
    refused(&[GET, &[("content-length", "5")]].concat(), false, ContentUnexpected);
    let begun = || {
        let mut drive = Drive::new();
        drive.head(1, &[POST, &[("content-length", "5")]].concat(), Shape::Plain, false);
        drive
    };
    for (frames, went) in [
        (vec![data(1, b"123456", false)], 0),
        (vec![data(1, b"123", false), data(1, b"456", false)], 3),
        (vec![data(1, b"1234", true)], 0),
        (vec![data(1, b"1234", false), data(1, b"", true)], 4),
    ] {
        let mut drive = begun();
        drive.egress(frames.concat()).egress(data(1, b"rest", false));
        assert_eq!(drive.refusals, [ContentLengthWrong]);
        assert_eq!((drive.client.resets(), drive.origin.resets()), (vec![(1, 1)], vec![(1, 8)]));
        assert_eq!(drive.origin.content(1), (vec![0; went].iter().zip(1..).map(|(_, n)| b'0' + n).collect(), false));
        // What the origin still sends is dropped and given back to it.
        drive.answer(1, &[(":status", "200"), ("x", "y")], false).ingress(data(1, b"late", true));
        assert!(drive.client.heads().is_empty() && drive.fault.is_none());
        assert!(drive.origin.items.contains(&Item::Window { stream: 0, increment: 4 }));
    }
    let mut drive = begun();
    drive.egress(data(1, b"1234", false)).head(1, &[("x", "y")], Shape::Plain, true);
    assert_eq!(drive.refusals, [ContentLengthWrong]);
    let mut drive = Drive::new();
    drive.head(1, GET, Shape::Plain, false).egress(data(1, b"GET / HTTP/1.1\r\n", true));
    assert_eq!(drive.refusals, [ContentUnexpected]);
}
