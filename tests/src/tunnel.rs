//! The way in: a TCP connection to the explicit listener, CONNECT, then raw bytes.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::http::{self, Answer};
use crate::wait;

/// The address that the example policy gives the profile `staff`.
pub const STAFF: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
/// The address that the example policy gives the profile `pilot`.
pub const PILOT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Opens a connection to the listener from `source`.
pub fn dial(source: IpAddr, proxy: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&proxy.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
    stream.set_write_timeout(Some(wait::LIMIT)).unwrap();
    stream
}

/// Sends `head` to the listener and reads the answer's head; the stream stands right behind it.
pub fn ask(stream: &mut TcpStream, head: &[u8]) -> Answer {
    stream.write_all(head).unwrap();
    read_answer(stream)
}

/// CONNECT to `authority`, which must be granted.
pub fn open(source: IpAddr, proxy: SocketAddr, authority: &str) -> TcpStream {
    let mut stream = dial(source, proxy);
    let answer = ask(&mut stream, connect_head(authority).as_bytes());
    assert_eq!(answer.status, 200, "CONNECT {authority}: {answer:?}");
    stream
}

/// The same where the listener may be gone.
pub fn try_open(proxy: SocketAddr, authority: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(proxy).ok()?;
    stream.set_read_timeout(Some(wait::LIMIT)).ok()?;
    stream.write_all(connect_head(authority).as_bytes()).ok()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).ok()?;
    let mut head = start.to_vec();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    start.ends_with(b" 200").then_some(stream)
}

fn connect_head(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: penstock-tests/1\r\n\r\n")
}

/// Reads one answer of the listener, byte by byte, so that nothing behind it is taken.
pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1..) => head.push(byte[0]),
            Ok(0) => panic!("the listener closed after {:?}", String::from_utf8_lossy(&head)),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    let mut answer = http::answer_head(&head).unwrap();
    if answer.status != 200 {
        let length = answer.header("content-length").map_or(0, |value| value.parse().unwrap());
        answer.body = vec![0; length];
        stream.read_exact(&mut answer.body).unwrap();
    }
    answer
}

/// Reads one answer with its body, framed by a length, or by the end of the connection.
pub fn read_whole_answer(stream: &mut TcpStream) -> Answer {
    let mut answer = read_answer(stream);
    match answer.header("content-length") {
        Some(length) if answer.status == 200 => {
            answer.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut answer.body).unwrap();
        }
        None if !matches!(answer.status, 204 | 304) => answer.body = drain(stream).0,
        _ => {}
    }
    answer
}

/// Whether the other end sends back what it is sent.
pub fn echoes(stream: &mut TcpStream) -> bool {
    let mut heard = [0; 4];
    stream.write_all(b"ping").and_then(|()| stream.read_exact(&mut heard)).is_ok_and(|()| &heard == b"ping")
}

/// True when the peer has ended the connection, by FIN or by RST; bytes that come before are returned.
pub fn drain(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, true),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => return (bytes, error.kind() == std::io::ErrorKind::ConnectionReset),
        }
    }
}
