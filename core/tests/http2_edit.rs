//! What becomes of requests and answers on HTTP/2 that are right.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http2/drive.rs"]
mod drive;
#[path = "http2/receiver.rs"]
mod receiver;
#[path = "http2/wire.rs"]
mod wire;

use drive::{Drive, GET, POST, edited, header_edit, set};
use penstock_core::catalogue::{ConnectorId, DenialCode};
use penstock_core::http2::EditFault;
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use receiver::Item;
use wire::{Shape, data, frame, pairs, reset, window};

#[test]
fn the_set_headers_stand_behind_the_pseudo_header_fields() {
    let fields = [("user-agent", "curl/8.14.1"), ("cookie", "a=b"), ("te", "trailers")];
    for shape in [Shape::Plain, Shape::Incremental, Shape::Indexed, Shape::Never] {
        let mut drive = Drive::new();
        for stream in [1, 3, 5] {
            drive.head(stream, &[GET, &fields].concat(), shape, true);
        }
        let expected = edited(GET, &fields);
        assert_eq!(drive.origin.heads(), [1, 3, 5].map(|stream| (stream, expected.clone(), true)));
        assert_eq!(drive.requests.len(), 3);
        assert_eq!((drive.requests[2].number, drive.requests[2].method), (2, "GET"));
        assert_eq!((&*drive.requests[0].path, drive.requests[0].agent.as_deref()), ("/", Some("curl/8.14.1")));
        assert!(
            !drive.exchange.is_idle() && !drive.exchange.must_close() && drive.exchange.request_in_head().is_none()
        );
    }
}

#[test]
fn bytes_of_a_block_are_kept_where_nothing_goes() {
    let mut drive = Drive::new();
    let mut writer = drive.egress_writer.clone();
    let block = writer.plain(&[GET, &[("x-a", "1")]].concat(), Shape::Incremental);
    let lead = drive.egress_writer.clone().plain(GET, Shape::Incremental);
    drive.upstream.clear();
    let payload = [&[0x80, 0, 0, 7, 9][..], &block].concat();
    drive.egress(frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM | wire::WITH_PRIORITY, 1, payload));
    let edit = header_edit(Mode::Enforce);
    let expected = [&[0x80, 0, 0, 7, 9][..], &block[..lead.len()], edit.http2_block(), &block[lead.len()..]].concat();
    assert_eq!(drive.upstream, frame(wire::HEADERS, 0x25, 1, expected));
}

#[test]
fn padding_goes_and_a_long_block_continues() {
    let long = "v".repeat(16_300);
    let mut drive = Drive::new();
    let block = drive.egress_writer.plain(&[GET, &[("x-long", &long)]].concat(), Shape::Plain);
    let (first, rest) = block.split_at(16_000);
    let padded = [&[9][..], first, &[0; 9]].concat();
    drive.egress(frame(wire::HEADERS, wire::PADDED | wire::END_STREAM, 1, padded));
    assert!(drive.exchange.request_in_head().is_some() && !drive.went_upstream(1));
    drive.egress(frame(wire::CONTINUATION, 0, 1, &rest[..100]));
    drive.egress(frame(wire::CONTINUATION, wire::END_HEADERS, 1, &rest[100..]));
    assert_eq!(drive.origin.heads(), [(1, edited(GET, &[("x-long", &long)]), true)]);
    assert!(drive.exchange.request_in_head().is_none());
}

#[test]
fn content_streams_in_any_pieces_and_other_frames_pass() {
    let mut drive = Drive::new();
    drive.head(1, &[POST, &[("content-length", "10")]].concat(), Shape::Plain, false);
    let padded = frame(wire::DATA, wire::PADDED, 1, [&[3][..], b"01234", &[0; 3]].concat());
    for byte in padded {
        drive.egress([byte]);
    }
    assert_eq!(drive.origin.content(1), (b"01234".to_vec(), false));
    drive.egress(&data(1, b"56789", false)[..11]);
    assert!(drive.upstream.ends_with(b"56") && drive.exchange.request_in_head().is_none());
    drive.egress(&data(1, b"56789", false)[11..]);
    drive.egress([frame(wire::PING, 0, 0, [7; 8]), window(0, 100), window(1, 100), data(1, b"", true)].concat());
    assert_eq!(drive.origin.content(1), (b"0123456789".to_vec(), true));
    let rest = &drive.origin.items[drive.origin.items.len() - 4..];
    assert_eq!(rest[0], Item::Other { kind: wire::PING, stream: 0, payload: vec![7; 8] });
    assert_eq!(rest[1..3], [Item::Window { stream: 0, increment: 100 }, Item::Window { stream: 1, increment: 100 }]);
    drive.answer(1, &[(":status", "200")], false).ingress(data(1, b"ok", true));
    assert_eq!(drive.client.content(1), (b"ok".to_vec(), true));
    assert!(drive.exchange.is_idle());
    assert_eq!(drive.responses[0].status, Some(200));
}

