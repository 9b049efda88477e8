//! A name server outside, whose answers are good for one second; it can be told to fall silent.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::network::{Network, Place, SIGN_IN_V4};

/// See the module. It listens on [`SIGN_IN_V4`], port 53.
pub struct Names {
    is_mute: Arc<AtomicBool>,
}

impl Names {
    /// Answers for a name with the addresses that `addresses` gives it, told how often the name was asked for before.
    pub fn serve(network: &Network, addresses: impl Fn(&str, usize) -> Option<Vec<IpAddr>> + Send + 'static) -> Self {
        let socket = network.enter(Place::Outside, || UdpSocket::bind((SIGN_IN_V4, 53)).unwrap());
        let is_mute = Arc::new(AtomicBool::new(false));
        let mute = Arc::clone(&is_mute);
        thread::spawn(move || {
            let (mut buffer, mut counts) = ([0; 4096], HashMap::<String, usize>::new());
            while let Ok((count, peer)) = socket.recv_from(&mut buffer) {
                if !mute.load(Ordering::Relaxed) {
                    let question = Question::read(&buffer[..count]);
                    let asked = counts.entry(question.name.clone()).or_default();
                    let known = addresses(&question.name, *asked);
                    *asked += usize::from(question.wants_v4);
                    let _ = socket.send_to(&question.answer(&buffer[..count], known), peer);
                }
            }
        });
        Self { is_mute }
    }

    /// Says nothing any more, or speaks again.
    pub fn fall_silent(&self, is_mute: bool) {
        self.is_mute.store(is_mute, Ordering::Relaxed);
    }
}

/// What is asked (RFC 1035 section 4.1.2).
struct Question {
    name: String,
    wants_v4: bool,
    /// Where it ends.
    end: usize,
}

impl Question {
    fn read(message: &[u8]) -> Self {
        let mut labels = Vec::new();
        let mut at = 12;
        while message[at] != 0 {
            let length = usize::from(message[at]);
            labels.push(String::from_utf8_lossy(&message[at + 1..=at + length]).to_ascii_lowercase());
            at += 1 + length;
        }
        Self { name: labels.join("."), wants_v4: message[at + 1..at + 3] == [0, 1], end: at + 5 }
    }

    /// The addresses of version 4 of a name that is known, or that there is none.
    fn answer(&self, message: &[u8], known: Option<Vec<IpAddr>>) -> Vec<u8> {
        let code = if known.is_some() { 0x80 } else { 0x83 };
        let addresses = known.filter(|_| self.wants_v4).unwrap_or_default();
        let count = u8::try_from(addresses.len()).unwrap();
        let mut answer = [&message[..2], &[0x81, code, 0, 1, 0, count, 0, 0, 0, 0]].concat();
        answer.extend_from_slice(&message[12..self.end]);
        for address in addresses {
            let IpAddr::V4(address) = address else { continue };
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            answer.extend_from_slice(&address.octets());
        }
        answer
    }
}
