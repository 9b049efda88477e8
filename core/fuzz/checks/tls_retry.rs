//! What must hold for any bytes of a client and a server behind a first hello.

use penstock_core::sni::Sni;
use penstock_core::tls::ClientHelloReader;
use penstock_core::tls::retry::{RetryWatch, Wait};
use penstock_core::tls::server_hello::ServerHelloReader;

/// The first byte says where `data` is cut: the server's bytes, then the client's. However they come, the same prefix of
/// the client's goes on, and none of it beyond a hello that names another host.
pub(crate) fn check(data: &[u8]) {
    let Some((&cut, rest)) = data.split_first() else { return };
    let (server, client) = rest.split_at(usize::from(cut) * rest.len() / 256);
    let name = Sni::parse(b"www.example.org").ok();

    let whole = ServerHelloReader::new().handle_bytes(server);
    let mut pieces = ServerHelloReader::new();
    let by_byte = server.chunks(1).fold(None, |_, byte| pieces.handle_bytes(byte));
    assert_eq!(whole, by_byte);

    let mut watch = RetryWatch::new(name);
    watch.handle_ingress(server);
    let at_once = watch.clone().handle_egress(client);
    let mut gone = 0;
    let mut refused = false;
    for end in 1..=client.len() {
        match watch.handle_egress(&client[gone..end]) {
            Ok(allowed) => {
                assert!(allowed.bytes <= end - gone);
                assert!(allowed.wait.is_some() || gone + allowed.bytes == end);
                assert!(allowed.wait != Some(Wait::Server) || !watch.is_open());
                gone += allowed.bytes;
            }
            Err(_) => {
                refused = true;
                break;
            }
        }
    }
    match at_once {
        Ok(allowed) => assert!(!refused && gone == allowed.bytes),
        Err(_) => assert!(refused),
    }
    if !watch.is_open() {
        let mut reader = ClientHelloReader::new();
        assert!(reader.handle_bytes(&client[..gone]).complete().is_none(), "a second hello went on unjudged");
    }
}
