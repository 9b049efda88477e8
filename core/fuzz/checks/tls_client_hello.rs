//! What must hold for any bytes that a client sends first.

use penstock_core::bytes::Parsed;
use penstock_core::limits::{CLIENT_HELLO_BYTES_MAX, CLIENT_HELLO_EXTENSIONS_MAX, CLIENT_HELLO_INPUT_BYTES_MAX};
use penstock_core::tls::{ClientHello, ClientHelloReader, HelloReject};

type Answer = Parsed<(Option<String>, String), HelloReject>;

/// Reads `data` whole, in two pieces, and in growing pieces; all must agree, and a refusal or a hello must come in time.
pub(crate) fn check(data: &[u8]) {
    let answer = ask(&mut ClientHelloReader::new(), data);
    if let Parsed::Complete { consumed, .. } = answer {
        assert!(consumed <= data.len() && consumed <= CLIENT_HELLO_INPUT_BYTES_MAX);
        assert_eq!(ask(&mut ClientHelloReader::new(), &data[..consumed]), answer);
        assert!(ask(&mut ClientHelloReader::new(), &data[..consumed - 1]).is_incomplete());
    }
    assert!(!answer.is_incomplete() || data.len() <= CLIENT_HELLO_INPUT_BYTES_MAX + 16);

    let cut = data.first().map_or(0, |&byte| usize::from(byte) * data.len() / 256);
    let mut in_two = ClientHelloReader::new();
    let _ = ask(&mut in_two, &data[..cut]);
    assert_eq!(ask(&mut in_two, data), answer);

    let mut growing = ClientHelloReader::new();
    let mut end = 0;
    while end < data.len() {
        match ask(&mut growing, &data[..end]) {
            Parsed::Incomplete { more_bytes_min } => {
                assert!(more_bytes_min > 0);
                end = data.len().min(end + more_bytes_min);
            }
            other => {
                assert_eq!(other, answer);
                break;
            }
        }
    }
    assert_eq!(ask(&mut growing, data), answer);
}

fn ask(reader: &mut ClientHelloReader, input: &[u8]) -> Answer {
    match reader.handle_bytes(input) {
        Parsed::Complete { value, consumed } => Parsed::Complete { value: visit(&value), consumed },
        Parsed::Incomplete { more_bytes_min } => Parsed::Incomplete { more_bytes_min },
        Parsed::Reject(reject) => Parsed::Reject(reject),
    }
}

/// Goes through everything that a hello offers.
fn visit(hello: &ClientHello<'_>) -> (Option<String>, String) {
    assert!(hello.extensions().count() <= CLIENT_HELLO_EXTENSIONS_MAX);
    assert!(hello.alpn().map(<[u8]>::len).sum::<usize>() <= CLIENT_HELLO_BYTES_MAX);
    assert!(hello.key_share_groups().count() <= CLIENT_HELLO_BYTES_MAX / 4);
    assert!(hello.version_max() <= 0x0304);
    assert!(!(hello.sni.is_some() && hello.sni_is_address));
    let ja4 = hello.ja4();
    assert!(ja4.len() == 36 && ja4.is_ascii(), "{ja4}");
    (hello.sni.as_ref().map(ToString::to_string), ja4)
}
