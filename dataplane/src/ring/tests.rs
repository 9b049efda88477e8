//! The seam on both engines: the same promises, whoever carries the waits.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;

use super::{Heirloom as _, IoEngine, Listener, Pipe, Socket, accept, in_flight, spawn, start};

const ENGINES: [IoEngine; 2] = [IoEngine::Epoll, IoEngine::Uring];

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A connected pair on loopback, made through the engine.
async fn pair() -> (Socket, Socket) {
    let listener = Listener::bind(loopback(), 8).unwrap();
    let address = listener.local_address().unwrap();
    let near = Socket::for_address(address).unwrap();
    let (connected, accepted) = tokio::join!(near.connect(address), accept(&listener));
    connected.unwrap();
    let (far, peer) = accepted.unwrap();
    assert!(peer.ip().is_loopback());
    (near, far)
}

fn on_both(test: impl AsyncFn()) {
    for engine in ENGINES {
        start(engine, async {
            test().await;
            settle().await;
            assert_eq!(in_flight(), 0, "{engine:?} still holds operations");
        })
        .unwrap();
    }
}

/// Lets cancellations in the background complete.
async fn settle() {
    for _ in 0..50 {
        if in_flight() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn bytes_cross_and_waiting_sees_them() {
    on_both(async || {
        let (near, far) = pair().await;
        let mut buffer = [0; 16];
        assert_eq!(far.try_recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        let waiting = async {
            far.readable().await.unwrap();
            let mut buffer = [0; 16];
            let count = far.try_recv(&mut buffer).unwrap();
            buffer[..count].to_vec()
        };
        let sending = async {
            tokio::task::yield_now().await;
            near.writable().await.unwrap();
            near.try_send(b"hello").unwrap()
        };
        assert_eq!(tokio::join!(waiting, sending), (b"hello".to_vec(), 5));
    });
}

#[test]
fn readiness_is_of_a_level_not_an_edge() {
    on_both(async || {
        let (near, far) = pair().await;
        near.try_send(b"two bytes").unwrap();
        let mut buffer = [0; 3];
        for _ in 0..3 {
            far.readable().await.unwrap();
            assert_eq!(far.try_recv(&mut buffer).unwrap(), 3);
        }
    });
}

#[test]
fn a_cancelled_wait_ends_and_later_waits_work() {
    on_both(async || {
        let (near, far) = pair().await;
        let (near, far) = (Rc::new(near), far);
        let cancelling = Rc::clone(&near);
        spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancelling.cancel();
        });
        let error = near.readable().await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::CANCELED.raw_os_error()));
        far.try_send(b"x").unwrap();
        near.readable().await.unwrap();
    });
}

/// A peer that has said all it has to say and reads nothing must cost nothing.
#[test]
fn a_wait_for_room_lasts_though_the_peer_has_ended_its_side() {
    on_both(async || {
        let (near, far) = pair().await;
        far.shutdown_write();
        near.readable().await.unwrap();
        // The buffers of both sockets fill in steps: what the peer's takes makes room in ours.
        let mut sent = 0;
        loop {
            match near.try_send(&[7; 64 * 1024]) {
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if near.try_send(b"x").map(|count| sent += count).is_err() {
                        break;
                    }
                }
            }
        }
        let near = Rc::new(near);
        let ended = Rc::new(std::cell::Cell::new(0));
        for _ in 0..2 {
            let (socket, count) = (Rc::clone(&near), Rc::clone(&ended));
            spawn(async move {
                let _ = socket.writable().await;
                count.set(count.get() + 1);
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(ended.get(), 0, "there is room in a full buffer");
        }
        near.cancel();
        settle().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(ended.get(), 2, "a cancelled wait goes on");

        let reading = async {
            let mut buffer = vec![0; 64 * 1024];
            while sent > 0 {
                far.readable().await.unwrap();
                sent -= far.try_recv(&mut buffer).unwrap();
            }
        };
        let (room, ()) = tokio::join!(near.writable(), reading);
        room.unwrap();
    });
}

#[test]
fn a_cancelled_accept_ends() {
    on_both(async || {
        let listener = Rc::new(Listener::bind(loopback(), 8).unwrap());
        let cancelling = Rc::clone(&listener);
        spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancelling.cancel();
        });
        assert!(accept(&listener).await.is_err());
    });
}

#[test]
fn a_refused_connect_says_so() {
    on_both(async || {
        let listener = Listener::bind(loopback(), 1).unwrap();
        let address = listener.local_address().unwrap();
        drop(listener);
        let socket = Socket::for_address(address).unwrap();
        assert_eq!(socket.connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_pipe_moves_bytes_and_tells_the_end() {
    on_both(async || {
        let (source, near) = pair().await;
        let (far, sink) = pair().await;
        let mut pipe = Pipe::open(64 * 1024).unwrap();
        assert_eq!(pipe.fill_from(&near, 1024).unwrap_err().kind(), ErrorKind::WouldBlock);
        source.try_send(&[7; 1000]).unwrap();
        near.readable().await.unwrap();
        assert_eq!(pipe.fill_from(&near, 64 * 1024).unwrap(), 1000);
        assert_eq!(pipe.drain_to(&far).unwrap(), 1000);
        assert_eq!(pipe.held_bytes(), 0);
        sink.readable().await.unwrap();
        let mut buffer = [0; 2000];
        assert_eq!(sink.try_recv(&mut buffer).unwrap(), 1000);
        source.shutdown_write();
        near.readable().await.unwrap();
        assert_eq!(pipe.fill_from(&near, 1024).unwrap(), 0);
    });
}

#[test]
fn a_reset_shows_as_one() {
    on_both(async || {
        let (near, far) = pair().await;
        far.reset_on_close();
        drop(far);
        near.readable().await.unwrap();
        assert_eq!(near.try_recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}