#[test]
fn fields_are_dropped_where_they_stand() {
    let with =
        [("x-a", "1"), ("restrict_access.to-tenants", "evil"), ("x-b", "2"), ("anthropic-allowed-org-ids7", "x")];
    for shape in [Shape::Plain, Shape::Never, Shape::Incremental, Shape::Indexed] {
        let mut drive = Drive::new();
        for stream in [1, 3, 5] {
            drive.head(stream, &[GET, &with].concat(), shape, true);
        }
        let expected = edited(GET, &[("x-a", "1"), ("x-b", "2")]);
        assert_eq!(drive.origin.heads(), [1, 3, 5].map(|stream| (stream, expected.clone(), true)), "{shape:?}");
        assert_eq!(drive.requests[1].stripped, ["restrict_access.to-tenants", "anthropic-allowed-org-ids7"]);
    }
}

#[test]
fn once_a_field_that_entered_the_table_has_gone_all_blocks_are_encoded_anew() {
    let mut drive = Drive::new();
    drive.head(1, &[GET, &[("x-a", "1")]].concat(), Shape::Incremental, true);
    drive.head(3, &[GET, &[("restrict-access-context", "evil"), ("x-b", "2")]].concat(), Shape::Incremental, true);
    drive.head(
        5,
        &[GET, &[("x-a", "1"), ("restrict-access-context", "evil"), ("x-b", "2")]].concat(),
        Shape::Indexed,
        true,
    );
    drive.head(7, &[GET, &[("x-secret", "s")]].concat(), Shape::Never, true);
    let heads = drive.origin.heads();
    assert_eq!(heads[1].1, edited(GET, &[("x-b", "2")]));
    assert_eq!(heads[2].1, edited(GET, &[("x-a", "1"), ("x-b", "2")]));
    assert_eq!(heads[3].1, edited(GET, &[("x-secret", "s")]));
    // Never-indexed stays never-indexed.
    let needle = b"x-secret";
    let coded = {
        let mut out = vec![];
        penstock_core::http2::hpack::literal(needle, b"s", true, &mut out);
        out
    };
    assert!(drive.upstream.windows(coded.len()).any(|window| window == coded));
}

#[test]
fn refused_streams_leave_the_tables_equal() {
    let mut drive = Drive::new();
    drive.head(1, &[GET, &[("x-a", "1")]].concat(), Shape::Incremental, true);
    let other = [(":method", "GET"), (":scheme", "https"), (":authority", "other.example"), (":path", "/")];
    drive.head(3, &[&other[..], &[("x-b", "2")]].concat(), Shape::Incremental, true);
    drive.head(5, &[GET, &[("x-a", "1"), ("x-b", "2")]].concat(), Shape::Indexed, true);
    assert_eq!(drive.origin.heads().iter().map(|head| head.0).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(drive.origin.heads()[1].1, edited(GET, &[("x-a", "1"), ("x-b", "2")]));
    assert_eq!(drive.client.heads(), [(3, pairs(&[(":status", "421"), ("content-length", "0")]), true)]);
    assert_eq!(drive.refusals, [EditFault::HostWrong]);
}

#[test]
fn a_refused_upload_is_answered_dropped_and_given_back() {
    let mut drive = Drive::new();
    let other = [(":method", "POST"), (":scheme", "https"), (":authority", "other.example"), (":path", "/")];
    drive.head(1, &other, Shape::Plain, false);
    assert_eq!(drive.client.resets(), [(1, 0)]);
    drive.egress(frame(wire::DATA, wire::PADDED, 1, [&[3][..], b"01234", &[0; 3]].concat()));
    drive.egress(data(1, b"xyz", true));
    let windows: Vec<&Item> = drive.client.items.iter().filter(|item| matches!(item, Item::Window { .. })).collect();
    assert_eq!(windows, [&Item::Window { stream: 0, increment: 9 }, &Item::Window { stream: 0, increment: 3 }]);
    drive.egress([window(1, 5), reset(1, 8)].concat());
    assert!(drive.origin.items.is_empty());
    assert_eq!(drive.fault, None);
}

#[test]
fn denials_request_ids_and_interim_answers_are_seen_on_each_stream() {
    let text = "<p>AADSTS500021: Access to 'x' tenant is denied.</p>";
    let mut drive = Drive::new();
    drive.get(1, &[]).get(3, &[]);
    drive.answer(1, &[(":status", "103"), ("link", "</x>")], false);
    drive.answer(3, &[(":status", "200"), ("x-ms-request-id", "id-3"), ("content-encoding", "gzip")], false);
    drive.answer(1, &[(":status", "403"), ("x-ms-request-id", "id-1")], false);
    drive.ingress(data(1, &text[..20], false)).ingress(data(3, text, true)).ingress(data(1, &text[20..], true));
    let told: Vec<_> = drive.responses.iter().map(|told| (told.number, told.status, told.denial)).collect();
    assert_eq!(told, [(1, Some(200), None), (0, Some(403), Some(DenialCode::Aadsts500021))]);
    assert_eq!(drive.responses[1].vendor_request_id.as_deref(), Some("id-1"));
    assert_eq!(drive.client.content(1).0, text.as_bytes());
    assert!(drive.exchange.is_idle());
}

#[test]
fn request_and_answer_trailers() {
    let mut drive = Drive::new();
    drive.head(1, POST, Shape::Plain, false).egress(data(1, b"body", false));
    drive.head(1, &[("x-checksum", "1"), ("restrict-access-context", "evil")], Shape::Incremental, true);
    assert_eq!(drive.origin.content(1), (b"body".to_vec(), true));
    assert_eq!(drive.origin.heads().len(), 1);
    drive.head(3, &[GET, &[("x-checksum", "1")]].concat(), Shape::Indexed, true);
    assert_eq!(drive.origin.heads()[1].1, edited(GET, &[("x-checksum", "1")]));
    drive.answer(1, &[(":status", "200")], false).ingress(data(1, b"ok", false));
    drive.answer(1, &[("grpc-status", "0")], true);
    assert_eq!(drive.client.heads()[1], (1, pairs(&[("grpc-status", "0")]), true));
    assert_eq!(drive.fault, None);
}

#[test]
fn report_only_changes_nothing_and_tells_what_enforcing_would_change() {
    let mut drive = Drive::report_only();
    let fields = [("restrict-access-context", "a"), ("proxy-authorization", "b"), ("x", "y")];
    let block = drive.egress_writer.plain(&[POST, &fields].concat(), Shape::Incremental);
    let padded = frame(wire::HEADERS, wire::END_HEADERS | wire::PADDED, 1, [&[2][..], &block, &[0; 2]].concat());
    drive.upstream.clear();
    drive.egress(&padded);
    assert_eq!(drive.upstream, padded);
    drive.head(1, &[("restrict-access-to-tenants", "evil")], Shape::Incremental, true);
    assert_eq!(drive.origin.heads()[1], (1, pairs(&[("restrict-access-to-tenants", "evil")]), true));
    assert_eq!(drive.requests[0].stripped, ["restrict-access-context"]);
    drive.downstream.clear();
    drive.ingress_writer = wire::Writer::new();
    drive.answer(1, &[(":status", "200"), ("alt-svc", "h3=\":443\"")], true);
    assert_eq!(drive.client.heads()[0].1, pairs(&[(":status", "200"), ("alt-svc", "h3=\":443\"")]));
}

#[test]
fn settings_are_edited_and_acknowledged_one_for_one() {
    let mut drive = Drive::fresh(header_edit(Mode::Enforce));
    drive.egress([wire::PREFACE, &wire::settings(&[(1, 1 << 20), (2, 1), (4, 6_291_456), (6, 262_144)])].concat());
    assert_eq!(drive.origin.items, [Item::Settings(vec![(1, 65_536), (2, 0), (4, 6_291_456), (6, 262_144)])]);
    drive.ingress(wire::settings(&[(3, 1_000), (5, 1 << 20), (8, 1)]));
    assert_eq!(drive.client.items, [Item::Settings(vec![(3, 256), (5, 16_384)])]);
    drive.client.bounds.push_back(Some(65_536));
    drive.origin.bounds.push_back(None);
    drive.ingress(wire::ack()).egress(wire::ack());
    assert_eq!((drive.origin.items.len(), drive.client.items.len(), drive.fault), (2, 2, None));
    drive.egress(wire::ack());
    assert_eq!(drive.fault, Some(EditFault::FrameMalformed));
}

#[test]
fn a_drain_refuses_new_streams_and_lets_old_ones_end() {
    let mut drive = Drive::new();
    drive.get(1, &[]);
    drive.exchange.handle_drain();
    drive.exchange.handle_drain();
    drive.transmit();
    assert_eq!(drive.client.items, [Item::Goaway { last: 0x7fff_ffff, code: 0 }]);
    drive.get(3, &[("x", "y")]);
    assert_eq!(drive.client.resets(), [(3, 7)]);
    assert!(!drive.exchange.is_idle() && drive.exchange.must_close() && !drive.went_upstream(3));
    drive.answer(1, &[(":status", "204")], true);
    assert!(drive.exchange.is_idle() && drive.exchange.must_close());
    assert_eq!(drive.refusals, [EditFault::StreamRefused]);
}

/// As over HTTP/1.1: who has just connected has sent its request before it can hear of the drain.
#[test]
fn a_drain_before_the_first_stream_lets_it_be_served() {
    for begins in [false, true] {
        let mut drive = Drive::fresh(header_edit(Mode::Enforce));
        let begin = |drive: &mut Drive| {
            drive.egress([wire::PREFACE, &wire::settings(&[])].concat()).ingress(wire::settings(&[]));
        };
        if begins {
            begin(&mut drive);
        }
        drive.exchange.handle_drain();
        drive.transmit();
        assert!(drive.exchange.is_idle() && !drive.exchange.must_close(), "not before it was asked");
        if !begins {
            begin(&mut drive);
            drive.transmit();
        }
        assert_eq!(drive.client.items.last(), Some(&Item::Goaway { last: 0x7fff_ffff, code: 0 }));
        drive.get(1, &[]).get(3, &[]).answer(1, &[(":status", "204")], true);
        assert!(!drive.exchange.is_idle() && drive.went_upstream(1) && drive.went_upstream(3));
        drive.answer(3, &[(":status", "204")], true);
        assert!(drive.exchange.is_idle() && drive.exchange.must_close());
        assert_eq!((drive.fault, drive.client.resets()), (None, vec![]));
    }
}

/// Who opens a stream while the connection closes knows from the last GOAWAY that it was not heard.
#[test]
fn a_close_says_which_streams_were_heard() {
    for (served, last) in [(None, 3), (Some(1), 1), (Some(9), 3)] {
        let mut drive = Drive::new();
        drive.get(1, &[]).get(3, &[]).answer(1, &[(":status", "204")], true).answer(3, &[(":status", "204")], true);
        if let Some(served) = served {
            drive.ingress(frame(wire::GOAWAY, 0, 0, [0, 0, 0, served, 0, 0, 0, 0]));
        }
        drive.exchange.handle_drain();
        drive.exchange.handle_close();
        drive.transmit();
        assert_eq!(drive.client.items.last(), Some(&Item::Goaway { last, code: 0 }), "{served:?}");
    }
}

#[test]
fn an_abort_accounts_for_every_request() {
    let mut drive = Drive::new();
    drive.get(1, &[]).get(3, &[]).get(5, &[]);
    drive.answer(3, &[(":status", "403")], false).ingress(data(3, "AADSTS500021:", false));
    drive.exchange.handle_abort();
    drive.exchange.handle_abort();
    drive.poll();
    let told: Vec<_> = drive.responses.iter().map(|told| (told.number, told.status, told.denial.is_some())).collect();
    assert_eq!(told.len(), 3);
    assert!(
        told.contains(&(0, None, false)) && told.contains(&(1, Some(403), true)) && told.contains(&(2, None, false))
    );
}

#[test]
fn ends_are_clean_only_between_units() {
    let mut drive = Drive::new();
    assert_eq!((drive.exchange.handle_egress_end(), drive.exchange.handle_ingress_end()), (Ok(()), Ok(())));
    drive.egress(&data(1, b"x", true)[..5]);
    assert_eq!(drive.exchange.handle_egress_end(), Err(EditFault::RequestTruncated));
    let mut drive = Drive::new();
    drive.get(1, &[]);
    assert_eq!(drive.exchange.handle_egress_end(), Ok(()));
    assert_eq!(drive.exchange.handle_ingress_end(), Err(EditFault::ResponseTruncated));
}

#[test]
fn the_longest_value_and_many_headers_fit() {
    let long = "v".repeat(8 * 1024);
    let header = |name: &str| SetHeader { name: name.into(), value: long.clone().into() };
    let names = ["Restrict-Access-To-Tenants", "Restrict-Access-Context", "Sec-Restrict-Tenant-Access-Policy"];
    let edit = HeaderEdit::new(Mode::Enforce, &[ConnectorId::MicrosoftEntra], names.map(header).into());
    let mut drive = Drive::with(edit, &[], &[]);
    drive.get(1, &[("restrict-access-context", "x")]);
    let heads = drive.origin.heads();
    assert_eq!(heads[0].1.len(), 7);
    assert!(heads[0].1[4..].iter().all(|(_, value)| value == long.as_bytes()));
    assert_eq!(set().len(), 2);
}
